// Messages in parts on simulated machines: terminals lose, repeat and reorder parts, leave and come
// back, and give up in the middle; half of the runs end with a power cut. Whoever has all
// acknowledgements has the whole in the log, once and as it was; what lacks a part has none there.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/codec/whole.hpp"
#include "protocols/jt808/codec/writer.hpp"
#include "storage/log/reader.hpp"
#include "tests/sim/gateway.hpp"
#include "tests/sim/seeds.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;
using Raw = std::vector<std::uint8_t>;

constexpr std::uint16_t message_id = 0x0f00;

// One message of a terminal, and how its parts fare.
struct Long {
  std::uint16_t first = 0;
  std::vector<Raw> parts;
  std::vector<bool> sent, acknowledged, lost;  // lost: the first time; sent when asked for
  int never = -1;                              // this one never leaves
  MonoNs last_new_ns = 0;
  MonoNs longest_gap_ns = 0;

  bool all_acknowledged() const {
    return std::ranges::all_of(acknowledged, [](bool one) { return one; });
  }
  std::string body() const {
    std::string out;
    for (const Raw& part : parts) out.append(part.begin(), part.end());
    return out;
  }
};

class Cutter {
 public:
  Cutter(io::World& world, std::uint64_t number, Version version)
      : world_(world), name_(std::to_string(number)), terminal_(make_peer(version, name_)) {}

  void step() {
    if (stage_ == Stage::away) {
      peer_ = world_.connect_ipv4(sim::Gateway::port);
      inbox_.clear();
      stage_ = Stage::connecting;
      return;
    }
    if (peer_.refused() || peer_.was_reset() || peer_.ended()) return leave();
    if (stage_ == Stage::connecting && peer_.connected()) {
      stage_ = Stage::signing_in;
      sign_in();
    }
    take();
    if (stage_ != Stage::online) return;
    if (world_.random(400) == 0) return leave();
    if (waiting_ < 8) act();
  }
  void leave() {
    if (stage_ == Stage::away) return;
    peer_.close();
    stage_ = Stage::away;
    waiting_ = 0;
  }

  const std::string& name() const { return name_; }
  const std::vector<Long>& messages() const { return messages_; }
  std::uint64_t requests() const { return requests_; }

 private:
  enum class Stage : std::uint8_t { away, connecting, signing_in, online };

