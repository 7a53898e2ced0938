// What a simulated terminal photographs, records and keeps: small but valid files of seeded
// content. Pure; one thread. JT/T 808-2019 8.49-8.55 (0x0800-0x0805, 0x8800-0x8805).
#pragma once

#include <array>
#include <deque>
#include <string_view>
#include <vector>

#include "tools/load/frames.hpp"
#include "tools/load/terminal/body.hpp"
#include "tools/load/terminal/chance.hpp"

namespace ringgate::load {

// A grey baseline JPEG (JFIF) of `width` x `height`, both rounded up to whole blocks of 8.
Body make_jpeg(std::uint16_t width, std::uint16_t height, Chance& chance);
// A WAV file: one channel of 8-bit samples.
Body make_wav(std::uint32_t samples_per_s, std::uint32_t samples, Chance& chance);
// The start of an H.264 stream: parameter sets and slices by their start codes; what is in the
// slices is noise.
Body make_h264(std::size_t size_bytes, Chance& chance);

// The size that a 0x8801 names by its resolution.
struct PictureSize {
  std::uint16_t width = 320;
  std::uint16_t height = 240;
};
PictureSize picture_size(std::uint8_t resolution, Version version);

enum class MediaType : std::uint8_t { image = 0, audio = 1, video = 2 };
enum class MediaFormat : std::uint8_t { jpeg = 0, tif = 1, mp3 = 2, wav = 3, wmv = 4 };
std::string_view extension_of(MediaFormat format);

using PositionBytes = std::array<std::uint8_t, 28>;  // a 0x0200 without items

struct MediaItem {
  std::uint32_t id = 0;
  MediaType type = MediaType::image;
  MediaFormat format = MediaFormat::jpeg;
  std::uint8_t event = 0;  // 0: the platform asked
  std::uint8_t channel = 1;
  PositionBytes position{};
  BcdTime time{};
  Body content;
};

// What a 0x8802 or 0x8803 looks for.
struct MediaSearch {
  std::uint8_t type = 0;
  std::uint8_t channel = 0;  // 0: all
  std::uint8_t event = 0;
  BcdTime from{}, to{};  // all zeros: no limit
  bool fits(const MediaItem& item) const;
};
MediaSearch read_search(BodyReader& in);

class MediaStore {
 public:
  const MediaItem& add(MediaItem item);  // gives it its id; the oldest goes when there are too many
  const MediaItem* find(std::uint32_t id) const;
  void remove(std::uint32_t id);
  const std::deque<MediaItem>& items() const { return items_; }

  static constexpr std::size_t items_max = 16;

 private:
  std::deque<MediaItem> items_;
  std::uint32_t next_id_ = 1;
};

// Bodies.
Body event_body(const MediaItem& item);   // 0x0800
Body upload_body(const MediaItem& item);  // 0x0801
Body search_body(std::uint16_t reply_serial, const MediaSearch& search, const MediaStore& store);

}  // namespace ringgate::load
