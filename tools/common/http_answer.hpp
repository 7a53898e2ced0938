// Reads the answers of an HTTP/1.1 server as they come in. Written apart from protocols/http on
// purpose: a tool that shared the server's codec could not see its mistakes. Pure; one thread.
// RFC 9112.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/bytes.hpp"

namespace ringgate::tool {

class HttpAnswerReader {
 public:
  enum class Step : std::uint8_t {
    more,  // of it is to come
    head,  // its head is there: an upgrade, or `wants_head`
    done,
    bad,   // this is no HTTP; problem() says why
  };

  // Begins with the next answer. `to_head`: of a HEAD request, whose answer has no body.
  // `wants_head`: feed() stops once behind the head.
  void begin(bool to_head = false, bool wants_head = false);
  // Takes from the front of `bytes` what belongs to the answer. What has arrived of the body is
  // appended to `body` unless it is null. Interim answers (1xx but 101) are read over.
  Step feed(Bytes& bytes, std::string* body);
  // The other side has closed: done, where that is how the answer ends.
  Step closed() const;

  std::uint16_t status() const { return status_; }
  bool keeps_alive() const { return keeps_alive_; }
  // Whether anything of the answer has come.
  bool begun() const { return state_ != State::head || !line_.empty(); }
  // A field's value; empty where it is not there. Name in lower case. Valid until begin().
  std::string_view field(std::string_view name) const;
  const char* problem() const { return problem_; }

  // More than any server of sense sends.
  static constexpr std::size_t head_bytes_max = 64 * 1024;

 private:
  enum class State : std::uint8_t {
    head, sized, chunk_size, chunk, chunk_end, trailer, until_close, done, bad
  };
  Step fail(const char* problem);
  bool take_line(Bytes& bytes);
  Step end_head();
  Step end_line();
  bool read_status(std::string_view line);

  State state_ = State::head;
  bool to_head_ = false;
  bool wants_head_ = false;
  bool keeps_alive_ = true;
  std::uint16_t status_ = 0;
  std::uint64_t left_ = 0;
  std::string line_;   // what has come of the present line, or of the head
  std::string head_;
  const char* problem_ = "";
};

}  // namespace ringgate::tool
