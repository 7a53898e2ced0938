// The stream of T/JSATL 12-2017, and its variants, to an attachment server: ordinary frames, and
// between them blocks of file content that are neither escaped nor checked. Pure, no allocation but
// for lists; any thread.
//
//   block: 30 31 63 64 | name 50, filled with 00 | offset 4 | length 4 | content
//
// What follows is told by its first byte: 7E begins a frame, 30 a block. Inside a block nothing is
// looked for. A byte that begins neither means that the stream is out of step for good.
#pragma once

#include <vector>

#include "engine/base/bytes.hpp"
#include "protocols/jt808/codec/framing.hpp"
#include "protocols/jt808/codec/writer.hpp"

namespace ringgate::jt808 {

namespace id {
constexpr std::uint16_t attachment_list = 0x1210;   // answered by 0x8001
constexpr std::uint16_t file_begin = 0x1211;        // answered by 0x8001
constexpr std::uint16_t file_end = 0x1212;          // answered by 0x9212
constexpr std::uint16_t attachments_wanted = 0x9208;
constexpr std::uint16_t file_end_reply = 0x9212;
}  // namespace id

constexpr std::uint32_t block_mark = 0x30316364;
constexpr std::size_t block_name_size = 50;
constexpr std::size_t block_header_size = 4 + block_name_size + 4 + 4;
static_assert(block_header_size == 62);

struct StreamItem {
  enum class Kind : std::uint8_t {
    frame,
    block,      // `consumed` ends behind its header; `size_bytes` of content follow
    need_more,  // of a frame or of a block's header
    bad,        // a broken frame; the stream goes on behind it
    lost,       // neither a frame nor a block begins here
  };
  Kind kind = Kind::need_more;
  std::size_t consumed = 0;  // drop so many bytes from the front, whatever the kind
  BadReason reason = BadReason::none;
  Bytes frame;               // as NextFrame's
  Bytes name;                // of a block, without what fills it up
  std::uint32_t offset = 0;
  std::uint32_t size_bytes = 0;
};
// `in` begins where neither a frame nor a block is open. `scratch` as for next_frame().
StreamItem next_in_stream(Bytes in, MutableBytes scratch);

// What names an alarm in a vendor's or a province's layout (报警标识号). T/JSATL 12-2017 4.6.
struct AlarmSign {
  Bytes terminal_id;
  std::uint8_t time_bcd[6] = {};
  std::uint8_t sequence = 0;
  std::uint8_t attachments = 0;
  std::size_t size_bytes = 0;  // 16, 38, 39 or 40
};

struct FileEntry {
  Bytes name;
  std::uint32_t size_bytes = 0;
};

// 0x1210. T/JSATL 12-2017 4.6.2; Guangdong's variant has a terminal id of 30 and a sign of 40, and
// Heilongjiang's no terminal id in front [seen in the field].
struct AttachmentList {
  Bytes terminal_id;   // may be empty
  AlarmSign sign;
  Bytes alarm_number;  // 32 bytes, without what fills it up
  bool resend = false;
  std::vector<FileEntry> files;
};
// The layout is the one that uses up the body exactly and has a time in its sign. False: none does.
// `first_part`: of a list that came in parts; the files end where it ends.
bool decode_attachment_list(Bytes body, AttachmentList& out, bool first_part = false);

// 0x1211 and 0x1212. T/JSATL 12-2017 4.6.3, 4.6.5.
struct FileNotice {
  Bytes name;
  // 0 picture, 1 sound, 2 video, 3 text, 4 other; in Guangdong 4 face, 5 other.
  std::uint8_t type = 0;
  std::uint32_t size_bytes = 0;
};
bool decode_file_notice(Bytes body, FileNotice& out);

struct MissingPiece {
  std::uint32_t offset = 0;
  std::uint32_t size_bytes = 0;
};
// As many missing pieces as a frame holds beside a name of this length; the count is a BYTE.
constexpr std::size_t missing_pieces_max(std::size_t name_size) {
  const std::size_t room = (body_size_max - 4 - name_size) / 8;
  return room < 255 ? room : 255;
}
// 0x9212: done where `missing` is empty, else these are wanted again. T/JSATL 12-2017 4.6.6.
std::size_t write_file_end_reply(MutableBytes out, const Peer& peer, std::uint16_t serial,
                                 const FileNotice& file, std::span<const MissingPiece> missing);

}  // namespace ringgate::jt808