  template <class Write>
  void send(Write&& write) {
    Raw out(wire_size_max);
    out.resize(write(MutableBytes(out)));
    peer_.send(out);
    ++waiting_;
  }
  void sign_in() {
    const std::uint16_t serial = serial_++;
    if (code_.empty()) {
      const RegisterFields fields{.maker = "ABCDE", .model = "M1", .terminal_id = "T1"};
      send([&](MutableBytes out) { return write_register(out, terminal_, serial, fields); });
    } else {
      send([&](MutableBytes out) { return write_auth(out, terminal_, serial, code_); });
    }
  }
  void begin() {
    Long message;
    message.first = serial_;
    const std::size_t total = 2 + world_.random(7);
    for (std::size_t i = 0; i < total; ++i) {
      Raw part(1 + world_.random(900));
      for (auto& byte : part) byte = static_cast<std::uint8_t>(world_.random(256));
      message.parts.push_back(std::move(part));
      message.lost.push_back(world_.random(6) == 0);
    }
    message.sent.resize(total);
    message.acknowledged.resize(total);
    if (world_.random(5) == 0) message.never = static_cast<int>(world_.random(total));
    serial_ = static_cast<std::uint16_t>(serial_ + total);
    message.last_new_ns = world_.now();
    messages_.push_back(std::move(message));
  }
  void act() {
    open_.clear();
    for (std::size_t i = messages_.size() > 6 ? messages_.size() - 6 : 0; i < messages_.size();
         ++i) {
      if (!messages_[i].all_acknowledged()) open_.push_back(i);
    }
    if (open_.size() < 3 && world_.random(10) == 0) return begin();
    if (open_.empty()) return;
    Long& message = messages_[open_[world_.random(open_.size())]];
    const std::size_t part = world_.random(message.parts.size());
    if (message.acknowledged[part] && world_.random(4) != 0) return;
    if (message.lost[part]) return;
    send_part(message, part);
  }
  void send_part(Long& message, std::size_t part) {
    if (static_cast<int>(part) == message.never) return;
    message.sent[part] = true;
    FrameWriter writer(terminal_, message_id, static_cast<std::uint16_t>(message.first + part),
                       static_cast<std::uint16_t>(message.parts.size()),
                       static_cast<std::uint16_t>(part + 1));
    writer.bytes(message.parts[part]);
    send([&](MutableBytes out) { return writer.finish(out); });
  }
  void take() {
    const Raw more = peer_.take();
    inbox_.insert(inbox_.end(), more.begin(), more.end());
    Raw scratch(scratch_size);
    for (;;) {
      const NextFrame next = next_frame(inbox_, scratch);
      if (next.kind != NextFrame::Kind::frame) return;
      Header header;
      REQUIRE(parse_header(next.frame, header) == BadReason::none);
      const Raw body(next.frame.begin() + header.size, next.frame.end());
      inbox_.erase(inbox_.begin(), inbox_.begin() + static_cast<std::ptrdiff_t>(next.consumed));
      hear(header, body);
      if (stage_ == Stage::away) return;
    }
  }
  void hear(const Header& header, const Raw& body) {
    if (header.message_id == id::part_request) return asked(header, body);
    waiting_ -= std::min<std::size_t>(waiting_, 1);
    if (header.message_id == id::registration_reply) {
      code_.assign(body.begin() + 3, body.end());
      return sign_in();
    }
    REQUIRE(header.message_id == id::platform_reply);
    GeneralReply reply;
    REQUIRE(decode_general_reply(body, reply));
    if (reply.reply_id == id::authentication) {
      REQUIRE(reply.result == 0);
      stage_ = Stage::online;
      return;
    }
    if (reply.result != 0) return;  // the log takes nothing: sent again some time
    for (Long& message : messages_) {
      const auto part = static_cast<std::uint16_t>(reply.reply_serial - message.first);
      if (part >= message.parts.size() || message.acknowledged[part]) continue;
      REQUIRE(message.sent[part]);
      message.acknowledged[part] = true;
      message.longest_gap_ns =
          std::max(message.longest_gap_ns, world_.now() - message.last_new_ns);
      message.last_new_ns = world_.now();
    }
  }
  void asked(const Header& header, const Raw& body) {
    ++requests_;
    if (world_.random(3) == 0) return;  // and this is lost too
    const std::size_t at = header.version == Version::v2019 ? 4 : 3;
    const std::size_t count = at == 4 ? load_be16(&body[2]) : body[2];
    REQUIRE(body.size() == at + 2 * count);
    for (Long& message : messages_) {
      if (message.first != load_be16(body.data())) continue;
      for (std::size_t i = at; i < body.size(); i += 2) {
        const std::size_t number = load_be16(&body[i]);
        REQUIRE((number >= 1 && number <= message.parts.size()));
        message.lost[number - 1] = false;
        send_part(message, number - 1);
      }
    }
  }

  io::World& world_;
  std::string name_;
  Peer terminal_;
  io::Peer peer_;
  Stage stage_ = Stage::away;
  std::string code_;
  Raw inbox_;
  std::uint16_t serial_ = 65'500;  // comes round
  std::size_t waiting_ = 0;
  std::vector<Long> messages_;
  std::vector<std::size_t> open_;
  std::uint64_t requests_ = 0;
};

