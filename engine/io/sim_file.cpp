// File operations on the simulated disk, through rings and through Sys.
#include <fcntl.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>

#include "engine/io/sim_core.hpp"

namespace ringgate::io {
namespace {

constexpr std::uint32_t rwf_dsync = 0x2;
constexpr std::uint32_t rwf_sync = 0x4;

bool is_write(const SimSqe& sqe) {
  return sqe.opcode == IORING_OP_WRITE || sqe.opcode == IORING_OP_WRITEV;
}

bool writable(int flags) { return (flags & O_ACCMODE) != O_RDONLY; }

}  // namespace

std::int32_t SimCore::direct_io_error(const SimOpenFile& at, std::uint64_t address,
                                      std::uint64_t offset, std::uint64_t size_bytes) const {
  if ((at.flags & O_DIRECT) == 0) return 0;
  return (address | offset | size_bytes) % sim_sector_bytes == 0 ? 0 : -EINVAL;
}

// ---- Ring operations

void SimCore::start_file_op(std::uint32_t index) {
  SimOp& at = ops_[index];
  if (at.target != SimTarget::file) return finish(index, -EINVAL);  // read or write of a socket
  const SimOpenFile& on = files_[at.object];
  if (is_write(at.sqe)) {
    if (!writable(on.flags)) return finish(index, -EBADF);
    std::uint64_t address = at.sqe.addr;
    if (at.sqe.opcode == IORING_OP_WRITEV) {
      const auto* parts = reinterpret_cast<const iovec*>(at.sqe.addr);
      address = 0;
      for (std::uint32_t i = 0; i < at.sqe.len; ++i) {
        const auto* begin = static_cast<const std::uint8_t*>(parts[i].iov_base);
        at.bytes.insert(at.bytes.end(), begin, begin + parts[i].iov_len);
        address |= reinterpret_cast<std::uintptr_t>(begin) | parts[i].iov_len;
      }
    } else {
      const auto* begin = reinterpret_cast<const std::uint8_t*>(at.sqe.addr);
      at.bytes.assign(begin, begin + at.sqe.len);
    }
    if (const std::int32_t error = direct_io_error(on, address, at.sqe.off, at.bytes.size())) {
      return finish(index, error);
    }
  }
  at.under_way = true;
  schedule(random.between(options.disk_delay_min_ns, options.disk_delay_max_ns),
           SimEventKind::disk_done, index, at.serial);
}

std::vector<SimWriteInFlight> SimCore::writes_in_flight() const {
  std::vector<SimWriteInFlight> writes;
  for (const SimOp& one : ops_) {
    if (!one.used || !one.under_way || !is_write(one.sqe)) continue;
    writes.push_back({files_[one.object].inode, one.sqe.off, one.bytes});
  }
  return writes;
}

void SimCore::disk_done(std::uint32_t index) {
  SimOp& at = ops_[index];
  const SimOpenFile& on = files_[at.object];
  if (is_write(at.sqe)) {
    at.result = finish_write(at);
    at.was_short = at.result >= 0 && static_cast<std::size_t>(at.result) < at.bytes.size();
  } else if (at.sqe.opcode == IORING_OP_READ) {
    MutableBytes into{reinterpret_cast<std::uint8_t*>(at.sqe.addr), at.sqe.len};
    at.result = static_cast<std::int32_t>(disk.read(on.inode, at.sqe.off, into));
  } else {
    at.result = sync_file(at.object);
  }
  at.under_way = false;
}

// The effect of a write that was in flight.
std::int32_t SimCore::finish_write(SimOp& at) {
  if (at.sqe.opcode == IORING_OP_WRITE && !crashed) {
    const auto* memory = reinterpret_cast<const std::uint8_t*>(at.sqe.addr);
    const bool buffer_unchanged = std::equal(at.bytes.begin(), at.bytes.end(), memory);
    RG_CHECK(buffer_unchanged);
  }
  const bool durable = (at.sqe.op_flags & (rwf_dsync | rwf_sync)) != 0;
  return static_cast<std::int32_t>(write_file(at.object, at.sqe.off, at.bytes, durable));
}

// ---- Shared by rings and Sys

std::int64_t SimCore::write_file(std::uint32_t index, std::uint64_t offset, Bytes bytes,
                                 bool durable) {
  const SimOpenFile& on = files_[index];
  durable = durable || (on.flags & (O_DSYNC | O_SYNC)) != 0;
  trace(on.inode ^ offset << 8 ^ bytes.size() << 40);
  if (random.chance(options.write_error)) {
    disk.write_some(on.inode, offset, bytes, options.capacity_bytes, random);
    return -EIO;
  }
  if (random.chance(options.write_no_space)) return -ENOSPC;
  if (bytes.size() > sim_sector_bytes && random.chance(options.write_short)) {
    const std::uint64_t sectors = bytes.size() / sim_sector_bytes;
    const std::uint64_t kept = 1 + random.below(sectors);
    // What follows the part that counts may be on the disk as well.
    const Bytes rest = bytes.subspan(std::min<std::size_t>(bytes.size(), kept * sim_sector_bytes));
    disk.write_some(on.inode, offset + kept * sim_sector_bytes, rest, options.capacity_bytes,
                    random);
    bytes = bytes.first(bytes.size() - rest.size());
  }
  return disk.write(on.inode, offset, bytes, options.capacity_bytes, durable);
}

int SimCore::sync_file(std::uint32_t index) {
  const std::uint32_t inode = files_[index].inode;
  if (random.chance(options.sync_error)) {
    disk.sync_failed(inode);
    return -EIO;
  }
  if (disk.inode(inode).directory) {
    disk.sync_directory(inode);
  } else {
    disk.sync(inode);
  }
  return 0;
}

int SimCore::open_file(const std::string& path, int flags) {
  if ((flags & O_DIRECT) != 0 && !options.direct_io) return -EINVAL;
  std::string name;
  const std::uint32_t parent = disk.find_parent(path, name);
  if (parent == SimDisk::none) return -ENOENT;
  std::uint32_t inode = disk.find(path);
  if (inode != SimDisk::none && (flags & O_CREAT) != 0 && (flags & O_EXCL) != 0) return -EEXIST;
  if (inode == SimDisk::none) {
    if ((flags & O_CREAT) == 0) return -ENOENT;
    if (disk.used_bytes() + 4096 > options.capacity_bytes) return -ENOSPC;
    inode = disk.create(parent, name, false);
  }
  const bool directory = disk.inode(inode).directory;
  if (directory && writable(flags)) return -EISDIR;
  if (!directory && (flags & O_DIRECTORY) != 0) return -ENOTDIR;
  if ((flags & O_TRUNC) != 0) disk.truncate(inode, 0);
  std::uint32_t index = 0;
  while (index < files_.size() && files_[index].references != 0) ++index;
  if (index == files_.size()) files_.emplace_back();
  const int fd = add_descriptor(SimDescriptor::Kind::file, index);
  if (fd < 0) return fd;
  files_[index] = {inode, flags, 1};
  ++disk.inode(inode).opens;
  return fd;
}

void SimCore::release_file(std::uint32_t index) {
  SimOpenFile& at = files_[index];
  if (--at.references > 0) return;
  SimInode& inode = disk.inode(at.inode);
  if (inode.lock_holder == index + 1) inode.lock_holder = 0;
  disk.closed(at.inode);
}

// ---- Sys

namespace {

class SimSys final : public Sys {
 public:
  explicit SimSys(SimCore& core) : core_(core) {}

