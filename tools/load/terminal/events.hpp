// What a simulated terminal did, as JSON lines for people and tests:
//   {"time_ms":1700000000000,"phone":"13800000000","event":"text","flags":4,"gbk":"b2e2cad4"}
// Pure; one thread.
#pragma once

#include <string>
#include <string_view>

#include "engine/base/clock.hpp"
#include "engine/base/json_writer.hpp"

namespace ringgate::load {

// One line, finished when it dies. Without `out` nothing is done.
class EventLine {
 public:
  EventLine(std::string* out, WallUs wall, std::string_view phone, std::string_view name)
      : out_(out), json_(out != nullptr ? *out : unused_) {
    if (out_ == nullptr) return;
    json_.begin_object().key("time_ms").integer(wall / 1000).key("phone").text(phone);
    json_.key("event").text(name);
  }
  ~EventLine() {
    if (out_ == nullptr) return;
    json_.end_object();
    *out_ += '\n';
  }
  EventLine(const EventLine&) = delete;
  EventLine& operator=(const EventLine&) = delete;

  EventLine& number(std::string_view key, std::uint64_t value) {
    if (out_ != nullptr) json_.key(key).unsigned_integer(value);
    return *this;
  }
  EventLine& text(std::string_view key, std::string_view value) {
    if (out_ != nullptr) json_.key(key).text(value);
    return *this;
  }
  EventLine& hex(std::string_view key, Bytes value) {
    if (out_ != nullptr) json_.key(key).hex(value);
    return *this;
  }

 private:
  std::string unused_;
  std::string* out_;
  JsonWriter json_;
};

}  // namespace ringgate::load
