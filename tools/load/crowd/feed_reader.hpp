// What a subscriber's connection says, cut into messages: frames of WebSocket (RFC 6455), lines of
// text/event-stream. Written apart from protocols/websocket, as http_answer.hpp is from
// protocols/http. Pure; one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/bytes.hpp"

namespace ringgate::load {

// A message of the stream is at most a few hundred KiB: more is none, in however many pieces.
constexpr std::size_t feed_message_bytes_max = 16U << 20;

struct FeedItem {
  enum class Kind : std::uint8_t {
    more,     // nothing whole has come
    message,  // whole
    ping,
    close,
    bad,      // payload says what is wrong; nothing follows
  };
  Kind kind = Kind::more;
  std::string_view payload{};  // valid until the reader's next call
};

class FrameReader {
 public:
  void add(Bytes bytes);
  FeedItem next();

 private:
  FeedItem fail(const char* problem);
  FeedItem take(std::uint8_t opcode, bool last, std::string_view payload);

  std::string in_;
  std::size_t at_ = 0;
  std::string message_;  // pieces of the present one; or the one that next() has told
  bool in_message_ = false;
  const char* problem_ = nullptr;
};

// Only `data` says anything that the message does not say too.
class LineReader {
 public:
  void add(std::string_view text);
  FeedItem next();

 private:
  FeedItem fail(const char* problem);

  std::string in_;
  std::size_t at_ = 0;
  std::size_t sought_ = 0;  // no end of a line before it
  std::string message_;
  std::string told_;
  const char* problem_ = nullptr;
};

}  // namespace ringgate::load
