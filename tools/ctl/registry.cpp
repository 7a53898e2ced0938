#include "tools/ctl/registry.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "tools/ctl/show.hpp"

namespace ringgate::ctl {

namespace {

constexpr int patience = 60'000;
// Entries of one request: some milliseconds of the gateway's control thread.
constexpr std::size_t entries_per_request = 1000;

struct CloseFile {
  void operator()(std::FILE* file) const {
    if (file != stdin && file != stdout) std::fclose(file);
  }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

int complain(std::string_view what) {
  fmt::print(stderr, "ringgate-ctl: {}\n", what);
  return exit_usage;
}

int fail(std::string_view what) {
  complain(what);
  return exit_failed;
}

std::optional<RegistryFormat> format_of(const RegistryOptions& options) {
  if (options.format == "csv") return RegistryFormat::csv;
  if (options.format == "toml") return RegistryFormat::toml;
  if (options.file.ends_with(".toml")) return RegistryFormat::toml;
  if (options.file.ends_with(".csv") || options.file == "-") return RegistryFormat::csv;
  return {};
}

Json to_json(const RegistryEntry& entry) {
  return {{"phone", entry.phone}, {"plate", entry.plate}, {"plate_colour", entry.plate_colour},
          {"terminal_id", entry.terminal_id}, {"maker", entry.maker}, {"model", entry.model},
          {"note", entry.note}, {"enabled", entry.enabled}};
}

RegistryEntry from_json(const Json& row) {
  RegistryEntry entry;
  entry.phone = row.value("phone", "");
  entry.plate = row.value("plate", "");
  entry.plate_colour = row.value("plate_colour", std::uint8_t{0});
  entry.terminal_id = row.value("terminal_id", "");
  entry.maker = row.value("maker", "");
  entry.model = row.value("model", "");
  entry.note = row.value("note", "");
  entry.enabled = row.value("enabled", true);
  return entry;
}

// "done of total" on a terminal's stderr, with the time that is left.
class Progress {
 public:
  explicit Progress(std::size_t total) : total_(total) {}
  ~Progress() {
    if (shown_) fmt::print(stderr, "\r\033[K");
  }
  void update(std::size_t done) {
    using Clock = std::chrono::steady_clock;
    const double spent = std::chrono::duration<double>(Clock::now() - began_).count();
    if (spent < 1 || ::isatty(STDERR_FILENO) == 0 || done == 0) return;
    shown_ = true;
    const double left = spent * static_cast<double>(total_ - done) / static_cast<double>(done);
    fmt::print(stderr, "\r\033[K{} of {} devices, {:.0f} s left", done, total_, left);
  }

 private:
  std::size_t total_;
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  bool shown_ = false;
};

// Sends `requests` in pieces; counts what was stored and prints what was not.
class Sender {
 public:
  Sender(Client& client, const Options& options, const char* op, const char* list)
      : client_(client), options_(options), op_(op), list_(list) {}

  int send(const std::vector<Json>& all) {
    Progress progress(all.size());
    for (std::size_t at = 0; at < all.size();) {
      Json piece = Json::array();
      while (at < all.size() && piece.size() < entries_per_request) piece.push_back(all[at++]);
      Json end;
      const int code = converse(client_, options_, {{"op", op_}, {list_, piece}}, patience,
                                [](const Json&) {}, &end);
      if (code != 0) {
        fmt::print(stderr, "ringgate-ctl: {} of {} devices were done\n", done, all.size());
        return code;
      }
      done += end.value("done", std::size_t{0});
      for (const Json& failed : end.value("failed", Json::array())) refused(failed);
      progress.update(at);
    }
    return failures == 0 ? 0 : exit_failed;
  }

  std::size_t done = 0;
  std::size_t failures = 0;

 private:
  void refused(const Json& failed) {
    if (++failures > registry_errors_max) return;
    fmt::print(stderr, "ringgate-ctl: {}: {}\n", plain(failed, "phone"), plain(failed, "why"));
  }