  MonoNs mono_now() override { return core_.now; }
  WallUs wall_now() override { return wall_epoch_us + core_.now / ns_per_us; }
  void random_bytes(MutableBytes out) override {
    for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(core_.random.next() >> 32);
  }

  int open(const std::string& path, int flags, unsigned) override {
    return core_.open_file(path, flags);
  }
  int close(int fd) override { return core_.close_descriptor(fd); }
  std::int64_t pread(int fd, MutableBytes into, std::uint64_t offset) override {
    const std::uint32_t index = file_of(fd);
    if (index == sim_none) return -EBADF;
    const auto address = reinterpret_cast<std::uintptr_t>(into.data());
    const SimOpenFile& file = core_.file(index);
    if (const int error = core_.direct_io_error(file, address, offset, into.size())) return error;
    return core_.disk.read(file.inode, offset, into);
  }
  std::int64_t pwrite(int fd, Bytes from, std::uint64_t offset) override {
    const std::uint32_t index = file_of(fd);
    if (index == sim_none || !writable(core_.file(index).flags)) return -EBADF;
    const auto address = reinterpret_cast<std::uintptr_t>(from.data());
    const SimOpenFile& file = core_.file(index);
    if (const int error = core_.direct_io_error(file, address, offset, from.size())) return error;
    return core_.write_file(index, offset, from, false);
  }
  int fallocate(int fd, std::uint64_t offset, std::uint64_t size_bytes) override {
    const std::uint32_t index = file_of(fd);
    if (index == sim_none) return -EBADF;
    const std::uint32_t inode = core_.file(index).inode;
    const std::uint64_t end = offset + size_bytes;
    if (const int error = core_.disk.allocate(inode, end, core_.options.capacity_bytes)) {
      return error;
    }
    SimInode& node = core_.disk.inode(inode);
    node.size = std::max(node.size, end);
    return 0;
  }
  int truncate(int fd, std::uint64_t size_bytes) override {
    const std::uint32_t index = file_of(fd);
    if (index == sim_none) return -EBADF;
    core_.disk.truncate(core_.file(index).inode, size_bytes);
    return 0;
  }
  int data_sync(int fd) override {
    const std::uint32_t index = file_of(fd);
    return index == sim_none ? -EBADF : core_.sync_file(index);
  }
  std::int64_t file_size(int fd) override {
    const std::uint32_t index = file_of(fd);
    if (index == sim_none) return -EBADF;
    return static_cast<std::int64_t>(core_.disk.inode(core_.file(index).inode).size);
  }
  int lock_exclusive(int fd) override {
    const std::uint32_t index = file_of(fd);
    if (index == sim_none) return -EBADF;
    std::uint32_t& holder = core_.disk.inode(core_.file(index).inode).lock_holder;
    if (holder != 0 && holder != index + 1) return -EWOULDBLOCK;
    holder = index + 1;
    return 0;
  }
  int is_named(int fd, const std::string& path) override {
    const std::uint32_t index = file_of(fd);
    if (index == sim_none) return -EBADF;
    return core_.disk.find(path) == core_.file(index).inode ? 1 : 0;
  }
  int is_only_ours(int fd) override {
    const std::uint32_t index = file_of(fd);
    if (index == sim_none) return -EBADF;
    const SimInode& inode = core_.disk.inode(core_.file(index).inode);
    return inode.names == 1 && inode.opens == 1 ? 1 : 0;
  }

