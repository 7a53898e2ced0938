#include "tools/load/terminal/media.hpp"

#include <algorithm>
#include <cstdlib>

namespace ringgate::load {

std::string_view extension_of(MediaFormat format) {
  constexpr std::string_view names[] = {"jpg", "tif", "mp3", "wav", "wmv"};
  return names[static_cast<std::size_t>(format)];
}

// JT/T 808-2013 8.49: 1 320x240, 2 640x480, 3 800x600, 4 1024x768, 5 176x144, 6 352x288,
// 7 704x288, 8 704x576; 2019 adds 0 for the least and 0xff for the best.
PictureSize picture_size(std::uint8_t resolution, Version version) {
  constexpr PictureSize sizes[] = {{176, 144}, {320, 240}, {640, 480}, {800, 600}, {1024, 768},
                                   {176, 144}, {352, 288}, {704, 288}, {704, 576}};
  if (version == Version::v2019 && resolution == 0xff) return sizes[4];
  return resolution < std::size(sizes) ? sizes[resolution] : sizes[1];
}

bool MediaSearch::fits(const MediaItem& item) const {
  const BcdTime none{};
  return static_cast<std::uint8_t>(item.type) == type &&
         (channel == 0 || item.channel == channel) && item.event == event &&
         (from == none || item.time >= from) && (to == none || item.time <= to);
}

MediaSearch read_search(BodyReader& in) {
  MediaSearch out{.type = in.u8(), .channel = in.u8(), .event = in.u8()};
  const Bytes from = in.take(6), to = in.take(6);
  std::copy(from.begin(), from.end(), out.from.begin());
  std::copy(to.begin(), to.end(), out.to.begin());
  return out;
}

const MediaItem& MediaStore::add(MediaItem item) {
  if (items_.size() == items_max) items_.pop_front();
  item.id = next_id_++;
  items_.push_back(std::move(item));
  return items_.back();
}

const MediaItem* MediaStore::find(std::uint32_t id) const {
  const auto at = std::find_if(items_.begin(), items_.end(),
                               [id](const MediaItem& item) { return item.id == id; });
  return at == items_.end() ? nullptr : &*at;
}

void MediaStore::remove(std::uint32_t id) {
  std::erase_if(items_, [id](const MediaItem& item) { return item.id == id; });
}

namespace {

void put_head(BodyWriter& out, const MediaItem& item) {
  out.u32(item.id).u8(static_cast<std::uint8_t>(item.type));
  out.u8(static_cast<std::uint8_t>(item.format)).u8(item.event).u8(item.channel);
}

}  // namespace

Body event_body(const MediaItem& item) {
  BodyWriter out;
  put_head(out, item);
  return out.take();
}

Body upload_body(const MediaItem& item) {
  BodyWriter out;
  put_head(out, item);
  out.bytes(item.position).bytes(item.content);
  return out.take();
}

Body search_body(std::uint16_t reply_serial, const MediaSearch& search, const MediaStore& store) {
  BodyWriter found;
  std::uint16_t count = 0;
  for (const MediaItem& item : store.items()) {
    if (!search.fits(item)) continue;
    ++count;
    found.u32(item.id).u8(static_cast<std::uint8_t>(item.type)).u8(item.channel).u8(item.event);
    found.bytes(item.position);
  }
  BodyWriter out;
  out.u16(reply_serial).u16(count).bytes(found.body());
  return out.take();
}

namespace {

// Bits of an entropy-coded segment; a byte FF is followed by 00.
class BitWriter {
 public:
  explicit BitWriter(BodyWriter& out) : out_(out) {}
  void put(std::uint32_t bits, int count) {
    for (int i = count - 1; i >= 0; --i) {
      byte_ = byte_ << 1 | (bits >> i & 1);
      if (++used_ == 8) flush();
    }
  }
  void finish() {
    while (used_ != 0) put(1, 1);
  }

