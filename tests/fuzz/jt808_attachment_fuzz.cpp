// The attachment stream, cut at other places: frames, blocks and their content must come out the
// same however the bytes arrive; and the bodies of its messages. Input: a byte that chooses the
// cuts, then the stream. By hand as jt808_framing_fuzz.cpp says.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "protocols/jt808/codec/attachment.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;
using Raw = std::vector<std::uint8_t>;

struct Event {
  StreamItem::Kind kind = StreamItem::Kind::frame;
  BadReason reason = BadReason::none;
  std::uint32_t offset = 0;
  std::uint32_t size_bytes = 0;
  Raw bytes;  // the frame, the block's name, or content
  friend bool operator==(const Event&, const Event&) = default;
};

void require(bool condition) {
  if (!condition) __builtin_trap();
}

std::vector<Event> run(Bytes stream, std::size_t piece) {
  std::vector<Event> events;
  Raw scratch(scratch_size);
  Raw kept;
  std::uint32_t block_left = 0;
  Raw content;
  while (!stream.empty()) {
    const std::size_t size = std::clamp<std::size_t>(piece, 1, stream.size());
    Raw input = kept;
    input.insert(input.end(), stream.begin(), stream.begin() + static_cast<std::ptrdiff_t>(size));
    input.shrink_to_fit();
    stream = stream.subspan(size);
    Bytes left = input;
    for (;;) {
      if (block_left > 0) {
        const std::size_t taken = std::min<std::size_t>(left.size(), block_left);
        content.insert(content.end(), left.begin(),
                       left.begin() + static_cast<std::ptrdiff_t>(taken));
        left = left.subspan(taken);
        block_left -= static_cast<std::uint32_t>(taken);
        if (block_left > 0) break;
        events.push_back({.kind = StreamItem::Kind::block, .bytes = std::move(content)});
        content.clear();
      }
      const StreamItem item = next_in_stream(left, scratch);
      require(item.consumed <= left.size());
      if (item.kind == StreamItem::Kind::lost) {
        events.push_back({.kind = item.kind});
        return events;
      }
      left = left.subspan(item.consumed);
      if (item.kind == StreamItem::Kind::need_more) break;
      require(item.consumed > 0);
      const Bytes shown = item.kind == StreamItem::Kind::block ? item.name : item.frame;
      require(item.kind != StreamItem::Kind::block || item.name.size() <= block_name_size);
      events.push_back({item.kind, item.reason, item.offset, item.size_bytes,
                        {shown.begin(), shown.end()}});
      if (item.kind == StreamItem::Kind::block) block_left = item.size_bytes;
    }
    require(left.size() <= wire_size_max);
    kept.assign(left.begin(), left.end());
  }
  return events;
}

void decode_bodies(Bytes body) {
  AttachmentList list;
  for (const bool first_part : {false, true}) {
    if (!decode_attachment_list(body, list, first_part)) continue;
    require(list.files.size() <= 255 && list.alarm_number.size() <= 32);
    for (const FileEntry& file : list.files) {
      require(file.name.empty() || (file.name.data() >= body.data() &&
                                    file.name.data() + file.name.size() <=
                                        body.data() + body.size()));
    }
  }
  FileNotice notice;
  if (!decode_file_notice(body, notice)) return;
  // What is answered fits a frame, whatever the name and however much is missing.
  const std::vector<MissingPiece> missing(300, MissingPiece{0x7e7e7e7e, 0x7d7d7d7d});
  std::uint8_t out[wire_size_max];
  const Peer peer = make_peer(Version::v2019, "13800138000");
  const std::size_t size = write_file_end_reply(out, peer, 0x7e7e, notice, missing);
  require(size > 0);
  Raw scratch(scratch_size);
  require(next_frame({out, size}, scratch).kind == NextFrame::Kind::frame);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes stream{data + 1, size - 1};
  const std::vector<Event> whole = run(stream, stream.size());
  require(whole == run(stream, 1 + data[0] % 97));
  require(whole == run(stream, 1));
  decode_bodies(stream);
  return 0;
}
