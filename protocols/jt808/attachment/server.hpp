// The attachment server of T/JSATL 12-2017: terminals bring the files of an alarm on a link of
// their own, in frames and raw blocks (codec/attachment.hpp). Every frame is logged and answered
// when it is durable; content goes to storage/blob as it comes in, and 0x9212 says "done" when the
// file is durable and listed in the log. One per shard; lives on it. Links stay where they are.
//
// A file is known by device, alarm number and name: a terminal that comes back on another link, to
// another shard or to a gateway that was restarted is asked only for what is missing. Its name is
// never used as a path.
//
// Life: built after the shard's store of blobs, before the first turn.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "engine/config/settings.hpp"
#include "engine/net/links.hpp"
#include "engine/observe/logger.hpp"
#include "protocols/jt808/attachment/expected.hpp"
#include "protocols/jt808/attachment/keys.hpp"
#include "protocols/jt808/codec/attachment.hpp"
#include "storage/blob/store.hpp"
#include "storage/log/writer.hpp"

namespace ringgate::jt808 {

inline constexpr std::string_view attachment_refusal_names[] = {
    "unexpected", "too_large", "too_many", "storage", "bad_frame", "stray_block", "out_of_step"};
enum class AttachmentRefusal : std::uint8_t {
  unexpected,   // nobody asked for this alarm's files
  too_large,    // above attachment.max_file_size
  too_many,     // above attachment.max_files or max_resends
  storage,      // storage/blob said no; its own counter says why
  bad_frame,
  stray_block,  // content of a file that was not begun; dropped
  out_of_step,  // neither a frame nor a block; the link is closed
};

inline constexpr observe::MetricSpec attachment_frames{
    .name = "ringgate_attachment_frames_total", .help = "Frames of attachment links."};
inline constexpr observe::MetricSpec attachment_bytes{
    .name = "ringgate_attachment_content_bytes_total",
    .help = "Bytes of file content received, repeated ones included."};
inline constexpr observe::MetricSpec attachment_done{
    .name = "ringgate_attachment_files_total", .help = "Files acknowledged as done."};
inline constexpr observe::MetricSpec attachment_resends{
    .name = "ringgate_attachment_resends_total",
    .help = "Answers that ask for missing pieces of a file."};
inline constexpr observe::MetricSpec attachment_refused{
    .name = "ringgate_attachment_refused_total",
    .help = "What was not taken on attachment links, by reason.",
    .label = "reason",
    .values = attachment_refusal_names};

struct AttachmentOptions {
  bool expected_only = false;
  std::uint32_t max_file_size = 64U << 20;
  std::uint32_t max_files = 64;
  std::uint32_t max_resends = 100;
  std::uint32_t max_bad_frames = 20;
  MonoNs upload_timeout_ns = 600 * ns_per_s;
};
AttachmentOptions attachment_options(const config::Settings& settings);

class AttachmentServer final : public net::Protocol,
                               public blob::UploadOwner,
                               public shard::TimerHandler {
 public:
  AttachmentServer(net::Links& links, log::Writer& log, blob::Uploads& blobs,
                   const Expectations& expectations, observe::CounterGroup& counters,
                   observe::LogSource& logs, const AttachmentOptions& options);
  ~AttachmentServer() override;

  std::string_view name() const override { return "attachment"; }
  void on_settings(const config::Settings& settings) override {
    options_ = attachment_options(settings);
  }
  void on_open(net::Link& link) override;
  std::size_t on_bytes(net::Link& link, Bytes bytes) override;
  bool is_partial_frame(Bytes left) const override { return jt808::is_partial_frame(left); }
  void on_close(net::Link& link, net::CloseReason reason) override;

  void on_room(blob::UploadId id) override;
  void on_stored(blob::UploadId id, const blob::Stored& stored) override;
  void on_failed(blob::UploadId id, blob::Failure why) override;
  void on_timer() override;

 private:
  // What a link is about. Its link's session bytes name it.
  struct Visit {
    bool used = false;
    LinkId link;
    Peer peer;
    DeviceKey device;
    std::uint16_t next_serial = 0;
    bool expected = false;
    std::string alarm;  // number, as sent
    std::uint32_t files = 0;
    std::uint32_t bad_frames = 0;
    // The file that was begun.
    blob::UploadId upload;
    std::string file;  // name as sent
    std::uint8_t type = 0;
    std::uint32_t size_bytes = 0;
    std::uint32_t resends = 0;
    MonoNs since_ns = 0;
    bool ending = false;       // all is there; 0x9212 follows when it is durable
    MonoNs busy_since_ns = 0;  // another shard still has it; 0: no
    // The block that has begun.
    std::uint64_t block_at = 0;
    std::uint32_t block_left = 0;
    bool block_wanted = false;

    FileNotice notice() const { return {as_bytes(file), type, size_bytes}; }
  };
  struct State {
    std::uint32_t visit;
  };
  struct Incoming {
    Bytes frame;
    Header header;
    Bytes body() const { return body_of(frame, header); }
  };
  enum class Taken : bool { no, yes };

  Visit& visit_of(net::Link& link) { return visits_[link.session<State>().visit]; }
  Visit* visit_of(blob::UploadId id);
  std::size_t take_content(net::Link& link, Visit& visit, Bytes bytes);
  void begin_block(Visit& visit, const StreamItem& block);
  Taken handle(net::Link& link, Visit& visit, Bytes frame);
  void take_list(net::Link& link, Visit& visit, const Incoming& in);
  Taken take_file(net::Link& link, Visit& visit, const Incoming& in);
  Taken open_file(net::Link& link, Visit& visit, const Incoming& in, const FileNotice& notice,
                  bool& open);
  bool admits(Visit& visit, const FileNotice& notice);
  void end_file(net::Link& link, Visit& visit);
  void leave_file(Visit& visit);
  void store(net::Link& link, const Visit& visit, const Incoming& in);
  Taken not_stored(net::Link& link, Visit& visit, const Incoming& in);
  void ack(net::Link& link, Visit& visit, const Incoming& in, AckResult result);
  void answer_file(net::Link& link, Visit& visit, std::span<const MissingPiece> missing);
  void bad(net::Link& link, Visit& visit);

  net::Links& links_;
  log::Writer& log_;
  blob::Uploads& blobs_;
  const Expectations& expectations_;
  observe::LogSource& logs_;
  AttachmentOptions options_;
  observe::Counter frames_;
  observe::Counter content_;
  observe::Counter done_;
  observe::Counter resends_;
  observe::Family<AttachmentRefusal> refused_;
  std::deque<Visit> visits_;  // never moves
  std::vector<std::uint32_t> free_visits_;
  std::vector<std::uint32_t> by_upload_;  // visit, by the upload's slot
  std::unique_ptr<std::uint8_t[]> scratch_;
  std::uint32_t live_ = 0;
  shard::Timer timer_{*this};
};

}  // namespace ringgate::jt808
