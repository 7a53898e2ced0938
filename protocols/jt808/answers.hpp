// Whether a terminal's message is the answer to a command, by the rule in the command's table
// entry (schema.hpp, Answer). Pure; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "engine/base/bytes.hpp"
#include "protocols/jt808/codec/header.hpp"
#include "protocols/jt808/codec/schema.hpp"
#include "protocols/jt808/downlink.hpp"

namespace ringgate::jt808 {

// What was heard of a command so far, short of an end.
struct Heard {
  bool ok = false;    // a 0x0001 that says ok; the rule wants more
  bool part = false;  // a 0x0001 for one part of several, not the last
};

struct Awaited {
  Answer answer;
  std::uint16_t message = 0;  // of the command
  Sent sent;
  Heard heard;
};

struct Judgement {
  enum class Verdict : std::uint8_t {
    foreign,   // answers something else
    noted,     // an answer, and more must come
    answered,  // done
    refused,   // the terminal said no
  };
  Verdict verdict = Verdict::foreign;
  Heard heard;         // with `noted`: what is known now
  std::string detail;  // with `answered` and `refused`, for people: "terminal answered 0x0001: ok"
};

Judgement judge(const Awaited& command, const Header& header, Bytes body);

// "ok", "failed", ... of a 0x0001. JT/T 808-2019 8.1.
std::string result_text(std::uint8_t result);

}  // namespace ringgate::jt808
