// What the documentation says about who handles a message (handled.hpp), on a running session.
#include "protocols/jt808/handled.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "protocols/jt808/codec/walk.hpp"
#include "tests/unit/jt808/body_maker.hpp"
#include "tests/unit/jt808/command_rig.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;
using namespace ringgate::jt808::test;

// A body that fits one frame and is what the table says.
Raw body_of_one_frame(const MessageSpec& message, Layout layout) {
  BodyMaker maker(message.id);
  for (int tries = 0; tries < 100; ++tries) {
    Raw body = maker.body(message, layout, false);
    if (maker.is_clean() && body.size() <= body_size_max) return body;
  }
  FAIL("no body was made");
  return {};
}

bool in_version(const MessageSpec& message, Version version) {
  return (message.versions & (version == Version::v2019 ? in_2019 : before_2019)) != 0;
}

Layout layout_of(const MessageSpec& message, Version version) {
  const Layout first = version == Version::v2019 ? Layout::v2019 : Layout::v2013;
  if ((message.layouts & mask_of(first)) != 0) return first;
  unsigned lowest = 0;
  while ((message.layouts >> lowest & 1) == 0) ++lowest;
  return static_cast<Layout>(lowest);
}

TEST_CASE("the table of what is handled apart names known messages, each once, in order") {
  std::uint16_t before = 0;
  for (const Handled& handled : handled_apart) {
    CAPTURE(to_hex(Raw{std::uint8_t(handled.id >> 8), std::uint8_t(handled.id)}));
    CHECK(handled.id > before);
    CHECK(find_message(handled.id) != nullptr);
    CHECK(!handled.where.empty());
    before = handled.id;
  }
}

TEST_CASE("messages of terminals that are said to be recorded are in the log and get result 0") {
  std::set<std::uint16_t> tried;
  for (const Version version : {Version::v2013, Version::v2019}) {
    Commanded rig({}, version);
    for (const MessageSpec& message : messages()) {
      if (!message.from_device || where_handled(message) != handled_recorded) continue;
      if (!in_version(message, version)) continue;
      CAPTURE(message.name);
      const Raw body = body_of_one_frame(message, layout_of(message, version));
      CHECK(rig.terminal.says(rig.terminal.message(message.id, body), message.id, AckResult::ok));
      tried.insert(message.id);
    }
    std::set<std::uint16_t> stored;
    for (const unit::Stored& record : rig.gateway.stored()) {
      if (record.kind == log::Kind::frame_up) stored.insert(record.message);
    }
    stored.erase(id::authentication);
    for (const MessageSpec& message : messages()) {
      if (!message.from_device || where_handled(message) != handled_recorded) continue;
      CHECK(stored.contains(message.id) == in_version(message, version));
    }
  }
  CHECK(tried.size() > 20);
}

TEST_CASE("every message of the platform can be sent as a command") {
  for (const MessageSpec& message : messages()) {
    if (message.from_device) continue;
    CAPTURE(message.name);
    const Version version = in_version(message, Version::v2013) ? Version::v2013 : Version::v2019;
    Commanded rig({}, version);
    const auto made = DeviceProtocol().prepare(
        fmt::format(R"({{"message":"{}","body_hex":"0102","answer":"none"}})", message.name));
    REQUIRE(made.ok());
    const auto told = rig.send(std::dynamic_pointer_cast<const PreparedMessage>(*made), 0);
    rig.gateway.until([&] { return told->times != 0; });
    CHECK(told->outcome.status == CommandStatus::sent);
    CHECK(std::ranges::any_of(rig.gateway.stored(), [&](const unit::Stored& record) {
      return record.kind == log::Kind::command && record.message == message.id && !record.outcome;
    }));
  }
}

}  // namespace
