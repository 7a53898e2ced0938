// The uploads of one shard (store.hpp) over its ring: content goes to partial/ in writes of 64 KiB
// past the page cache, is synced, gets its final name, is listed in the log, and then reported.
//
// The way of an upload, by Stage:
//   taking -> syncing (fdatasync) -> naming (rename, then one sync of the directory for all that
//   wait) -> logging (append) -> waiting (commit) -> on_stored.
// A suspended upload, or one that lasts, goes through syncing -> noting (note.hpp) instead.
//
// Completions carry Tag::blob; the slot says which operation: a buffer's write, an upload's sync, a
// note's write, or the directories' sync. No upload goes while an operation of it is outstanding.
// A failed or short write ends the upload; nothing is written a second time in place.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/flow/watermark.hpp"
#include "engine/observe/logger.hpp"
#include "engine/shard/shard.hpp"
#include "storage/blob/counters.hpp"
#include "storage/blob/keeper.hpp"
#include "storage/blob/note.hpp"
#include "storage/blob/ranges.hpp"
#include "storage/blob/store.hpp"
#include "storage/log/segment_file.hpp"
#include "storage/log/writer.hpp"

namespace ringgate::blob {

class Store final : public Uploads,
                    public shard::Hook,
                    public shard::CompletionHandler,
                    public shard::TimerHandler,
                    public flow::CommitListener {
 public:
  // Registers with the shard. `keeper` outlives the store.
  Store(shard::Shard& shard, log::Writer& log, Keeper& keeper, observe::CounterGroup& counters,
        observe::LogSource& logs);
  ~Store() override;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  Begun begin(const UploadInfo& info, UploadOwner& owner) override;
  std::size_t write(UploadId id, std::uint64_t offset, Bytes bytes) override;
  bool may_write(UploadId id) const override;
  std::vector<Gap> missing(UploadId id, std::size_t max) const override;
  void commit(UploadId id) override;
  void suspend(UploadId id) override;
  void discard(UploadId id) override;
  Begun put(const UploadInfo& info, std::vector<std::uint8_t> bytes, UploadOwner& owner) override;

  // For tests and status.
  std::uint32_t open_uploads() const { return open_; }
  std::uint32_t buffers_in_use() const {
    return static_cast<std::uint32_t>(buffers_.size() - free_buffers_.size());
  }
  std::uint32_t buffer_count() const { return static_cast<std::uint32_t>(buffers_.size()); }
  // A simulated crash: the ring and its operations are gone.
  void abandon();

  void before_wait() override;
  void before_enter() override;
  bool drained() const override { return open_ == 0; }
  void start_stop() override;
  bool stopped() const override { return open_ == 0 && !naming_busy_; }
  void on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t flags) override;
  void on_timer() override;
  void on_commit(Position committed) override;
  void on_log_state(flow::LogState state) override;

 private:
  static constexpr std::uint32_t none = ~0U;
  static constexpr std::uint32_t notes_at_once = 16;

  enum class Stage : std::uint8_t {
    free,
    taking,
    syncing,
    noting,
    naming,
    logging,
    waiting,  // for its record's commit
    already,  // stored a while ago; only says so again
  };
  enum class Goal : std::uint8_t { none, note, store, suspend, discard };
  enum class Op : std::uint32_t { write, sync, note, directory };

  struct Buffer {
    std::uint8_t* memory = nullptr;  // in one of the arenas
    std::uint32_t upload = none;
    std::uint32_t used = 0;
    std::uint64_t offset = 0;  // in the file
    std::uint32_t crc32c = 0;
    std::uint32_t next = none;  // of those that are written together; their bytes follow
    // Of the first of them.
    MonoNs touched_ns = 0;
    std::uint32_t write_bytes = 0;
    std::array<iovec, gather_buffers_max> parts{};
  };
  struct Upload {
    std::uint32_t generation = 0;
    std::uint32_t slot = 0;
    Stage stage = Stage::free;
    Goal goal = Goal::none;
    Failure failure = Failure::none;
    UploadInfo info;
    UploadOwner* owner = nullptr;  // null: gone
    std::string id;
    std::string base;  // path of its files in partial/, without what follows the dot
    int fd = -1;
    int plain_fd = -1;  // for what O_DIRECT can't write; `fd` itself where there is no O_DIRECT
    int note_fd = -1;
    bool direct = false;
    bool has_note = false;
    bool recycled = false;  // begun in a file that was another's
    bool flight_plain = false;
    bool due = false;       // its gathered bytes go out as soon as they may
    bool waits_room = false;
    bool scheduled = false;
    bool renamed = false;
    bool busy = false;      // an operation that is no write is outstanding, or waits for its turn
    bool synced = false;    // all of it
    bool reserved = false;  // counts in the keeper's unfinished bytes
    std::uint32_t in_flight = 0;
    std::uint32_t gather = none;       // the first buffer of those that are being filled
    std::uint32_t gather_last = none;  // where the next byte goes
    std::uint32_t gather_count = 0;
    Ranges received;
    Ranges written;
    Ranges durable;  // what the sync under way covers
    std::uint64_t noted_bytes = 0;
    std::uint64_t note_sequence = 0;
    MonoNs unnoted_since_ns = 0;
    std::array<std::uint8_t, magic_bytes> head{};
    Stored stored;
    std::vector<std::uint8_t> whole;  // of put()
    std::size_t whole_at = 0;
  };
  struct NoteSlot {
    log::AlignedMemory memory;
    std::uint32_t upload = none;
  };
  struct Waiting {
    Position position;
    std::uint32_t slot;
  };

