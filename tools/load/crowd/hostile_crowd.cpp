#include "tools/load/crowd/hostile_crowd.hpp"

#include <array>

#include "tools/load/frames.hpp"

namespace ringgate::load {
namespace {

// None of them is a request that RFC 9112 lets pass.
constexpr std::array<std::string_view, 8> bad_requests{
    "NONSENSE\r\n\r\n",
    "GET /api/v1/healthz HTTP/1.1\r\n\r\n",                                  // no Host
    "GET /api/v1/healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET /api/v1/healthz HTTP/1.1\r\nHost : a\r\n\r\n",                      // a blank in a name
    "GET  /api/v1/healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /api/v1/login HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /api/v1/login HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "GET /api/v1/healthz HTTP/9.9\r\nHost: a\r\n\r\n",
};
constexpr std::string_view slow_request =
    "GET /api/v1/healthz HTTP/1.1\r\nHost: slow.example\r\nX-Slow: "
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
constexpr std::size_t heard_bytes_max = 4096;

}  // namespace

HostileCrowd::HostileCrowd(const CrowdPlace& place, TargetAddress devices, TargetAddress http,
                           std::vector<in_addr> sources)
    : WireCrowd(place, std::move(sources)), devices_(std::move(devices)), http_(std::move(http)),
      users_(place.users_max) {}

void HostileCrowd::come(std::uint32_t user) {
  User& who = users_[user];
  const std::vector<Attack>& attacks = class_of().attacks;
  who.attack = attacks[(global(user) + who.attacks) % attacks.size()];
  who.typed = 0;
  who.judged = false;
  who.heard.clear();
  wires().connect(user, {.target = over_http(who.attack) ? &http_ : &devices_,
                         .source = source_of(user)});
}

void HostileCrowd::on_open(std::uint32_t user) {
  User& who = users_[user];
  ++tally().connected;
  ready(user);
  ++who.attacks;
  who.attacking = true;
  ++tally().due;
  ++tally().sent;
  const bool slow = who.attack == Attack::slow_bytes;
  const MonoNs limit_ns = now() + (slow ? slow_watch_ns : watch_ns);
  moments_.push({limit_ns, user, since(user), false});
  switch (who.attack) {
    case Attack::garbage: return wires().send(user, garbage(user));
    case Attack::bad_check: return wires().send(user, bad_check(user));
    case Attack::giant_frame: return wires().send(user, giant(user));
    case Attack::bad_http: return wires().send(user, bad_http(user));
    case Attack::slow_bytes: return moments_.push({now(), user, since(user), true});
  }
}

// ---- attacks -----------------------------------------------------------------------------------

std::string HostileCrowd::garbage(std::uint32_t) {
  std::string out(garbage_bytes, '\0');
  for (char& byte : out) byte = static_cast<char>(chance().byte());
  return out;
}

std::string HostileCrowd::bad_check(std::uint32_t user) {
  FrameWriter writer(class_of().version);
  std::array<std::uint8_t, FrameWriter::frame_bytes_max> frame{};
  const Phone phone = phone_from_number(class_of().phone_base + global(user));
  std::size_t size = writer.register_terminal(frame.data(), phone, 0);
  // A byte of the plate: the check byte does not know.
  frame[size - 4] = static_cast<std::uint8_t>(frame[size - 4] == '1' ? '2' : '1');
  return std::string(as_text({frame.data(), size}));
}

std::string HostileCrowd::giant(std::uint32_t) {
  std::string out(giant_bytes, 'a');
  out[0] = 0x7e;
  return out;
}

std::string HostileCrowd::bad_http(std::uint32_t) {
  return std::string(bad_requests[chance().below(bad_requests.size())]);
}

// ---- what comes of it --------------------------------------------------------------------------

void HostileCrowd::on_bytes(std::uint32_t user, Bytes bytes) {
  User& who = users_[user];
  if (who.judged) return;
  if (who.heard.size() < heard_bytes_max) who.heard += as_text(bytes);
  if (over_http(who.attack)) judge_http(user);
  else judge_frame(user);
}

void HostileCrowd::judge_http(std::uint32_t user) {
  User& who = users_[user];
  const std::string_view heard = who.heard;
  if (heard.size() < 12) return;
  if (!heard.starts_with("HTTP/1.1 ")) {
    fail("bad_answer", "bad_answer: no status line to a bad request");
    return judge(user, "");
  }
  if (heard[9] == '4' || heard[9] == '5') return judge(user, "refused");
  accepted(user, "the request was answered with " + std::string(heard.substr(9, 3)));
}

void HostileCrowd::judge_frame(std::uint32_t user) {
  User& who = users_[user];
  const std::size_t from = who.heard.find(0x7e);
  const std::size_t to = from == std::string::npos ? from : who.heard.find(0x7e, from + 1);
  if (to == std::string::npos) return;
  ReplyScratch scratch;
  Reply reply;
  const Bytes inside = as_bytes(who.heard).subspan(from + 1, to - from - 1);
  const ReplyKind kind = parse_reply(inside, class_of().version, scratch, reply);
  if (kind == ReplyKind::broken) {
    fail("bad_answer", "bad_answer: the reply is no frame");
    return judge(user, "");
  }
  if (kind == ReplyKind::other || reply.result != 0) return judge(user, "refused");
  accepted(user, "a broken frame was acknowledged");
}

void HostileCrowd::accepted(std::uint32_t user, const std::string& what) {
  fail("accepted_garbage", "accepted_garbage: " + what);
  judge(user, "");
}

// `outcome` empty: not what it should be, and counted already.
void HostileCrowd::judge(std::uint32_t user, std::string_view outcome) {
  User& who = users_[user];
  who.judged = true;
  if (!outcome.empty()) {
    note(outcome);
    ++tally().acknowledged;
  }
  if (wires().is_open(user)) wires().close(user, true);
}

MonoNs HostileCrowd::gone(std::uint32_t user, Wires::End end, int error) {
  User& who = users_[user];
  if (end == Wires::End::failed) fail_end(end, error);
  if (who.attacking) {
    not_ready();
    if (!who.judged && end != Wires::End::ours) judge(user, "closed");
  }
  who.attacking = false;
  const double rate_now = rate() > 0 ? rate() : 1;
  return static_cast<MonoNs>(static_cast<double>(pause_ns) / rate_now);
}

void HostileCrowd::act() {
  while (!moments_.empty() && moments_.top().due_ns <= now()) {
    const Moment one = moments_.top();
    moments_.pop();
    User& who = users_[one.user];
    if (!wires().is_open(one.user) || since(one.user) != one.since_ns || who.judged) continue;
    if (!one.types) {
      judge(one.user, "ignored");
      continue;
    }
    wires().send(one.user, slow_request.substr(who.typed % slow_request.size(), 1));
    who.typed = static_cast<std::uint16_t>(
        std::min<std::size_t>(who.typed + 1U, slow_request.size() - 1));
    moments_.push({one.due_ns + slow_byte_ns, one.user, one.since_ns, true});
  }
}

MonoNs HostileCrowd::next_act() const {
  return moments_.empty() ? INT64_MAX : moments_.top().due_ns;
}

}  // namespace ringgate::load
