// A simulated terminal and a server that says anything. Input: a byte that chooses the terminal,
// then one event after the other: frames of the platform, well-formed or not, whole and in parts,
// answers, time, links that end, answers to uploads of attachments.
// What must hold: whatever the terminal says is a frame that the gateway's codec reads, whose body
// decodes where it is no part; uploads say frames and blocks.
// By hand as jt808_framing_fuzz.cpp says.
#include <algorithm>
#include <memory>
#include <vector>

#include "protocols/jt808/codec/attachment.hpp"
#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/codec/writer.hpp"
#include "tools/load/terminal/terminal.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::load;

constexpr std::uint64_t phone = 13'800'001'234;
constexpr std::size_t events_max = 200;

void require(bool condition) {
  if (!condition) __builtin_trap();
}

class Play {
 public:
  explicit Play(Bytes input)
      : left_(input), options_({.version = (u8() & 1) != 0 ? Version::v2019 : Version::v2013,
                                .seed = 1,
                                .has_events = true}),
        terminal_(options_, phone, wall0) {}

  void run() {
    for (std::size_t i = 0; i < events_max && !left_.empty(); ++i) {
      event();
      look();
    }
  }

 private:
  static constexpr WallUs wall0 = 1'700'000'000'000'000;

  std::uint8_t u8() {
    if (left_.empty()) return 0;
    const std::uint8_t value = left_.front();
    left_ = left_.subspan(1);
    return value;
  }
  std::uint16_t u16() {
    const std::uint16_t high = u8();
    return static_cast<std::uint16_t>(high << 8 | u8());
  }
  Bytes take(std::size_t size) {
    const Bytes taken = left_.first(std::min(size, left_.size()));
    left_ = left_.subspan(taken.size());
    return taken;
  }
  Moment moment() { return {now_, wall0 + now_ / 1000, {}, &next_serial_}; }

  void event() {
    switch (u8() % 8) {
      case 0: return hear(take(u8()));
      case 1:
      case 2: return say(0, 0);
      case 3: {
        const auto total = static_cast<std::uint16_t>(1 + u8() % 4);
        return say(total, static_cast<std::uint16_t>(1 + u8() % total));
      }
      case 4: return wait(u8());
      case 5:
        if (u8() % 2 == 0) {
          terminal_.on_link_down();
        } else {
          terminal_.on_online(moment(), out_);
        }
        return;
      case 6: return answer();
      default: return upload();
    }
  }

  // As a link does with what stands between two delimiters.
  void hear(Bytes inside) {
    const std::vector<std::uint8_t> exact(inside.begin(), inside.end());
    ReplyScratch scratch;
    Reply reply;
    switch (parse_reply(exact, options_.version, scratch, reply)) {
      case ReplyKind::general:
        terminal_.on_answer(reply.answered_id, reply.serial, reply.result, moment(), out_);
        break;
      case ReplyKind::other:
        terminal_.on_downlink(read_downlink(reply.raw, options_.version), moment(), out_);
        break;
      case ReplyKind::registered:
      case ReplyKind::broken:
        break;
    }
  }

  // A command: any message of the platform that the tables know, or another one.
  void say(std::uint16_t total, std::uint16_t number) {
    std::vector<std::uint16_t> ids;
    for (const jt808::MessageSpec& spec : jt808::messages()) {
      if (!spec.from_device) ids.push_back(spec.id);
    }
    const std::uint8_t which = u8();
    const std::uint16_t id = which == 255 ? u16() : ids[which % ids.size()];
    const jt808::Peer peer = jt808::make_peer(
        options_.version == Version::v2019 ? jt808::Version::v2019 : jt808::Version::v2013,
        std::to_string(phone));
    const std::uint16_t serial = u8();
    jt808::FrameWriter writer = total > 0 ? jt808::FrameWriter(peer, id, serial, total, number)
                                          : jt808::FrameWriter(peer, id, serial);
    writer.bytes(take(u8()));
    std::uint8_t wire[jt808::wire_size_max];
    const std::size_t size = writer.finish(wire);
    require(size > 2);
    hear({wire + 1, size - 2});
  }

