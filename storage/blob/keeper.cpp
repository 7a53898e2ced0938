#include "storage/blob/keeper.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <set>

namespace ringgate::blob {

namespace {

constexpr std::size_t time_digits = 11;

bool is_day(std::string_view name) {
  return name.size() == 8 &&
         std::ranges::all_of(name, [](char digit) { return digit >= '0' && digit <= '9'; });
}

std::uint64_t hex_number(std::string_view digits) {
  std::uint64_t value = 0;
  const char* const last = digits.data() + digits.size();
  const auto [end, error] = std::from_chars(digits.data(), last, value, 16);
  return error == std::errc() && end == last ? value : 0;
}

std::uint64_t spare_room(const BlobOptions& options) {
  if (options.retention_size == 0) return options.retention_age_s == 0 ? 0 : spare_room_max;
  const std::uint64_t room = std::min(options.retention_size / spare_room_divisor, spare_room_max);
  return room < spare_size_min ? 0 : room;
}

}  // namespace

std::string blob_id(WallUs wall_us, std::uint32_t run, unsigned shard, std::uint64_t number) {
  return fmt::format("{:011x}-{:x}-{:x}-{:x}", wall_us / 1000, run, shard, number);
}

std::int64_t wall_ms_of(std::string_view name) {
  if (name.size() <= time_digits || name[time_digits] != '-') return 0;
  return static_cast<std::int64_t>(hex_number(name.substr(0, time_digits)));
}

std::uint32_t run_of(std::string_view name) {
  if (name.size() <= time_digits || name[time_digits] != '-') return 0;
  const std::string_view rest = name.substr(time_digits + 1);
  return static_cast<std::uint32_t>(hex_number(rest.substr(0, rest.find('-'))));
}

std::string day_name(WallUs wall_us) {
  const time_t seconds = wall_us / us_per_s;
  tm day{};
  gmtime_r(&seconds, &day);
  return fmt::format("{:04}{:02}{:02}", day.tm_year + 1900, day.tm_mon + 1, day.tm_mday);
}

int read_note(io::Sys& sys, const std::string& path, std::optional<Note>& note) {
  note.reset();
  const int fd = sys.open(path, O_RDONLY, 0);
  if (fd < 0) return fd == -ENOENT ? 0 : fd;
  std::vector<std::uint8_t> file(note_file_bytes);
  const std::int64_t got = sys.pread(fd, file, 0);
  sys.close(fd);
  if (got < 0) return static_cast<int>(got);
  note = decode_note(Bytes(file).first(static_cast<std::size_t>(got)));
  return 0;
}

Keeper::Keeper(io::Sys& sys, const BlobOptions& options, std::uint32_t run)
    : sys_(sys),
      options_(options),
      run_(run),
      root_(options.data_dir + "/blobs"),
      partial_(root_ + "/partial"),
      spares_(sys, partial_, spare_room(options)) {}

Result<std::unique_ptr<Keeper>> Keeper::open(io::Sys& sys, const BlobOptions& options,
                                             std::uint32_t run, Mode mode) {
  std::unique_ptr<Keeper> keeper(new Keeper(sys, options, run));
  if (auto done = keeper->prepare(); !done) return done.error();
  if (auto done = keeper->clean_partial(); !done) return done.error();
  if (mode == Mode::thread) {
    keeper->thread_ = std::thread([&keeper = *keeper] { keeper.run_thread(); });
  } else {
    keeper->count_stored();
  }
  return keeper;
}

Keeper::~Keeper() {
  stop_.store(true, std::memory_order_release);
  wake_.release();
  if (thread_.joinable()) thread_.join();
}

Result<void> Keeper::prepare() {
  for (const std::string& path : {root_, partial_}) {
    const int made = sys_.make_directory(path, 0750);
    if (made < 0 && made != -EEXIST) return errno_error(-made, "cannot make " + path);
  }
  for (const std::string& path : {options_.data_dir, root_}) {
    if (const int synced = sys_.sync_directory(path); synced < 0) {
      return errno_error(-synced, "cannot sync the directory " + path);
    }
  }
  return {};
}

// Before the shards start: whatever lies in partial/ without a valid note can't be gone on with.
Result<void> Keeper::clean_partial() {
  std::vector<io::DirectoryEntry> entries;
  if (const int listed = sys_.list_directory(partial_, entries); listed < 0) {
    return errno_error(-listed, "cannot list " + partial_);
  }
  std::set<std::string> names;
  for (const io::DirectoryEntry& entry : entries) names.insert(entry.name);
  const WallUs oldest = sys_.wall_now() - options_.unfinished_age_s * us_per_s;
  for (const std::string& name : names) {
    const std::string path = partial_ + "/" + name;
    if (name.ends_with(".part")) {
      const std::string note_name = name.substr(0, name.size() - 5) + ".note";
      std::optional<Note> note;
      read_note(sys_, partial_ + "/" + note_name, note);  // one that can't be read is no use
      if (note && note->written_us >= oldest) {
        unfinished_.fetch_add(note->size_bytes);
        continue;
      }
      sys_.remove(partial_ + "/" + note_name);
      sys_.remove(path);
      counters_.partials_removed.fetch_add(1, std::memory_order_relaxed);
    } else if (name.ends_with(".note")) {
      if (!names.contains(name.substr(0, name.size() - 5) + ".part")) sys_.remove(path);
    } else {
      sys_.remove(path);
    }
  }
  return {};
}

void Keeper::run_thread() {
  count_stored();
  MonoNs clean_ns = 0;
  while (!stop_.load(std::memory_order_acquire)) {
    woken_.store(false);
    // Who asks for room is heard at once, but not more than once a second.
    const MonoNs due = wanted_.load() > 0 ? clean_ns - keep_interval + ns_per_s : clean_ns;
    if (sys_.mono_now() >= due) {
      work();
      clean_ns = sys_.mono_now() + keep_interval;
    } else {
      expire_stored();
    }
    static_cast<void>(wake_.try_acquire_for(std::chrono::nanoseconds(keep_interval)));
  }
}

void Keeper::stored(std::uint64_t size_bytes) {
  stored_.fetch_add(size_bytes, std::memory_order_relaxed);
  if (too_much() && thread_.joinable() && !woken_.exchange(true)) wake_.release();
}

bool Keeper::reserve(std::uint64_t size_bytes) {
  if (unfinished_.fetch_add(size_bytes) + size_bytes <= options_.unfinished_size) return true;
  unfinished_.fetch_sub(size_bytes);
  // The largest: the same upload may ask again and again.
  std::uint64_t before = wanted_.load();
  while (before < size_bytes && !wanted_.compare_exchange_weak(before, size_bytes)) {
  }
  if (thread_.joinable() && !woken_.exchange(true)) wake_.release();
  return false;
}

void Keeper::work() {
  expire_partial();
  keep_spares_ = room_for_spares();
  if (!keep_spares_) spares_.clear();
  expire_stored();
}

// Space that the log may need is not held for uploads.
bool Keeper::room_for_spares() {
  const std::int64_t free = sys_.free_bytes(root_);
  return free < 0 || static_cast<std::uint64_t>(free) >= options_.min_free + spares_.room_bytes();
}

std::vector<std::string> Keeper::days() const {
  std::vector<io::DirectoryEntry> entries;
  std::vector<std::string> found;
  if (sys_.list_directory(root_, entries) < 0) return found;
  for (const io::DirectoryEntry& entry : entries) {
    if (entry.is_directory && is_day(entry.name)) found.push_back(entry.name);
  }
  std::ranges::sort(found);
  return found;
}

namespace {
bool is_ours(const io::DirectoryEntry& entry) {
  return !entry.is_directory && wall_ms_of(entry.name) != 0;
}
}  // namespace

// What was there before this run; what comes, stores add themselves.
void Keeper::count_stored() {
  if (options_.retention_size == 0) return;
  std::vector<io::DirectoryEntry> entries;
  for (const std::string& day : days()) {
    if (stop_.load(std::memory_order_acquire)) return;
    if (sys_.list_directory(root_ + "/" + day, entries) < 0) continue;
    for (const io::DirectoryEntry& entry : entries) {
      if (run_of(entry.name) == run_ || !is_ours(entry)) continue;
      stored_.fetch_add(entry.size_bytes, std::memory_order_relaxed);
    }
  }
}

// While the shards run: what has been idle for too long. Where new uploads found no room, what has
// been idle for a while goes too, the oldest first, until there is room for the largest: a forged
// number must not hold the room for a day.
void Keeper::expire_partial() {
  struct Idle {
    WallUs written_us;
    std::string base;
  };
  const std::uint64_t wanted = wanted_.exchange(0);
  std::vector<io::DirectoryEntry> entries;
  if (sys_.list_directory(partial_, entries) < 0) return;
  std::vector<Idle> idle;
  for (const io::DirectoryEntry& entry : entries) {
    if (!entry.name.ends_with(".note") || stop_.load(std::memory_order_acquire)) continue;
    const std::string base = partial_ + "/" + entry.name.substr(0, entry.name.size() - 5);
    std::optional<Note> note;
    if (read_note(sys_, base + ".note", note) < 0 || !note) continue;
    idle.push_back({note->written_us, base});
  }
  std::ranges::sort(idle, {}, &Idle::written_us);
  const WallUs now = sys_.wall_now();
  const WallUs too_old = now - options_.unfinished_age_s * us_per_s;
  const WallUs may_go = now - evict_idle_us;
  for (const Idle& one : idle) {
    const bool full = wanted > 0 && unfinished_bytes() + wanted > options_.unfinished_size;
    if (one.written_us >= too_old && (!full || one.written_us >= may_go)) return;
    if (stop_.load(std::memory_order_acquire)) return;
    remove_partial(one.base, std::max(too_old, one.written_us + 1));
  }
}

// Unless somebody holds it, or has gone on with it since: its note is no longer that old.
bool Keeper::remove_partial(const std::string& base, WallUs oldest) {
  const int fd = sys_.open(base + ".part", O_RDWR, 0);
  if (fd < 0) return false;
  // With the lock held nobody else changes these two names.
  std::optional<Note> note;
  const bool goes = sys_.lock_exclusive(fd) >= 0 && sys_.is_named(fd, base + ".part") == 1 &&
                    read_note(sys_, base + ".note", note) == 0 && note &&
                    note->written_us < oldest;
  if (goes) {
    sys_.remove(base + ".note");
    sys_.remove(base + ".part");
    release(note->size_bytes);
    counters_.partials_removed.fetch_add(1, std::memory_order_relaxed);
  }
  sys_.close(fd);
  return goes;
}

// Oldest day first. Today's directory is in use, and for a while after midnight yesterday's.
void Keeper::expire_stored() {
  if (!too_much() && options_.retention_age_s == 0) return;
  const WallUs now = sys_.wall_now();
  const std::string today = day_name(now);
  const std::string yesterday = day_name(now - 24 * 3600 * us_per_s);
  for (const std::string& day : days()) {
    if (stop_.load(std::memory_order_acquire)) return;
    if (!expire_day(day, day != today && day != yesterday)) return;
  }
}

bool Keeper::expired(std::string_view name) const {
  if (options_.retention_age_s == 0) return false;
  const std::int64_t oldest_ms = sys_.wall_now() / 1000 - options_.retention_age_s * 1000;
  return wall_ms_of(name) < oldest_ms;
}

// False: nothing later can go either. What people have put there stays.
bool Keeper::expire_day(const std::string& day, bool remove_empty) {
  const std::string path = root_ + "/" + day;
  std::vector<io::DirectoryEntry> entries;
  if (sys_.list_directory(path, entries) < 0) return true;
  std::ranges::sort(entries, {}, &io::DirectoryEntry::name);
  for (const io::DirectoryEntry& entry : entries) {
    if (stop_.load(std::memory_order_acquire)) return false;
    if (!is_ours(entry)) continue;
    const bool goes = still_too_much() || expired(entry.name);
    if (goes && retire(path, entry)) continue;
    settle_recycled(path);
    return false;
  }
  settle_recycled(path);
  if (remove_empty) sys_.remove(path);
  return true;
}

bool Keeper::retire(const std::string& day, const io::DirectoryEntry& entry) {
  const std::string path = day + "/" + entry.name;
  if (recycle(path, entry.size_bytes)) {
    if (recycled_.size() == spares_at_once) settle_recycled(day);
  } else if (sys_.remove(path) < 0) {
    return false;
  }
  const std::uint64_t before = stored_.load(std::memory_order_relaxed);
  stored_.fetch_sub(std::min(before, entry.size_bytes), std::memory_order_relaxed);
  counters_.blobs_removed.fetch_add(1, std::memory_order_relaxed);
  counters_.bytes_removed.fetch_add(entry.size_bytes, std::memory_order_relaxed);
  return true;
}

// Takes a stored file its name, and keeps it where nobody else has another name of it or reads it:
// a link that somebody made to keep it must go on showing what was stored. False: it still has its
// name.
bool Keeper::recycle(const std::string& path, std::uint64_t size_bytes) {
  const std::uint32_t slot = keep_spares_ ? spares_.hold(size_bytes) : Spares::none;
  if (slot == Spares::none) return false;
  const std::string spare = spares_.path(slot);
  if (sys_.rename(path, spare) < 0) {
    spares_.drop(slot, size_bytes);
    return false;
  }
  const int fd = sys_.open(spare, O_RDWR, 0);
  const bool ours = fd >= 0 && sys_.is_only_ours(fd) == 1;
  if (fd >= 0) sys_.close(fd);
  if (ours) {
    recycled_.push_back({slot, size_bytes});
  } else {
    spares_.drop(slot, size_bytes);
  }
  return true;
}

// Nothing is written over before it is durable that no stored file's name leads to it: else a power
// cut would bring the name back, with what was written since.
void Keeper::settle_recycled(const std::string& day) {
  if (recycled_.empty()) return;
  const bool durable = sys_.sync_directory(partial_) >= 0 && sys_.sync_directory(day) >= 0;
  for (const Recycled& one : recycled_) {
    if (durable) {
      spares_.publish(one.slot, one.size_bytes);
      counters_.blobs_recycled.fetch_add(1, std::memory_order_relaxed);
    } else {
      spares_.drop(one.slot, one.size_bytes);
    }
  }
  recycled_.clear();
}

}  // namespace ringgate::blob
