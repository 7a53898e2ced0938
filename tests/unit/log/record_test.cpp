#include <doctest/doctest.h>

#include "tests/unit/log/log_rig.hpp"

using namespace ringgate;
using namespace ringgate::log;

namespace {

RecordHeader sample_header(std::size_t device, std::size_t payload) {
  RecordHeader header{};
  header.size_bytes = static_cast<std::uint32_t>(record_header_size + device + payload);
  header.position = 123456;
  header.received_us = 1'700'000'000'000'000;
  header.wall_delta_ms = -250;
  header.committed_back = 96;
  header.link = 0x0102030405060708;
  header.kind = static_cast<std::uint8_t>(Kind::frame_up);
  header.ns = static_cast<std::uint8_t>(Namespace::phone);
  header.device_size = static_cast<std::uint8_t>(device);
  header.flags = flag_duplicate;
  header.message = 0x0200;
  header.serial = 777;
  return header;
}

}  // namespace

TEST_CASE("a record of any size reads back, and its CRC is that of its bytes") {
  std::vector<std::uint8_t> place(1024);
  for (std::size_t device = 0; device <= 38; ++device) {
    for (std::size_t size = 0; size < 70; ++size) {
      std::fill(place.begin(), place.end(), std::uint8_t{0xee});
      const std::string id(device, '7');
      const auto payload = sample_payload(size, size);
      const RecordHeader header = sample_header(device, size);
      put_record(place.data(), header, id, payload, 42);
      CHECK(load_native<std::uint32_t>(place.data()) ==
            crc32c_table(42, Bytes(place).subspan(4, header.size_bytes - 4)));
      const auto record = parse_record(place, header.position, 42);
      REQUIRE(record.has_value());
      CHECK(record->device == id);
      CHECK(std::equal(payload.begin(), payload.end(), record->payload.begin(),
                       record->payload.end()));
      CHECK(record->header.link == header.link);
      CHECK(record->wall_us() == header.received_us - 250'000);
      CHECK(record->duplicate());
      CHECK(record->proves() == header.position - 96);
      CHECK(record->end() == header.position + padded_size(header.size_bytes));
      for (std::uint64_t i = header.size_bytes; i < padded_size(header.size_bytes); ++i) {
        CHECK(place[i] == 0);
      }
      CHECK(place[padded_size(header.size_bytes)] == 0xee);
    }
  }
}

TEST_CASE("a record of another epoch, another place, with any bit changed, or cut is none") {
  std::vector<std::uint8_t> place(256);
  const RecordHeader header = sample_header(11, 60);
  put_record(place.data(), header, "13800138000", sample_payload(1, 60), crc_seed(1));
  CHECK(parse_record(place, header.position, crc_seed(1)).has_value());
  CHECK_FALSE(parse_record(place, header.position, crc_seed(2)).has_value());
  CHECK_FALSE(parse_record(place, header.position + 8, crc_seed(1)).has_value());
  for (std::size_t bit = 0; bit < header.size_bytes * 8; ++bit) {
    place[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    CHECK_FALSE(parse_record(place, header.position, crc_seed(1)).has_value());
    place[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
  }
  for (std::size_t size = 0; size < header.size_bytes; ++size) {
    CHECK_FALSE(parse_record(Bytes(place).first(size), header.position, crc_seed(1)).has_value());
  }
}

TEST_CASE("segment heads and names read back; what is damaged or foreign is refused") {
  SegmentHeader header;
  header.node.fill(0xab);
  header.stream = {4294967295U, 999};
  header.epoch = 0x1122334455667788;
  header.base = 0x3e000;
  header.size_bytes = 1 << 20;
  header.created_us = 5;
  header.committed = 0x3dff8;
  std::vector<std::uint8_t> block(block_size);
  encode_header(header, block);
  const auto read = decode_header(block);
  REQUIRE(read.ok());
  CHECK(read->stream == header.stream);
  CHECK(read->epoch == header.epoch);
  CHECK(read->committed == header.committed);
  CHECK(read->next_base() == 0x3e000 + (1 << 20) - 8192);
  block[100] ^= 1;
  CHECK_FALSE(decode_header(block).ok());

  const Seal seal{SealKind::recovered, 0x3f000, 12, 100, 200, 1};
  encode_seal(seal, header.epoch, block);
  REQUIRE(decode_seal(block, header.epoch).has_value());
  CHECK(decode_seal(block, header.epoch)->end == 0x3f000);
  CHECK(decode_seal(block, header.epoch)->records == 12);
  CHECK_FALSE(decode_seal(block, header.epoch + 1).has_value());
  block[4000] ^= 1;
  CHECK_FALSE(decode_seal(block, header.epoch).has_value());

  const std::string name = segment_file_name(header.stream, header.base);
  CHECK(name == "4294967295-999-000000000003e000.seg");
  REQUIRE(parse_segment_file_name(name).has_value());
  CHECK(parse_segment_file_name(name)->base == header.base);
  CHECK_FALSE(parse_segment_file_name("spare-1").has_value());
  CHECK_FALSE(parse_segment_file_name("429496729x-999-000000000003e000.seg").has_value());
  CHECK(node_from_text(to_text(header.node)) == header.node);
  CHECK_FALSE(node_from_text("abc").has_value());
}
