// Command lines and results of the benchmarks of sinks.
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>

namespace ringgate::perf {

// What all of them take; each begins with its own defaults.
struct SinkBenchOptions {
  std::string url;
  std::string json;  // file for the result; empty and "-": standard output
  std::uint64_t records = 400'000;
  std::uint32_t devices = 20'000;
  std::uint32_t batch = 4096;
};

inline std::uint32_t number_of(const char* text) {
  return static_cast<std::uint32_t>(std::strtoul(text, nullptr, 10));
}

// Reads `--name value ...`; what is not known here goes to `other`.
inline void parse(int argc, char** argv, SinkBenchOptions& options,
                  const std::function<void(std::string_view, const char*)>& other = {}) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const char* value = argv[i + 1];
    if (name == "--url") {
      options.url = value;
    } else if (name == "--json") {
      options.json = value;
    } else if (name == "--records") {
      options.records = std::strtoull(value, nullptr, 10);
    } else if (name == "--devices") {
      options.devices = number_of(value);
    } else if (name == "--batch") {
      options.batch = number_of(value);
    } else if (other) {
      other(name, value);
    }
  }
}

// Writes the result where it was asked for; the exit status.
inline int finish(const SinkBenchOptions& options, const std::string& json) {
  if (options.json.empty() || options.json == "-") {
    fmt::print("{}\n", json);
    return 0;
  }
  std::FILE* const out = std::fopen(options.json.c_str(), "w");
  if (out == nullptr) return 2;
  fmt::print(out, "{}\n", json);
  return std::fclose(out) == 0 ? 0 : 2;
}

}  // namespace ringgate::perf
