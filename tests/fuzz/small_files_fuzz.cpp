// The small files beside the log, of any bytes: a sink's cursor, and how far a snapshot covers the
// log. They are read or refused with a reason that names the file; what was read and saved again
// says the same. By hand as jt808_framing_fuzz.cpp says.
#include <fmt/format.h>

#include <string>

#include "engine/base/crc32c.hpp"
#include "engine/io/sim.hpp"
#include "engine/io/sim_disk.hpp"
#include "storage/sink/cursor_file.hpp"
#include "storage/state/covered.hpp"

using namespace ringgate;

namespace {

const log::NodeId node = {0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x41, 0x11,
                          0x81, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11};

void require(bool condition) {
  if (!condition) __builtin_trap();
}

void sink_cursor(std::string_view text) {
  io::SimDisk disk;
  disk.install_directory("/data/sink");
  disk.install("/data/sink/redis.cursor", as_bytes(text));
  io::World world(io::SimOptions{}, std::move(disk));
  sink::CursorFile file(world.sys(), "/data", "redis", node);
  const auto kept = file.load();
  if (!kept) return require(kept.error().message.find(file.path()) != std::string::npos);
  require(kept->has_value());
  require(file.save(**kept).ok());
  const auto again = file.load();
  require(again.ok() && again->has_value());
  require((*again)->cursor == (*kept)->cursor && (*again)->sought == (*kept)->sought);
}

// `mended`: the checksum is put right, so that what it covers is looked at.
void covered(std::string_view text, bool mended) {
  std::string whole(text);
  if (mended) whole += fmt::format("{:08x}\n", crc32c(0, as_bytes(whole)));
  io::SimDisk disk;
  disk.install_directory("/state");
  disk.install("/state/covered", as_bytes(whole));
  io::World world(io::SimOptions{}, std::move(disk));
  const std::string snapshot = "snapshot-0000000001";
  const auto cursor = state::read_covered(world.sys(), "/state", node, snapshot);
  if (!cursor) return;
  require(state::write_covered(world.sys(), "/state", node, snapshot, *cursor).ok());
  const auto again = state::read_covered(world.sys(), "/state", node, snapshot);
  require(again.has_value() && *again == *cursor);
  require(!state::read_covered(world.sys(), "/state", node, "snapshot-0000000002"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  sink_cursor(text);
  covered(text, false);
  covered(text, true);
  return 0;
}
