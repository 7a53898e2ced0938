#include "tools/chaos/json_entry.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/chaos/limits.hpp"

namespace ringgate::chaos {

namespace {

using config::TomlEntry;
using Entry = TomlEntry;

std::string place_of(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  return fmt::format("{}:{}", line, before.size() - (before.rfind('\n') + 1) + 1);
}

// Follows the parser's events. The open tables and lists stand in `open_`; each goes into the one
// before it when it closes.
class Builder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  Entry top;
  std::string trouble;
  std::size_t offset = 0;

  bool null() override { return fail("null has no meaning here: leave the name out"); }
  bool boolean(bool value) override {
    Entry entry = next(Entry::Kind::boolean);
    entry.boolean = value;
    return put(std::move(entry));
  }
  bool number_integer(number_integer_t value) override {
    Entry entry = next(Entry::Kind::integer);
    entry.integer = value;
    return put(std::move(entry));
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return fail(fmt::format("{} is larger than any number here", value));
    }
    return number_integer(static_cast<std::int64_t>(value));
  }
  bool number_float(number_float_t value, const string_t&) override {
    Entry entry = next(Entry::Kind::number);
    entry.number = value;
    return put(std::move(entry));
  }
  bool string(string_t& value) override {
    Entry entry = next(Entry::Kind::text);
    entry.text = value;
    return put(std::move(entry));
  }
  bool binary(binary_t&) override { return fail("no JSON"); }
  bool start_object(std::size_t) override { return open(Entry::Kind::table); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(Entry::Kind::list); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    const std::string path = open_.back().path.empty() ? name : open_.back().path + "." + name;
    const auto same = [&](const Entry& entry) { return entry.path == path; };
    if (std::ranges::any_of(open_.back().children, same)) {
      return fail(fmt::format("\"{}\" stands twice", name));
    }
    key_ = path;
    return true;
  }
  bool parse_error(std::size_t at, const std::string&,
                   const nlohmann::detail::exception&) override {
    offset = at > 0 ? at - 1 : 0;
    return fail("not valid JSON");
  }

 private:
  Entry next(Entry::Kind kind) {
    Entry entry;
    entry.kind = kind;
    if (open_.empty()) return entry;
    entry.path = open_.back().kind == Entry::Kind::list ? open_.back().path : key_;
    return entry;
  }
  bool put(Entry entry) {
    if (open_.empty()) {
      top = std::move(entry);
    } else {
      open_.back().children.push_back(std::move(entry));
    }
    return true;
  }
  bool open(Entry::Kind kind) {
    if (open_.size() >= limits::json_depth_max) return fail("nested too deep");
    open_.push_back(next(kind));
    return true;
  }
  bool close() {
    Entry entry = std::move(open_.back());
    open_.pop_back();
    return put(std::move(entry));
  }
  bool fail(std::string why) {
    if (trouble.empty()) trouble = std::move(why);
    return false;
  }

  std::vector<Entry> open_;
  std::string key_;
};

}  // namespace

Result<Entry, config::ConfigError> parse_json(std::string_view text) {
  Builder builder;
  const bool whole = nlohmann::json::sax_parse(text, &builder);
  if (!whole) {
    return config::ConfigError{builder.offset > 0 ? place_of(text, builder.offset) : "",
                               builder.trouble.empty() ? "not valid JSON" : builder.trouble};
  }
  if (builder.top.kind != Entry::Kind::table) {
    return config::ConfigError{"", "must be an object: { \"name\": value, ... }"};
  }
  return std::move(builder.top);
}

}  // namespace ringgate::chaos
