// Snapshots there and back, and that no damage passes.
#include "storage/state/snapshot.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "storage/state/covered.hpp"
#include "storage/state/records.hpp"

using namespace ringgate;
using namespace ringgate::state;

namespace {

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/ringgate-state-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path = name;
  }
  ~Folder() { static_cast<void>(std::system(fmt::format("rm -rf {}", path).c_str())); }
  std::string path;
};

DeviceKey key(int number) { return {Namespace::phone, std::to_string(13'800'000'000 + number)}; }

std::string file_text(const std::string& path) {
  std::string text;
  std::FILE* file = std::fopen(path.c_str(), "rb");
  REQUIRE(file != nullptr);
  for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) text += static_cast<char>(c);
  std::fclose(file);
  return text;
}

void put_file(const std::string& path, std::string_view text) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  REQUIRE(file != nullptr);
  CHECK(std::fwrite(text.data(), 1, text.size(), file) == text.size());
  std::fclose(file);
}

struct Rig {
  Rig() {
    node[3] = 7;
    cursor.finish_runs_below(4);
    cursor.set({4, 0}, 4096);
    cursor.set({4, 1}, 128);
  }
  std::string write(int devices) {
    flow::Budget budget(0);
    Table table(budget);
    for (int i = 0; i < devices; ++i) {
      Registration one;
      one.plate = fmt::format("P{}", i);
      one.enabled = i % 3 != 0;
      CHECK(table.put_registration(key(i), one.view()));
      if (i % 5 == 0) CHECK(table.put_ban(key(i), {.since_us = i, .by = "me", .why = "x"}));
      if (i % 7 == 0) CHECK(table.set_generation(key(i), 3));
      if (i % 11 == 0) CHECK(table.put_pending(key(i), {.id = 1, .json = R"({"message":"x"})"}));
    }
    auto writer = SnapshotWriter::create(io::real_sys(), folder.path, node);
    REQUIRE(writer.ok());
    std::uint64_t place = 0;
    do {
      std::vector<std::uint8_t> bytes;
      std::uint32_t count = 0;
      place = table.list(place, 100, [&](const Table::Entry& entry) {
        count += encode_entry(entry, bytes);
      });
      CHECK((*writer)->add(bytes, count).ok());
    } while (place != 0);
    auto name = (*writer)->finish(cursor);
    REQUIRE(name.ok());
    return *name;
  }
  Result<log::Cursor> read(const std::string& name, Table& table) {
    return read_snapshot(io::real_sys(), folder.path + "/" + name, node,
                         [&](const event::RecordView& record) { CHECK(apply(record, table)); });
  }
  Folder folder;
  log::NodeId node{};
  log::Cursor cursor;
};

}  // namespace

TEST_CASE("snapshot: what is written is read, over several blocks") {
  Rig rig;
  constexpr int devices = 10'000;
  const std::string name = rig.write(devices);
  flow::Budget budget(0);
  Table table(budget);
  const auto cursor = rig.read(name, table);
  REQUIRE(cursor.ok());
  CHECK(*cursor == rig.cursor);
  CHECK(table.registrations() == devices);
  for (int i = 0; i < devices; ++i) {
    const auto found = table.registration(key(i));
    REQUIRE(found.has_value());
    CHECK(found->plate == fmt::format("P{}", i));
    CHECK(found->enabled == (i % 3 != 0));
    CHECK((table.ban(key(i)) != nullptr) == (i % 5 == 0));
    CHECK(table.generation(key(i)) == (i % 7 == 0 ? 3 : 0));
    CHECK((table.pending(key(i)) != nullptr) == (i % 11 == 0));
  }
}

TEST_CASE("snapshot: numbers go up, the newest comes first, an unfinished one is no snapshot") {
  Rig rig;
  CHECK(rig.write(1) == "snapshot-0000000001");
  CHECK(rig.write(1) == "snapshot-0000000002");
  {
    auto unfinished = SnapshotWriter::create(io::real_sys(), rig.folder.path, rig.node);
    REQUIRE(unfinished.ok());
    CHECK(list_snapshots(io::real_sys(), rig.folder.path) ==
          std::vector<std::string>{"snapshot-0000000002", "snapshot-0000000001"});
  }
  CHECK(::access((rig.folder.path + "/new-snapshot").c_str(), F_OK) != 0);
}

TEST_CASE("snapshot: any byte changed and any cut is noticed") {
  Rig rig;
  const std::string name = rig.write(12);
  const std::string path = rig.folder.path + "/" + name;
  const std::string whole = file_text(path);
  const auto reads = [&] {
    flow::Budget budget(0);
    Table table(budget);
    return read_snapshot(io::real_sys(), path, rig.node, [&](const event::RecordView& record) {
             static_cast<void>(apply(record, table));
           }).ok();
  };
  CHECK(reads());
  // The four bytes at the end of a block's head mean nothing.
  int unnoticed = 0;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x41);
    put_file(path, damaged);
    unnoticed += reads() ? 1 : 0;
  }
  CHECK(unnoticed == 2 * 4);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    put_file(path, std::string_view(whole).substr(0, size));
    CHECK_FALSE(reads());
  }
  put_file(path, whole);
  rig.node[0] ^= 1;
  CHECK_FALSE(reads());
}

TEST_CASE("snapshot: what is noted beside it holds for that snapshot only") {
  Rig rig;
  const std::string name = rig.write(1);
  log::Cursor later = rig.cursor;
  later.set({4, 0}, 8192);
  CHECK_FALSE(read_covered(io::real_sys(), rig.folder.path, rig.node, name).has_value());
  CHECK(write_covered(io::real_sys(), rig.folder.path, rig.node, name, later).ok());
  CHECK(*read_covered(io::real_sys(), rig.folder.path, rig.node, name) == later);
  CHECK_FALSE(
      read_covered(io::real_sys(), rig.folder.path, rig.node, "snapshot-0000000002").has_value());
  const std::string path = rig.folder.path + "/covered";
  const std::string whole = file_text(path);
  for (std::size_t at = 0; at + 1 < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = damaged[at] == '5' ? '6' : '5';
    put_file(path, damaged);
    CHECK_FALSE(read_covered(io::real_sys(), rig.folder.path, rig.node, name).has_value());
  }
}
