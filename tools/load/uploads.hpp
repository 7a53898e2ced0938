// The connections over which terminals upload attachments, on the load tool's ring. Lives on the
// fleet's shard; must outlive the shard's last turn. Memory: one AttachmentUpload and 4 KiB per
// upload that is connected.
#pragma once

#include <netinet/in.h>

#include <deque>
#include <memory>
#include <string_view>
#include <vector>

#include "engine/shard/shard.hpp"
#include "tools/load/terminal/attachment.hpp"

namespace ringgate::load {

class Uploads final : public shard::CompletionHandler {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    // `problem` is empty when every file has arrived.
    virtual void on_upload_end(std::uint32_t device, const AttachmentUpload& upload,
                               std::string_view problem) = 0;
  };

  // `member`: the owner's number at its desk, which hands completions of Tag::tool on to here.
  Uploads(shard::Shard& shard, std::uint8_t member, Owner& owner);
  ~Uploads() override;
  Uploads(const Uploads&) = delete;
  Uploads& operator=(const Uploads&) = delete;

  void start(std::uint32_t device, std::unique_ptr<AttachmentUpload> upload);
  // What is due: connections to open again, servers that say nothing.
  void tick(MonoNs now);
  MonoNs next_due() const;
  // Gives all of them up without a word.
  void stop();
  // Nothing is open and nothing waits.
  bool idle() const { return open_ == 0 && waiting_.empty(); }

  void on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t flags) override;

  // Sockets at a time; the others wait. Enough for a server to be busy, and few beside the devices'
  // in the limit of open files.
  static constexpr std::size_t connections_max = 256;
  static constexpr int attempts_max = 5;
  static constexpr MonoNs silence_ns_max = 15 * ns_per_s;
  static constexpr MonoNs retry_ns = ns_per_s;
  static constexpr MonoNs cut_ns = 200 * ns_per_ms;  // between a cut and the next connection

 private:
  enum class Operation : std::uint32_t { connect, send, receive };
  enum class State : std::uint8_t { free, waits, connecting, open, closing };
  struct Slot {
    std::unique_ptr<AttachmentUpload> upload;
    std::uint32_t device = 0;
    State state = State::free;
    std::uint16_t generation = 0;
    int fd = -1;
    int operations = 0;
    int failures = 0;      // connections that ended without need, one after the other
    bool sending = false;
    bool ends = false;     // once it is closed, so is the upload
    MonoNs due_ns = 0;     // waits: connect then; else: give up then
    MonoNs pause_ns = 0;   // closing: wait so long before the next connection
    sockaddr_in address{};
    Body out;
    std::size_t out_at = 0;
    std::string problem;
    std::vector<std::uint8_t> in;
  };

  void submitted(io_uring_sqe* sqe, std::uint32_t index, Operation what);
  void place(std::uint32_t device, std::unique_ptr<AttachmentUpload> upload);
  void connect(std::uint32_t index);
  void receive(std::uint32_t index);
  void submit_send(std::uint32_t index);
  void pump(std::uint32_t index);
  void lose(std::uint32_t index, std::string_view why);
  void close(std::uint32_t index, MonoNs pause_ns, bool ends);
  void close_if_idle(std::uint32_t index);

  shard::Shard& shard_;
  std::uint8_t member_;
  Owner& owner_;
  std::deque<Slot> slots_;  // does not move: the kernel writes into them
  std::deque<std::pair<std::uint32_t, std::unique_ptr<AttachmentUpload>>> waiting_;
  std::size_t open_ = 0;
  bool stopped_ = false;
};

}  // namespace ringgate::load