  int make_directory(const std::string& path, unsigned) override {
    std::string name;
    const std::uint32_t parent = core_.disk.find_parent(path, name);
    if (core_.disk.find(path) != SimDisk::none) return -EEXIST;
    if (parent == SimDisk::none) return -ENOENT;
    core_.disk.create(parent, name, true);
    return 0;
  }
  int list_directory(const std::string& path, std::vector<DirectoryEntry>& out) override {
    out.clear();
    const std::uint32_t at = core_.disk.find(path);
    if (at == SimDisk::none) return -ENOENT;
    if (!core_.disk.inode(at).directory) return -ENOTDIR;
    for (const auto& [name, number] : core_.disk.inode(at).entries) {
      const SimInode& node = core_.disk.inode(number);
      out.push_back({name, node.size, node.directory});
    }
    return 0;
  }
  int rename(const std::string& from, const std::string& to) override {
    return core_.disk.rename(from, to);
  }
  int rename_new(const std::string& from, const std::string& to) override {
    return core_.disk.find(to) != SimDisk::none ? -EEXIST : core_.disk.rename(from, to);
  }
  int remove(const std::string& path) override { return core_.disk.remove(path); }
  int sync_directory(const std::string& path) override {
    const std::uint32_t at = core_.disk.find(path);
    if (at == SimDisk::none) return -ENOENT;
    if (!core_.disk.inode(at).directory) return -ENOTDIR;
    if (core_.random.chance(core_.options.sync_error)) return -EIO;
    core_.disk.sync_directory(at);
    return 0;
  }
  std::int64_t free_bytes(const std::string& path) override {
    if (core_.disk.find(path) == SimDisk::none) return -ENOENT;
    const std::uint64_t used = core_.disk.used_bytes();
    const std::uint64_t capacity = core_.options.capacity_bytes;
    return used >= capacity ? 0 : static_cast<std::int64_t>(capacity - used);
  }

