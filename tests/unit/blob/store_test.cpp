// The parts of storage/blob on their own, and a store on the real ring. Crashes: tests/sim.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <random>

#include "engine/base/crc32c.hpp"
#include "engine/observe/logger.hpp"
#include "storage/blob/metadata.hpp"
#include "storage/blob/shard_store.hpp"
#include "tests/unit/log/log_rig.hpp"

using namespace ringgate;
using namespace ringgate::blob;

namespace {

std::vector<std::uint8_t> some_bytes(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::uint8_t> bytes(size);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

// A shard with its log and store; tells what owners are told.
struct Rig final : UploadOwner {
  explicit Rig(BlobOptions chosen = {})
      : log_rig(log::small_options(scratch.path())),
        logger({.delivery = observe::Delivery::immediate, .sink = [](std::string_view) {}}),
        logs(logger.add_source("test")), group("shard", "0") {
    options = chosen;
    options.data_dir = scratch.path();
    options.min_free = 1;
    auto opened = Keeper::open(io::real_sys(), options, log_rig.dir->run(),
                               Keeper::Mode::inline_now);
    REQUIRE(opened.ok());
    keeper = std::move(*opened);
    store = std::make_unique<Store>(*log_rig.shard, *log_rig.writer, *keeper, group, logs);
  }
  ~Rig() override { stop(); }
  void stop() {
    log_rig.shard->request_stop();
    while (log_rig.shard->turn(ns_per_ms)) {
    }
    log_rig.stopped = true;
    store.reset();
    log_rig.writer.reset();
  }

  void on_room(UploadId id) override { room.push_back(id); }
  void on_stored(UploadId, const Stored& blob) override { stored.push_back(blob); }
  void on_failed(UploadId, Failure why) override { failed.push_back(why); }

  UploadInfo info(const std::string& name, std::size_t size) {
    UploadInfo out;
    out.device = DeviceKey(Namespace::phone, "13800138000");
    out.size_bytes = size;
    out.name = name;
    out.resume_key = fmt::format("key/{}", name);
    return out;
  }
  void turn() { log_rig.shard->turn(ns_per_ms); }
  template <class Done>
  void until(Done&& done) {
    const MonoNs begun = io::real_sys().mono_now();
    while (!done()) {
      REQUIRE(io::real_sys().mono_now() - begun < 60 * ns_per_s);
      turn();
    }
  }
  // Writes all of it, in pieces, however little room there is.
  void send(UploadId id, std::uint64_t offset, Bytes bytes) {
    while (!bytes.empty()) {
      const std::size_t taken = store->write(id, offset, bytes);
      offset += taken;
      bytes = bytes.subspan(taken);
      if (!bytes.empty()) turn();
    }
  }
  std::vector<std::uint8_t> content(const std::string& path) const {
    std::ifstream file(scratch.path() + "/blobs/" + path, std::ios::binary);
    REQUIRE(file.good());
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Rewrites the note of an upload as if it had been written then.
  void age_note(const std::string& name, WallUs written_us) {
    const std::string path =
        keeper->partial_path() + "/" + partial_name(info(name, 0).resume_key) + ".note";
    std::optional<Note> note;
    REQUIRE(read_note(io::real_sys(), path, note) == 0);
    REQUIRE(note.has_value());
    note->written_us = written_us;
    std::uint8_t block[block_size];
    encode_note(*note, block);
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(note_offset(note->sequence)));
    file.write(reinterpret_cast<const char*>(block), block_size);
    REQUIRE(file.good());
  }
  std::size_t partials() const {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator(scratch.path() + "/blobs/partial")) {
      ++count;
    }
    return count;
  }

  log::ScratchDir scratch;
  log::Rig log_rig;
  observe::Logger logger;
  observe::LogSource& logs;
  observe::CounterGroup group;
  BlobOptions options;
  std::unique_ptr<Keeper> keeper;
  std::unique_ptr<Store> store;
  std::vector<UploadId> room;
  std::vector<Stored> stored;
  std::vector<Failure> failed;
};

}  // namespace