  Upload* find(UploadId id);
  const Upload* find(UploadId id) const;
  static UploadId id_of(const Upload& upload) { return {upload.slot, upload.generation}; }

  // Beginning (store.cpp)
  Failure admit(const UploadInfo& info) const;
  Upload& allocate(const UploadInfo& info, UploadOwner& owner);
  Begun take_over(Upload& upload, const UploadInfo& info, UploadOwner& owner);
  Failure open_files(Upload& upload, std::uint64_t& resumed);
  Failure open_partial(Upload& upload, bool& existing, std::optional<Note>& note);
  bool use_note(Upload& upload, const std::optional<Note>& note);
  Failure refuse(Failure why);
  int open_part(Upload& upload, int flags);
  int open_new(Upload& upload);
  Failure reserve_space(Upload& upload);
  void pump(Upload& upload);

  // Content (content paths in store.cpp)
  bool take_buffer(Upload& upload, std::uint64_t offset);
  std::uint8_t* memory_of(std::uint32_t buffer);
  bool may_gather_on(const Upload& upload) const;
  void give_back(std::uint32_t buffer);
  void make_room();
  void tell_room();
  void flush(Upload& upload);
  int descriptor_for(Upload& upload, bool plain);
  void submit_write(Upload& upload, int fd);
  bool put_bytes(Upload& upload, std::uint64_t offset, Bytes bytes, std::size_t& taken);
  bool may_take(const Upload& upload) const;
  void wait_for_room(Upload& upload);
  void drop_gather(Upload& upload);

  // Ending (finish.cpp)
  void schedule(Upload& upload);
  void progress(Upload& upload);
  void progress_goal(Upload& upload);
  void end_failed(Upload& upload);
  void start_sync(Upload& upload);
  void on_written(std::uint32_t buffer, std::int32_t result);
  void on_synced(Upload& upload, std::int32_t result);
  void start_note(Upload& upload);
  void next_note();
  void want_note(Upload& upload);
  void on_noted(std::uint32_t slot, std::int32_t result);
  void name_file(Upload& upload);
  int open_day(const std::string& day);
  bool forget_day();
  void sync_directories();
  void on_directory(std::int32_t result);
  void list(Upload& upload);
  void retry_listing();
  void finish(Upload& upload);
  void end(Upload& upload);
  void settle_stop();
  void fail(Upload& upload, Failure why, int error, std::string_view what);
  void remove_files(Upload& upload);
  void close_files(Upload& upload);
  std::string note_path(const Upload& upload) const { return upload.base + ".note"; }
  std::string part_path(const Upload& upload) const { return upload.base + ".part"; }
  static std::uint64_t data_of(Op op, std::uint32_t index) {
    return io::user_data(io::Tag::blob, 0, static_cast<std::uint32_t>(op) << 28 | index);
  }

  shard::Shard& shard_;
  log::Writer& log_;
  Keeper& keeper_;
  const BlobOptions& options_;
  Counters counters_;
  observe::LogSource& logs_;

  std::deque<Upload> uploads_;  // by slot; never moves
  std::vector<std::uint32_t> free_slots_;
  std::unordered_map<std::string, std::uint32_t> by_key_;
  std::uint32_t open_ = 0;
  std::uint64_t next_number_ = 0;

  std::vector<log::AlignedMemory> arenas_;
  std::vector<Buffer> buffers_;
  std::vector<std::uint32_t> free_buffers_;
  std::deque<UploadId> room_list_;  // in the order in which they asked

  std::array<NoteSlot, notes_at_once> notes_;
  std::deque<std::uint32_t> note_list_;
  std::vector<std::uint32_t> scheduled_;
  std::vector<std::uint32_t> naming_list_;  // renamed, their directory is not synced yet
  std::vector<std::uint32_t> naming_flight_;
  bool naming_busy_ = false;
  std::uint32_t directory_ops_ = 0;
  std::int32_t directory_error_ = 0;
  std::string day_;
  int day_fd_ = -1;
  int root_fd_ = -1;
  bool root_due_ = false;
  std::deque<std::uint32_t> logging_;
  std::deque<Waiting> waiting_;

  std::unordered_map<std::string, Stored> finished_;
  std::deque<std::string> finished_order_;
  bool stopping_ = false;
  bool abandoned_ = false;
  shard::Timer timer_{*this};
};

}  // namespace ringgate::blob