  int socket(int domain, int type, int) override {
    if (domain != AF_INET && domain != AF_INET6) return -EAFNOSUPPORT;
    constexpr int flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
    const bool datagram = (type & ~flags) == SOCK_DGRAM;
    if (!datagram && (type & ~flags) != SOCK_STREAM) return -EPROTONOSUPPORT;
    const std::uint32_t index = core_.new_socket();
    core_.socket(index).datagram = datagram;
    core_.socket(index).references = 1;
    const int fd = core_.add_descriptor(SimDescriptor::Kind::socket, index);
    if (fd < 0) core_.release_socket(index);
    return fd;
  }
  int set_option(int fd, int level, int name, const void* value, socklen_t size_bytes) override {
    const std::uint32_t index = socket_of(fd);
    if (index == sim_none) return -ENOTSOCK;
    if (size_bytes < sizeof(int)) return -EINVAL;
    // No control messages are simulated.
    if (level == SOL_SOCKET && name == SO_TIMESTAMPNS) return -ENOPROTOOPT;
    int number = 0;
    std::memcpy(&number, value, sizeof number);
    if (level == SOL_SOCKET && name == SO_REUSEPORT) core_.socket(index).reuse_port = number != 0;
    core_.socket(index).option_values[{level, name}] = number;
    return 0;
  }
  int get_option(int fd, int level, int name, void* value, socklen_t* size_bytes) override {
    const std::uint32_t index = socket_of(fd);
    if (index == sim_none) return -ENOTSOCK;
    if (*size_bytes < sizeof(int)) return -EINVAL;
    const auto& values = core_.socket(index).option_values;
    const auto found = values.find({level, name});
    const int number = found == values.end() ? 0 : found->second;
    std::memcpy(value, &number, sizeof number);
    *size_bytes = sizeof number;
    return 0;
  }
  int bind(int fd, const sockaddr* address, socklen_t size_bytes) override {
    const std::uint32_t index = socket_of(fd);
    return index == sim_none ? -ENOTSOCK : core_.bind_socket(index, address, size_bytes);
  }
  int listen(int fd, int backlog) override {
    const std::uint32_t index = socket_of(fd);
    return index == sim_none ? -ENOTSOCK : core_.listen_socket(index, backlog);
  }
  int local_address(int fd, sockaddr_storage& out) override {
    const std::uint32_t index = socket_of(fd);
    if (index == sim_none) return -ENOTSOCK;
    out = core_.socket(index).local;
    return 0;
  }
  int peer_address(int fd, sockaddr_storage& out) override {
    const std::uint32_t index = socket_of(fd);
    if (index == sim_none) return -ENOTSOCK;
    if (!core_.socket(index).connected || core_.socket(index).reset_in) return -ENOTCONN;
    out = core_.socket(index).remote;
    return 0;
  }

 private:
  static constexpr WallUs wall_epoch_us = 1'750'000'000 * us_per_s;  // 2025-06-15, any will do

  std::uint32_t index_of(int fd, SimDescriptor::Kind kind) {
    const SimDescriptor* found = core_.descriptor(fd);
    return found == nullptr || found->kind != kind ? sim_none : found->index;
  }
  std::uint32_t file_of(int fd) { return index_of(fd, SimDescriptor::Kind::file); }
  std::uint32_t socket_of(int fd) { return index_of(fd, SimDescriptor::Kind::socket); }

  SimCore& core_;
};

}  // namespace

std::unique_ptr<Sys> make_sim_sys(SimCore& core) { return std::make_unique<SimSys>(core); }

}  // namespace ringgate::io
