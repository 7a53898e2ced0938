#include "storage/state/records.hpp"

#include <array>
#include <charconv>
#include <optional>

#include "engine/base/json_scan.hpp"
#include "engine/base/json_writer.hpp"

namespace ringgate::state {

namespace {

void append_utf8(std::string& out, std::uint32_t code) {
  const auto byte = [&](std::uint32_t value) { out += static_cast<char>(value); };
  if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
  if (code < 0x80) return byte(code);
  if (code < 0x800) {
    byte(0xc0 | code >> 6);
  } else if (code < 0x10000) {
    byte(0xe0 | code >> 12);
    byte(0x80 | (code >> 6 & 0x3f));
  } else {
    byte(0xf0 | code >> 18);
    byte(0x80 | (code >> 12 & 0x3f));
    byte(0x80 | (code >> 6 & 0x3f));
  }
  byte(0x80 | (code & 0x3f));
}

std::uint32_t hex4(std::string_view text) {
  std::uint32_t value = 0;
  if (text.size() >= 4) std::from_chars(text.data(), text.data() + 4, value, 16);
  return value;
}

// Of `\uXXXX`, whose first X is at `at`; moves behind it, over both halves of a pair.
std::uint32_t escaped_code(std::string_view json, std::size_t& at) {
  const std::uint32_t high = hex4(json.substr(at));
  at += 4;
  if (high < 0xd800 || high > 0xdbff || json.substr(at, 2) != "\\u") return high;
  const std::uint32_t low = hex4(json.substr(at + 2));
  if (low < 0xdc00 || low > 0xdfff) return high;
  at += 6;
  return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

// One member after the other; `bad` where one is not as it should be.
class Members {
 public:
  explicit Members(Bytes payload) : json_(as_text(payload)) {
    bad_ = scan_json_members(json_, members_, count_).error != JsonScan::Error::none;
  }
  bool bad() const { return bad_; }
  std::string text(std::string_view name) {
    const std::string_view value = find(name);
    if (value.empty()) return {};
    if (value.front() != '"') return bad_ = true, std::string();
    return text_of_json(value);
  }
  template <class Number>
  Number number(std::string_view name) {
    Number out{};
    const std::string_view value = find(name);
    if (value.empty()) return out;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), out);
    bad_ |= error != std::errc{} || end != value.data() + value.size();
    return out;
  }
  bool boolean(std::string_view name) {
    const std::string_view value = find(name);
    bad_ |= value != "true" && value != "false";
    return value == "true";
  }
  std::string_view find(std::string_view name) {
    if (bad_) return {};
    // More than any change has: some are not in the list.
    if (count_ > members_.size()) return scan_json_object(json_, name).member;
    for (std::size_t i = count_; i > 0; --i) {
      if (members_[i - 1].name == name) return members_[i - 1].value;
    }
    return {};
  }

 private:
  std::string_view json_;
  std::array<JsonMember, 12> members_;
  std::size_t count_ = 0;
  bool bad_ = false;
};

bool apply_registration(const DeviceKey& device, Members& in, Table& table) {
  Registration one;
  one.plate = in.text("plate");
  one.plate_colour = in.number<std::uint8_t>("plate_colour");
  one.terminal_id = in.text("terminal_id");
  one.maker = in.text("maker");
  one.model = in.text("model");
  one.note = in.text("note");
  one.enabled = in.boolean("enabled");
  return !in.bad() && table.put_registration(device, one.view());
}

bool apply_ban(const DeviceKey& device, Members& in, Table& table) {
  Ban ban;
  ban.since_us = in.number<WallUs>("since_us");
  ban.until_us = in.number<WallUs>("until_us");
  ban.by = in.text("by");
  ban.why = in.text("why");
  return !in.bad() && table.put_ban(device, std::move(ban));
}

bool apply_pending(const DeviceKey& device, Members& in, Table& table) {
  PendingCommand command;
  command.id = in.number<std::uint64_t>("id");
  command.submitted_us = in.number<WallUs>("submitted_us");
  command.expires_us = in.number<WallUs>("expires_us");
  command.by = in.text("by");
  command.json = in.find("command");
  command.tries = in.number<std::uint32_t>("tries");
  if (in.bad() || command.json.empty()) return false;
  return table.put_pending(device, std::move(command));
}

}  // namespace

