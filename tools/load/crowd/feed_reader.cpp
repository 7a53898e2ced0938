#include "tools/load/crowd/feed_reader.hpp"

#include <utility>

namespace ringgate::load {
namespace {

using Kind = FeedItem::Kind;

constexpr std::uint8_t op_continuation = 0, op_text = 1, op_close = 8, op_ping = 9, op_pong = 10;
constexpr std::uint64_t control_bytes_max = 125;  // RFC 6455 5.5

}  // namespace

// ---- WebSocket ---------------------------------------------------------------------------------

void FrameReader::add(Bytes bytes) {
  in_.erase(0, std::exchange(at_, 0));
  if (problem_ == nullptr) in_ += as_text(bytes);
}

FeedItem FrameReader::fail(const char* problem) {
  problem_ = problem;
  return {Kind::bad, problem_};
}

FeedItem FrameReader::next() {
  if (problem_ != nullptr) return {Kind::bad, problem_};
  if (!in_message_) message_.clear();
  while (true) {
    const std::size_t have = in_.size() - at_;
    if (have < 2) return {};
    const auto* head = reinterpret_cast<const std::uint8_t*>(in_.data()) + at_;
    std::uint64_t size = head[1] & 0x7f;
    const std::size_t head_bytes = size == 126 ? 4 : size == 127 ? 10 : 2;
    const auto opcode = static_cast<std::uint8_t>(head[0] & 0xf);
    const bool last = (head[0] & 0x80) != 0;
    if ((head[0] & 0x70) != 0) return fail("reserved bits");
    if ((head[1] & 0x80) != 0) return fail("a mask");
    if (have < head_bytes) return {};
    if (size == 126) size = load_be16(head + 2);
    else if (size == 127) size = load_be64(head + 2);
    if (size > feed_message_bytes_max - message_.size()) return fail("a giant");
    if (opcode >= op_close && (!last || size > control_bytes_max)) {
      return fail("a control frame in pieces, or too long");
    }
    if (have - head_bytes < size) return {};
    const std::string_view payload(in_.data() + at_ + head_bytes, static_cast<std::size_t>(size));
    at_ += head_bytes + static_cast<std::size_t>(size);
    if (opcode == op_pong) continue;
    const FeedItem item = take(opcode, last, payload);
    if (item.kind != Kind::more) return item;
  }
}

FeedItem FrameReader::take(std::uint8_t opcode, bool last, std::string_view payload) {
  if (opcode == op_ping) return {Kind::ping, payload};
  if (opcode == op_close) return {Kind::close, payload};
  const bool begins = opcode == op_text;
  if ((!begins && opcode != op_continuation) || begins == in_message_) {
    return fail("an opcode out of order");
  }
  in_message_ = !last;
  if (begins && last) return {Kind::message, payload};
  message_ += payload;
  if (!last) return {};
  return {Kind::message, message_};
}

// ---- text/event-stream -------------------------------------------------------------------------

void LineReader::add(std::string_view text) {
  in_.erase(0, at_);
  sought_ -= std::exchange(at_, 0);
  if (problem_ == nullptr) in_ += text;
}

FeedItem LineReader::fail(const char* problem) {
  problem_ = problem;
  return {Kind::bad, problem_};
}

FeedItem LineReader::next() {
  if (problem_ != nullptr) return {Kind::bad, problem_};
  while (true) {
    const std::size_t end = in_.find('\n', sought_);
    if (end == std::string::npos) {
      sought_ = in_.size();
      return sought_ - at_ > feed_message_bytes_max ? fail("a line without an end") : FeedItem{};
    }
    std::string_view line = std::string_view(in_).substr(at_, end - at_);
    at_ = sought_ = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with("data:")) {
      line.remove_prefix(line.starts_with("data: ") ? 6 : 5);
      if (line.size() >= feed_message_bytes_max - message_.size()) return fail("a giant");
      if (!message_.empty()) message_ += '\n';
      message_ += line;
    } else if (line.empty() && !message_.empty()) {
      told_ = std::exchange(message_, {});
      return {Kind::message, told_};
    }
  }
}

}  // namespace ringgate::load