 private:
  void flush() {
    out_.u8(byte_ & 0xff);
    if ((byte_ & 0xff) == 0xff) out_.u8(0);
    byte_ = 0;
    used_ = 0;
  }
  BodyWriter& out_;
  std::uint32_t byte_ = 0;
  int used_ = 0;
};

// The symbols of the two Huffman tables, each with a code of four bits: its place in the table.
constexpr std::uint8_t dc_symbols[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
constexpr std::uint8_t ac_symbols[] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x11, 0x12, 0x21};

void put_table(BodyWriter& out, std::uint8_t id, Bytes symbols) {
  out.u16(0xffc4).u16(3 + 16 + symbols.size()).u8(id);
  for (int length = 1; length <= 16; ++length) out.u8(length == 4 ? symbols.size() : 0);
  out.bytes(symbols);
}

void put_jpeg_head(BodyWriter& out, std::uint16_t width, std::uint16_t height) {
  out.u16(0xffd8);
  out.u16(0xffe0).u16(16).text({"JFIF\0", 5}).u16(0x0101).u8(0).u16(1).u16(1).u16(0);
  out.u16(0xffdb).u16(67).u8(0);
  for (int i = 0; i < 64; ++i) out.u8(static_cast<std::uint64_t>(16 + i));  // less with frequency
  out.u16(0xffc0).u16(11).u8(8).u16(height).u16(width).u8(1).u8(1).u8(0x11).u8(0);
  put_table(out, 0x00, dc_symbols);
  put_table(out, 0x10, ac_symbols);
  out.u16(0xffda).u16(8).u8(1).u8(1).u8(0x00).u8(0).u8(63).u8(0);
}

int size_of(int value) {
  int size = 0;
  for (int left = std::abs(value); left > 0; left >>= 1) ++size;
  return size;
}

void put_value(BitWriter& bits, int value, int size) {
  bits.put(static_cast<std::uint32_t>(value < 0 ? value + (1 << size) - 1 : value), size);
}

}  // namespace

Body make_jpeg(std::uint16_t width, std::uint16_t height, Chance& chance) {
  const int across = (width + 7) / 8, down = (height + 7) / 8;
  BodyWriter out;
  put_jpeg_head(out, static_cast<std::uint16_t>(across * 8), static_cast<std::uint16_t>(down * 8));
  BitWriter bits(out);
  const int slope = static_cast<int>(chance.below(5)) - 2;  // light from one side
  int before = 0;
  for (int block = 0; block < across * down; ++block) {
    // The block's mean, in steps of the coarsest quantizer: a slope, and patches in it.
    const int place = (block % across - across / 2) * slope * 8 / across;
    const int mean = std::clamp(place + static_cast<int>(chance.below(9)) - 4, -60, 60);
    const int difference = mean - before;
    before = mean;
    const int size = size_of(difference);
    bits.put(static_cast<std::uint32_t>(size), 4);
    put_value(bits, difference, size);
    for (std::uint32_t detail = chance.below(6); detail > 0; --detail) {
      const std::uint32_t symbol = 1 + chance.below(std::size(ac_symbols) - 1);
      const int value_size = ac_symbols[symbol] & 0xf;
      bits.put(symbol, 4);
      bits.put(chance.below(1U << value_size), value_size);
    }
    bits.put(0, 4);  // end of block
  }
  bits.finish();
  out.u16(0xffd9);
  return out.take();
}

namespace {

void put_le(BodyWriter& out, std::uint32_t value, int size) {
  for (int i = 0; i < size; ++i) out.u8(value >> (8 * i) & 0xff);
}

}  // namespace

Body make_wav(std::uint32_t samples_per_s, std::uint32_t samples, Chance& chance) {
  BodyWriter out;
  out.text("RIFF");
  put_le(out, 36 + samples, 4);
  out.text("WAVEfmt ");
  put_le(out, 16, 4);
  put_le(out, 1, 2);  // PCM
  put_le(out, 1, 2);  // channel
  put_le(out, samples_per_s, 4);
  put_le(out, samples_per_s, 4);  // bytes per second
  put_le(out, 1, 2);
  put_le(out, 8, 2);
  out.text("data");
  put_le(out, samples, 4);
  const std::uint32_t half_wave = 6 + chance.below(20);
  for (std::uint32_t i = 0; i < samples; ++i) {
    const std::uint32_t level = i / half_wave % 2 == 0 ? 150 : 106;
    out.u8(level + chance.below(8));
  }
  return out.take();
}

Body make_h264(std::size_t size_bytes, Chance& chance) {
  constexpr std::uint8_t start[] = {0, 0, 0, 1};
  constexpr std::uint8_t parameter_sets[] = {0, 0, 0, 1, 0x67, 0x42, 0x00, 0x1e, 0xab, 0x40, 0x50,
                                             0x1e, 0xc8, 0, 0, 0, 1, 0x68, 0xce, 0x38, 0x80};
  constexpr std::size_t slice_bytes = 1400;
  BodyWriter out;
  out.bytes(parameter_sets);
  for (int slice = 0; out.body().size() < size_bytes; ++slice) {
    out.bytes(start).u8(slice % 25 == 0 ? 0x65 : 0x41);
    const std::size_t end = std::min(size_bytes, out.body().size() + slice_bytes);
    while (out.body().size() < end) out.u8(1 | chance.byte());  // no zeros: no start code by chance
  }
  return out.take();
}

}  // namespace ringgate::load
