#include "tools/log/replay_links.hpp"

#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/io/sys.hpp"

namespace ringgate::log_tool {

namespace {

constexpr MonoNs retry_first_ns = 200 * ns_per_ms;
constexpr std::size_t read_size = 64 * 1024;

MonoNs now() { return io::real_sys().mono_now(); }

}  // namespace

ReplayLinks::ReplayLinks(const ReplayProtocol& protocol, const tool::SocketAddress& target)
    : protocol_(protocol), target_(target), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  RG_CHECK(epoll_ >= 0);
  progressed_ns_ = now();
}

ReplayLinks::~ReplayLinks() {
  for (auto& [device, link] : links_) {
    if (link->fd >= 0) ::close(link->fd);
  }
  ::close(epoll_);
}

bool ReplayLinks::take(std::string_view device, Bytes frame) {
  if (queued_ >= queued_max) return false;
  auto found = links_.find(device);
  if (found == links_.end()) {
    auto link = std::make_unique<Link>();
    link->device = device;
    link->terminal = protocol_.terminal(device);
    found = links_.emplace(link->device, std::move(link)).first;
    down_.push_back(found->second.get());
    ++counts_.devices;
  }
  Link& link = *found->second;
  if (link.queue.size() >= queue_max) return false;
  ++counts_.frames;
  if (link.state == State::given_up) return true;  // counted, and never acknowledged
  link.queue.emplace_back(frame.begin(), frame.end());
  ++queued_;
  if (link.state == State::up) pump(link);
  return true;
}

void ReplayLinks::watch(Link& link, bool write) {
  epoll_event event{};
  event.events = EPOLLIN | (write ? EPOLLOUT : 0U);
  event.data.ptr = &link;
  link.wants_write = write;
  if (::epoll_ctl(epoll_, EPOLL_CTL_MOD, link.fd, &event) != 0) {
    RG_CHECK(::epoll_ctl(epoll_, EPOLL_CTL_ADD, link.fd, &event) == 0);
  }
}

void ReplayLinks::connect(Link& link) {
  ++link.attempts;
  link.fd = ::socket(target_.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (link.fd < 0) return give_up(link, fmt::format("no socket: {}", std::strerror(errno)));
  const int on = 1;
  ::setsockopt(link.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  link.state = State::connecting;
  if (::connect(link.fd, target_.get(), target_.bytes) != 0 && errno != EINPROGRESS) {
    return lose(link, std::strerror(errno));
  }
  watch(link, true);
}

// The connection stands, or not.
void ReplayLinks::up(Link& link) {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(link.fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return lose(link, std::strerror(error));
  link.state = State::up;
  progressed_ns_ = now();
  if (!link.queue.empty()) link.terminal->connected(link.queue.front(), link.out);
  pump(link);
}

void ReplayLinks::pump(Link& link) {
  if (!link.terminal->refusal().empty()) return give_up(link, link.terminal->refusal());
  while (link.terminal->ready() && !link.queue.empty() && link.sent.size() < window) {
    std::vector<std::uint8_t> frame = std::move(link.queue.front());
    link.queue.pop_front();
    --queued_;
    const auto key = link.terminal->send(frame, link.out);
    if (link.repeats > 0) {
      --link.repeats;
      ++counts_.again;
    } else {
      ++counts_.sent;
    }
    if (key) {
      link.sent.push_back({*key, std::move(frame)});
      ++waiting_;
    } else {
      ++counts_.no_answer_due;
    }
  }
  if (!link.wants_write) write(link);
}

void ReplayLinks::write(Link& link) {
  while (!link.out.empty()) {
    const ssize_t done = ::send(link.fd, link.out.data(), link.out.size(), MSG_NOSIGNAL);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && errno == EAGAIN) {
      if (!link.wants_write) watch(link, true);
      return;
    }
    if (done < 0) return lose(link, std::strerror(errno));
    link.out.erase(0, static_cast<std::size_t>(done));
    progressed_ns_ = now();
  }
  if (link.wants_write) watch(link, false);
}

void ReplayLinks::answer(Link& link, const ReplayAnswer& answer) {
  const auto found = std::ranges::find_if(
      link.sent, [&](const Sent& sent) { return answer.key.fits(sent.key); });
  if (found == link.sent.end()) return;
  link.sent.erase(found);
  --waiting_;
  ++(answer.ok ? counts_.acknowledged : counts_.refused);
  link.attempts = 0;
}

void ReplayLinks::read(Link& link) {
  std::uint8_t bytes[read_size];
  const ssize_t got = ::recv(link.fd, bytes, sizeof bytes, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got < 0) return lose(link, std::strerror(errno));
  if (got == 0) return lose(link, "the gateway has closed the connection");
  progressed_ns_ = now();
  link.in.insert(link.in.end(), bytes, bytes + got);
  answers_.clear();
  const std::size_t used = link.terminal->receive(link.in, answers_, link.out);
  link.in.erase(link.in.begin(), link.in.begin() + static_cast<std::ptrdiff_t>(used));
  for (const ReplayAnswer& one : answers_) answer(link, one);
  pump(link);
}

// What was not acknowledged is sent again on the next connection, as terminals do.
void ReplayLinks::lose(Link& link, const std::string& why) {
  ::close(link.fd);
  link.fd = -1;
  link.wants_write = false;
  link.out.clear();
  link.in.clear();
  if (link.state == State::up) ++counts_.broken_links;
  link.state = State::down;
  link.repeats += link.sent.size();
  waiting_ -= link.sent.size();
  queued_ += link.sent.size();
  for (auto sent = link.sent.rbegin(); sent != link.sent.rend(); ++sent) {
    link.queue.push_front(std::move(sent->frame));
  }
  link.sent.clear();
  if (link.attempts >= attempts_max) return give_up(link, why);
  link.retry_ns = now() + (retry_first_ns << link.attempts);
  down_.push_back(&link);
}

void ReplayLinks::give_up(Link& link, const std::string& why) {
  if (link.fd >= 0) ::close(link.fd);
  link.fd = -1;
  link.state = State::given_up;
  queued_ -= link.queue.size();
  waiting_ -= link.sent.size();
  link.queue.clear();
  link.sent.clear();
  ++counts_.given_up;
  if (trouble_.empty()) trouble_ = fmt::format("{}: {}", link.device, why);
}

void ReplayLinks::turn(MonoNs wait_ns) {
  const MonoNs at = now();
  std::vector<Link*> due;
  std::erase_if(down_, [&](Link* link) {
    // A link without anything to say stays away.
    const bool is_due = link->retry_ns <= at && !link->queue.empty();
    if (is_due) due.push_back(link);
    return is_due;
  });
  for (Link* link : due) connect(*link);
  epoll_event events[256];
  const auto wait_ms = static_cast<int>((std::max<MonoNs>(wait_ns, 0) + ns_per_ms - 1) / ns_per_ms);
  const int count = ::epoll_wait(epoll_, events, std::size(events), wait_ms);
  for (int i = 0; i < count; ++i) {
    Link& link = *static_cast<Link*>(events[i].data.ptr);
    if (link.state == State::connecting) {
      up(link);
      continue;
    }
    if (link.state == State::up && (events[i].events & EPOLLOUT) != 0) write(link);
    if (link.state == State::up && (events[i].events & ~EPOLLOUT) != 0) read(link);
  }
}

}  // namespace ringgate::log_tool
