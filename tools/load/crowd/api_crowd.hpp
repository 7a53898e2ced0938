// Users of the HTTP interface: one keep-alive connection each, requests from a weighted list of
// routes, a bearer token. Open model (interval): a request is due at the user's moment, whatever
// the server does; else a user thinks between an answer and its next request. HTTP/1.1, RFC 9112.
//
// Errors by kind: connect_failed, link_closed and link_broken (an answer was owed), timeout,
// bad_answer (no HTTP), http_NNN for each status of 400 and more.
#pragma once

#include <deque>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "tools/common/http_answer.hpp"
#include "tools/load/crowd/elastic_schedule.hpp"
#include "tools/load/crowd/wire_crowd.hpp"

namespace ringgate::load {

class ApiCrowd final : public WireCrowd {
 public:
  ApiCrowd(const CrowdPlace& place, TargetAddress target, std::vector<in_addr> sources);

 private:
  // What only a user with a request has.
  struct Request {
    tool::HttpAnswerReader answer;
    MonoNs due_ns = 0;
    MonoNs sent_ns = 0;
  };
  struct User {
    std::unique_ptr<Request> request;  // under way
    std::unique_ptr<std::deque<MonoNs>> waiting;  // open model: requests that came due meanwhile
    bool is_ready = false;
    bool has_been_ready = false;
    bool leaving = false;
  };

  bool open_model() const { return class_of().interval_ns > 0; }
  void come(std::uint32_t user) override;
  void go(std::uint32_t user) override;
  MonoNs gone(std::uint32_t user, Wires::End end, int error) override;
  void act() override;
  MonoNs next_act() const override;
  void aim_changed() override;
  void end_requests() override;
  std::uint64_t outstanding() const override { return outstanding_; }
  std::uint64_t overdue() const override;
  void on_open(std::uint32_t user) override;
  void on_bytes(std::uint32_t user, Bytes bytes) override;
  void on_sent(std::uint32_t) override {}

  void take_due();
  void due(std::uint32_t user, MonoNs due_ns);
  void request(std::uint32_t user, MonoNs due_ns);
  void think(std::uint32_t user);
  std::string text_of(std::uint32_t user);
  std::string path_of(const Route& route);
  void end_answer(std::uint32_t user);
  void drop(std::uint32_t user);
  void drop_waiting(User& who);
  void look_for_silence();

  TargetAddress target_;
  std::vector<User> users_;
  ElasticSchedule schedule_;
  using Moment = std::pair<MonoNs, std::uint32_t>;
  std::priority_queue<Moment, std::vector<Moment>, std::greater<>> thoughts_;
  struct Waiting {  // for an answer until then
    MonoNs limit_ns;
    std::uint32_t user;
    MonoNs sent_ns;  // the request that it is about
  };
  std::deque<Waiting> limits_;
  double weights_ = 0;
  std::vector<std::string> tokens_;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> phones_;  // of classes: the first, how many
  std::uint64_t outstanding_ = 0;
};

}  // namespace ringgate::load
