// A gateway and those who talk to it: terminals over TCP and UDP, uploaders of attachments, people
// who command, kick, ban and watch; links that end in any way, time that passes, a network that
// may be rough. Input: a byte that chooses the machine, then one operation after the other.
// What must hold: whatever is sent is a well-formed frame of the platform, each in a datagram of
// its own over UDP; no frame is acknowledged more often than it was sent; a stranger gets no more
// datagram bytes than it sent; memory is bounded by what came; every command is told its outcome
// once; the gateway drains, leaves nothing behind, and its log reads back whole.
// By hand as jt808_framing_fuzz.cpp says.
#include <algorithm>
#include <map>
#include <tuple>

#include "engine/base/json_scan.hpp"
#include "protocols/jt808/catalog.hpp"
#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/codec/whole.hpp"
#include "storage/log/reader.hpp"
#include "tests/fuzz/machine.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;
using fuzz::Input;
using fuzz::Machine;
using fuzz::require;
using Raw = std::vector<std::uint8_t>;

constexpr std::size_t operations_max = 300;
constexpr std::size_t links_each = 3;  // peers over TCP, over UDP, and at the attachment server

struct Phone {
  std::string_view digits;
  Version version;
};
constexpr Phone phones[] = {{"13800000001", Version::v2013},
                            {"13800000002", Version::v2019},
                            {"13800000001", Version::v2019},
                            {"98765432109876543210", Version::v2019}};

constexpr std::uint16_t up_ids[] = {0x0001, 0x0002, 0x0003, 0x0004, 0x0005, 0x0100, 0x0102, 0x0104,
                                    0x0200, 0x0704, 0x0800, 0x0801, 0x0805, 0x0900, 0x0901, 0x0a00,
                                    0x0108, 0x0107, 0x0302, 0x0500, 0x0608, 0x0700, 0x0702, 0x1205,
                                    0x1210, 0x1211, 0x1212, 0x0f01, 0x8001, 0x0802, 0x0201, 0x1003};
constexpr std::uint16_t down_ids[] = {0x8104, 0x8300, 0x8108, 0x9208,
                                      0x8103, 0x8801, 0x8f01, 0x9205};
// What the gateway writes of its own accord.
constexpr std::uint16_t own_ids[] = {0x8001, 0x8003, 0x8004, 0x8100, 0x8800, 0x9212};

struct Told {
  int times = 0;
};
class Waiter final : public event::CommandWaiter {
 public:
  explicit Waiter(std::shared_ptr<Told> told) : told_(std::move(told)) {}
  void on_outcome(const DeviceKey&, event::CommandOutcome outcome) override {
    require(++told_->times == 1);
    require(outcome.status < event::CommandStatus::count);
  }

 private:
  std::shared_ptr<Told> told_;
};

struct Watcher final : event::TraceWatcher {
  void on_frame(bool, WallUs, Bytes frame) override {
    Header header;
    require(parse_stored(frame, header) == BadReason::none);
  }
};

enum class Way : std::uint8_t { tcp, udp, attachment };

struct Actor {
  Way way = Way::tcp;
  bool open = false;
  io::Peer peer;
  io::DatagramPeer datagrams;
  Raw inbox;
  std::uint64_t sent = 0;  // over UDP, since its address is this one
  std::uint64_t got = 0;
  bool proves = false;  // has sent something that may authenticate it
  std::uint16_t heard_serial = 0;  // of the last frame of the platform that asks for something
  std::uint16_t heard_id = 0;
};

class Play {
 public:
  explicit Play(Input input)
      : input_(input), choice_(input_.u8()), rough_((choice_ & 2) != 0),
        world_(rough_ ? io::SimOptions::rough(1 + input_.u8()) : io::SimOptions{.seed = 7}),
        machine_(world_, static_cast<ShardIndex>(1 + (choice_ & 1)), expectations()) {
    for (std::size_t i = 0; i < 3 * links_each; ++i) {
      actors_[i].way = static_cast<Way>(i / links_each);
    }
  }

  void run() {
    for (std::size_t i = 0; i < operations_max && !input_.empty(); ++i) {
      operate();
      machine_.turn(200 * ns_per_us);
      listen();
    }
    end();
    read_log();
  }

 private:
  static Expectations& expectations() {
    static io::World world(io::SimOptions{.seed = 1});
    static Expectations one(world.sys());
    return one;
  }

  // ---- What happens