  // To what it said last, or something near it.
  void answer() {
    const std::uint8_t how = u8();
    terminal_.on_answer(said_id_, static_cast<std::uint16_t>(said_serial_ - how % 4), how >> 5,
                        moment(), out_);
  }

  void wait(std::uint8_t how_long) {
    constexpr MonoNs spans[] = {10 * ns_per_ms, ns_per_s, 10 * ns_per_s, 200 * ns_per_s};
    const MonoNs until = now_ + spans[how_long % 4];
    for (int i = 0; i < 300 && terminal_.next_due() <= until; ++i) {
      now_ = std::max(now_, terminal_.next_due());
      terminal_.on_time(moment(), out_);
      look();
    }
    now_ = until;
  }

  void upload() {
    const std::uint8_t how = u8();
    if (uploads_.empty()) return terminal_.raise_alarm(moment(), out_);
    AttachmentUpload& one = *uploads_.front();
    if (how % 4 == 0) one.on_connected();
    if (how % 4 == 1) {
      const Bytes bytes = take(u8());
      one.on_bytes(std::vector<std::uint8_t>(bytes.begin(), bytes.end()));
    }
    if (how % 4 == 2) reply(one, how);
    for (int i = 0; i < 100; ++i) {
      const Body bytes = one.next();
      if (bytes.empty()) break;
      std::uint8_t scratch[jt808::scratch_size];
      const jt808::StreamItem item = jt808::next_in_stream(bytes, scratch);
      using Kind = jt808::StreamItem::Kind;
      require(item.kind == Kind::frame || item.kind == Kind::block);
      require(item.kind != Kind::block || bytes.size() == item.consumed + item.size_bytes);
    }
    if (how >= 0xf0 || one.finished() || !one.problem().empty()) {
      terminal_.on_upload_end(one, one.problem(), moment(), out_);
      uploads_.erase(uploads_.begin());
    }
  }
  // What a server says to an upload: ok, or what of a file is missing.
  void reply(AttachmentUpload& to, std::uint8_t how) {
    const jt808::Peer peer = jt808::make_peer(jt808::Version::v2013, std::to_string(phone));
    std::uint8_t wire[jt808::wire_size_max];
    std::size_t size = 0;
    if ((how & 16) == 0) {
      size = jt808::write_ack(wire, peer, 1, u8(),
                              static_cast<std::uint16_t>(0x1210 + how / 4 % 3),
                              jt808::AckResult::ok);
    } else {
      const auto& files = to.files();
      const std::string name = files.empty() ? "" : files[how / 4 % files.size()].name;
      std::vector<jt808::MissingPiece> missing;
      for (unsigned i = u8() % 4U; i > 0; --i) missing.push_back({u16() * 7U, u16() * 3U});
      size = jt808::write_file_end_reply(wire, peer, 1, {as_bytes(name), 0, 1}, missing);
    }
    to.on_bytes({wire, size});
  }

  void look() {
    for (const Uplink& uplink : out_.frames) {
      std::uint8_t scratch[jt808::scratch_size];
      const jt808::NextFrame next = jt808::next_frame(uplink.wire, scratch);
      require(next.kind == jt808::NextFrame::Kind::frame);
      require(next.consumed == uplink.wire.size());
      jt808::Header header;
      require(jt808::parse_header(next.frame, header) == jt808::BadReason::none);
      require(header.message_id == uplink.message_id && header.serial == uplink.serial);
      require(jt808::check_body(header, jt808::body_of(next.frame, header)).ok());
      said_id_ = header.message_id;
      said_serial_ = header.serial;
    }
    for (auto& one : out_.uploads) uploads_.push_back(std::move(one));
    if (uploads_.size() > 4) uploads_.resize(4);
    out_ = {};
  }

  Bytes left_;
  TerminalOptions options_;
  Terminal terminal_;
  Outbox out_;
  std::vector<std::unique_ptr<AttachmentUpload>> uploads_;
  MonoNs now_ = ns_per_s;
  std::uint16_t next_serial_ = 0;
  std::uint16_t said_id_ = 0;
  std::uint16_t said_serial_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 0) Play({data, size}).run();
  return 0;
}