TEST_CASE("ranges join their neighbours and the CRCs of any order are the CRC of the whole") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    std::mt19937_64 random(seed);
    const auto bytes = some_bytes(1 + random() % 5000, seed);
    std::vector<std::pair<std::size_t, std::size_t>> pieces;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t size = std::min<std::size_t>(1 + random() % 700, bytes.size() - at);
      pieces.emplace_back(at, size);
      at += size;
    }
    std::shuffle(pieces.begin(), pieces.end(), random);
    Ranges ranges;
    std::size_t total = 0;
    for (const auto& [at, size] : pieces) {
      CHECK_FALSE(ranges.whole(bytes.size()));
      CHECK_FALSE(ranges.run_at(at).present);
      CHECK(ranges.run_at(at).end >= at + size);
      ranges.add_checked(at, at + size, crc32c(0, Bytes(bytes).subspan(at, size)));
      CHECK(ranges.run_at(at).present);
      total += size;
      CHECK(ranges.bytes() == total);
    }
    CHECK(ranges.whole(bytes.size()));
    CHECK(ranges.pieces()[0].crc32c == crc32c(0, bytes));
  }
}

TEST_CASE("a note is read back, the newer of two counts, and a torn one leaves the other") {
  Note note;
  note.sequence = 7;
  note.size_bytes = 1 << 20;
  note.id = "0193c8f2a1b-7-0-2a";
  note.resume_key = std::string("alarm\0/../x", 11);
  for (std::uint64_t i = 0; i < 300; ++i) note.pieces.push_back({i * 100, i * 100 + 1 + i % 50, 5});
  std::vector<std::uint8_t> file(note_file_bytes);
  auto& first = *reinterpret_cast<std::uint8_t(*)[block_size]>(file.data());
  auto& second = *reinterpret_cast<std::uint8_t(*)[block_size]>(file.data() + block_size);
  encode_note(note, second);
  note.sequence = 8;
  encode_note(note, first);
  auto read = decode_note(file);
  REQUIRE(read.has_value());
  CHECK(read->sequence == 8);
  CHECK(read->resume_key == note.resume_key);
  CHECK(read->pieces.size() == noted_pieces_max);
  for (std::size_t byte = 0; byte < block_size; byte += 37) {
    auto torn = file;
    torn[byte] ^= 0x10;
    read = decode_note(torn);
    REQUIRE(read.has_value());
    CHECK(read->sequence == 7);
  }
}

TEST_CASE("content is told by its first bytes and named by a fixed table") {
  const auto found = [](std::string_view head) { return recognise(as_bytes(head)); };
  CHECK(found("\xff\xd8\xff\xe0") == Content::jpeg);
  CHECK(found("\x89PNG\r\n\x1a\n") == Content::png);
  CHECK(found(std::string_view("II*\0", 4)) == Content::tiff);
  CHECK(found("RIFF....WAVE") == Content::wav);
  CHECK(found("....ftypisom") == Content::mp4);
  CHECK(found(std::string_view("\0\0\0\1\x67", 5)) == Content::h264);
  CHECK(found(std::string_view("\0\0\0\1\x80", 5)) == Content::unknown);
  CHECK(found("ID3") == Content::mp3);
  CHECK(found("\x1f\x8b\x08") == Content::gzip);
  CHECK(found("plain words\n") == Content::text);
  CHECK(found("") == Content::unknown);
  CHECK(content_from_name("../../x.JPEG") == Content::jpeg);
  CHECK(content_from_name("x.exe") == Content::unknown);
  for (int i = 0; i < static_cast<int>(Content::count); ++i) {
    const std::string_view extension = extension_of(static_cast<Content>(i));
    CHECK_FALSE(extension.empty());
    CHECK(extension.find_first_of("./\\") == std::string_view::npos);
  }
  CHECK(printable("a\nb\xff") == "a?b?");
}

