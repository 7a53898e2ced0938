#include "tools/ringgate/control_client.hpp"

#include <fmt/core.h>
#include <poll.h>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <utility>

#include "engine/base/json_scan.hpp"
#include "tools/ringgate/plugs.hpp"

namespace ringgate::server {

namespace {

std::string who_is(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return "unknown";
  char buffer[1024];
  passwd entry{};
  passwd* found = nullptr;
  static_cast<void>(::getpwuid_r(peer.uid, &entry, buffer, sizeof buffer, &found));
  return fmt::format("{} (uid {}, pid {})", found != nullptr ? found->pw_name : "unknown", peer.uid,
                     peer.pid);
}

// Says what is wrong with it. The library's own functions recurse as deep as their values nest:
// whoever sends brackets only must not reach the end of the stack.
std::string parse_request(std::string_view text, Json& out) {
  const JsonScan scan = scan_json_object(text, "op");
  switch (scan.error) {
    case JsonScan::Error::none:
      break;
    case JsonScan::Error::not_json:
      return fmt::format("no JSON at byte {}", scan.offset + 1);
    case JsonScan::Error::no_object:
      return "a request is an object with \"op\"";
    case JsonScan::Error::too_deep:
      return fmt::format("nested more than {} deep at byte {}", json_depth_max, scan.offset + 1);
  }
  out = Json::parse(text, nullptr, false);
  if (!out.is_object()) return "no JSON: a number is beyond all bounds";
  if (!out.contains("op") || !out["op"].is_string()) return "a request is an object with \"op\"";
  return {};
}

}  // namespace

std::string control_error(std::string_view code, std::string_view message) {
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("ok").boolean(false).key("error").begin_object();
  json.key("code").text(code).key("message").text(message).end_object().end_object();
  return text;
}

// ---- ControlOp

shard::Posted ControlOp::ask(ShardIndex shard, Work work, Then then) {
  return post(shard, [work = std::move(work)](ShardHost& host, ShardAnswer& answer) {
    event::DeviceGate* gate = host.find(device_plug().devices->ns());
    if (gate != nullptr) work(*gate, answer);
  }, std::move(then));
}

bool ControlOp::ask_host(ShardIndex shard, HostWork work,
                         std::function<void(const ShardAnswer&)> then) {
  const shard::Posted posted =
      post(shard, std::move(work), [this, then = std::move(then)](const ShardAnswer* answer) {
        if (answer == nullptr) return fail_posted(shard::Posted::stopped);
        then(*answer);
      });
  if (posted != shard::Posted::ok) fail_posted(posted);
  return posted == shard::Posted::ok;
}

shard::Posted ControlOp::post(ShardIndex shard, HostWork work, Then then) {
  // Written on the shard, read here after the errand has come home.
  auto answer = std::make_shared<ShardAnswer>();
  auto errand = shard::make_errand(
      [answer, work = std::move(work)](shard::ErrandHost& host, shard::ErrandTicket ticket) {
        ShardHost& rooms = ShardHost::of(host);
        work(rooms, *answer);
        if (!answer->durably) return ticket.done();
        // The ticket is shared only because a function must be able to be copied.
        auto kept = std::make_shared<shard::ErrandTicket>(std::move(ticket));
        rooms.waits().wait(rooms.appended(), [kept] { kept->done(); });
      },
      [answer, then = std::move(then), weak = weak_from_this()](bool ran) {
        const auto self = weak.lock();
        if (self != nullptr && !self->ended()) then(ran ? answer.get() : nullptr);
      });
  return control_.post().send(shard, errand);
}

void ControlOp::fail_posted(shard::Posted posted) {
  if (posted == shard::Posted::busy) {
    fail("busy", "the gateway has too many requests to answer; try again in a moment");
  } else {
    fail("stopping", "the gateway is stopping");
  }
}

void ControlOp::ask_or_fail(ShardIndex shard, Work work, Then then) {
  const shard::Posted posted =
      ask(shard, std::move(work), [this, then = std::move(then)](const ShardAnswer* answer) {
        if (answer == nullptr) return fail_posted(shard::Posted::stopped);
        then(answer);
      });
  if (posted != shard::Posted::ok) fail_posted(posted);
}

void ControlOp::ask_all(Work work,
                        std::function<void(const std::vector<ShardAnswer>& answers)> then) {
  struct Gathered {
    std::vector<ShardAnswer> answers;
    std::size_t missing = 0;
  };
  auto gathered = std::make_shared<Gathered>();
  const ShardIndex shards = control_.post().shards();
  gathered->answers.resize(shards);
  gathered->missing = shards;
  for (ShardIndex i = 0; i < shards && !ended(); ++i) {
    ask_or_fail(i, work, [gathered, i, then](const ShardAnswer* answer) {
      gathered->answers[i] = *answer;
      if (--gathered->missing == 0) then(gathered->answers);
    });
  }
}

bool ControlOp::read_device(const Json& request, DeviceKey& out) {
  const auto found = request.find("device");
  if (found == request.end() || !found->is_string()) {
    fail("bad-request", "\"device\" is missing: the phone number as text");
    return false;
  }
  const auto key = device_plug().devices->parse_device(found->get_ref<const std::string&>());
  if (!key) {
    fail("bad-request", key.error().message);
    return false;
  }
  out = *key;
  return true;
}

bool ControlOp::read_whole(const Json& request, const char* key, std::uint64_t least,
                           std::uint64_t most, std::uint64_t& out) {
  const auto found = request.find(key);
  if (found == request.end()) return true;
  // As a double any number has its own side of each bound.
  const double value = found->is_number() ? found->get<double>() : -1;
  const bool fits = value >= static_cast<double>(least) && value <= static_cast<double>(most) &&
                    value == std::floor(value);
  if (fits) {
    out = static_cast<std::uint64_t>(value);
  } else {
    fail("bad-request", fmt::format("\"{}\" is a whole number from {} to {}", key, least, most));
  }
  return fits;
}

void ControlOp::line(std::string_view json) { client_.line(json); }

void ControlOp::end(std::string_view json) {
  if (ended_) return;
  ended_ = true;
  client_.line(json);
  client_.end_operation();
}

void ControlOp::fail(std::string_view code, std::string_view message) {
  end(control_error(code, message));
}

// ---- ControlClient

ControlClient::ControlClient(Control& control, int fd)
    : control_(control), fd_(fd), who_(who_is(fd)) {}

ControlClient::~ControlClient() { ::close(fd_); }

short ControlClient::events() const {
  int events = 0;
  // What a client says while it waits is read when it is its turn.
  if (!finished_ && op_ == nullptr) events |= POLLIN;
  if (unread() > 0) events |= POLLOUT;
  return static_cast<short>(events);
}

bool ControlClient::turn(short happened, std::size_t& lines_bytes) {
  if ((happened & (POLLERR | POLLNVAL)) != 0 || cut_) return false;
  if ((happened & POLLIN) != 0 && !read_more()) return false;
  // Closed, not only for sending: nobody waits for the operation any more.
  if ((happened & POLLHUP) != 0 && (happened & POLLIN) == 0) return false;
  lines_bytes += in_.size();
  if (lines_bytes > control_limits::lines_bytes_max) {
    refuse("too-large", "the requests of all clients together are too long; try again later");
  }
  for (bool again = true; again;) {
    again = false;
    if (std::exchange(op_ended_, false)) op_.reset();
    if (op_ == nullptr && !finished_ && has_room()) {
      next_request();
    } else if (op_ != nullptr && has_room()) {
      op_->pump();
    }
    again = op_ended_;
  }
  if (!write_more() || cut_) return false;
  return !(finished_ && op_ == nullptr && unread() == 0);
}

bool ControlClient::read_more() {
  char buffer[64 * 1024];
  const ssize_t got = ::recv(fd_, buffer, sizeof buffer, 0);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) {
    finished_ = true;
    return op_ != nullptr || unread() > 0;
  }
  in_.append(buffer, static_cast<std::size_t>(got));
  return true;
}

