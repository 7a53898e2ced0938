// Recordings that a simulated terminal has, for JT/T 1078: a list for 0x9205, told by 0x1205.
// Pure; one thread. JT/T 1078-2016 5.4.2-5.4.4 and tables 22, 23.
#pragma once

#include <vector>

#include "tools/load/frames.hpp"
#include "tools/load/terminal/body.hpp"
#include "tools/load/terminal/chance.hpp"

namespace ringgate::load {

struct Recording {
  std::uint8_t channel = 1;
  BcdTime from{}, to{};
  std::uint64_t alarm = 0;
  std::uint8_t kind = 0;     // 0 audio and video, 1 audio, 2 video
  std::uint8_t stream = 1;   // 1 main, 2 sub
  std::uint8_t storage = 1;  // 1 main, 2 spare
  std::uint32_t size_bytes = 0;
};

struct RecordingSearch {
  std::uint8_t channel = 0;  // 0: all
  BcdTime from{}, to{};      // zeros: no limit
  std::uint64_t alarm = 0;   // 0: all; else any of these bits
  std::uint8_t kind = 0;     // 0 audio and video, 1, 2; 3 audio or video
  std::uint8_t stream = 0;   // 0: all
  std::uint8_t storage = 0;  // 0: all
  bool fits(const Recording& recording) const;
};
RecordingSearch read_recording_search(BodyReader& in);  // the body of a 0x9205

class Playback {
 public:
  // Four channels of quarter hours: the day before `now`, with gaps.
  Playback(WallUs now, Chance chance);
  Body list(std::uint16_t reply_serial, const RecordingSearch& search) const;  // 0x1205
  const std::vector<Recording>& recordings() const { return recordings_; }

 private:
  std::vector<Recording> recordings_;
};

}  // namespace ringgate::load
