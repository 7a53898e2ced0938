#include "tools/log/selecting.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>

#include "storage/log/record.hpp"
#include "tools/log/common.hpp"

namespace ringgate::log_tool {

namespace {

constexpr log::Kind all_kinds[] = {log::Kind::frame_up, log::Kind::frame_down, log::Kind::session,
                                   log::Kind::command,  log::Kind::audit,      log::Kind::media,
                                   log::Kind::state};

std::string kind_names() {
  std::string names;
  for (const log::Kind kind : all_kinds) {
    if (!names.empty()) names += ", ";
    names += log::kind_name(kind);
  }
  return names;
}

Result<void> read_time(const char* option, const std::string& text, WallUs now_us, WallUs& out) {
  if (text.empty()) return {};
  const auto time = parse_time(text, now_us);
  if (!time) return Error{0, fmt::format("{}: {}", option, time.error().message)};
  out = *time;
  return {};
}

}  // namespace

void add_basic_options(CLI::App& command, SelectOptions& options) {
  command.add_option("DIR", options.directory, "Data directory")->required();
  command.add_option("--device", options.devices, "Only this device; repeatable")
      ->allow_extra_args(false);
  command.add_option("--from", options.from,
                     "Received at or after: 2026-11-20T22:00:00Z, seconds since 1970, or -15m");
  command.add_option("--to", options.to, "Received before");
}

void add_select_options(CLI::App& command, SelectOptions& options) {
  add_basic_options(command, options);
  command
      .add_option("--message-id", options.message_ids, "Only frames and commands like 0x0200; "
                                                       "repeatable")
      ->allow_extra_args(false);
  command
      .add_option("--kind", options.kinds,
                  "Only this kind: frame-up, frame-down, session, command, audit, media, state; "
                  "repeatable")
      ->allow_extra_args(false);
  command.add_option("--device-from", options.device_from,
                     "Only records with a position that the device dates at or after this");
  command.add_option("--device-to", options.device_to, "... before this");
  command.add_option("--area", options.area,
                     "Only records with a position in LAT,LON,LAT,LON: two opposite corners");
  command.add_flag("--no-duplicates", options.no_duplicates, "No retransmissions");
  command.add_flag("--no-parts", options.no_parts,
                   "No parts of messages of which the log has the whole");
}

Result<std::uint16_t> parse_message_id(const std::string& given) {
  std::string_view text = given;
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  if (hex) text.remove_prefix(2);
  std::uint16_t id = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), id, hex ? 16 : 10);
  if (error != std::errc() || end != text.data() + text.size()) {
    return Error{0, fmt::format("'{}' is no message id: use one like 0x0200", given)};
  }
  return id;
}

std::vector<DeviceKey> device_keys(const std::string& text) {
  std::vector<DeviceKey> keys;
  if (!DeviceKey::fits(text)) return keys;
  keys.emplace_back(Namespace::json, text);
  if (text.find_first_not_of("0123456789") != std::string::npos) return keys;
  const std::size_t zeros = std::min(text.find_first_not_of('0'), text.size() - 1);
  keys.emplace_back(Namespace::phone, std::string_view(text).substr(zeros));
  return keys;
}

Result<query::Selection> to_selection(const SelectOptions& options, WallUs now_us) {
  query::Selection selection;
  for (const std::string& device : options.devices) {
    const std::vector<DeviceKey> keys = device_keys(device);
    if (keys.empty()) return Error{0, fmt::format("--device: '{}' is no device's name", device)};
    selection.devices.insert(selection.devices.end(), keys.begin(), keys.end());
  }
  for (const std::string& text : options.message_ids) {
    const auto id = parse_message_id(text);
    if (!id) return id.error();
    selection.messages.push_back(*id);
  }
  for (const std::string& name : options.kinds) {
    const auto* const kind = std::ranges::find(all_kinds, name, log::kind_name);
    if (kind == std::end(all_kinds)) {
      return Error{0, fmt::format("--kind: '{}' is none of {}", name, kind_names())};
    }
    selection.add_kind(*kind);
  }
  // Of other kinds the number means something else, or nothing.
  if (!selection.messages.empty() && selection.kinds == 0) {
    selection.add_kind(log::Kind::frame_up);
    selection.add_kind(log::Kind::frame_down);
    selection.add_kind(log::Kind::command);
  }
  const std::pair<const char*, std::pair<const std::string*, WallUs*>> times[] = {
      {"--from", {&options.from, &selection.received_from_us}},
      {"--to", {&options.to, &selection.received_to_us}},
      {"--device-from", {&options.device_from, &selection.device_from_us}},
      {"--device-to", {&options.device_to, &selection.device_to_us}}};
  for (const auto& [option, time] : times) {
    if (auto read = read_time(option, *time.first, now_us, *time.second); !read) {
      return read.error();
    }
  }
  if (!options.area.empty()) {
    auto area = query::parse_area(options.area);
    if (!area) return Error{0, fmt::format("--area: {}", area.error().message)};
    selection.area = *area;
  }
  selection.duplicates = !options.no_duplicates;
  selection.parts = !options.no_parts;
  return selection;
}

}  // namespace ringgate::log_tool
