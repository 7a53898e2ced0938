// A program of somebody else's that has a codec and nothing else of ringgate: cuts a stream,
// decodes what is in it, and writes it again.
#include <cstdio>
#include <string>
#include <vector>

#include "engine/base/hex.hpp"
#include "protocols/jt808/codec/body_json.hpp"
#include "protocols/jt808/codec/framing.hpp"
#include "protocols/jt808/codec/writer.hpp"

int main(int argc, char** argv) {
  using namespace ringgate;
  const auto stream = from_hex(argc > 1 ? argv[1] : "");
  if (!stream) return 2;
  std::vector<std::uint8_t> scratch(jt808::scratch_size);
  const jt808::NextFrame next = jt808::next_frame(*stream, scratch);
  if (next.kind != jt808::NextFrame::Kind::frame) return 1;
  std::string text;
  JsonWriter json(text);
  jt808::frame_json(next.frame, true, json);
  std::puts(text.c_str());
  const auto again = jt808::encode_frame(text);
  if (!again) return 1;
  std::vector<std::uint8_t> wire(jt808::wire_size_max);
  wire.resize(jt808::write_frame(wire, *again));
  std::puts(to_hex(wire).c_str());
}
