#include "tools/load/crowd/silent_crowd.hpp"

#include "tools/load/frames.hpp"

namespace ringgate::load {

SilentCrowd::SilentCrowd(const CrowdPlace& place, TargetAddress target,
                         std::vector<in_addr> sources)
    : WireCrowd(place, std::move(sources)), target_(std::move(target)), ready_(place.users_max) {}

void SilentCrowd::come(std::uint32_t user) {
  wires().connect(user, {.target = &target_, .source = source_of(user)});
}

void SilentCrowd::on_open(std::uint32_t user) {
  ++tally().connected;
  ready_[user] = true;
  ready(user);
  if (class_of().silence != Silence::half_frame) return;
  FrameWriter writer(class_of().version);
  std::uint8_t frame[FrameWriter::frame_bytes_max];
  const Phone phone = phone_from_number(class_of().phone_base + global(user));
  const std::size_t size = writer.register_terminal(frame, phone, 0);
  wires().send(user, as_text({frame, size / 2}));
  ++tally().sent;
}

void SilentCrowd::on_bytes(std::uint32_t user, Bytes) {
  // It has asked for nothing.
  fail("stray_reply", "stray_reply: an answer to a device that has said nothing whole");
  wires().close(user, true);
}

MonoNs SilentCrowd::gone(std::uint32_t user, Wires::End end, int error) {
  if (ready_[user]) not_ready();
  if (end == Wires::End::failed) fail_end(end, error);
  else if (end != Wires::End::ours) note("closed_by_server");
  ready_[user] = false;
  return class_of().reconnect ? reconnect_delay_ns : -1;
}

}  // namespace ringgate::load
