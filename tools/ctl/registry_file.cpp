#include "tools/ctl/registry_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <unordered_map>

#include "engine/base/csv.hpp"
#include "engine/base/utf8.hpp"
#include "engine/config/schema.hpp"
#include "engine/config/toml_file.hpp"
#include "storage/state/limits.hpp"

namespace ringgate::ctl {

namespace {

constexpr std::array<std::string_view, 8> columns = {"phone", "plate", "plate_colour",
                                                     "terminal_id", "maker", "model", "note",
                                                     "enabled"};

// What the gateway would refuse, so that a file is imported as a whole or not at all.
// JT/T 808-2019 4.4.3: a phone number is BCD[10].
constexpr std::size_t phone_digits_max = 20;

bool is_phone(std::string_view text) {
  return text.size() <= phone_digits_max &&
         std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

std::size_t bytes_max(std::string_view column) {
  return column == "note" ? state::note_size_max : state::text_size_max;
}

std::string known_columns() {
  std::string out;
  for (const std::string_view column : columns) {
    out += fmt::format("{}{}", out.empty() ? "" : ", ", column);
  }
  return out;
}

// Collects entries and what is wrong with them.
class Reader {
 public:
  explicit Reader(RegistryFile& file) : file_(file) {}

  void error(std::uint64_t line, std::string_view what) { error_at(fmt::to_string(line), what); }
  void error_at(std::string_view place, std::string_view what) {
    ++file_.errors_in_all;
    if (place.starts_with(':')) place.remove_prefix(1);
    if (file_.errors.size() < registry_errors_max) {
      file_.errors.push_back(fmt::format("{}: {}", place, what));
    }
  }

  bool set(RegistryEntry& entry, std::string_view column, std::string_view value,
           std::uint64_t line) {
    std::string* const texts[] = {&entry.phone, &entry.plate, nullptr, &entry.terminal_id,
                                  &entry.maker, &entry.model, &entry.note, nullptr};
    const auto at = std::find(columns.begin(), columns.end(), column);
    if (at == columns.end()) {
      const std::string_view near = config::nearest(column, columns);
      error(line, near.empty() ? fmt::format("there is no '{}'; known are {}", column,
                                             known_columns())
                               : fmt::format("there is no '{}'; is '{}' meant?", column, near));
      return false;
    }
    if (!is_utf8(value)) {
      error(line, fmt::format("{}: no UTF-8", column));
      return false;
    }
    if (std::string* const text = texts[at - columns.begin()]; text != nullptr) {
      if (value.size() > bytes_max(column)) {
        error(line, fmt::format("{}: {} bytes, {} are allowed", column, value.size(),
                                bytes_max(column)));
        return false;
      }
      *text = value;
      return true;
    }
    return column == "enabled" ? set_enabled(entry, value, line) : set_colour(entry, value, line);
  }

  void add(RegistryEntry entry, std::uint64_t line) {
    if (entry.phone.empty()) return error(line, "phone: it is missing");
    if (!is_phone(entry.phone)) {
      return error(line, fmt::format("phone: 1 to {} digits are expected, not '{}'",
                                     phone_digits_max, entry.phone));
    }
    // As the gateway knows it: with leading zeros it is the same device.
    entry.phone.erase(0, std::min(entry.phone.find_first_not_of('0'), entry.phone.size() - 1));
    const auto [place, added] = lines_.try_emplace(entry.phone, line);
    if (!added) {
      return error(line, fmt::format("phone {} stands in line {} already", entry.phone,
                                     place->second));
    }
    file_.entries.push_back(std::move(entry));
  }

 private:
  bool set_enabled(RegistryEntry& entry, std::string_view value, std::uint64_t line) {
    if (value == "true" || value == "1" || value == "yes" || value.empty()) {
      entry.enabled = true;
    } else if (value == "false" || value == "0" || value == "no") {
      entry.enabled = false;
    } else {
      error(line, fmt::format("enabled: true or false is expected, not '{}'", value));
      return false;
    }
    return true;
  }
  bool set_colour(RegistryEntry& entry, std::string_view value, std::uint64_t line) {
    if (value.empty()) return true;
    const auto [end, failed] =
        std::from_chars(value.data(), value.data() + value.size(), entry.plate_colour);
    if (failed == std::errc{} && end == value.data() + value.size()) return true;
    error(line, fmt::format("plate_colour: a number from 0 to 255 is expected, not '{}'", value));
    return false;
  }

  RegistryFile& file_;
  std::unordered_map<std::string, std::uint64_t> lines_;  // of phones
};

// One record of RFC 4180 after the other.
class CsvLines {
 public:
  explicit CsvLines(std::string_view text) : text_(text) {}

  // False: no more. `bad` where a quote is left open or something follows one.
  bool next(std::vector<std::string>& cells, std::uint64_t& line, bool& bad) {
    cells.clear();
    bad = false;
    if (at_ >= text_.size()) return false;
    line = line_;
    for (;;) {
      cells.push_back(cell(bad));
      if (at_ >= text_.size()) return true;
      const char end = text_[at_++];
      if (end == ',') continue;
      if (end == '\r' && at_ < text_.size() && text_[at_] == '\n') ++at_;
      ++line_;
      return true;
    }
  }

 private:
  std::string cell(bool& bad) {
    std::string out;
    if (at_ < text_.size() && text_[at_] == '"') {
      ++at_;
      for (;; ++at_) {
        if (at_ >= text_.size()) return bad = true, out;
        if (text_[at_] == '"') {
          ++at_;
          if (at_ >= text_.size() || text_[at_] != '"') break;
        }
        if (text_[at_] == '\n') ++line_;
        out += text_[at_];
      }
      constexpr std::string_view ends = ",\r\n";
      if (at_ < text_.size() && ends.find(text_[at_]) == std::string_view::npos) bad = true;
    }
    for (; at_ < text_.size(); ++at_) {
      const char letter = text_[at_];
      if (letter == ',' || letter == '\n' || letter == '\r') break;
      out += letter;
    }
    return out;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::uint64_t line_ = 1;
};

void read_csv(std::string_view text, Reader& reader) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  CsvLines lines(text);
  std::vector<std::string> head;
  std::vector<std::string> cells;
  std::uint64_t line = 1;
  bool bad = false;
  if (!lines.next(head, line, bad)) return reader.error(1, "the file is empty");
  RegistryEntry probe;
  bool good = !bad;
  for (const std::string& column : head) good &= reader.set(probe, column, "", line);
  if (std::find(head.begin(), head.end(), "phone") == head.end()) {
    reader.error(line, fmt::format("the first line names the columns ({}); 'phone' must be there",
                                   known_columns()));
    good = false;
  }
  if (!good) return;
  while (lines.next(cells, line, bad)) {
    if (cells.size() == 1 && cells[0].empty()) continue;
    if (bad) {
      reader.error(line, "a quote is left open, or something follows a closing one");
    } else if (cells.size() != head.size()) {
      reader.error(line, fmt::format("{} columns where the first line has {}", cells.size(),
                                     head.size()));
    } else {
      RegistryEntry entry;
      bool whole = true;
      for (std::size_t i = 0; i < head.size(); ++i) {
        whole &= reader.set(entry, head[i], cells[i], line);
      }
      if (whole) reader.add(std::move(entry), line);
    }
  }
}

void read_toml(std::string_view text, Reader& reader) {
  using Kind = config::TomlEntry::Kind;
  const auto parsed = config::parse_toml(text, "");
  if (!parsed) return reader.error_at(parsed.error().where, parsed.error().message);
  for (const config::TomlEntry& list : parsed->children) {
    if (list.path != "device" || list.kind != Kind::list) {
      reader.error(list.line, fmt::format("'{}' is not [[device]]", list.path));
      continue;
    }
    for (const config::TomlEntry& table : list.children) {
      if (table.kind != Kind::table) {
        reader.error(table.line, "a device is a table: [[device]]");
        continue;
      }
      RegistryEntry entry;
      bool whole = true;
      for (const config::TomlEntry& value : table.children) {
        const std::string_view leaf = config::leaf_of(value.path);
        const bool plain = value.kind == Kind::text || value.kind == Kind::boolean ||
                           value.kind == Kind::integer;
        const std::string said = value.kind == Kind::text      ? value.text
                                 : value.kind == Kind::boolean ? (value.boolean ? "true" : "false")
                                                               : fmt::format("{}", value.integer);
        if (!plain) reader.error(value.line, fmt::format("{}: a plain value is expected", leaf));
        whole &= plain && reader.set(entry, leaf, said, value.line);
      }
      if (whole) reader.add(std::move(entry), table.line);
    }
  }
}

std::string csv_cell(std::string_view text) {
  std::string out;
  put_csv_cell(out, text);
  return out;
}

}  // namespace

RegistryFile read_registry(std::string_view text, RegistryFormat format) {
  RegistryFile file;
  Reader reader(file);
  if (format == RegistryFormat::csv) {
    read_csv(text, reader);
  } else {
    read_toml(text, reader);
  }
  return file;
}

std::string registry_head(RegistryFormat format) {
  if (format == RegistryFormat::toml) return {};
  std::string out;
  for (const std::string_view column : columns) {
    out += fmt::format("{}{}", out.empty() ? "" : ",", column);
  }
  return out += '\n';
}

std::string registry_text(const RegistryEntry& entry, RegistryFormat format) {
  if (format == RegistryFormat::csv) {
    return fmt::format("{},{},{},{},{},{},{},{}\n", csv_cell(entry.phone), csv_cell(entry.plate),
                       entry.plate_colour, csv_cell(entry.terminal_id), csv_cell(entry.maker),
                       csv_cell(entry.model), csv_cell(entry.note), entry.enabled);
  }
  std::string out = fmt::format("[[device]]\nphone = {}\n", config::toml_quoted(entry.phone));
  const std::pair<std::string_view, const std::string*> texts[] = {
      {"plate", &entry.plate}, {"terminal_id", &entry.terminal_id}, {"maker", &entry.maker},
      {"model", &entry.model}, {"note", &entry.note}};
  for (const auto& [name, value] : texts) {
    if (!value->empty()) out += fmt::format("{} = {}\n", name, config::toml_quoted(*value));
  }
  if (entry.plate_colour != 0) out += fmt::format("plate_colour = {}\n", entry.plate_colour);
  if (!entry.enabled) out += "enabled = false\n";
  return out += '\n';
}

}  // namespace ringgate::ctl
