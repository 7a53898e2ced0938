#include "engine/io/sim_disk.hpp"

#include <algorithm>
#include <cerrno>

#include "engine/base/check.hpp"

namespace ringgate::io {

SimDisk::SimDisk() {
  inodes_.push_back(std::make_unique<SimInode>());
  inodes_[0]->directory = true;
  inodes_[0]->names = 1;
}

std::uint32_t SimDisk::find(std::string_view path) const {
  std::uint32_t at = 0;
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string part{path.substr(0, slash)};
    path = slash == std::string_view::npos ? std::string_view{} : path.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (!inodes_[at]->directory) return none;
    const auto found = inodes_[at]->entries.find(part);
    if (found == inodes_[at]->entries.end()) return none;
    at = found->second;
  }
  return at;
}

std::uint32_t SimDisk::find_parent(std::string_view path, std::string& name) const {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const std::size_t slash = path.rfind('/');
  name = std::string{slash == std::string_view::npos ? path : path.substr(slash + 1)};
  const std::uint32_t parent =
      slash == std::string_view::npos ? 0 : find(path.substr(0, slash));
  return parent != none && inodes_[parent]->directory ? parent : none;
}

std::uint32_t SimDisk::create(std::uint32_t parent, const std::string& name, bool directory) {
  const auto number = static_cast<std::uint32_t>(inodes_.size());
  inodes_.push_back(std::make_unique<SimInode>());
  inodes_[number]->directory = directory;
  inodes_[number]->names = 1;
  inodes_[parent]->entries[name] = number;
  inodes_[parent]->changes.push_back({name, {}, number, SimDirectoryChange::Kind::create});
  return number;
}

int SimDisk::remove(std::string_view path) {
  std::string name;
  const std::uint32_t parent = find_parent(path, name);
  const std::uint32_t number = find(path);
  if (parent == none || number == none) return -ENOENT;
  if (inodes_[number]->directory && !inodes_[number]->entries.empty()) return -ENOTEMPTY;
  inodes_[parent]->entries.erase(name);
  inodes_[parent]->changes.push_back({name, {}, number, SimDirectoryChange::Kind::remove});
  drop_name(number);
  return 0;
}

int SimDisk::rename(std::string_view from, std::string_view to) {
  std::string from_name;
  std::string to_name;
  const std::uint32_t from_parent = find_parent(from, from_name);
  const std::uint32_t to_parent = find_parent(to, to_name);
  const std::uint32_t number = find(from);
  if (from_parent == none || to_parent == none || number == none) return -ENOENT;
  if (from_parent != to_parent) return rename_between(from_parent, from_name, to_parent, to_name);
  SimInode& parent = *inodes_[from_parent];
  if (from_name == to_name) return 0;
  if (const auto old = parent.entries.find(to_name); old != parent.entries.end()) {
    if (inodes_[old->second]->directory) return -EISDIR;
    drop_name(old->second);
  }
  parent.entries.erase(from_name);
  parent.entries[to_name] = number;
  parent.changes.push_back({from_name, to_name, number, SimDirectoryChange::Kind::rename});
  return 0;
}

// Two entries change, atomically as on every file system with a journal: a crash keeps both changes
// or none, and a sync of either directory makes both durable.
int SimDisk::rename_between(std::uint32_t from, const std::string& from_name, std::uint32_t to,
                            const std::string& to_name) {
  SimInode& source = *inodes_[from];
  SimInode& target = *inodes_[to];
  const std::uint32_t number = source.entries.at(from_name);
  if (const auto old = target.entries.find(to_name); old != target.entries.end()) {
    if (inodes_[old->second]->directory) return -EISDIR;
    drop_name(old->second);
  }
  source.entries.erase(from_name);
  target.entries[to_name] = number;
  ++pairs_;
  source.changes.push_back({from_name, {}, number, SimDirectoryChange::Kind::remove, pairs_});
  target.changes.push_back({to_name, {}, number, SimDirectoryChange::Kind::create, pairs_});
  return 0;
}

void SimDisk::sync_directory(std::uint32_t directory) {
  SimInode& node = *inodes_[directory];
  std::vector<SimDirectoryChange> changes = std::move(node.changes);
  node.changes.clear();
  node.entries_durable = node.entries;
  for (const SimDirectoryChange& change : changes) {
    if (change.pair == 0) continue;
    for (std::uint32_t other = 0; other < inodes_.size(); ++other) {
      const bool half = std::ranges::any_of(
          inodes_[other]->changes,
          [&](const SimDirectoryChange& one) { return one.pair == change.pair; });
      if (half) sync_directory(other);
    }
  }
  for (const SimDirectoryChange& change : changes) reclaim(change.inode);
}

