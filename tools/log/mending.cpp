#include "tools/log/mending.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "engine/io/sys.hpp"
#include "storage/log/side_file.hpp"
#include "tools/log/common.hpp"

namespace ringgate::log_tool {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t flush_at = 1 << 20;

// A segment that is being written, piece by piece.
class Piecewise {
 public:
  Piecewise(const log::SegmentHeader& header, const std::string& directory, const std::string& name)
      : header_(header),
        seed_(log::crc_seed(header.epoch)),
        name_(name),
        file_(io::real_sys(), directory, "new-repair-" + name),
        at_(header.base) {}

  Result<void> open() { return file_.open(); }
  Position at() const { return at_; }
  std::uint64_t records() const { return seal_.records; }

  Result<void> put(const log::Record& record) {
    if (record.header.position != at_) {
      return Error{0, fmt::format("{}: a gap of {} bytes is too short for a mark", name_,
                                  record.header.position - at_)};
    }
    room(record.header.size_bytes);
    log::put_record(tail_, record.header, record.device, record.payload, seed_);
    at_ = record.end();
    if (!record.is_own()) {
      if (seal_.records++ == 0) seal_.first_received_us = record.header.received_us;
      seal_.last_received_us = record.header.received_us;
    }
    last_us_ = record.header.received_us;
    return flush(false);
  }

  // Gap marks up to `end`. A rest that is too short for one ends the segment: nothing follows it.
  Result<void> put_gap(Position end, WallUs next_us) {
    ++seal_.damaged;
    const Position begin = at_;
    while (end - at_ >= log::record_header_size) {
      std::uint64_t size = std::min<std::uint64_t>(end - at_, log::record_size_max);
      // What is left over must be room for another mark.
      const std::uint64_t left = end - at_ - size;
      if (left > 0 && left < log::record_header_size) size -= log::record_header_size;
      put_mark(begin, end, static_cast<std::uint32_t>(size), next_us);
      if (auto done = flush(false); !done) return done;
    }
    return {};
  }

  // Only the mark's head, and nothing behind it: the segment ends here.
  Result<void> put_last_gap(Position lost_to) {
    ++seal_.damaged;
    put_mark(at_, lost_to, log::record_header_size + 8, last_us_);
    return flush(false);
  }

  Result<void> finish(Position end) {
    seal_.kind = log::SealKind::recovered;
    seal_.end = std::min(end, at_);
    const std::uint64_t size = align_up(header_.offset_of(at_), log::block_size);
    buffer_.resize(size - log::records_offset - written_, 0);
    if (auto done = flush(true); !done) return done;
    std::vector<std::uint8_t> head(log::records_offset);
    log::encode_header(header_, MutableBytes(head).first(log::block_size));
    log::encode_seal(seal_, header_.epoch, MutableBytes(head).subspan(log::seal_offset));
    if (auto done = file_.write(0, head); !done) return done;
    if (auto done = file_.sync(); !done) return done;
    return file_.name_as(name_);
  }
  void set_last(WallUs received_us) { last_us_ = received_us; }

 private:
  // Room for a record at the end of the buffer.
  void room(std::uint32_t size_bytes) {
    const std::size_t old = buffer_.size();
    buffer_.resize(old + log::padded_size(size_bytes), 0);
    tail_ = buffer_.data() + old;
  }

  void put_mark(Position begin, Position end, std::uint32_t size, WallUs next_us) {
    std::vector<std::uint8_t> payload(size - log::record_header_size);
    if (payload.size() >= 8) store_native(payload.data(), end);
    log::RecordHeader header{};
    header.size_bytes = size;
    header.position = at_;
    header.received_us = last_us_ != 0 ? last_us_ : next_us;
    // It proves nothing beyond the stretch it stands for.
    header.committed_back =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(at_ - begin, UINT32_MAX));
    header.kind = static_cast<std::uint8_t>(log::Kind::state);
    header.message = log::gap_mark;
    room(size);
    log::put_record(tail_, header, {}, payload, seed_);
    at_ += log::padded_size(size);
  }

  Result<void> flush(bool always) {
    if (buffer_.empty() || (!always && buffer_.size() < flush_at)) return {};
    auto done = file_.write(log::records_offset + written_, buffer_);
    written_ += buffer_.size();
    buffer_.clear();
    return done;
  }

  log::SegmentHeader header_;
  std::uint32_t seed_;
  std::string name_;
  log::SideFile file_;
  Position at_;
  log::Seal seal_;
  WallUs last_us_ = 0;
  std::vector<std::uint8_t> buffer_;
  std::uint8_t* tail_ = nullptr;
  std::uint64_t written_ = 0;
};

Neighbour neighbour(const log::Record& record) {
  return {true, std::string(record.device), record.header.received_us};
}

std::string text(const Neighbour& one) {
  if (!one.known) return "no record";
  return fmt::format("{} ({})", time_text(one.received_us),
                     one.device.empty() ? "no device" : one.device);
}

}  // namespace

std::string describe(const Lost& lost) {
  return fmt::format("positions {} to {}, {} bytes; between {} and {}", lost.begin, lost.end,
                     lost.end - lost.begin, text(lost.before), text(lost.after));
}

