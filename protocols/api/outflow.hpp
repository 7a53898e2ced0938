// An answer that another thread than the plane's makes, whole or piece by piece: what a query
// thread holds of a request.
//
//   const auto out = call->detach();             // on the plane; null: the call has its 503
//   out->begin({.type = "text/csv"});            // from here on: any thread, one at a time
//   while (out->room()) out->write(next piece);  // no room: out->when_room(go on), and do others
//   out->end();
//
// Back-pressure: what was written and has not been taken by the link counts as under way; a piece
// leaves for its shard when the one before has room there (its errand's ticket comes home), so a
// client that reads slowly costs `window_bytes` and nobody's time. Where the client goes, gone()
// says so, and what is written is dropped. What is let go of without end() is cut where the client
// sees it; without any answer it is a 500.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "protocols/api/route.hpp"
#include "protocols/http/exchange.hpp"

namespace ringgate::api {

class Front;
class Plane;

// What a piece or a whole answer is on its way to its shard.
struct OutflowStep {
  enum class What : std::uint8_t { answer, begin, piece, end, cut };
  What what = What::piece;
  std::uint16_t status = 200;
  std::string type;
  std::string fields;  // whole lines
  std::uint64_t length = http::StreamHead::unknown_length;
  std::shared_ptr<const std::string> text;  // of an answer or a piece
  bool last() const { return what != What::begin && what != What::piece; }
};

// The plane's end of one; plane thread only, but for the two atomics.
class Flow : public std::enable_shared_from_this<Flow> {
 public:
  Flow(Plane& plane, http::ExchangeId id, const Route& route)
      : plane_(plane), id_(id), route_(route) {}

  http::ExchangeId id() const { return id_; }
  void take(OutflowStep step);
  // Sends the next step to the shard. False: the shard's column is full; again later.
  bool pump();
  void client_gone();
  void when_room(std::function<void()> tell);

  std::atomic<std::uint64_t> under_way_bytes{0};
  std::atomic<bool> gone{false};

 private:
  void home(bool good, const OutflowStep& step);
  void tell_if_room();

  Plane& plane_;
  http::ExchangeId id_;
  const Route& route_;
  std::deque<OutflowStep> steps_;
  std::function<void()> tell_;
  bool sending_ = false;
  bool over_ = false;  // its last step was taken
};

class Outflow {
 public:
  // Of one answer under way; with what the link holds (96 KiB) all that a stream costs.
  static constexpr std::uint64_t window_bytes = 512 * 1024;
  // What write() should be given at once: a shard copies it in some 10 us.
  static constexpr std::uint64_t piece_bytes = 64 * 1024;

  Outflow(Plane& plane, std::shared_ptr<Flow> flow, bool head_only)
      : plane_(plane), flow_(std::move(flow)), head_only_(head_only) {}
  ~Outflow();
  Outflow(const Outflow&) = delete;
  Outflow& operator=(const Outflow&) = delete;

  // The client went, or its shard stopped: nothing more is of use.
  bool gone() const { return flow_->gone.load(std::memory_order_acquire); }
  // A HEAD request: no body is wanted.
  bool head_only() const { return head_only_; }
  bool begun() const { return state_ != State::fresh; }
  // Whether the next piece should be written now.
  bool room() const {
    return flow_->under_way_bytes.load(std::memory_order_acquire) < window_bytes;
  }
  // `tell` is called once, on the plane's thread, when there is room or the client has gone.
  void when_room(std::function<void()> tell);

  // Either one of these two ...
  void answer(std::string body, std::uint16_t status, std::string_view type,
              std::string_view fields = {});
  void problem(std::uint16_t status, std::string_view detail, std::string_view fields = {});
  // ... or these, in order. `type` and `fields` of `head` are copied.
  void begin(const http::StreamHead& head);
  void write(std::string piece);
  void end();
  // The answer can't go on; also instead of begin(): then a 500.
  void cut();

 private:
  enum class State : std::uint8_t { fresh, streaming, over };
  void send(OutflowStep step);

  Plane& plane_;
  std::shared_ptr<Flow> flow_;
  bool head_only_;
  State state_ = State::fresh;
};

}  // namespace ringgate::api
