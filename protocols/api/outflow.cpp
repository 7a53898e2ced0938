#include "protocols/api/outflow.hpp"

#include <utility>

#include "engine/io/sys.hpp"
#include "protocols/api/front.hpp"
#include "protocols/api/plane.hpp"
#include "protocols/http/codec/response.hpp"

namespace ringgate::api {

// The plane's end --------------------------------------------------------------------------------

void Flow::take(OutflowStep step) {
  if (over_) return;
  over_ = step.last();
  if (step.what == OutflowStep::What::answer || step.what == OutflowStep::What::begin) {
    plane_.failures().note(route_, step.status, io::real_sys().wall_now());
  }
  steps_.push_back(std::move(step));
  if (!pump()) plane_.pump_later(shared_from_this());
}

bool Flow::pump() {
  if (sending_ || steps_.empty()) return true;
  struct Trip {
    OutflowStep step;
    bool alive = true;  // said by the shard
  };
  const auto trip = std::make_shared<Trip>(Trip{std::move(steps_.front())});
  auto errand = shard::make_errand(
      [&plane = plane_, id = id_, trip](shard::ErrandHost&, shard::ErrandTicket ticket) {
        Front* const front = plane.front(id.link.shard);
        trip->alive = front != nullptr;
        if (front != nullptr) trip->alive = front->play(id, trip->step, ticket);
        ticket.done();
      },
      [self = shared_from_this(), trip](bool ran) {
        self->home(ran && trip->alive, trip->step);
      });
  switch (plane_.post().send(id_.link.shard, errand)) {
    case shard::Posted::ok:
      steps_.pop_front();
      sending_ = true;
      return true;
    case shard::Posted::busy:
      steps_.front() = std::move(trip->step);
      return false;
    case shard::Posted::stopped:
      steps_.clear();
      client_gone();
      plane_.flow_over(*this);
      return true;
  }
  return true;
}

void Flow::home(bool good, const OutflowStep& step) {
  sending_ = false;
  if (step.text != nullptr && step.what == OutflowStep::What::piece) {
    under_way_bytes.fetch_sub(step.text->size(), std::memory_order_acq_rel);
  }
  if (step.last()) return plane_.flow_over(*this);
  if (!good) client_gone();
  tell_if_room();
  if (!pump()) plane_.pump_later(shared_from_this());
}

// What is left of it is not sent; its Front still hears that the call has ended.
void Flow::client_gone() {
  if (!gone.exchange(true, std::memory_order_acq_rel)) {
    std::uint64_t dropped = 0;
    for (const OutflowStep& step : steps_) {
      if (step.what == OutflowStep::What::piece) dropped += step.text->size();
    }
    steps_.clear();
    under_way_bytes.fetch_sub(dropped, std::memory_order_acq_rel);
    over_ = true;
    steps_.push_back({.what = OutflowStep::What::cut, .text = nullptr});
    if (!pump()) plane_.pump_later(shared_from_this());
  }
  tell_if_room();
}

void Flow::when_room(std::function<void()> tell) {
  tell_ = std::move(tell);
  tell_if_room();
}

// At half of the window: whoever writes comes back for more than one piece.
void Flow::tell_if_room() {
  const bool room =
      under_way_bytes.load(std::memory_order_acquire) <= Outflow::window_bytes / 2;
  if (!tell_ || (!room && !gone.load(std::memory_order_acquire))) return;
  std::exchange(tell_, nullptr)();
}

// The writer's -----------------------------------------------------------------------------------

Outflow::~Outflow() { cut(); }

void Outflow::send(OutflowStep step) {
  plane_.letter([flow = flow_, step = std::move(step)]() mutable { flow->take(std::move(step)); });
}

void Outflow::when_room(std::function<void()> tell) {
  plane_.letter([flow = flow_, tell = std::move(tell)]() mutable {
    flow->when_room(std::move(tell));
  });
}

void Outflow::answer(std::string body, std::uint16_t status, std::string_view type,
                     std::string_view fields) {
  if (std::exchange(state_, State::over) != State::fresh) return;
  send({.what = OutflowStep::What::answer,
        .status = status,
        .type = std::string(type),
        .fields = std::string(fields),
        .length = body.size(),
        .text = std::make_shared<const std::string>(std::move(body))});
}

void Outflow::problem(std::uint16_t status, std::string_view detail, std::string_view fields) {
  answer(http::problem_body(status, detail), status, "application/problem+json", fields);
}

void Outflow::begin(const http::StreamHead& head) {
  if (state_ != State::fresh) return;
  state_ = State::streaming;
  send({.what = OutflowStep::What::begin,
        .status = head.status,
        .type = std::string(head.type),
        .fields = std::string(head.fields),
        .length = head.length,
        .text = nullptr});
}

void Outflow::write(std::string piece) {
  if (state_ != State::streaming || piece.empty() || head_only_ || gone()) return;
  flow_->under_way_bytes.fetch_add(piece.size(), std::memory_order_acq_rel);
  send({.what = OutflowStep::What::piece,
        .text = std::make_shared<const std::string>(std::move(piece))});
}

void Outflow::end() {
  if (std::exchange(state_, State::over) != State::streaming) return;
  send({.what = OutflowStep::What::end, .text = nullptr});
}

void Outflow::cut() {
  switch (state_) {
    case State::fresh:
      return problem(500, "the request was dropped; the gateway's log may say why");
    case State::streaming:
      state_ = State::over;
      return send({.what = OutflowStep::What::cut, .text = nullptr});
    case State::over:
      return;
  }
}

}  // namespace ringgate::api