void SimDisk::drop_name(std::uint32_t number) {
  SimInode& node = *inodes_[number];
  --node.names;
  if (node.names == 0 && node.opens == 0) used_bytes_ -= node.allocated;
  if (node.names == 0 && node.opens == 0) node.allocated = 0;
}

void SimDisk::closed(std::uint32_t number) {
  SimInode& node = *inodes_[number];
  --node.opens;
  if (node.names != 0 || node.opens != 0) return;
  used_bytes_ -= node.allocated;
  node.allocated = 0;
  reclaim(number);
}

// Frees the memory of a file that neither a name, nor a crash, nor an open file can bring back.
void SimDisk::reclaim(std::uint32_t number) {
  SimInode& node = *inodes_[number];
  if (node.names != 0 || node.opens != 0) return;
  for (const auto& other : inodes_) {
    for (const auto& [name, target] : other->entries_durable) {
      if (target == number) return;
    }
    for (const SimDirectoryChange& change : other->changes) {
      if (change.inode == number) return;
    }
  }
  node.bytes = {};
  node.dirty.clear();
}

std::int64_t SimDisk::read(std::uint32_t number, std::uint64_t offset, MutableBytes into) const {
  const SimInode& node = *inodes_[number];
  if (offset >= node.size) return 0;
  const std::size_t size_bytes = std::min<std::uint64_t>(into.size(), node.size - offset);
  std::size_t stored = 0;
  if (offset < node.bytes.size()) {
    stored = std::min<std::size_t>(size_bytes, node.bytes.size() - offset);
  }
  if (stored > 0) std::memcpy(into.data(), node.bytes.data() + offset, stored);
  std::memset(into.data() + stored, 0, size_bytes - stored);
  return static_cast<std::int64_t>(size_bytes);
}

SimSector SimDisk::load_sector(const SimInode& node, std::uint64_t sector) const {
  SimSector content{};
  const std::uint64_t begin = sector * sim_sector_bytes;
  if (begin < node.bytes.size()) {
    std::memcpy(content.data(), node.bytes.data() + begin,
                std::min<std::size_t>(sim_sector_bytes, node.bytes.size() - begin));
  }
  return content;
}

// Keeps the current content of a sector that is about to change.
void SimDisk::remember(SimInode& node, std::uint64_t sector) {
  constexpr std::size_t kept_max = 4;
  std::vector<SimSector>& earlier = node.dirty[sector].earlier;
  if (earlier.size() == kept_max) earlier.erase(earlier.begin() + 1);
  earlier.push_back(load_sector(node, sector));
}

void SimDisk::put(SimInode& node, std::uint64_t offset, Bytes bytes, bool durable) {
  if (bytes.empty()) return;
  const std::uint64_t end = offset + bytes.size();
  const std::uint64_t first = offset / sim_sector_bytes;
  const std::uint64_t last = align_up(end, sim_sector_bytes) / sim_sector_bytes;
  if (durable) {
    node.dirty.erase(node.dirty.lower_bound(first), node.dirty.lower_bound(last));
  } else {
    for (std::uint64_t at = first; at < last; ++at) remember(node, at);
  }
  if (node.bytes.size() < end) {
    if (node.bytes.capacity() < end) {
      node.bytes.reserve(std::max<std::size_t>(end, 2 * node.bytes.size()));
    }
    node.bytes.resize(end);
  }
  std::memcpy(node.bytes.data() + offset, bytes.data(), bytes.size());
  node.size = std::max(node.size, end);
  if (!durable) return;
  node.size_durable = node.size;
  node.size_lost = false;
}

int SimDisk::allocate(std::uint32_t number, std::uint64_t end, std::uint64_t capacity) {
  SimInode& node = *inodes_[number];
  const std::uint64_t want = align_up(end, 4096);
  if (want <= node.allocated) return 0;
  if (used_bytes_ + (want - node.allocated) > capacity) return -ENOSPC;
  used_bytes_ += want - node.allocated;
  node.allocated = want;
  return 0;
}

std::int64_t SimDisk::write(std::uint32_t number, std::uint64_t offset, Bytes bytes,
                            std::uint64_t capacity, bool durable) {
  SimInode& node = *inodes_[number];
  if (allocate(number, offset + bytes.size(), capacity) < 0) {
    const std::uint64_t left =
        capacity > used_bytes_ ? align_down(capacity - used_bytes_, 4096) : 0;
    const std::uint64_t end = node.allocated + left;
    if (end <= offset) return -ENOSPC;
    bytes = bytes.first(end - offset);
    RG_CHECK(allocate(number, end, capacity) == 0);
  }
  put(node, offset, bytes, durable);
  return static_cast<std::int64_t>(bytes.size());
}

