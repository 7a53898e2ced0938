// Media and attachments as files: a blob is written in pieces, in any order, and is reported as
// stored only when its bytes, its name and its record in the log are durable. BLOB.md says what
// lies where. One store per shard; everything here runs on the shard's thread.
//
// Life: opened after the shard's log writer, before its first turn; ends after the shard has
// stopped. An owner outlives its uploads, or lets go of them with suspend() or discard().
//
// Memory: an upload owns no buffer while nothing of it is under way. All uploads of a shard share
// one pool; where it is empty, write() takes less than it was given and on_room() follows.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/bytes.hpp"
#include "engine/base/ids.hpp"
#include "engine/base/result.hpp"
#include "storage/blob/content.hpp"
#include "storage/blob/limits.hpp"

namespace ringgate::blob {

struct UploadId {
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;  // 0: no upload
  bool valid() const { return generation != 0; }
  friend bool operator==(const UploadId&, const UploadId&) = default;
};

// What begins an upload. Texts come from outside: they go into the metadata, made printable, and
// never into a path.
struct UploadInfo {
  DeviceKey device;
  std::uint64_t link = 0;     // LinkId::packed()
  std::uint16_t message = 0;  // that brings it: 0x0801, 0x1211
  std::uint64_t size_bytes = 0;
  Content declared = Content::unknown;
  std::string name;        // as the device calls it; may be empty
  std::string alarm;       // number of the alarm that it belongs to; may be empty
  // Further members of the metadata: name and JSON value ("3", "\"front\"").
  std::vector<std::pair<std::string, std::string>> facts;
  // Names the upload across reconnects and restarts (at most key_size_max bytes, any content).
  // Empty: it can't be resumed, and what there is of it goes with suspend().
  std::string resume_key;
};

// A blob that is durable and in the log.
struct Stored {
  std::string id;    // "0193c8f2a1b-7-0-2a": sorts by time, unique in this data directory
  std::string path;  // below <data dir>/blobs: "20261121/<id>.jpg"
  std::uint64_t size_bytes = 0;
  std::uint32_t crc32c = 0;
  Content content = Content::unknown;  // found by magic, else declared
  bool mismatch = false;               // the magic contradicts what was declared
  Position record = 0;                 // of its metadata in the log of this shard
};

enum class Failure : std::uint8_t {
  none,
  too_large,         // above blob.max_size
  too_many,          // uploads open on this shard, or of this device
  device_full,       // unfinished bytes of this device above blob.device_unfinished
  disk_full,         // free space would fall below blob.min_free
  busy,              // the same upload is still open on another shard: try again soon
  disk_error,        // open, write, sync or rename refused; the reason is in our own log
  log,               // the log takes nothing and refuses
  taken_over,        // another link went on with this upload
  stopping,          // the gateway stops; what is durable stays for a resume
  count,
};
std::string_view name_of(Failure failure);  // "disk-full"

// Whoever uploads. Told at most once of the end; not from within a call of its own.
class UploadOwner {
 public:
  virtual ~UploadOwner() = default;
  // write() may take bytes again.
  virtual void on_room(UploadId id) = 0;
  // After commit(): durable and listed. The id is not valid any more.
  virtual void on_stored(UploadId id, const Stored& stored) = 0;
  // The upload ended without being stored. The id is not valid any more.
  virtual void on_failed(UploadId id, Failure why) = 0;
};

struct Gap {
  std::uint64_t offset = 0;
  std::uint64_t size_bytes = 0;
};

class Uploads {
 public:
  virtual ~Uploads() = default;

  struct Begun {
    UploadId id;
    Failure failure = Failure::none;
    // Valid id with `already`: this very upload (key and size) was stored a while ago; commit()
    // tells its owner so again.
    bool already = false;
    std::uint64_t resumed_bytes = 0;  // durable from before
  };
  // Cold: opens and reserves a file.
  virtual Begun begin(const UploadInfo& info, UploadOwner& owner) = 0;

  // Takes bytes at `offset`; a byte that is there already is not written again. Returns how many
  // were taken; fewer than given: on_room() follows. Bytes beyond the size are dropped as taken.
  virtual std::size_t write(UploadId id, std::uint64_t offset, Bytes bytes) = 0;
  // Whether write() would take something now.
  virtual bool may_write(UploadId id) const = 0;

  // Bytes that are missing, in order, at most `max` gaps. Empty: all is there.
  virtual std::vector<Gap> missing(UploadId id, std::size_t max) const = 0;

  // Makes the upload a blob; nothing may be missing. on_stored() or on_failed() follows.
  virtual void commit(UploadId id) = 0;
  // The owner goes: what is durable is kept for a resume, if it can be resumed. No callback.
  virtual void suspend(UploadId id) = 0;
  // The owner goes, and so does the upload. No callback.
  virtual void discard(UploadId id) = 0;

  // Stores `bytes` as a whole: begin, write, commit. Owns the bytes until the end; `owner` hears
  // on_stored() or on_failed() (on_room() never). An invalid id: Begun.failure says why.
  virtual Begun put(const UploadInfo& info, std::vector<std::uint8_t> bytes,
                    UploadOwner& owner) = 0;
};

}  // namespace ringgate::blob
