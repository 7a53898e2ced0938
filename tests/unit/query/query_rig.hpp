// What tests of queries share: logs of several runs made by the real writer, and ways to harm them.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "storage/query/scan.hpp"
#include "storage/query/tail.hpp"
#include "tests/unit/log/log_rig.hpp"

namespace ringgate::query {

// Numbers (links) of what is handed out.
using Numbers = std::vector<std::uint64_t>;

inline Numbers range(std::uint64_t from, std::uint64_t to) {
  Numbers out;
  for (std::uint64_t i = from; i < to; ++i) out.push_back(i);
  return out;
}

// Appends the samples from `from` to `to`, each committed with those of its kilobyte.
inline void write(log::Rig& rig, std::uint64_t from, std::uint64_t to, std::size_t size = 500) {
  for (std::uint64_t i = from; i < to; ++i) {
    if (!rig.writer->has_room(size + 20)) rig.commit();
    REQUIRE(log::append_sample(*rig.writer, i, size) != 0);
    if (i % 40 == 0) rig.commit();
  }
  rig.commit();
}

inline std::vector<std::string> segment_files(const std::string& data_dir) {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(data_dir + "/log")) {
    if (log::parse_segment_file_name(entry.path().filename().string())) {
      out.push_back(entry.path().string());
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

inline void overwrite(const std::string& path, std::uint64_t offset, std::size_t size) {
  const int fd = ::open(path.c_str(), O_WRONLY);
  REQUIRE(fd >= 0);
  const std::string garbage(size, '\x5a');
  REQUIRE(::pwrite(fd, garbage.data(), size, static_cast<off_t>(offset)) ==
          static_cast<ssize_t>(size));
  ::close(fd);
}

struct TailRig {
  explicit TailRig(const std::string& data_dir, const TailStart& start = {},
                   const log::CommitBoard* board = nullptr, const Selection& selection = {}) {
    auto opened = Tail::open({io::real_sys(), data_dir, catalogs, board}, selection, start);
    REQUIRE_MESSAGE(opened.ok(), (opened.ok() ? std::string() : opened.error().message));
    tail = std::move(*opened);
  }
  Numbers take(std::size_t most = ~std::size_t{0}) {
    Numbers out;
    Found found;
    while (out.size() < most && tail->next(found)) out.push_back(found.record.header.link);
    return out;
  }
  Numbers look() {
    REQUIRE(tail->refresh());
    return take();
  }

  event::CatalogSet catalogs;
  std::unique_ptr<Tail> tail;
};

}  // namespace ringgate::query