void SimDisk::write_some(std::uint32_t number, std::uint64_t offset, Bytes bytes,
                         std::uint64_t capacity, SimRandom& random) {
  while (!bytes.empty()) {
    const std::uint64_t to_edge = sim_sector_bytes - offset % sim_sector_bytes;
    const Bytes piece = bytes.first(std::min<std::uint64_t>(to_edge, bytes.size()));
    if (random.below(2) == 0) static_cast<void>(write(number, offset, piece, capacity, false));
    offset += piece.size();
    bytes = bytes.subspan(piece.size());
  }
}

void SimDisk::sync(std::uint32_t number) {
  SimInode& node = *inodes_[number];
  std::erase_if(node.dirty, [](const auto& entry) { return !entry.second.lost; });
  if (!node.size_lost) node.size_durable = node.size;
}

void SimDisk::sync_failed(std::uint32_t number) {
  SimInode& node = *inodes_[number];
  for (auto& [sector, dirty] : node.dirty) dirty.lost = true;
  node.size_lost = node.size_lost || node.size != node.size_durable;
}

void SimDisk::truncate(std::uint32_t number, std::uint64_t size_bytes) {
  SimInode& node = *inodes_[number];
  if (size_bytes < node.bytes.size()) {
    const std::uint64_t end = node.bytes.size();
    for (std::uint64_t at = size_bytes / sim_sector_bytes; at * sim_sector_bytes < end; ++at) {
      remember(node, at);
    }
    node.bytes.resize(size_bytes);
  }
  if (const std::uint64_t keep = align_up(size_bytes, 4096); keep < node.allocated) {
    used_bytes_ -= node.allocated - keep;
    node.allocated = keep;
  }
  node.size = size_bytes;
}

// ---- A power cut

struct SimDisk::Cut {
  SimDisk& next;
  const std::vector<SimWriteInFlight>& in_flight;
  Survival how;
  SimRandom& random;
  std::map<std::uint32_t, std::uint32_t> known;  // inode here -> inode there
  std::vector<std::uint64_t> kept = {};          // by inode: directory changes that are durable
};

namespace {

// The chance, per thousand, that something volatile of one file is kept.
std::uint32_t keep_chance(Survival how, SimRandom& random) {
  // Worst cases are the even ones: everything volatile gone, everything kept, or a fair mixture.
  static constexpr std::uint32_t chances[] = {0, 1000, 500, 900, 100};
  switch (how) {
    case Survival::chance:
      return chances[random.below(std::size(chances))];
    case Survival::everything:
      return 1000;
    case Survival::any:
      return 500;
    case Survival::nothing:
    case Survival::last_sector:
    case Survival::first_sector:
      break;
  }
  return 0;
}

}  // namespace

SimDisk SimDisk::survivor(const std::vector<SimWriteInFlight>& in_flight, Survival how,
                          SimRandom& random) const {
  SimDisk next;
  next.inodes_.clear();
  Cut cut{next, in_flight, how, random, {}};
  choose_changes(cut);
  survive(cut, 0);
  return next;
}

std::uint32_t SimDisk::survive(Cut& cut, std::uint32_t number) const {
  if (const auto found = cut.known.find(number); found != cut.known.end()) {
    ++cut.next.inodes_[found->second]->names;
    return found->second;
  }
  const SimInode& node = *inodes_[number];
  const auto copied = static_cast<std::uint32_t>(cut.next.inodes_.size());
  cut.known[number] = copied;
  cut.next.inodes_.push_back(std::make_unique<SimInode>());
  SimInode& copy = *cut.next.inodes_.back();
  copy.directory = node.directory;
  copy.names = 1;
  if (node.directory) {
    std::map<std::string, std::uint32_t> entries = survive_entries(cut, number);
    for (auto& [name, target] : entries) target = survive(cut, target);
    copy.entries = entries;
    copy.entries_durable = std::move(entries);
  } else {
    survive_content(cut, copy, number);
    copy.allocated = align_up(copy.size, 4096);
    cut.next.used_bytes_ += copy.allocated;
  }
  return copied;
}

// Changes since the last sync_directory are kept up to some point, both halves of a rename between
// directories or none.
void SimDisk::choose_changes(Cut& cut) const {
  std::map<std::uint32_t, std::vector<std::pair<std::size_t, std::size_t>>> halves;
  for (std::size_t number = 0; number < inodes_.size(); ++number) {
    const SimInode& node = *inodes_[number];
    std::uint64_t kept = 0;
    if (cut.how == Survival::everything) kept = node.changes.size();
    if (!node.changes.empty() && (cut.how == Survival::chance || cut.how == Survival::any)) {
      kept = cut.random.below(node.changes.size() + 1);
    }
    cut.kept.push_back(kept);
    for (std::size_t i = 0; i < node.changes.size(); ++i) {
      if (node.changes[i].pair != 0) halves[node.changes[i].pair].push_back({number, i});
    }
  }
  for (bool changed = true; changed;) {
    changed = false;
    for (const auto& [pair, places] : halves) {
      const bool all = std::ranges::all_of(
          places, [&](const auto& place) { return place.second < cut.kept[place.first]; });
      if (all) continue;
      for (const auto& [number, i] : places) {
        if (i >= cut.kept[number]) continue;
        cut.kept[number] = i;
        changed = true;
      }
    }
  }
}