  void operate() {
    const std::uint8_t operation = input_.u8();
    Actor& actor = actors_[input_.u8() % std::size(actors_)];
    switch (operation % 16) {
      case 0: return connect(actor);
      case 1: return leave(actor, input_.u8());
      case 2: return say_raw(actor);
      case 3:
      case 4: return say(actor);
      case 5: return authenticate(actor);
      case 6: return say_part(actor);
      case 7: return command();
      case 8: return answer(actor);
      case 9: return ask_again(actor);
      case 10: return pass(input_.u8());
      case 11: return rule();
      case 12: return pause(actor);
      case 13: return upload(actor);
      case 14: return block(actor);
      default: return turns(input_.u8() % 32);
    }
  }

  void connect(Actor& actor) {
    if (actor.open) return;
    actor = {.way = actor.way, .open = true, .peer = {}, .datagrams = {}, .inbox = {}};
    if (actor.way == Way::udp) {
      actor.datagrams = world_.open_datagrams_ipv4(Machine::port);
    } else {
      actor.peer = world_.connect_ipv4(actor.way == Way::tcp ? Machine::port
                                                             : Machine::attachment_port);
    }
  }

  void leave(Actor& actor, std::uint8_t how) {
    if (!actor.open) return;
    if (actor.way == Way::udp && how % 2 == 0) {
      actor.datagrams.rebind();
      actor.sent = actor.got = 0;
      actor.proves = false;
      return;
    }
    actor.open = false;
    if (actor.way == Way::udp) return actor.datagrams.close();
    switch (how % 4) {
      case 0: actor.peer.shutdown(); actor.open = true; return;
      case 1: actor.peer.reset(); break;
      case 2: actor.peer.vanish(); break;
      default: break;
    }
    actor.peer.close();
  }

  void send(Actor& actor, Bytes bytes) {
    connect(actor);
    sent_bytes_ += bytes.size();
    if (actor.way == Way::udp) {
      actor.sent += bytes.size();
      actor.datagrams.send(bytes);
    } else if (!actor.peer.was_reset() && !actor.peer.refused()) {
      actor.peer.send(bytes);
    }
  }

  void say_raw(Actor& actor) {
    connect(actor);
    raw_ = true;
    actor.proves = true;
    send(actor, input_.take(input_.u8()));
  }

  // Bytes as they come, and behind them as many of one as two bytes say.
  Raw body(std::size_t longest) {
    const Bytes begin = input_.take(input_.u8() % 64U);
    Raw out(begin.begin(), begin.end());
    const std::uint8_t more = input_.u8();
    if (more >= 0x80) out.resize(out.size() + (more & 0x7fU) * 9U, more);
    if (out.size() > longest) out.resize(longest);
    return out;
  }

  // A frame whose length and check are right. `flags`: attribute bits besides the length.
  void say_frame(Actor& actor, const Phone& phone, std::uint16_t id, std::uint16_t flags,
                 std::uint16_t serial, Bytes body, std::uint16_t total = 0,
                 std::uint16_t number = 0) {
    const Peer peer = make_peer(phone.version, phone.digits);
    FrameWriter writer = total > 0 ? FrameWriter(peer, id, serial, total, number)
                                   : FrameWriter(peer, id, serial);
    writer.bytes(body);
    const Bytes made = writer.unescaped();
    Raw frame(made.begin(), made.end());
    frame[2] ^= static_cast<std::uint8_t>(flags >> 8 & 0x9c);
    std::uint8_t wire[wire_size_max];
    const std::size_t size = write_frame(wire, frame);
    require(size > 0);
    connect(actor);
    if (id == id::authentication) actor.proves = true;
    const std::string_view digits = phone.digits;
    ++owed_[{std::string(digits), id, serial}];
    send(actor, {wire, size});
  }

  void say(Actor& actor) {
    const Phone& phone = phones[input_.u8() % std::size(phones)];
    const std::uint8_t which = input_.u8();
    const std::uint16_t id = up_ids[which % std::size(up_ids)];
    const auto flags = static_cast<std::uint16_t>(which >= 224 ? input_.u16() : 0);
    const std::uint16_t serial = input_.u8();
    say_frame(actor, phone, id, flags, serial, body(body_size_max));
  }

  void authenticate(Actor& actor) {
    const Phone& phone = phones[input_.u8() % std::size(phones)];
    const std::uint8_t how = input_.u8();
    const DeviceKey key(Namespace::phone, phone.digits);
    device::DeviceTable& devices = *machine_.home_of(key).devices;
    const device::DeviceSlot slot = devices.find(key);
    const bool old_code = how % 8 == 7 || slot == device::no_device;
    const Authenticator::Code code = machine_.authenticator->make_code(
        phone.digits,
        old_code ? 0 : machine_.home_of(key).session->oversight().state->generation(key));
    Raw wire(wire_size_max);
    const Peer peer = make_peer(phone.version, phone.digits);
    const std::uint16_t serial = how >> 3;
    wire.resize(write_auth(wire, peer, serial, {code.data(), code.size()}, "123456789012345", "v"));
    ++owed_[{std::string(phone.digits), id::authentication, serial}];
    connect(actor);
    actor.proves = true;
    send(actor, wire);
  }

