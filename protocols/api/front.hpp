// The API's end on one shard: answers what needs nobody else (probes, files of the page), and hands
// the rest to the plane. Lives on the shard; every call on its thread.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "engine/shard/errand.hpp"
#include "protocols/api/call.hpp"
#include "protocols/api/outflow.hpp"
#include "protocols/api/page/page.hpp"
#include "protocols/http/session.hpp"

namespace ringgate::api {

// Requests of one shard that the plane may have: each is a few hundred bytes and its body.
constexpr std::uint32_t calls_per_shard_max = 4096;

class StreamRoom;

class Front final : public http::Handler, public flow::CommitListener {
 public:
  Front(http::Session& session, Plane& plane, shard::Shard& shard,
        std::unique_ptr<AccessCheck> access);
  // After the plane's thread has ended, or with its shard.
  ~Front() override;

  // Wiring: serves the dashboard too.
  void use_page(const PageOptions& options) { page_ = std::make_unique<Page>(options); }

  std::uint64_t body_bytes_max(const http::Head& head) override;
  // Who may not ask need not send a body: nobody else makes this process keep one.
  std::optional<http::Refused> refuse_body(const http::Request& request) override;
  void on_request(const http::Request& request) override;
  void on_gone(http::ExchangeId id) override;
  void on_room(http::ExchangeId id) override;
  void on_commit(Position) override {}
  void on_log_state(flow::LogState state) override;

  // Before the first turn: who takes requests for live streams.
  void use_streams(std::unique_ptr<StreamRoom> streams);

  http::Session& session() { return session_; }
  // Who may do what; also for upgrades and event streams.
  AccessCheck& access() { return *access_; }
  // Answers what a check did not allow.
  void refuse(http::ExchangeId id, const Verdict& verdict);
  // The plane's answer has come.
  void call_ended() { --calls_; }
  // Does what the step says. Keeps the ticket where a piece has filled the link, until there is
  // room again. False: the exchange is stale.
  bool play(http::ExchangeId id, const OutflowStep& step, shard::ErrandTicket& ticket);

 private:
  Verdict entry(const Route& route, const http::Request& request);
  bool answer_here(const http::Request& request);
  void probe(const http::Request& request, bool good, std::string_view word);

  http::Session& session_;
  Plane& plane_;
  shard::Shard& shard_;
  std::unique_ptr<const Page> page_;
  std::unique_ptr<AccessCheck> access_;
  std::unique_ptr<StreamRoom> streams_;
  std::uint32_t calls_ = 0;
  // Of streams whose link is full, by its slot: at most one piece of a stream is under way.
  struct Waiting {
    http::ExchangeId id;
    shard::ErrandTicket ticket;
  };
  std::unordered_map<std::uint32_t, Waiting> waiting_;
};

}  // namespace ringgate::api
