// JT/T 808 as replay speaks it: registers and authenticates with the code it is given, then frames
// as they are stored, each answered by a 0x8001 or by an answer of its own.
#include <fmt/format.h>

#include <array>

#include "protocols/jt808/codec/framing.hpp"
#include "protocols/jt808/codec/header.hpp"
#include "protocols/jt808/codec/ids.hpp"
#include "protocols/jt808/codec/writer.hpp"
#include "tools/log/replay_protocol.hpp"

namespace ringgate::log_tool {

namespace {

namespace id = jt808::id;

// Added to the message of an upload in one frame, which 0x8800 answers; parts get a 0x8001.
constexpr std::uint32_t media_whole = 0x10000;

class Terminal final : public ReplayTerminal {
 public:
  explicit Terminal(std::string_view device) : device_(device) {}

  void connected(Bytes next, std::string& out) override {
    state_ = State::registering;
    refusal_.clear();
    jt808::Header header;
    if (jt808::parse_header(next, header) != jt808::BadReason::none) {
      refusal_ = "a stored frame has no good header";
      return;
    }
    peer_ = jt808::peer_of(header);
    // In front of the frames that follow, so that no serial comes twice.
    serial_ = static_cast<std::uint16_t>(header.serial - 2);
    const std::string number = device_.size() > 7 ? device_.substr(device_.size() - 7) : device_;
    jt808::RegisterFields fields;
    fields.maker = "RGLOG";
    fields.model = "REPLAY";
    fields.terminal_id = number;
    fields.plate_color = 2;
    fields.plate_gbk = device_;
    put(jt808::write_register(room_, peer_, serial_++, fields), out);
  }
  bool ready() const override { return state_ == State::ready; }
  const std::string& refusal() const override { return refusal_; }

  std::optional<AnswerKey> send(Bytes frame, std::string& out) override {
    put(jt808::write_frame(room_, frame), out);
    jt808::Header header;
    if (jt808::parse_header(frame, header) != jt808::BadReason::none) return std::nullopt;
    if (header.message_id == id::terminal_reply) return std::nullopt;
    if (header.message_id == id::media_upload && !header.fragment()) {
      return AnswerKey{media_whole | header.message_id, header.serial};
    }
    return AnswerKey{header.message_id, header.serial};
  }

  std::size_t receive(Bytes in, std::vector<ReplayAnswer>& answers, std::string& out) override {
    std::size_t used = 0;
    for (;;) {
      const jt808::NextFrame next = jt808::next_frame(in.subspan(used), scratch_);
      used += next.consumed;
      if (next.kind == jt808::NextFrame::Kind::need_more) return used;
      if (next.kind == jt808::NextFrame::Kind::frame) take(next.frame, answers, out);
    }
  }

 private:
  enum class State : std::uint8_t { registering, authenticating, ready };

  void put(std::size_t size, std::string& out) {
    out.append(reinterpret_cast<const char*>(room_.data()), size);
  }

  void take(Bytes frame, std::vector<ReplayAnswer>& answers, std::string& out) {
    jt808::Header header;
    if (jt808::parse_header(frame, header) != jt808::BadReason::none) return;
    const Bytes body = jt808::body_of(frame, header);
    switch (header.message_id) {
      case id::registration_reply:
        return registered(body, out);
      case id::platform_reply:
        return acknowledged(body, answers);
      case id::media_reply:  // a list of missing parts would come with more than the media id
        return answers.push_back({{media_whole | id::media_upload, {}}, true});
      case id::time_reply:
        return answers.push_back({{id::time_query, {}}, true});
      case id::platform_rsa_key:
        return answers.push_back({{id::terminal_rsa_key, {}}, true});
      default:
        return;  // a command: nobody is there to carry it out
    }
  }

  // JT/T 808-2019 8.9: serial, result, code.
  void registered(Bytes body, std::string& out) {
    if (state_ != State::registering || body.size() < 3) return;
    if (body[2] != 0) {
      refusal_ = fmt::format("registration refused with result {}", body[2]);
      return;
    }
    state_ = State::authenticating;
    put(jt808::write_auth(room_, peer_, serial_++, as_text(body.subspan(3)), "000000000000000",
                          "ringgate-log"),
        out);
  }

  // JT/T 808-2019 8.2: serial, message, result.
  void acknowledged(Bytes body, std::vector<ReplayAnswer>& answers) {
    if (body.size() < 5) return;
    const std::uint16_t serial = load_be16(body.data());
    const std::uint16_t message = load_be16(body.data() + 2);
    const auto result = static_cast<jt808::AckResult>(body[4]);
    const bool ok = result == jt808::AckResult::ok || result == jt808::AckResult::alarm_handled;
    if (state_ == State::registering && message == id::registration && !ok) {
      refusal_ = fmt::format("registration answered with result {}", body[4]);
    }
    if (state_ == State::authenticating && message == id::authentication) {
      if (ok) state_ = State::ready;
      if (!ok) refusal_ = fmt::format("authentication refused with result {}", body[4]);
      return;
    }
    answers.push_back({{message, serial}, ok});
    if (message == id::media_upload) answers.push_back({{media_whole | message, serial}, ok});
  }

  std::string device_;
  State state_ = State::registering;
  std::string refusal_;
  jt808::Peer peer_;
  std::uint16_t serial_ = 0;
  std::array<std::uint8_t, jt808::wire_size_max> room_{};
  std::array<std::uint8_t, jt808::scratch_size> scratch_{};
};

class Protocol final : public ReplayProtocol {
 public:
  std::string_view name() const override { return "jt808"; }
  Namespace ns() const override { return Namespace::phone; }
  bool replays(const event::RecordView& record) const override {
    return record.message != id::registration && record.message != id::authentication &&
           record.message != id::logout;
  }
  std::unique_ptr<ReplayTerminal> terminal(std::string_view device) const override {
    return std::make_unique<Terminal>(device);
  }
};

}  // namespace

const ReplayProtocol& replay_jt808() {
  static const Protocol protocol;
  return protocol;
}

}  // namespace ringgate::log_tool