  Client& client_;
  const Options& options_;
  const char* op_;
  const char* list_;
};

template <class Take>
int for_each_entry(Client& client, const Options& options, Take&& take) {
  return converse(client, options, {{"op", "registry_list"}}, patience,
                  [&](const Json& line) { take(line["registration"]); });
}

int remove_phones(Client& client, const Options& options, const std::vector<std::string>& phones,
                  std::size_t& removed) {
  Sender sender(client, options, "registry_remove", "phones");
  const int code = sender.send(std::vector<Json>(phones.begin(), phones.end()));
  removed = sender.done;
  return code;
}

}  // namespace

int registry_list(Client& client, const Options& options) {
  Table table({{"PHONE", 14}, {"STATE", 8}, {"PLATE", 12}, {"TERMINAL", 14}, {"MAKER", 10},
               {"MODEL", 12}, {"NOTE", 20}});
  std::size_t count = 0;
  const int code = for_each_entry(client, options, [&](const Json& row) {
    ++count;
    if (options.json) {
      fmt::print("{}\n", row.dump(-1, ' ', false, Json::error_handler_t::replace));
      return;
    }
    const bool enabled = row.value("enabled", true);
    table.row({plain(row, "phone"), enabled ? "enabled" : "disabled", plain(row, "plate"),
               plain(row, "terminal_id"), plain(row, "maker"), plain(row, "model"),
               plain(row, "note")},
              enabled ? Colour::plain : Colour::dim);
  });
  if (code == 0 && !options.json) fmt::print(stderr, "{} devices\n", count);
  return code;
}

int registry_show(Client& client, const Options& options) {
  Json end;
  const int code = converse(client, options, {{"op", "registry"}, {"device", options.words[0]}},
                            patience, [](const Json&) {}, &end);
  if (code != 0) return code;
  if (options.json) {
    fmt::print("{}\n", end["registration"].dump(-1, ' ', false, Json::error_handler_t::replace));
  } else {
    print_object(end["registration"]);
  }
  return 0;
}

int registry_add(Client& client, const Options& options, const RegistryOptions& registry) {
  RegistryEntry entry = registry.entry;
  entry.phone = options.words[0];
  entry.enabled = !registry.disabled;
  Sender sender(client, options, "registry_put", "entries");
  const int code = sender.send({to_json(entry)});
  if (code == 0) fmt::print("{} is registered\n", entry.phone);
  return code;
}

int registry_remove(Client& client, const Options& options) {
  std::size_t removed = 0;
  const int code = remove_phones(client, options, options.words, removed);
  if (removed > 0) fmt::print("{} removed\n", removed);
  return code;
}

int registry_import(Client& client, const Options& options, const RegistryOptions& registry) {
  const auto format = format_of(registry);
  if (!format) return complain("the file's name tells no format: --format csv or --format toml");
  const File file(registry.file == "-" ? stdin : std::fopen(registry.file.c_str(), "rbe"));
  if (!file) return fail(fmt::format("{}: {}", registry.file, std::strerror(errno)));
  std::string text;
  char buffer[1 << 16];
  while (const std::size_t got = std::fread(buffer, 1, sizeof buffer, file.get())) {
    text.append(buffer, got);
  }
  if (std::ferror(file.get()) != 0) return fail(registry.file + ": it can't be read");
  const RegistryFile read = read_registry(text, *format);
  for (const std::string& error : read.errors) {
    fmt::print(stderr, "{}:{}\n", registry.file, error);
  }
  if (read.errors_in_all > 0) {
    return fail(fmt::format("{} errors; nothing was imported", read.errors_in_all));
  }
  std::vector<std::string> gone;
  if (registry.replace) {
    std::set<std::string> kept;
    for (const RegistryEntry& entry : read.entries) kept.insert(entry.phone);
    const int code = for_each_entry(client, options, [&](const Json& row) {
      std::string phone = row.value("phone", "");
      if (!kept.contains(phone)) gone.push_back(std::move(phone));
    });
    if (code != 0) return code;
  }
  if (registry.dry_run) {
    fmt::print("{} devices would be registered, {} removed\n", read.entries.size(), gone.size());
    return 0;
  }
  std::vector<Json> entries;
  entries.reserve(read.entries.size());
  for (const RegistryEntry& entry : read.entries) entries.push_back(to_json(entry));
  Sender sender(client, options, "registry_put", "entries");
  int code = sender.send(entries);
  std::size_t removed = 0;
  if (code == 0 && !gone.empty()) code = remove_phones(client, options, gone, removed);
  fmt::print("{} devices registered, {} removed, {} refused\n", sender.done, removed,
             sender.failures);
  return code;
}

int registry_export(Client& client, const Options& options, const RegistryOptions& registry) {
  const auto format = format_of(registry);
  if (!format) return complain("the file's name tells no format: --format csv or --format toml");
  // Under another name first: a file that is there stays until the new one is whole.
  const bool to_file = registry.file != "-";
  const std::string path = registry.file + ".new";
  File file(to_file ? std::fopen(path.c_str(), "wbe") : stdout);
  if (!file) return fail(fmt::format("{}: {}", path, std::strerror(errno)));
  std::fputs(registry_head(*format).c_str(), file.get());
  std::size_t count = 0;
  int code = for_each_entry(client, options, [&](const Json& row) {
    ++count;
    std::fputs(registry_text(from_json(row), *format).c_str(), file.get());
  });
  if (code == 0 && (std::fflush(file.get()) != 0 || std::ferror(file.get()) != 0)) {
    code = fail(fmt::format("{}: {}", to_file ? path : "standard output", std::strerror(errno)));
  }
  file.reset();
  if (!to_file) return code;
  if (code != 0) {
    std::remove(path.c_str());
    return code;
  }
  if (std::rename(path.c_str(), registry.file.c_str()) != 0) {
    return fail(fmt::format("{}: {}", registry.file, std::strerror(errno)));
  }
  fmt::print(stderr, "{} devices\n", count);
  return 0;
}

}  // namespace ringgate::ctl
