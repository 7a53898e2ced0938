#include "tests/unit/net/stage.hpp"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstdlib>

namespace ringgate::unit {

// ---- Lines

void Lines::on_open(net::Link& link) {
  link.session<State>() = {0, link.shard};
  if (opened) opened(link);
}

void Lines::on_adopted(net::Link& link) {
  ++adopted;
  CHECK(link.session<State>().accepted_by != link.shard);
}

std::size_t Lines::on_bytes(net::Link& link, Bytes bytes) {
  REQUIRE(link.readable());
  shown_bytes += bytes.size();
  const std::string_view text = as_text(bytes);
  std::size_t used = 0;
  while (link.readable()) {
    const std::size_t end = text.find('\n', used);
    if (end == std::string_view::npos) break;
    if (!handle(link, text.substr(used, end - used))) break;
    used = end + 1;
  }
  return used;
}

bool Lines::log_line(net::Link& link, std::string_view line) {
  if (log_.full) {
    links_.wait_for_log(link);
    return false;
  }
  if (links_.ordered(link)) {
    if (!links_.order_room(link)) return false;
    links_.defer(link, link.session<State>().lines, log_.append());
    return true;
  }
  const Position position = log_.append();
  links_.logged(link, position);
  say(link, fmt::format("={},{} {}\n", link.shard, position, line.substr(0, Lines::echo_size)));
  return true;
}

bool Lines::handle(net::Link& link, std::string_view line) {
  State& state = link.session<State>();
  const char kind = line.empty() ? 'X' : line[0];
  const auto other = static_cast<ShardIndex>(1 - link.shard);
  if (link.datagram && kind == 'L') {
    const ShardIndex home = datagram_home(as_bytes(line));
    if (home != net::no_home && home != link.shard) {
      links_.request_move(link, home);
      return false;
    }
  }
  switch (kind) {
    case 'L':
      if (!log_line(link, line)) return false;
      break;
    case 'M':
      if (state.accepted_by == link.shard) {
        links_.request_move(link, other);
        return false;
      }
      if (!log_line(link, line)) return false;
      break;
    case 'F':
      if (!links_.forward(link, other, state.lines, as_bytes(line))) return false;
      break;
    case 'H':
      if (links_.ordered(link)) {
        if (!links_.order_room(link)) return false;
        links_.defer(link, state.lines, 0);
        break;
      }
      [[fallthrough]];
    case 'B':
    case 'T':
      if (kind == 'T') links_.trust(link);
      say(link, fmt::format("-{}\n", line));
      if (kind == 'B') links_.close(link, net::CloseReason::replaced);
      break;
    default:
      links_.close(link, net::CloseReason::bad_frames);
  }
  ++state.lines;
  return true;
}

void Lines::on_close(net::Link&, net::CloseReason reason) { closed.push_back(reason); }

Position Lines::on_forwarded(LinkId, Bytes frame) {
  if (!log_.full) forwarded.emplace_back(as_text(frame));
  return log_.append();
}

void Lines::on_ordered(net::Link& link, std::uint32_t cookie, bool taken) {
  std::string text(1, taken ? '+' : '!');
  text += std::to_string(cookie);
  text += '\n';
  say(link, text);
}

ShardIndex Lines::datagram_home(Bytes datagram) {
  const std::string_view text = as_text(datagram);
  if (text.size() < 2 || text[1] < '0' || text[1] > '9') return net::no_home;
  return static_cast<ShardIndex>((text[1] - '0') % links_.shard().count());
}

std::size_t Lines::datagram_size(Bytes replies) const {
  return as_text(replies).find('\n') + 1;
}

// ---- Stage

namespace {

// One more socket of datagrams on `port` (0: any).
int bind_here(io::Sys& sys, std::uint16_t& port) {
  const int fd = sys.socket(AF_INET, SOCK_DGRAM, 0);
  REQUIRE(fd >= 0);
  const int one = 1;
  REQUIRE(sys.set_option(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) >= 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(sys.bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) >= 0);
  sockaddr_storage bound{};
  REQUIRE(sys.local_address(fd, bound) >= 0);
  port = ntohs(reinterpret_cast<const sockaddr_in&>(bound).sin_port);
  return fd;
}

int listen_here(io::Sys& sys, std::uint16_t& port) {
  const int fd = sys.socket(AF_INET, SOCK_STREAM, 0);
  REQUIRE(fd >= 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(sys.bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) >= 0);
  REQUIRE(sys.listen(fd, 1024) >= 0);
  sockaddr_storage bound{};
  REQUIRE(sys.local_address(fd, bound) >= 0);
  port = ntohs(reinterpret_cast<const sockaddr_in&>(bound).sin_port);
  return fd;
}

}  // namespace

Stage::Stage(std::unique_ptr<Ground> ground, const StageOptions& options)
    : options_(options), ground_(std::move(ground)),
      hub_(std::make_unique<shard::MailHub>(options.shards, 1)) {
  for (ShardIndex i = 0; i < options.shards; ++i) {
    auto ring = io::Ring::open(ground_->make_backend(), {.sq_entries = 1024,
                                                         .cq_entries = 8192,
                                                         .without = options.without});
    REQUIRE(ring.ok());
    auto place = std::make_unique<Place>();
    place->shard = std::make_unique<shard::Shard>(
        shard::ShardOptions{.index = i, .count = options.shards, .cpu = -1}, std::move(*ring),
        ground_->sys());
    place->room = std::make_unique<shard::MailRoom>(*place->shard, *hub_);
    net::LinksOptions links_options = options.links;
    links_options.datagrams = options.datagrams;
    groups_.push_back(&registry_.add_shard(i));
    auto links = net::Links::create(*place->shard, *place->room, *groups_.back(), links_options);
    REQUIRE(links.ok());
    place->links = std::move(*links);
    place->lines = std::make_unique<Lines>(*place->links, place->log);
    ports_.push_back(0);
    const int fd = listen_here(ground_->sys(), ports_.back());
    const std::uint8_t protocol = place->links->add_protocol(*place->lines);
    // Every shard knows the same listeners.
    place->links->add_listener({.fd = fd,
                                .datagram_fd = options.datagrams
                                                   ? bind_here(ground_->sys(), datagram_port_)
                                                   : -1,
                                .protocol = protocol,
                                .idle_timeout_ms = options.idle_timeout_ms,
                                .frame_timeout_ms = options.frame_timeout_ms,
                                .filter = options.filter,
                                .rules = options.rules});
    places_.push_back(std::move(place));
  }
}

Stage::~Stage() {
  for (auto& place : places_) place->links.reset();
}

void Stage::turn() {
  for (ShardIndex i = 0; i < places_.size(); ++i) {
    Place& place = at(i);
    if (!place.running) continue;
    if (options_.auto_commit && place.log.next - 1 > place.shard->watermark().committed()) {
      commit(i);
    }
    place.running = place.shard->turn(ground_->turn_ns());
  }
}

void Stage::pass(MonoNs time_ns) {
  const MonoNs step = 50 * ns_per_ms;
  for (MonoNs passed = 0; passed < time_ns; passed += step) {
    ground_->advance(std::min(step, time_ns - passed));
    turn();
  }
}

void Stage::take(Far& far, std::string& text) {
  std::size_t line = text.rfind('\n');
  line = line == std::string::npos ? 0 : line + 1;
  text += far.take();
  // Whole lines only: "=shard,position ...".
  for (std::size_t end = text.find('\n', line); end != std::string::npos;
       line = end + 1, end = text.find('\n', line)) {
    if (text[line] != '=') continue;
    char* rest = nullptr;
    const auto shard = static_cast<ShardIndex>(std::strtoul(&text[line + 1], &rest, 10));
    const Position position = std::strtoull(rest + 1, nullptr, 10);
    REQUIRE(position <= at(shard).shard->watermark().committed());
  }
}

void Stage::expect(Far& far, const std::string& text) {
  std::string got;
  CHECK(until([&] {
    take(far, got);
    return got.size() >= text.size();
  }));
  turns(3);
  take(far, got);
  CHECK(got == text);
}

std::uint32_t Stage::live() const {
  std::uint32_t live = 0;
  for (const auto& place : places_) live += place->links->live_count();
  return live;
}

void Stage::stop() {
  for (auto& place : places_) place->shard->request_stop();
  CHECK(until([&] {
    return std::ranges::none_of(places_, [](const auto& place) { return place->running; });
  }));
  CHECK(live() == 0);
  for (auto& place : places_) {
    CHECK(place->links->memory_bytes() == place->links->idle_memory_bytes());
  }
}

}  // namespace ringgate::unit
