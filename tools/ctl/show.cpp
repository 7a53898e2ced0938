#include "tools/ctl/show.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

namespace ringgate::ctl {

namespace {

bool colours() {
  static const bool on = ::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
  return on;
}

// Characters, not bytes.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

struct Unit {
  std::string_view suffix;
  std::string_view unit;
};
constexpr Unit units[] = {{"_kmh", " km/h"}, {"_deg", " degrees"}, {"_km", " km"},
                          {"_m", " m"},      {"_ms", " ms"},       {"_bytes", " bytes"}};

}  // namespace

std::string coloured(Colour colour, std::string_view text) {
  if (!colours() || colour == Colour::plain) return std::string(text);
  constexpr std::string_view codes[] = {"", "32", "31", "2", "1"};
  return fmt::format("\x1b[{}m{}\x1b[0m", codes[static_cast<std::size_t>(colour)], text);
}

std::string ansi_clear() { return ::isatty(STDOUT_FILENO) == 1 ? "\x1b[H\x1b[2J" : ""; }

void Table::print(const std::vector<std::string>& cells, Colour colour) const {
  std::string line;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const Column& column = columns_[i];
    const std::string text = i < cells.size() ? cells[i] : "";
    const std::size_t width = width_of(text);
    const std::size_t pad = column.width > width ? column.width - width : 0;
    if (i > 0) line.append("  ");
    if (column.right) line.append(pad, ' ');
    line.append(text);
    if (!column.right) line.append(pad, ' ');
  }
  line.erase(line.find_last_not_of(' ') + 1);
  fmt::print("{}\n", coloured(colour, line));
}

void Table::row(const std::vector<std::string>& cells, Colour colour) {
  if (!titled_) {
    titled_ = true;
    std::vector<std::string> titles;
    for (const Column& column : columns_) titles.emplace_back(column.title);
    print(titles, Colour::strong);
  }
  print(cells, colour);
}

// Texts come from devices: none of them moves the cursor or rewrites the screen.
std::string printable(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    // U+0080 to U+009F: C1, as good as an escape on some terminals.
    const auto next = static_cast<unsigned char>(at + 1 < text.size() ? text[at + 1] : 0);
    const bool c1 = byte == 0xc2 && next >= 0x80 && next < 0xa0;
    if (byte >= 0x20 && byte != 0x7f && !c1) {
      out.push_back(text[at]);
    } else {
      out.append(fmt::format("\\x{:02x}", c1 ? next : byte));
      at += c1 ? 1 : 0;
    }
  }
  return out;
}

std::string plain(const Json& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) return printable(value.get_ref<const std::string&>());
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string plain(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? "-" : plain(*found);
}

std::string ago(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return "-";
  const auto at_us = found->get<std::int64_t>();
  if (at_us == 0) return "never";
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const std::int64_t s =
      std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(now).count() -
                                    at_us / 1'000'000);
  if (s < 100) return fmt::format("{}s", s);
  if (s < 100 * 60) return fmt::format("{}m", s / 60);
  if (s < 48 * 3600) return fmt::format("{}h", s / 3600);
  return fmt::format("{}d", s / 86400);
}

void print_object(const Json& object, std::size_t indent) {
  for (const auto& [key, value] : object.items()) {
    if (key.ends_with("_us") && object.contains(key.substr(0, key.size() - 3))) continue;
    std::string name = key;
    std::string_view unit;
    for (const Unit& one : units) {
      if (!value.is_number() || !name.ends_with(one.suffix)) continue;
      name.resize(name.size() - one.suffix.size());
      unit = one.unit;
      break;
    }
    std::ranges::replace(name, '_', ' ');
    const std::string left(indent, ' ');
    if (value.is_object()) {
      fmt::print("{}{}\n", left, name);
      print_object(value, indent + 2);
      continue;
    }
    std::string text;
    if (value.is_array()) {
      for (const Json& one : value) {
        if (!text.empty()) text += ", ";
        text += plain(one);
      }
      if (text.empty()) text.push_back('-');
    } else {
      text = plain(value);
    }
    const std::size_t width = 22 > indent ? 22 - indent : 1;
    fmt::print("{}{:<{}} {}{}\n", left, name, width, text, unit);
  }
}

std::string one_line(const Json& object) {
  std::string line;
  for (const auto& [key, value] : object.items()) {
    if (!line.empty()) line += ' ';
    line += key;
    line += '=';
    line += plain(value);
  }
  return line;
}

}  // namespace ringgate::ctl
