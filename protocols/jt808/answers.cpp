#include "protocols/jt808/answers.hpp"

#include <fmt/format.h>

#include "protocols/jt808/codec/ids.hpp"

namespace ringgate::jt808 {

namespace {

using Verdict = Judgement::Verdict;
using Rule = Answer::Rule;

constexpr std::uint8_t result_ok = 0;

// 0: WORD serial | 2: WORD id | 4: BYTE result. JT/T 808-2019 8.1.
Judgement judge_reply(const Awaited& command, Bytes body) {
  Judgement out{Verdict::foreign, command.heard, {}};
  if (body.size() < 5 || load_be16(&body[2]) != command.message) return out;
  const std::uint16_t serial = load_be16(&body[0]);
  if (!command.sent.has(serial)) return out;
  if (body[4] != result_ok) {
    out.verdict = Verdict::refused;
    out.detail = fmt::format("terminal answered 0x0001: {}", result_text(body[4]));
    if (command.sent.parts > 1) {
      const auto part = static_cast<std::uint16_t>(serial - command.sent.first_serial) + 1;
      out.detail += fmt::format(" (part {} of {})", part, command.sent.parts);
    }
    return out;
  }
  // One answer for each part and one for all are both legal (JT/T 808-2013 7.12), so that the one
  // for the first part may be all that comes: commands take it for that when nothing follows.
  if (serial != command.sent.last_serial()) {
    out.verdict = Verdict::noted;
    out.heard.part = true;
    return out;
  }
  const bool enough = command.answer.rule == Rule::general || command.answer.rule == Rule::either;
  out.heard.ok = true;
  out.verdict = enough ? Verdict::answered : Verdict::noted;
  if (enough) out.detail = "terminal answered 0x0001: ok";
  return out;
}

// The dedicated reply. Those that follow a 0x0001 (0x0805, 0x1206) say a result behind our serial.
Judgement judge_own(const Awaited& command, Bytes body) {
  Judgement out{Verdict::foreign, command.heard, {}};
  if (command.answer.has_serial &&
      (body.size() < 2 || !command.sent.has(load_be16(body.data())))) {
    return out;
  }
  const bool has_result =
      command.answer.rule == Rule::both && command.answer.has_serial && body.size() >= 3;
  out.verdict = has_result && body[2] != result_ok ? Verdict::refused : Verdict::answered;
  out.detail = fmt::format("terminal answered 0x{:04X}", command.answer.id);
  if (has_result) {
    out.detail += body[2] == result_ok ? ": ok" : fmt::format(": result {}", body[2]);
  }
  return out;
}

}  // namespace

std::string result_text(std::uint8_t result) {
  switch (result) {
    case 0: return "ok";
    case 1: return "failed";
    case 2: return "bad message";
    case 3: return "unsupported";
    default: return fmt::format("result {}", result);
  }
}

Judgement judge(const Awaited& command, const Header& header, Bytes body) {
  if (command.answer.rule != Rule::none) {
    if (header.message_id == id::terminal_reply) return judge_reply(command, body);
    if (command.answer.rule != Rule::general && header.message_id == command.answer.id) {
      return judge_own(command, body);
    }
  }
  return {Verdict::foreign, command.heard, {}};
}

}  // namespace ringgate::jt808
