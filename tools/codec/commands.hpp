// The subcommands of ringgate-codec. Each returns the exit code: 0 all well, 1 a frame or an object
// is wrong, 2 an argument can't be used.
#pragma once

#include <string>

namespace ringgate::codec_tool {

struct FrameOptions {
  std::string protocol;
  std::string input;    // hex, or "-": standard input
  bool binary = false;  // standard input is bytes, not hex
  bool stored = false;  // frames as the log keeps them: header to body
  bool redact = false;
};
int decode(const FrameOptions& options);
int explain(const FrameOptions& options);

struct EncodeOptions {
  std::string protocol;
  std::string input;  // JSON, or "-": standard input
  bool binary = false;
  bool stored = false;
};
int encode(const EncodeOptions& options);

struct ListOptions {
  std::string protocol;
  bool json = false;
  bool markdown = false;
};
int list(const ListOptions& options);

}  // namespace ringgate::codec_tool