TEST_CASE("pieces in any order and any size become the file, once it is whole") {
  Rig rig;
  const auto bytes = some_bytes(300'003, 1);
  const auto begun = rig.store->begin(rig.info("a.bin", bytes.size()), rig);
  REQUIRE(begun.id.valid());
  std::vector<std::size_t> order;
  for (std::size_t at = 0; at < bytes.size(); at += 10'007) order.push_back(at);
  std::shuffle(order.begin(), order.end(), std::mt19937_64(3));
  for (const std::size_t at : order) {
    const std::size_t size = std::min<std::size_t>(10'007, bytes.size() - at);
    rig.send(begun.id, at, Bytes(bytes).subspan(at, size));
    rig.send(begun.id, at / 2, Bytes(bytes).subspan(at / 2, std::min<std::size_t>(size, 100)));
  }
  CHECK(rig.store->missing(begun.id, 10).empty());
  CHECK(rig.stored.empty());
  rig.store->commit(begun.id);
  rig.until([&] { return !rig.stored.empty(); });
  CHECK(rig.content(rig.stored[0].path) == bytes);
  CHECK(rig.stored[0].crc32c == crc32c(0, bytes));
  CHECK(rig.log_rig.shard->watermark().committed() >= rig.stored[0].record);
  CHECK(rig.partials() == 0);
  CHECK(rig.store->buffers_in_use() == 0);
  // The same again is known.
  const auto again = rig.store->begin(rig.info("a.bin", bytes.size()), rig);
  CHECK(again.already);
  rig.store->commit(again.id);
  rig.until([&] { return rig.stored.size() == 2; });
  CHECK(rig.stored[1].path == rig.stored[0].path);
}

TEST_CASE("an upload goes on with another owner, and after the store has gone") {
  const auto bytes = some_bytes(500'000, 2);
  Rig rig;
  auto begun = rig.store->begin(rig.info("b.bin", bytes.size()), rig);
  rig.send(begun.id, 0, Bytes(bytes).first(200'000));
  // Another link begins it: the first owner is told.
  const auto second = rig.store->begin(rig.info("b.bin", bytes.size()), rig);
  REQUIRE(second.id.valid());
  CHECK(rig.failed == std::vector<Failure>{Failure::taken_over});
  CHECK(second.resumed_bytes == 200'000);
  rig.store->suspend(second.id);
  rig.until([&] { return rig.store->open_uploads() == 0; });
  CHECK(rig.partials() == 2);
  const auto third = rig.store->begin(rig.info("b.bin", bytes.size()), rig);
  CHECK(third.resumed_bytes == 200'000);
  const auto gaps = rig.store->missing(third.id, 10);
  REQUIRE(gaps.size() == 1);
  CHECK(gaps[0].offset == 200'000);
  rig.send(third.id, 200'000, Bytes(bytes).subspan(200'000));
  rig.store->commit(third.id);
  rig.until([&] { return !rig.stored.empty(); });
  CHECK(rig.content(rig.stored[0].path) == bytes);
  CHECK(rig.keeper->unfinished_bytes() == 0);
}

TEST_CASE("a thousand uploads at once stay within the pool") {
  BlobOptions options;
  options.buffers_bytes = 32 * buffer_bytes;
  options.device_uploads = 2000;
  Rig rig(options);
  constexpr std::size_t count = 1000;
  constexpr std::size_t size = 20'000;
  std::vector<UploadId> ids;
  for (std::size_t i = 0; i < count; ++i) {
    ids.push_back(rig.store->begin(rig.info(fmt::format("f{}", i), size), rig).id);
    REQUIRE(ids.back().valid());
  }
  const auto bytes = some_bytes(size, 9);
  for (std::size_t at = 0; at < size; at += 5'000) {
    for (const UploadId id : ids) {
      rig.send(id, at, Bytes(bytes).subspan(at, 5'000));
      CHECK(rig.store->buffers_in_use() <= 32);
    }
  }
  for (const UploadId id : ids) rig.store->commit(id);
  rig.until([&] { return rig.stored.size() == count; });
  CHECK(rig.failed.empty());
  CHECK(rig.store->buffers_in_use() == 0);
  for (std::size_t i = 0; i < count; i += 99) CHECK(rig.content(rig.stored[i].path) == bytes);
}

TEST_CASE("refused resumes leave the account of what is unfinished as it was") {
  BlobOptions options;
  options.unfinished_size = 1 << 20;
  Rig rig(options);
  const auto bytes = some_bytes(600'000, 8);
  const auto begun = rig.store->begin(rig.info("a", bytes.size()), rig);
  rig.send(begun.id, 0, Bytes(bytes).first(200'000));
  rig.store->suspend(begun.id);
  rig.until([&] { return rig.store->open_uploads() == 0; });
  CHECK(rig.keeper->unfinished_bytes() == bytes.size());
  // More than is allowed lies there, as after the bound was lowered.
  constexpr std::uint64_t others = 600'000;
  rig.keeper->release(0 - others);
  for (int again = 0; again < 3; ++again) {
    const auto resumed = rig.store->begin(rig.info("a", bytes.size()), rig);
    REQUIRE(resumed.id.valid());  // it has its room
    CHECK(resumed.resumed_bytes == 200'000);
    rig.store->suspend(resumed.id);
    rig.until([&] { return rig.store->open_uploads() == 0; });
    CHECK(rig.store->begin(rig.info("b", bytes.size()), rig).failure == Failure::too_many);
    CHECK(rig.keeper->unfinished_bytes() == bytes.size() + others);
  }
  const auto last = rig.store->begin(rig.info("a", bytes.size()), rig);
  rig.send(last.id, 200'000, Bytes(bytes).subspan(200'000));
  rig.store->commit(last.id);
  rig.until([&] { return rig.stored.size() == 1; });
  CHECK(rig.content(rig.stored[0].path) == bytes);
  CHECK(rig.keeper->unfinished_bytes() == others);
}

TEST_CASE("directories that somebody removes are made again") {
  Rig rig;
  const auto bytes = some_bytes(100'000, 9);
  const auto store = [&](const std::string& name) {
    const auto begun = rig.store->begin(rig.info(name, bytes.size()), rig);
    REQUIRE(begun.id.valid());
    rig.send(begun.id, 0, bytes);
    return begun.id;
  };
  const auto done = [&](UploadId id) {
    const std::size_t before = rig.stored.size();
    rig.store->commit(id);
    rig.until([&] { return rig.stored.size() + rig.failed.size() > before; });
    REQUIRE(rig.failed.empty());
    CHECK(rig.content(rig.stored.back().path) == bytes);
  };
  done(store("a"));
  const std::string root = rig.scratch.path() + "/blobs";
  // Only the day's, while an upload is under way: it finds a place all the same.
  const UploadId open = store("b");
  std::filesystem::remove_all(root + "/" + rig.stored[0].path.substr(0, 8));
  done(open);
  std::filesystem::remove_all(root);
  done(store("c"));
}

TEST_CASE("what is too much is refused, and retention takes the oldest") {
  BlobOptions options;
  options.max_size = 100'000;
  options.device_uploads = 2;
  options.unfinished_size = 150'000;
  options.retention_size = 250'000;
  Rig rig(options);
  CHECK(rig.store->begin(rig.info("huge", 100'001), rig).failure == Failure::too_large);
  const auto first = rig.store->begin(rig.info("1", 90'000), rig);
  CHECK(first.id.valid());
  CHECK(rig.store->begin(rig.info("2", 90'000), rig).failure == Failure::too_many);
  CHECK(rig.store->begin(rig.info("3", 50'000), rig).id.valid());
  CHECK(rig.store->begin(rig.info("4", 1), rig).failure == Failure::too_many);
  rig.store->discard(first.id);
  rig.until([&] { return rig.store->open_uploads() == 1; });
  CHECK(rig.partials() == 1);
  for (int i = 0; i < 4; ++i) {
    const auto begun = rig.store->put(rig.info(fmt::format("put{}", i), 0),
                                      some_bytes(90'000, 4), rig);
    REQUIRE(begun.id.valid());
    rig.until([&] { return rig.stored.size() == static_cast<std::size_t>(i) + 1; });
  }
  // What people put beside them stays, and does not stop the rest.
  const std::string root = rig.scratch.path() + "/blobs/";
  const std::string day = root + rig.stored[0].path.substr(0, 9);
  std::filesystem::create_directory(day + "0-selected");
  std::ofstream(day + "0-notes.txt") << "mine";
  rig.keeper->work();
  CHECK(std::filesystem::exists(day + "0-selected"));
  CHECK(std::filesystem::exists(day + "0-notes.txt"));
  CHECK_FALSE(std::filesystem::exists(root + rig.stored[0].path));
  CHECK_FALSE(std::filesystem::exists(root + rig.stored[1].path));
  CHECK(std::filesystem::exists(root + rig.stored[2].path));
  CHECK(std::filesystem::exists(root + rig.stored[3].path));
  CHECK(rig.keeper->stored_bytes() == 180'000);
}

namespace {

// Stores files of these sizes, one after the other; the keeper looks after each.
void store_all(Rig& rig, const std::vector<std::size_t>& sizes, std::uint64_t seed) {
  for (const std::size_t size : sizes) {
    const auto bytes = some_bytes(size, seed);
    const std::size_t before = rig.stored.size();
    auto info = rig.info(fmt::format("r{}", seed++), size);
    REQUIRE(rig.store->put(info, bytes, rig).id.valid());
    rig.until([&] { return rig.stored.size() > before; });
    CHECK(rig.content(rig.stored.back().path) == bytes);
    rig.keeper->work();
  }
}

}  // namespace

TEST_CASE("uploads of any size are written over expired files") {
  BlobOptions options;
  options.retention_size = 32 << 20;
  Rig rig(options);
  std::vector<std::size_t> sizes;
  std::mt19937_64 random(5);
  for (int i = 0; i < 80; ++i) {
    const std::size_t size = spare_size_min + random() % (2 << 20);
    sizes.push_back(i % 3 == 0 ? align_up(size, block_size) : size);
  }
  store_all(rig, sizes, 1);
  const KeeperCounters& counters = rig.keeper->counters();
  if (counters.blobs_recycled.load() == 0) {
    MESSAGE("this file system has no leases: nothing is kept for reuse");
    return;
  }
  CHECK(counters.spares_used.load() > 20);
  CHECK(rig.keeper->spare_bytes() > 0);
  CHECK(rig.keeper->stored_bytes() + rig.keeper->spare_bytes() <= options.retention_size);
  CHECK(rig.keeper->spare_bytes() <= options.retention_size / spare_room_divisor);
  // All that is still there is what was stored.
  std::size_t there = 0;
  for (std::size_t i = 0; i < rig.stored.size(); ++i) {
    if (!std::filesystem::exists(rig.scratch.path() + "/blobs/" + rig.stored[i].path)) continue;
    CHECK(rig.content(rig.stored[i].path) == some_bytes(sizes[i], 1 + i));
    ++there;
  }
  CHECK(there > 10);
}

TEST_CASE("an expired file that somebody reads or has linked is not written over") {
  BlobOptions options;
  options.retention_size = 8 << 20;
  Rig rig(options);
  const std::vector<std::size_t> sizes(2, 1 << 20);
  store_all(rig, sizes, 1);
  const std::string link = rig.scratch.path() + "/kept";
  std::filesystem::create_hard_link(rig.scratch.path() + "/blobs/" + rig.stored[0].path, link);
  std::ifstream reader(rig.scratch.path() + "/blobs/" + rig.stored[1].path, std::ios::binary);
  REQUIRE(reader.good());
  store_all(rig, std::vector<std::size_t>(30, 1 << 20), 100);
  for (const Stored& blob : {rig.stored[0], rig.stored[1]}) {
    CHECK_FALSE(std::filesystem::exists(rig.scratch.path() + "/blobs/" + blob.path));
  }
  std::ifstream linked(link, std::ios::binary);
  using Each = std::istreambuf_iterator<char>;
  CHECK(std::vector<std::uint8_t>(Each(linked), {}) == some_bytes(1 << 20, 1));
  CHECK(std::vector<std::uint8_t>(Each(reader), {}) == some_bytes(1 << 20, 2));
}

TEST_CASE("without a descriptor for its note an upload is refused and stays what it was") {
  Rig rig;
  const auto bytes = some_bytes(600'000, 8);
  const auto begun = rig.store->begin(rig.info("a", bytes.size()), rig);
  rig.send(begun.id, 0, Bytes(bytes).first(200'000));
  rig.store->suspend(begun.id);
  rig.until([&] { return rig.store->open_uploads() == 0; });
  CHECK(rig.keeper->unfinished_bytes() == bytes.size());
  const int next = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  REQUIRE(next >= 0);
  ::close(next);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  for (const rlim_t spare : {0U, 1U}) {
    rlimit few = before;
    few.rlim_cur = static_cast<rlim_t>(next) + spare;  // for its content, if for anything
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
    const auto refused = rig.store->begin(rig.info("a", bytes.size()), rig);
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(refused.failure == Failure::disk_error);
    CHECK(rig.keeper->unfinished_bytes() == bytes.size());
  }
  const auto resumed = rig.store->begin(rig.info("a", bytes.size()), rig);
  REQUIRE(resumed.id.valid());
  CHECK(resumed.resumed_bytes == 200'000);
  rig.send(resumed.id, 200'000, Bytes(bytes).subspan(200'000));
  rig.store->commit(resumed.id);
  rig.until([&] { return rig.stored.size() == 1; });
  CHECK(rig.content(rig.stored[0].path) == bytes);
  CHECK(rig.keeper->unfinished_bytes() == 0);
}

TEST_CASE("where the room is full, unfinished uploads that are idle make some, the oldest first") {
  BlobOptions options;
  options.unfinished_size = 250'000;
  Rig rig(options);
  const auto bytes = some_bytes(100'000, 3);
  for (const char* name : {"a", "b"}) {
    const auto begun = rig.store->begin(rig.info(name, bytes.size()), rig);
    REQUIRE(begun.id.valid());
    rig.send(begun.id, 0, Bytes(bytes).first(70'000));
    rig.store->suspend(begun.id);
    rig.until([&] { return rig.store->open_uploads() == 0; });
  }
  const auto refused = [&] {
    return rig.store->begin(rig.info("c", bytes.size()), rig).failure == Failure::too_many;
  };
  CHECK(refused());
  rig.keeper->work();
  CHECK(refused());  // both were active a moment ago
  CHECK(rig.partials() == 4);
  // Their notes say that it was long ago, the second's less long.
  const WallUs now = io::real_sys().wall_now();
  rig.age_note("a", now - evict_idle_us - 60 * us_per_s);
  rig.age_note("b", now - evict_idle_us - 30 * us_per_s);
  CHECK(refused());
  rig.keeper->work();
  CHECK(rig.partials() == 2);
  CHECK(rig.keeper->unfinished_bytes() == bytes.size());
  const auto taken = rig.store->begin(rig.info("c", bytes.size()), rig);
  CHECK(taken.id.valid());
  CHECK(rig.store->begin(rig.info("b", bytes.size()), rig).resumed_bytes == 70'000);
  // What is open is never taken away.
  CHECK(rig.store->begin(rig.info("d", bytes.size()), rig).failure == Failure::too_many);
  rig.keeper->work();
  CHECK(rig.keeper->unfinished_bytes() == 2 * bytes.size());
  CHECK(rig.keeper->counters().partials_removed.load() == 1);
}