std::map<std::string, std::uint32_t> SimDisk::survive_entries(Cut& cut,
                                                              std::uint32_t number) const {
  const SimInode& node = *inodes_[number];
  std::map<std::string, std::uint32_t> entries = node.entries_durable;
  for (std::uint64_t i = 0; i < cut.kept[number]; ++i) {
    const SimDirectoryChange& change = node.changes[i];
    if (change.kind == SimDirectoryChange::Kind::create) {
      entries[change.name] = change.inode;
      continue;
    }
    entries.erase(change.name);
    if (change.kind == SimDirectoryChange::Kind::rename) entries[change.to] = change.inode;
  }
  return entries;
}

void SimDisk::survive_content(Cut& cut, SimInode& copy, std::uint32_t number) const {
  const SimInode& node = *inodes_[number];
  SimRandom& random = cut.random;
  const std::uint32_t keep = keep_chance(cut.how, random);
  copy.bytes = node.bytes;
  copy.size = node.size == node.size_durable || random.chance(keep) ? node.size : node.size_durable;
  for (const auto& [sector, dirty] : node.dirty) {
    if (random.chance(keep)) continue;
    const std::size_t version = random.chance(keep) ? random.below(dirty.earlier.size()) : 0;
    const SimSector& old = dirty.earlier[version];
    const std::uint64_t begin = sector * sim_sector_bytes;
    if (copy.bytes.size() < begin + sim_sector_bytes) copy.bytes.resize(begin + sim_sector_bytes);
    std::memcpy(copy.bytes.data() + begin, old.data(), sim_sector_bytes);
  }
  for (const SimWriteInFlight& write : cut.in_flight) {
    if (write.inode != number) continue;
    const std::uint64_t write_end = write.offset + write.bytes.size();
    for (std::uint64_t at = 0; at < write.bytes.size();) {
      const std::uint64_t to_edge = sim_sector_bytes - (write.offset + at) % sim_sector_bytes;
      const std::uint64_t piece = std::min<std::uint64_t>(to_edge, write.bytes.size() - at);
      const std::uint64_t begin = write.offset + at;
      const bool last = begin + piece == write_end;
      const bool chosen = random.chance(keep) || (cut.how == Survival::last_sector && last) ||
                          (cut.how == Survival::first_sector && at == 0);
      if (chosen) {
        if (copy.bytes.size() < begin + piece) copy.bytes.resize(begin + piece);
        std::memcpy(copy.bytes.data() + begin, write.bytes.data() + at, piece);
        copy.size = std::max(copy.size, begin + piece);
      }
      at += piece;
    }
  }
  if (copy.bytes.size() > copy.size) copy.bytes.resize(copy.size);
  copy.size_durable = copy.size;
}

// ---- Images

void SimDisk::install_directory(std::string_view path) {
  if (path.empty() || path == "/" || find(path) != none) return;
  std::string name;
  const std::size_t slash = path.rfind('/');
  if (slash != std::string_view::npos) install_directory(path.substr(0, slash));
  const std::uint32_t parent = find_parent(path, name);
  RG_CHECK(parent != none);
  create(parent, name, true);
  sync_directory(parent);
}

void SimDisk::install(std::string_view path, Bytes bytes) {
  const std::size_t slash = path.rfind('/');
  if (slash != std::string_view::npos) install_directory(path.substr(0, slash));
  std::string name;
  const std::uint32_t parent = find_parent(path, name);
  RG_CHECK(parent != none && find(path) == none);
  const std::uint32_t number = create(parent, name, false);
  sync_directory(parent);
  RG_CHECK(write(number, 0, bytes, ~std::uint64_t{0}, true) ==
           static_cast<std::int64_t>(bytes.size()));
}

std::map<std::string, std::vector<std::uint8_t>> SimDisk::files() const {
  std::map<std::string, std::vector<std::uint8_t>> out;
  list_files(0, "", out);
  return out;
}

void SimDisk::list_files(std::uint32_t directory, const std::string& prefix,
                         std::map<std::string, std::vector<std::uint8_t>>& out) const {
  for (const auto& [name, number] : inodes_[directory]->entries) {
    const std::string path = prefix + "/" + name;
    const SimInode& node = *inodes_[number];
    if (node.directory) {
      list_files(number, path, out);
      continue;
    }
    std::vector<std::uint8_t>& bytes = out[path];
    bytes = node.bytes;
    bytes.resize(node.size);
  }
}

}  // namespace ringgate::io
