#include "tools/load/terminal/playback.hpp"

#include <algorithm>

namespace ringgate::load {

bool RecordingSearch::fits(const Recording& recording) const {
  const BcdTime none{};
  // "Audio and video" finds everything: there is no other way to ask for that.
  const bool kind_fits = kind == 0 || recording.kind == 0 || kind == recording.kind || kind == 3;
  return (channel == 0 || channel == recording.channel) && kind_fits &&
         (stream == 0 || stream == recording.stream) &&
         (storage == 0 || storage == recording.storage) &&
         (alarm == 0 || (alarm & recording.alarm) != 0) &&
         (from == none || recording.to >= from) && (to == none || recording.from <= to);
}

RecordingSearch read_recording_search(BodyReader& in) {
  RecordingSearch out{.channel = in.u8()};
  const Bytes from = in.take(6), to = in.take(6);
  std::copy(from.begin(), from.end(), out.from.begin());
  std::copy(to.begin(), to.end(), out.to.begin());
  out.alarm = in.u64();
  out.kind = in.u8();
  out.stream = in.u8();
  out.storage = in.u8();
  return out;
}

Playback::Playback(WallUs now, Chance chance) {
  constexpr std::int64_t quarter_s = 900;
  const std::int64_t until_s = now / us_per_s / quarter_s * quarter_s;
  for (std::uint8_t channel = 1; channel <= 4; ++channel) {
    for (std::int64_t at_s = until_s - 86'400; at_s < until_s; at_s += quarter_s) {
      if (chance.below(4) == 0) continue;  // it was parked
      Recording one;
      one.channel = channel;
      one.from = bcd_time(at_s * us_per_s);
      one.to = bcd_time((at_s + quarter_s - 1) * us_per_s);
      if (chance.below(20) == 0) one.alarm = std::uint64_t{1} << chance.below(8);
      one.kind = channel == 4 ? 1 : 0;  // the fourth hears only
      one.storage = chance.below(10) == 0 ? 2 : 1;
      one.size_bytes = 20'000'000 + chance.below(40'000'000);
      recordings_.push_back(one);
    }
  }
}

Body Playback::list(std::uint16_t reply_serial, const RecordingSearch& search) const {
  BodyWriter found;
  std::uint32_t count = 0;
  for (const Recording& one : recordings_) {
    if (!search.fits(one)) continue;
    ++count;
    found.u8(one.channel).bytes(one.from).bytes(one.to).u64(one.alarm);
    found.u8(one.kind).u8(one.stream).u8(one.storage).u32(one.size_bytes);
  }
  BodyWriter out;
  out.u16(reply_serial).u32(count).bytes(found.body());
  return out.take();
}

}  // namespace ringgate::load