std::string text_of_json(std::string_view json) {
  std::string out;
  if (json.size() < 2) return out;
  json = json.substr(1, json.size() - 2);
  for (std::size_t at = 0; at < json.size();) {
    const char c = json[at++];
    if (c != '\\' || at == json.size()) {
      out += c;
      continue;
    }
    constexpr std::string_view names = "bfnrt";
    constexpr std::string_view meant = "\b\f\n\r\t";
    const char name = json[at++];
    if (name == 'u') {
      append_utf8(out, escaped_code(json, at));
    } else if (const std::size_t i = names.find(name); i != names.npos) {
      out += meant[i];
    } else {
      out += name;
    }
  }
  return out;
}

std::string json_of(const RegistrationView& one) {
  std::string text;
  JsonWriter json(text);
  json.begin_object();
  const auto put = [&](std::string_view name, std::string_view value) {
    if (!value.empty()) json.key(name).text(value);
  };
  put("plate", one.plate);
  if (one.plate_colour != 0) json.key("plate_colour").unsigned_integer(one.plate_colour);
  put("terminal_id", one.terminal_id);
  put("maker", one.maker);
  put("model", one.model);
  put("note", one.note);
  json.key("enabled").boolean(one.enabled).end_object();
  return text;
}

std::string json_of(const Ban& ban) {
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("since_us").integer(ban.since_us);
  json.key("until_us").integer(ban.until_us);
  json.key("by").text(ban.by).key("why").text(ban.why).end_object();
  return text;
}

std::string json_of_generation(std::uint32_t generation) {
  std::string text;
  JsonWriter(text).begin_object().key("generation").unsigned_integer(generation).end_object();
  return text;
}

std::string json_of(const PendingCommand& command) {
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("id").unsigned_integer(command.id);
  json.key("submitted_us").integer(command.submitted_us);
  json.key("expires_us").integer(command.expires_us);
  json.key("by").text(command.by).key("command").raw(command.json);
  if (command.tries != 0) json.key("tries").unsigned_integer(command.tries);
  json.end_object();
  return text;
}

std::string json_of_try(std::uint64_t id, std::uint32_t tries) {
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("id").unsigned_integer(id);
  json.key("tries").unsigned_integer(tries).end_object();
  return text;
}

std::string json_of_end(std::uint64_t id, const PendingEnd& end) {
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("id").unsigned_integer(id).key("how").text(end.how);
  if (!end.detail.empty()) json.key("detail").text(end.detail);
  if (end.intent != 0) json.key("intent").unsigned_integer(end.intent);
  json.end_object();
  return text;
}

bool apply(const event::RecordView& record, Table& table) {
  if (record.kind != event::RecordKind::state || !DeviceKey::fits(record.device)) return false;
  const DeviceKey device(record.ns, record.device);
  Members in(record.payload);
  if (in.bad()) return false;
  switch (static_cast<Change>(record.message)) {
    case Change::registration_put:
      return apply_registration(device, in, table);
    case Change::registration_removed:
      table.remove_registration(device);
      return true;
    case Change::banned:
      return apply_ban(device, in, table);
    case Change::unbanned:
      table.remove_ban(device);
      return true;
    case Change::generation: {
      const auto generation = in.number<std::uint16_t>("generation");
      return !in.bad() && table.set_generation(device, generation);
    }
    case Change::command_pending:
      return apply_pending(device, in, table);
    case Change::command_ended: {
      const auto id = in.number<std::uint64_t>("id");
      if (in.bad()) return false;
      table.remove_pending(device, id);
      return true;
    }
    case Change::command_tried: {
      const auto id = in.number<std::uint64_t>("id");
      const auto tries = in.number<std::uint32_t>("tries");
      if (in.bad()) return false;
      table.set_tries(device, id, tries);
      return true;
    }
  }
  return false;
}

}  // namespace ringgate::state