// The bodies of whole records by terminal and first serial.
using Wholes = std::map<std::pair<std::string, std::uint16_t>, std::vector<std::string>>;
Wholes wholes_on(io::World& world) {
  Wholes out;
  auto reader = log::Reader::open(world.sys(), "/data", {});
  REQUIRE(reader.ok());
  log::Entry entry;
  while ((*reader)->next(entry)) {
    if (!entry.record.whole()) continue;
    Header header;
    REQUIRE(parse_stored(entry.record.payload, header) == BadReason::none);
    CHECK(header.message_id == message_id);
    out[{std::string(entry.record.device), header.serial}].emplace_back(
        as_text(body_of(entry.record.payload, header)));
  }
  CHECK((*reader)->problems().empty());
  return out;
}

std::int64_t part_bytes(sim::Gateway& gateway) {
  std::int64_t bytes = 0;
  for (const observe::Sample& sample : gateway.registry().snapshot()) {
    if (sample.spec->name == "ringgate_jt808_part_bytes") bytes += sample.value;
  }
  return bytes;
}

struct Tally {
  std::uint64_t whole = 0;
  std::uint64_t incomplete = 0;
  std::uint64_t requests = 0;
};

void judge(const std::vector<Cutter>& fleet, const Wholes& wholes, Tally& tally) {
  // What the gateway grants between two new parts: five requests, five seconds each.
  constexpr MonoNs patience = 25 * ns_per_s;
  for (const Cutter& cutter : fleet) {
    tally.requests += cutter.requests();
    for (const Long& message : cutter.messages()) {
      const auto found = wholes.find({cutter.name(), message.first});
      const std::size_t count = found == wholes.end() ? 0 : found->second.size();
      CHECK(count <= 1);
      const bool same = count == 0 || found->second[0] == message.body();
      CHECK(same);
      const bool all_sent = std::ranges::all_of(message.sent, [](bool one) { return one; });
      if (!all_sent) {
        CHECK(count == 0);
        ++tally.incomplete;
      }
      if (message.all_acknowledged() && message.longest_gap_ns < patience) {
        CHECK(count == 1);
        ++tally.whole;
      }
    }
  }
}

TEST_CASE("a message whose parts were all acknowledged is in the log whole, once; others are not") {
  Tally tally;
  sim::for_seeds(60, 3'000, [&](std::uint64_t seed) {
    auto world = std::make_unique<io::World>(io::SimOptions::rough(seed));
    sim::GatewayOptions options;
    options.shards = static_cast<ShardIndex>(1 + seed % 2);
    options.links.memory_limit_bytes = 4U << 20;
    auto gateway = std::make_unique<sim::Gateway>(*world, options);
    std::vector<Cutter> fleet;
    for (std::uint64_t i = 0; i < 4; ++i) {
      fleet.emplace_back(*world, 13'800'000'000 + i * 7'919,
                         i % 2 == 0 ? Version::v2013 : Version::v2019);
    }
    for (int turn = 0; turn < 3'000; ++turn) {
      gateway->turn(static_cast<MonoNs>(world->random(20'000'000)));
      for (Cutter& cutter : fleet) cutter.step();
      if (turn % 100 == 0) CHECK(part_bytes(*gateway) <= options.shards * (1 << 20));
    }
    if (seed % 2 == 0) {
      gateway->abandon();
      auto after = world->crash(io::SimOptions::rough(seed + 1));
      gateway.reset();
      world = std::move(after);
    } else {
      for (Cutter& cutter : fleet) cutter.leave();
      gateway->drain(world->now() + 60 * ns_per_s);
      for (int i = 0; i < 200'000 && !gateway->stopped(); ++i) gateway->turn(ns_per_ms);
      CHECK(gateway->stopped());
      gateway.reset();
    }
    judge(fleet, wholes_on(*world), tally);
  });
  CHECK(tally.whole > 0);
  CHECK(tally.incomplete > 0);
  CHECK(tally.requests > 0);
  MESSAGE("whole ", tally.whole, ", incomplete ", tally.incomplete, ", requests ",
          tally.requests);
}

}  // namespace