Result<Mended> mend(log::SegmentFile& file, const log::SegmentHeader& header, Position end,
                    const std::string& to_directory, const std::string& to_name) {
  Mended mended;
  mended.path = file.path();
  Piecewise out(header, to_directory, to_name);
  if (auto done = out.open(); !done) return done.error();
  Neighbour before;
  bool ended = false;
  for (Position at = header.base; at < end && !ended;) {
    if (interrupted()) return Error{EINTR, "interrupted"};
    auto record = file.record_at(at);
    if (record && record->end() <= end) {
      before = neighbour(*record);
      if (auto done = out.put(*record); !done) return done.error();
      ended = record->is_mark(log::end_mark);
      at = record->end();
      continue;
    }
    const Position found = log::find_record(file, at + 8, end);
    Lost lost{at, found, before, {}};
    if (found < end) record = file.record_at(found);
    if (found < end && record) lost.after = neighbour(*record);
    // Zeros behind the last record of a segment without a seal are no loss.
    if (found >= end && !file.seal()) break;
    if (auto done = out.put_gap(found, lost.after.received_us); !done) return done.error();
    mended.lost.push_back(std::move(lost));
    at = found;
  }
  mended.records = out.records();
  if (file.seal() && file.seal()->records > mended.records) {
    mended.records_missing = file.seal()->records - mended.records;
  }
  if (auto done = out.finish(end); !done) return done.error();
  return mended;
}

namespace {

// A copy of the file with a good header block in a directory of its own, so that it can be read as
// any other. Gone when this dies.
class WithHeader {
 public:
  ~WithHeader() {
    std::error_code error;
    if (!path_.empty()) fs::remove(path_, error);
  }
  Result<std::unique_ptr<log::SegmentFile>> open(const std::string& path,
                                                 const std::string& directory,
                                                 const log::SegmentHeader& header) {
    path_ = directory + "/new-headed";
    std::error_code error;
    fs::copy_file(path, path_, fs::copy_options::overwrite_existing, error);
    if (error) return errno_error(error.value(), "cannot write " + path_);
    std::vector<std::uint8_t> block(log::block_size);
    log::encode_header(header, block);
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    file.write(reinterpret_cast<const char*>(block.data()), log::block_size);
    file.close();
    if (!file) return Error{EIO, "cannot write " + path_};
    return log::SegmentFile::open(io::real_sys(), path_);
  }

 private:
  std::string path_;
};

struct Head {
  log::NodeId node{};
  std::uint64_t epochs[2] = {};
  std::uint64_t bytes = 0;
};

// Where header and seal have their epochs, FORMAT.md, "A segment"; and the node of the directory.
Result<Head> read_head(const std::string& path) {
  Head head;
  const int fd = io::real_sys().open(path, O_RDONLY, 0);
  if (fd < 0) return errno_error(-fd, path);
  std::vector<std::uint8_t> blocks(log::records_offset);
  const std::int64_t got = io::real_sys().pread(fd, blocks, 0);
  const std::int64_t size = io::real_sys().file_size(fd);
  io::real_sys().close(fd);
  if (got != log::records_offset || size < 0) return Error{0, path + " is shorter than its header"};
  head.bytes = static_cast<std::uint64_t>(size);
  head.epochs[0] = load_native<std::uint64_t>(blocks.data() + 40);
  head.epochs[1] = load_native<std::uint64_t>(blocks.data() + log::seal_offset + 16);
  std::copy_n(blocks.data() + 16, head.node.size(), head.node.begin());
  const fs::path folder = fs::path(path).parent_path().parent_path();
  const auto node = log::read_small_file(io::real_sys(), (folder / "node").string());
  if (node) head.node = log::node_from_text(*node).value_or(head.node);
  return head;
}

}  // namespace

Result<Mended> mend_headless(const std::string& path, const std::string& to_directory,
                             const std::string& to_name) {
  const std::string own_name = path.substr(path.rfind('/') + 1);
  const auto name = log::parse_segment_file_name(own_name);
  if (!name || !own_name.ends_with(".seg")) {
    return Error{0, path + ": neither its header nor its name says which segment it was"};
  }
  const auto head = read_head(path);
  if (!head) return head.error();
  log::SegmentHeader header;
  header.node = head->node;
  header.stream = name->stream;
  header.base = name->base;
  header.size_bytes = std::max<std::uint64_t>(align_up(head->bytes, log::block_size),
                                              log::records_offset + log::block_size);
  for (const std::uint64_t epoch : head->epochs) {
    header.epoch = epoch;
    WithHeader scratch;
    auto file = scratch.open(path, to_directory, header);
    if (!file) return file.error();
    const auto& seal = (*file)->seal();
    const Position end = seal ? seal->end : header.next_base();
    if (log::find_record(**file, header.base, end) >= end) continue;  // nothing proves this epoch
    auto mended =
        mend(**file, header, end, to_directory, to_name.empty() ? own_name : to_name);
    if (mended) {
      mended->path = path;
      mended->header_made_anew = true;
    }
    return mended;
  }
  return Error{0, path + ": no record agrees with an epoch that its head blocks may have had"};
}

Result<Lost> put_lost_segment(const log::SegmentState& before, Position after,
                              const std::string& log_directory) {
  log::SegmentHeader header = before.header();
  const Position hole = header.next_base();
  std::uint8_t epoch[8];
  io::real_sys().random_bytes(epoch);
  header.epoch = load_native<std::uint64_t>(epoch);
  header.base = hole;
  header.committed = hole;
  header.created_us = io::real_sys().wall_now();
  header.size_bytes = align_up(after - hole, log::block_size) + log::records_offset;
  if (header.size_bytes > log::segment_size_max) {
    return Error{0, fmt::format("positions {} to {} are missing: more than a segment can say", hole,
                                after)};
  }
  Lost lost{hole, after, {}, {}};
  const auto& seal = before.file->seal();
  if (seal && seal->records > 0) lost.before = {true, "", seal->last_received_us};
  Piecewise out(header, log_directory, log::segment_file_name(header.stream, hole));
  if (auto done = out.open(); !done) return done.error();
  out.set_last(lost.before.received_us);
  if (auto done = out.put_last_gap(after); !done) return done.error();
  if (auto done = out.finish(after); !done) return done.error();
  return lost;
}

}  // namespace ringgate::log_tool
