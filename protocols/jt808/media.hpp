// Pictures, sounds and videos of terminals (0x0801): from the whole message to a file in the blob
// store, and the answer when it is durable (0x8800, JT/T 808-2013 8.53). Lives on one shard.
//
// Names of files never come from the wire, and what a file is, its first bytes say: what the
// terminal declares is kept beside it.
#pragma once

#include <array>
#include <vector>

#include "engine/device/device_table.hpp"
#include "engine/net/links.hpp"
#include "engine/observe/logger.hpp"
#include "protocols/jt808/codec/header.hpp"
#include "protocols/jt808/limits.hpp"
#include "protocols/jt808/tracer.hpp"
#include "storage/blob/store.hpp"

namespace ringgate::jt808 {

// The body of 0x0801, JT/T 808-2013 table 81. In the field the 28 bytes of position are missing or
// shorter: then `position` is empty, and the data begins where a known kind of file does.
struct MediaBody {
  std::uint32_t id = 0;
  std::uint8_t type = 0;     // 0 image, 1 audio, 2 video
  std::uint8_t format = 0;   // 0 JPEG, 1 TIF, 2 MP3, 3 WAV, 4 WMV
  std::uint8_t event = 0;
  std::uint8_t channel = 0;
  Bytes position;  // 28 bytes, or empty
  Bytes data;
};
bool decode_media(Bytes body, MediaBody& out);  // false: too short

enum class MediaOutcome : std::uint8_t {
  stored,     // a new file
  repeated,   // was stored before: answered, not stored again
  malformed,  // no media body
  refused,    // the store, or our memory, took no more: the terminal is told "failed"
  failed,     // the store began and could not finish
  logged,     // no store: it stays in the log
};

class Media final : public blob::UploadOwner {
 public:
  Media(net::Links& links, device::DeviceTable& devices, observe::CounterGroup& counters,
        observe::LogSource& logs);
  ~Media() override;
  // Is shown what is written here.
  void set_tracer(Tracer& tracer) { tracer_ = &tracer; }
  Media(const Media&) = delete;
  Media& operator=(const Media&) = delete;

  // Wiring, before the first turn. `uploads` outlives this object. Without it media stays in the
  // log and is answered at once.
  void use(blob::Uploads& uploads) { uploads_ = &uploads; }

  // A whole 0x0801, which the log has. `serial`: of its frame, or its last part. Whatever is
  // answered for the message as a whole is written here: 0x8800 now or later, or 0x8001 where it
  // can't be kept.
  void take(net::Link& link, device::DeviceSlot slot, Bytes body, std::uint16_t serial);
  // A part of a 0x0801 came that was there before. A terminal that sends the last one of a stored
  // message again has not heard the answer: it is repeated.
  void on_repeated_part(device::DeviceSlot slot, const Header& header);

  void on_room(blob::UploadId id) override { static_cast<void>(id); }
  void on_stored(blob::UploadId id, const blob::Stored& stored) override;
  void on_failed(blob::UploadId id, blob::Failure why) override;

  std::size_t pending_count() const { return pending_.size(); }

 private:
  struct Pending {
    blob::UploadId upload;
    device::DeviceSlot device = device::no_device;
    std::uint32_t media_id = 0;
    std::uint16_t serial = 0;
    std::uint64_t bytes = 0;
    bool repeated = false;
  };
  std::vector<Pending>::iterator find(blob::UploadId id);
  Pending end(std::vector<Pending>::iterator at);
  void answer(device::DeviceSlot device, std::uint32_t media_id, std::uint16_t serial);
  void refuse(device::DeviceSlot device, std::uint16_t serial);
  blob::UploadInfo describe(net::Link& link, device::DeviceSlot slot, const MediaBody& media);

  net::Links& links_;
  device::DeviceTable& devices_;
  observe::LogSource& logs_;
  Tracer* tracer_ = nullptr;
  observe::Family<MediaOutcome> outcomes_;
  blob::Uploads* uploads_ = nullptr;
  std::vector<Pending> pending_;
  std::uint64_t pending_bytes_ = 0;
  // Whose answers may be asked for again; the next one replaces the oldest.
  struct Answered {
    device::DeviceSlot device = device::no_device;
    std::uint32_t media_id = 0;
    std::uint16_t serial = 0;
  };
  std::array<Answered, media_answered_max> answered_{};
  std::size_t answered_at_ = 0;
};

}  // namespace ringgate::jt808
