// Devices in snapshots, there and back.
#include "storage/state/devices.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace ringgate;
using namespace ringgate::state;
using device::Device;

namespace {

class Folder final : public event::DeviceFolder {
 public:
  explicit Folder(std::uint16_t layout = 3, std::size_t size = 24)
      : layout_(layout), size_(size) {}
  Namespace ns() const override { return Namespace::phone; }
  std::uint16_t layout() const override { return layout_; }
  std::size_t last_state_size() const override { return size_; }
  void next_run() override {}
  Sight look(const event::RecordView&) override { return Sight::nothing; }
  void fold(const event::RecordView&, Device&) override {}

 private:
  std::uint16_t layout_;
  std::size_t size_;
};

Device sample(std::uint32_t fingerprints) {
  Device device;
  device.key = {Namespace::phone, "13800138000"};
  device.frames = 1ULL << 40;
  device.last_heard_us = 2ULL << 50;
  device.online_since_us = 3ULL << 49;
  for (std::uint32_t i = 1; i <= fingerprints; ++i) CHECK_FALSE(device.heard_before(i * 7));
  for (std::uint8_t i = 0; i < 24; ++i) device.last_state_storage[i] = i + 1;
  return device;
}

// Behind the head of the record and the id.
Bytes payload_of(const std::vector<std::uint8_t>& record) {
  return Bytes(record).subspan(8 + record[3]);
}

std::vector<std::uint32_t> recent(const Device& device) {
  std::vector<std::uint32_t> out;
  device.for_each_recent([&](std::uint32_t one) { out.push_back(one); });
  return out;
}

}  // namespace

TEST_CASE("a device comes back as it was, however many frames it has sent") {
  const Folder folder;
  for (const std::uint32_t fingerprints : {0U, 1U, 5U, 16U, 17U, 40U}) {
    const Device had = sample(fingerprints);
    std::vector<std::uint8_t> record;
    encode_device(had, folder, record);
    Device back;
    REQUIRE(decode_device(payload_of(record), &folder, back) == Decoded::all);
    CHECK(back.frames == had.frames);
    CHECK(back.last_heard_us == had.last_heard_us);
    CHECK(back.online_since_us == had.online_since_us);
    CHECK(recent(back) == recent(had));
    CHECK_FALSE(back.link.valid());
    CHECK(std::equal(back.last_state_storage, back.last_state_storage + 64,
                     had.last_state_storage));
  }
}

TEST_CASE("of another layout the table's own comes back, the protocol's does not") {
  const Folder folder;
  std::vector<std::uint8_t> record;
  encode_device(sample(3), folder, record);
  const Folder newer(4);
  const Folder longer(3, 32);
  const event::DeviceFolder* const others[] = {&newer, &longer, nullptr};
  for (const event::DeviceFolder* other : others) {
    Device back;
    CHECK(decode_device(payload_of(record), other, back) == Decoded::other_layout);
    CHECK(back.frames == sample(0).frames);
    CHECK(recent(back).size() == 3);
    for (const std::uint8_t byte : back.last_state_storage) CHECK(byte == 0);
  }
}

TEST_CASE("a payload of any other size is refused") {
  const Folder folder;
  std::vector<std::uint8_t> record;
  encode_device(sample(3), folder, record);
  const Bytes payload = payload_of(record);
  for (std::size_t size = 0; size < payload.size(); ++size) {
    Device back;
    CHECK(decode_device(payload.first(size), &folder, back) == Decoded::bad);
    CHECK(back.frames == 0);
  }
  std::vector<std::uint8_t> mark;
  encode_as_of({7, 3}, 1ULL << 45, mark);
  const auto as_of = decode_as_of(payload_of(mark));
  REQUIRE(as_of.has_value());
  CHECK(as_of->stream == log::StreamId{7, 3});
  CHECK(as_of->position == 1ULL << 45);
  CHECK_FALSE(decode_as_of(payload_of(mark).first(15)).has_value());
}
