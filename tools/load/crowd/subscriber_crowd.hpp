// Subscribers of the live stream: GET /api/v1/stream by WebSocket (RFC 6455) or GET /api/v1/events
// by server-sent events. What is told is held against its order; how late it is, is measured from
// the time at which the gateway received it (in milliseconds, so up to 1 ms is seen too much) to
// here, on the wall clock: right where both are on one host, or synchronised.
//
// A subscriber whose link is lost comes again and goes on at its cursor. Errors by kind:
// connect_failed, link_closed, link_broken, timeout, http_NNN, bad_answer, bad_frame, bad_message,
// stream_error, gap (retention was faster), duplicate (an event again, or out of the log's order),
// cursor_went_back, closed_as_slow (a note where the class is slow on purpose).
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "tools/common/http_answer.hpp"
#include "tools/load/crowd/feed_reader.hpp"
#include "tools/load/crowd/stream_message.hpp"
#include "tools/load/crowd/wire_crowd.hpp"

namespace ringgate::load {

class SubscriberCrowd final : public WireCrowd {
 public:
  SubscriberCrowd(const CrowdPlace& place, TargetAddress target, std::vector<in_addr> sources);

 private:
  enum class Step : std::uint8_t { asked, open, told };  // told: the subscription stands
  // While it is connected.
  struct Link {
    tool::HttpAnswerReader answer;
    Step step = Step::asked;
    std::string key;      // Sec-WebSocket-Key
    FrameReader frames;
    LineReader lines;
    bool is_ready = false;
    bool catching_up = false;
    bool was_slow = false;
  };
  // How far a stream of the log has been told.
  struct Told {
    RecordPlace place;
    std::string type, alarm;  // of the last event
    std::int64_t sub = 0;
  };
  struct User {
    std::unique_ptr<Link> link;
    std::string cursor;  // where it goes on
    std::vector<Told> told;  // of each stream
  };

  void come(std::uint32_t user) override;
  void go(std::uint32_t user) override;
  MonoNs gone(std::uint32_t user, Wires::End end, int error) override;
  void act() override;
  MonoNs next_act() const override;
  void on_open(std::uint32_t user) override;
  void on_bytes(std::uint32_t user, Bytes bytes) override;
  void on_sent(std::uint32_t) override {}

  bool is_websocket() const { return class_of().feed == Feed::websocket; }
  void end_head(std::uint32_t user);
  void take_frames(std::uint32_t user);
  void closed_with(std::uint32_t user, std::string_view payload);
  void take_lines(std::uint32_t user);
  void take_message(std::uint32_t user, std::string_view text);
  void take_event(User& who, const StreamEvent& event, bool in_order);
  void take_cursor(User& who, const std::string& cursor);
  void send_frame(std::uint32_t user, std::uint8_t opcode, std::string_view payload);
  void give_up(std::uint32_t user, std::string_view kind, std::string sentence);
  void stands(std::uint32_t user);

  TargetAddress target_;
  std::vector<User> users_;
  std::string token_;
  StreamMessage message_;
  struct Waiting {  // for its subscription to stand
    MonoNs limit_ns;
    std::uint32_t user;
    MonoNs since_ns;
  };
  std::deque<Waiting> limits_;
  std::deque<std::pair<MonoNs, std::uint32_t>> sips_;  // of slow ones: who reads next, and when
};

}  // namespace ringgate::load