  void say_part(Actor& actor) {
    const Phone& phone = phones[input_.u8() % std::size(phones)];
    const std::uint16_t id = up_ids[input_.u8() % std::size(up_ids)];
    const std::uint8_t shape = input_.u8();
    const auto total = static_cast<std::uint16_t>(shape == 255 ? input_.u16() : 1 + shape % 5);
    const auto number = static_cast<std::uint16_t>(input_.u8() % (total + (shape >= 250 ? 2 : 1)));
    const auto flags = static_cast<std::uint16_t>((shape & 0xe0) == 0xe0 ? input_.u16() : 0);
    const auto serial = static_cast<std::uint16_t>(65'530 + 8 * (shape >> 5) + number);
    say_frame(actor, phone, id, flags, serial, body(body_size_max),
              std::max<std::uint16_t>(total, 1), number);
  }

  void command() {
    const Phone& phone = phones[input_.u8() % std::size(phones)];
    auto made = std::make_shared<PreparedMessage>();
    const std::uint8_t which = input_.u8();
    made->id = down_ids[which % std::size(down_ids)];
    made->answer.rule = static_cast<Answer::Rule>(which / 8 % 5);
    made->answer.id = up_ids[input_.u8() % std::size(up_ids)];
    made->answer.has_serial = which < 128;
    const std::size_t parts = input_.u8() % 16U;
    Raw bytes = body(1000);
    bytes.resize(bytes.size() + parts * 700, 0x7e);
    commanded_bytes_ += bytes.size();
    for (PreparedMessage::Encoding& encoding : made->encodings) {
      if (which % 31 == 30 && &encoding == &made->encodings[0]) continue;
      encoding.body = std::make_shared<const Raw>(bytes);
    }
    constexpr MonoNs waits[] = {0, 100 * ns_per_ms, 5 * ns_per_s, 100 * ns_per_s};
    auto told = std::make_shared<Told>();
    told_.push_back(told);
    const DeviceKey key(Namespace::phone, phone.digits);
    machine_.home_of(key).gate->send(key, made, waits[input_.u8() % 4],
                                     std::make_unique<Waiter>(told));
  }

  // 0x0001 or another answer to what the actor heard last.
  void answer(Actor& actor) {
    const Phone& phone = phones[input_.u8() % std::size(phones)];
    const std::uint8_t which = input_.u8();
    const auto of_serial = static_cast<std::uint16_t>(actor.heard_serial + (which >> 6) - 1);
    std::uint8_t bytes[5] = {};
    store_be16(bytes, of_serial);
    store_be16(bytes + 2, actor.heard_id);
    bytes[4] = input_.u8() % 5;
    const std::uint16_t id = (which & 32) != 0 ? up_ids[which % 32] : id::terminal_reply;
    say_frame(actor, phone, id, 0, input_.u8(), {bytes, sizeof bytes});
  }

  // 0x0005 for parts of what the actor heard last.
  void ask_again(Actor& actor) {
    const Phone& phone = phones[input_.u8() % std::size(phones)];
    const std::uint8_t count = input_.u8() % 8;
    Raw bytes(4);
    store_be16(bytes.data(), static_cast<std::uint16_t>(actor.heard_serial - input_.u8() % 8));
    store_be16(&bytes[2], count);
    for (unsigned i = 0; i < count; ++i) {
      bytes.push_back(0);
      bytes.push_back(input_.u8());
    }
    if (input_.u8() % 2 == 0) bytes.erase(bytes.begin() + 2);  // a count of one byte
    say_frame(actor, phone, id::resend_request, 0, input_.u8(), bytes);
  }

  void turns(unsigned count) {
    for (unsigned i = 0; i < count; ++i) machine_.turn(ns_per_ms);
  }

  void pass(std::uint8_t how_long) {
    constexpr MonoNs spans[] = {5 * ns_per_ms, 100 * ns_per_ms, ns_per_s,      6 * ns_per_s,
                                11 * ns_per_s, 31 * ns_per_s,   61 * ns_per_s, 130 * ns_per_s};
    const MonoNs until = world_.now() + spans[how_long % 8];
    for (int i = 0; i < 200 && world_.now() < until; ++i) {
      machine_.turn(std::min(until - world_.now(), ns_per_s));
    }
  }

  void pause(Actor& actor) {
    if (!actor.open || actor.way == Way::udp) return;
    actor.peer.pause_reading(input_.u8() % 2 == 0);
  }

  // Somebody at the control plane.
  void rule() {
    const std::uint8_t what = input_.u8();
    const DeviceKey key(Namespace::phone, phones[what % std::size(phones)].digits);
    Gate& gate = *machine_.home_of(key).gate;
    const std::string why(as_text(input_.take(what >> 7)));
    const event::Act act{"somebody", why};
    std::vector<std::string> rows;
    switch (what / 4 % 8) {
      case 0: gate.kick(key, act); break;
      case 1: gate.ban(key, (what & 64) != 0 ? 0 : world_.sys().wall_now() + us_per_s, act); break;
      case 2: gate.unban(key, act); break;
      case 3: gate.trace(key, &watcher_); break;
      case 4: gate.trace(key, nullptr); break;
      case 5: gate.list(0, 100, rows); break;
      case 6: {
        std::string& row = rows.emplace_back();
        JsonWriter json(row);
        json.begin_object();
        gate.describe(key, json);
        json.end_object();
        break;
      }
      default:
        gate.bad_frames(100, rows);
        gate.bans(rows);
        break;
    }
    for (const std::string& row : rows) {
      require(scan_json_object(row, "x").error == JsonScan::Error::none);
    }
  }

  // Frames of an upload, with what they need in their places.
  void upload(Actor& actor) {
    const Phone& phone = phones[input_.u8() % std::size(phones)];
    const std::uint8_t what = input_.u8();
    const std::string_view name = (what & 1) != 0 ? "00_65_6501_0_a.jpg" : "b";
    const std::uint32_t size = file_size(what);
    Raw bytes;
    const auto u32 = [&](std::uint32_t value) {
      bytes.resize(bytes.size() + 4);
      store_be32(&bytes[bytes.size() - 4], value);
    };
    std::uint16_t id = (what & 8) != 0 ? id::file_end : id::file_begin;
    if ((what & 16) != 0) {
      id = id::attachment_list;
      bytes.assign(7 + 16 + 32, '1');
      const std::uint8_t time[] = {0x26, 0x11, 0x21, 0x08, 0x30, 0x00, 1, 1, 0};
      std::copy(std::begin(time), std::end(time), bytes.begin() + 14);
      bytes.push_back(0);
      bytes.push_back(1);
    }
    bytes.push_back(static_cast<std::uint8_t>(name.size()));
    bytes.insert(bytes.end(), name.begin(), name.end());
    if (id != id::attachment_list) bytes.push_back(what >> 5);
    u32(size);
    say_frame(actor, phone, id, 0, input_.u8(), bytes);
  }
  static std::uint32_t file_size(std::uint8_t what) {
    constexpr std::uint32_t sizes[] = {0, 300, 70'000, 2'000'000};
    return sizes[what >> 1 & 3];
  }

  void block(Actor& actor) {
    const std::uint8_t what = input_.u8();
    const std::string_view name = (what & 1) != 0 ? "00_65_6501_0_a.jpg" : "b";
    const std::uint32_t size = (what & 2) != 0 ? file_size(what) : input_.u8() * 3U;
    Raw bytes(block_header_size);
    store_be32(bytes.data(), block_mark);
    std::copy(name.begin(), name.end(), bytes.begin() + 4);
    store_be32(&bytes[54], (what & 8) != 0 ? input_.u16() : 0);
    store_be32(&bytes[58], size);
    connect(actor);
    if (actor.way != Way::attachment) raw_ = actor.proves = true;
    // Less than announced, now and then.
    bytes.resize(bytes.size() + std::min(size, (what & 16) != 0 ? size / 2 : 80'000), what);
    if (actor.way == Way::udp) bytes.resize(std::min<std::size_t>(bytes.size(), 4000));
    raw_ = raw_ || (what & 16) != 0;  // what follows is content, or content is what follows
    send(actor, bytes);
  }

  // ---- What comes back

  void listen() {
    for (Actor& actor : actors_) {
      if (!actor.open) continue;
      if (actor.way == Way::udp) {
        for (const Raw& datagram : actor.datagrams.take()) {
          actor.got += datagram.size();
          require(hear(actor, datagram) == datagram.size());
          require(std::ranges::count(datagram, delimiter) == 2);
        }
        if (!rough_ && !actor.proves) require(actor.got <= actor.sent);
      } else {
        const Raw more = actor.peer.take();
        actor.inbox.insert(actor.inbox.end(), more.begin(), more.end());
        const std::size_t used = hear(actor, actor.inbox);
        actor.inbox.erase(actor.inbox.begin(),
                          actor.inbox.begin() + static_cast<std::ptrdiff_t>(used));
      }
    }
    for (const auto& place : machine_.places) {
      // A part or a frame of a few bytes costs some hundred, a link its chunks and its spill.
      const std::uint64_t bound = place->links->idle_memory_bytes() +
                                  place->devices->memory_bytes() + (1U << 20) + 64 * sent_bytes_ +
                                  commanded_bytes_ + told_.size() * 1024 +
                                  place->links->live_count() * std::uint64_t{512 * 1024};
      require(place->links->memory_bytes() <= bound);
    }
  }

  std::size_t hear(Actor& actor, Bytes bytes) {
    std::uint8_t scratch[scratch_size];
    std::size_t used = 0;
    while (used < bytes.size()) {
      // Nothing between frames, and each with both its ends.
      require(bytes[used] == delimiter);
      const NextFrame next = next_frame(bytes.subspan(used), scratch);
      if (next.kind == NextFrame::Kind::need_more) break;
      require(next.kind == NextFrame::Kind::frame);
      hear_frame(actor, next.frame);
      used += next.consumed;
    }
    return used;
  }

  void hear_frame(Actor& actor, Bytes frame) {
    Header header;
    require(parse_header(frame, header) == BadReason::none);
    require((header.message_id & 0x8000) != 0 && !header.encrypted());
    const bool own = std::ranges::count(own_ids, header.message_id) != 0;
    const bool commanded = std::ranges::count(down_ids, header.message_id) != 0;
    require(own || commanded);
    if (commanded) {
      actor.heard_serial = header.serial;
      actor.heard_id = header.message_id;
    }
    // 0x8800 of 2011 has a layout of its own that the tables know as well.
    if (own) require(check_body(header, body_of(frame, header)).ok());
    if (header.message_id != id::platform_reply || raw_ || rough_) return;
    GeneralReply reply;
    require(decode_general_reply(body_of(frame, header), reply));
    require(reply.result <= 3);
    // A picture in parts that is not stored is answered twice: as a part, and as a whole.
    int& owed = owed_[{std::string(header.phone.text()), reply.reply_id, reply.reply_serial}];
    require(--owed >= (reply.reply_id == id::media_upload ? -100 : 0));
  }

  // ---- The end

  void end() {
    for (Actor& actor : actors_) {
      if (actor.open && actor.way != Way::udp) actor.peer.pause_reading(false);
    }
    const MonoNs deadline = world_.now() + 30 * ns_per_s;
    machine_.drain(deadline);
    for (int i = 0; i < 20'000 && !machine_.stopped(); ++i) {
      machine_.turn(100 * ns_per_ms);
      listen();
    }
    require(machine_.stopped());
    for (const auto& told : told_) require(told->times == 1);
    for (const auto& place : machine_.places) require(place->links->live_count() == 0);
    require(world_.operations_outstanding() == 0);
    machine_.places.clear();
  }

  void read_log() {
    auto reader = fuzz::must(log::Reader::open(world_.sys(), Machine::data_dir, {}));
    const Catalog catalog;
    for (log::Entry entry; reader->next(entry);) {
      const log::Record& record = entry.record;
      const bool frame = record.kind() == log::Kind::frame_up ||
                         record.kind() == log::Kind::frame_down ||
                         (record.kind() == log::Kind::command && !record.outcome());
      if (!frame) {
        if (record.kind() != log::Kind::command && record.kind() != log::Kind::audit) continue;
        require(scan_json_object(as_text(record.payload), "x").error == JsonScan::Error::none);
        continue;
      }
      Header header;
      require(parse_stored(record.payload, header) == BadReason::none);
      require(header.message_id == record.header.message);
      require(header.phone.text() == record.device || record.kind() != log::Kind::frame_up);
      std::string text;
      JsonWriter json(text);
      catalog.json(record.payload, json, true);
      require(scan_json_object(text, "x").error == JsonScan::Error::none);
    }
    require(reader->problems().empty());
  }

  Input input_;
  std::uint8_t choice_;
  bool rough_;
  io::World world_;
  Watcher watcher_;
  Machine machine_;
  Actor actors_[3 * links_each];
  std::map<std::tuple<std::string, std::uint16_t, std::uint16_t>, int> owed_;
  std::vector<std::shared_ptr<Told>> told_;
  std::uint64_t sent_bytes_ = 0;
  std::uint64_t commanded_bytes_ = 0;
  bool raw_ = false;  // bytes went out that nobody kept account of
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Play(Input({data, size})).run();
  return 0;
}
