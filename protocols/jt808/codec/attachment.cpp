#include "protocols/jt808/codec/attachment.hpp"

#include <algorithm>
#include <array>

namespace ringgate::jt808 {

namespace {

constexpr std::size_t alarm_number_size = 32;
constexpr std::uint8_t mark_bytes[] = {0x30, 0x31, 0x63, 0x64};

// Names are filled up with 00; what a sloppy sender leaves behind the first is no part of them.
Bytes without_filling(Bytes text) {
  const auto end = std::find(text.begin(), text.end(), std::uint8_t{0});
  text = text.first(static_cast<std::size_t>(end - text.begin()));
  while (!text.empty() && text.back() == ' ') text = text.first(text.size() - 1);
  return text;
}

// Whether `in` begins with as much of the mark as is there.
bool begins_mark(Bytes in) {
  const std::size_t size = std::min(in.size(), std::size(mark_bytes));
  return size > 0 && std::equal(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(size),
                                std::begin(mark_bytes));
}

StreamItem next_block(Bytes in, std::size_t at) {
  StreamItem item;
  const Bytes block = in.subspan(at);
  item.consumed = at;
  if (block.size() < block_header_size) return item;
  item.kind = StreamItem::Kind::block;
  item.name = without_filling(block.subspan(4, block_name_size));
  item.offset = load_be32(block.data() + 4 + block_name_size);
  item.size_bytes = load_be32(block.data() + 8 + block_name_size);
  item.consumed = at + block_header_size;
  return item;
}

struct Layout {
  std::size_t terminal_id;
  std::size_t sign;
};
// Where two fit, the more usual comes first.
constexpr Layout layouts[] = {{7, 16}, {30, 40}, {30, 38}, {30, 39}, {0, 38}, {0, 40},
                              {0, 39}, {0, 16},  {7, 40},  {7, 38},  {7, 39}, {30, 16}};

bool is_bcd_time(const std::uint8_t* at) {
  const auto within = [](std::uint8_t bcd, int low, int high) {
    const int tens = bcd >> 4;
    const int ones = bcd & 15;
    const int value = tens * 10 + ones;
    return tens <= 9 && ones <= 9 && value >= low && value <= high;
  };
  return within(at[0], 0, 99) && within(at[1], 1, 12) && within(at[2], 1, 31) &&
         within(at[3], 0, 23) && within(at[4], 0, 59) && within(at[5], 0, 59);
}

bool decode_with(Bytes body, const Layout& layout, bool first_part, AttachmentList& out) {
  const std::size_t fixed = layout.terminal_id + layout.sign + alarm_number_size + 2;
  if (body.size() < fixed) return false;
  out = {};
  out.terminal_id = without_filling(body.first(layout.terminal_id));
  const std::size_t id_size = layout.sign == 16 ? 7 : 30;
  const std::uint8_t* sign = body.data() + layout.terminal_id;
  out.sign.terminal_id = without_filling({sign, id_size});
  std::copy_n(sign + id_size, 6, out.sign.time_bcd);
  if (!is_bcd_time(out.sign.time_bcd)) return false;
  out.sign.sequence = sign[id_size + 6];
  out.sign.attachments = sign[id_size + 7];
  out.sign.size_bytes = layout.sign;
  const std::uint8_t* rest = sign + layout.sign;
  out.alarm_number = without_filling({rest, alarm_number_size});
  const std::uint8_t kind = rest[alarm_number_size];
  if (kind > 1) return false;
  out.resend = kind == 1;
  const std::size_t count = rest[alarm_number_size + 1];
  Bytes list = body.subspan(fixed);
  for (std::size_t i = 0; i < count; ++i) {
    if (list.empty() || list.size() < std::size_t{list[0]} + 5) return first_part;
    const std::size_t size = list[0];
    out.files.push_back({without_filling(list.subspan(1, size)),
                         load_be32(list.data() + 1 + size)});
    list = list.subspan(size + 5);
  }
  return list.empty();
}

}  // namespace

StreamItem next_in_stream(Bytes in, MutableBytes scratch) {
  std::size_t at = 0;
  while (at < in.size() && in[at] == delimiter) ++at;
  if (at == in.size()) return {.consumed = at > 0 ? at - 1 : 0};
  // No message begins with the mark's bytes, so behind a closing delimiter they begin a block.
  const Bytes rest = in.subspan(at);
  if (begins_mark(rest) && rest.size() >= std::size(mark_bytes)) return next_block(in, at);
  if (at == 0) {
    if (begins_mark(rest)) return {};
    return {.kind = StreamItem::Kind::lost};
  }
  const NextFrame next = next_frame(in, scratch);
  StreamItem item;
  item.consumed = next.consumed;
  item.reason = next.reason;
  item.frame = next.frame;
  if (next.kind == NextFrame::Kind::frame) item.kind = StreamItem::Kind::frame;
  if (next.kind == NextFrame::Kind::bad) item.kind = StreamItem::Kind::bad;
  return item;
}

bool decode_attachment_list(Bytes body, AttachmentList& out, bool first_part) {
  return std::ranges::any_of(layouts, [&](const Layout& layout) {
    return decode_with(body, layout, first_part, out);
  });
}

bool decode_file_notice(Bytes body, FileNotice& out) {
  if (body.empty() || body.size() < std::size_t{body[0]} + 6) return false;
  const std::size_t size = body[0];
  out.name = without_filling(body.subspan(1, size));
  out.type = body[1 + size];
  out.size_bytes = load_be32(body.data() + 2 + size);
  return !out.name.empty();
}

std::size_t write_file_end_reply(MutableBytes out, const Peer& peer, std::uint16_t serial,
                                 const FileNotice& file, std::span<const MissingPiece> missing) {
  FrameWriter frame(peer, id::file_end_reply, serial);
  const std::size_t name_size = std::min<std::size_t>(file.name.size(), 255);
  const std::size_t count = std::min(missing.size(), missing_pieces_max(name_size));
  frame.u8(static_cast<std::uint8_t>(name_size)).bytes(file.name.first(name_size)).u8(file.type);
  frame.u8(missing.empty() ? 0 : 1).u8(static_cast<std::uint8_t>(count));
  for (const MissingPiece& piece : missing.first(count)) {
    frame.u32(piece.offset).u32(piece.size_bytes);
  }
  return frame.finish(out);
}

}  // namespace ringgate::jt808
