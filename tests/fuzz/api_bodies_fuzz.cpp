// Bodies of requests that command and administer: any bytes. What must hold: the strict reader
// takes nothing that the library does not; a command that is taken names a message; a registration
// that is taken can be written and read again; a frame's explanation covers the frame, whatever it
// is, and secrets stay out of it. By hand as jt808_framing_fuzz.cpp says.
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/bytes.hpp"
#include "protocols/api/body.hpp"
#include "protocols/api/commands.hpp"
#include "protocols/jt808/catalog.hpp"
#include "protocols/jt808/codec/framing.hpp"
#include "protocols/jt808/prepared.hpp"
#include "storage/state/registry_errand.hpp"
#include "tests/fuzz/machine.hpp"

namespace {

using namespace ringgate;
using api::Json;
using fuzz::require;

const jt808::DeviceProtocol devices;
const jt808::Catalog catalog;

void as_command(const Json& body) {
  api::Members members(body);
  const auto command = api::read_command(devices, members, "fuzzer");
  if (!command) return require(!command.error().message.empty());
  require(body.at("message").is_string());
  require(command->prepared != nullptr);
  require((command->json != nullptr) == body.value("when_online", false));
}

void as_registration(const Json& body) {
  for (const bool whole : {true, false}) {
    const auto patch = state::read_registration(body, whole);
    if (!patch) {
      require(!patch.error().message.empty());
      continue;
    }
    state::Registration entry;
    patch->apply(entry);
    const auto row = api::read_json(state::registration_row("phone", "1", entry.view()));
    require(row.ok());
    state::Registration again;
    const auto same = state::read_registration(*row, true);
    require(same.ok());
    same->apply(again);
    require(again.view() == entry.view());
  }
}

// Lines in the order of the bytes, none twice and none left out.
void as_frame(Bytes frame) {
  for (const bool secrets : {true, false}) {
    std::size_t at = 0;
    for (const event::ExplainedLine& line : catalog.explain(frame, secrets)) {
      if (line.size == 0) continue;
      require(line.offset == at);
      at += line.size;
    }
    require(at == frame.size());
  }
  require(catalog.redact(frame).size() == frame.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes{data, size};
  const auto json = api::read_json(as_text(bytes));
  if (json) {
    require(json->is_object() || json->is_array());
    if (json->is_object()) {
      as_command(*json);
      as_registration(*json);
    }
    for (const Json& one : *json) {
      if (one.is_object()) as_registration(one);
    }
    return 0;
  }
  require(!json.error().message.empty());
  if (const auto frame = catalog.from_wire(bytes)) {
    as_frame(*frame);
    const auto wire = catalog.to_wire(*frame);
    // What is longer than a frame can be is explained all the same, and written by nobody.
    require(wire ? *catalog.from_wire(*wire) == *frame
                 : frame->size() > jt808::frame_size_max);
  }
  as_frame(catalog.rescue(bytes, true));
  as_frame(catalog.rescue(bytes, false));
  return 0;
}