bool ControlClient::write_more() {
  while (unread() > 0) {
    const ssize_t sent = ::send(fd_, out_.data() + out_sent_, unread(), MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    out_sent_ += static_cast<std::size_t>(sent);
  }
  if (out_.capacity() > control_limits::unread_soft_bytes) {
    std::string().swap(out_);
  } else {
    out_.clear();
  }
  out_sent_ = 0;
  return true;
}

void ControlClient::next_request() {
  const std::size_t newline = in_.find('\n', in_seen_);
  if (newline == std::string::npos) {
    in_seen_ = in_.size();
    if (in_.size() > control_limits::line_bytes_max) {
      refuse("too-large", fmt::format("a request has at most {} bytes",
                                      control_limits::line_bytes_max));
    }
    return;
  }
  const std::string text = in_.substr(0, newline);
  in_.erase(0, newline + 1);
  in_seen_ = 0;
  if (text.find_first_not_of(" \t\r") == std::string::npos) return end_operation();
  begin(text);
}

void ControlClient::begin(std::string_view text) {
  Json request;
  if (const std::string wrong = parse_request(text, request); !wrong.empty()) {
    line(control_error("bad-request", wrong));
    return end_operation();
  }
  const std::string& name = request["op"].get_ref<const std::string&>();
  op_ = make_control_op(name, control_, *this);
  if (op_ == nullptr) {
    line(control_error("unknown-op", fmt::format("there is no operation '{}'", name)));
    return end_operation();
  }
  try {
    op_->start(request);
  } catch (const Json::exception& error) {  // a key of another type than it must have
    line(control_error("bad-request", error.what()));
    end_operation();
  }
}

// Says why, and reads nothing more.
void ControlClient::refuse(std::string_view code, std::string_view message) {
  if (finished_) return;
  line(control_error(code, message));
  finished_ = true;
  in_.clear();
}

void ControlClient::line(std::string_view json) {
  if (cut_) return;
  out_ += json;
  out_ += '\n';
  if (unread() > control_limits::unread_hard_bytes) {
    control_.logs().warn("control client reads too slowly; cut off", {{"client", who_}});
    cut_ = true;
  }
}

void ControlClient::stop() {
  if (op_ != nullptr && !op_ended_) line(control_error("stopping", "the gateway is stopping"));
  op_.reset();
  static_cast<void>(write_more());
}

}  // namespace ringgate::server
