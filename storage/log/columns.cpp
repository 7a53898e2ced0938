#include "storage/log/columns.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <tuple>

#include "engine/base/crc32c.hpp"
#include "storage/log/pages.hpp"

namespace ringgate::log {

namespace {

using Numbers = std::vector<std::uint64_t>;

// A column of numbers: how many bytes the largest takes, then their bytes, all the lowest first.
void put_numbers(std::vector<std::uint8_t>& out, const Numbers& numbers) {
  std::uint64_t all = 0;
  for (const std::uint64_t number : numbers) all |= number;
  const auto width = static_cast<std::uint8_t>((64 - std::countl_zero(all) + 7) / 8);
  out.push_back(width);
  std::size_t at = out.size();
  out.resize(at + width * numbers.size());
  for (unsigned plane = 0; plane < width; ++plane) {
    for (const std::uint64_t number : numbers) {
      out[at++] = static_cast<std::uint8_t>(number >> (8 * plane));
    }
  }
}

bool take_numbers(Bytes& from, std::size_t count, Numbers& out) {
  if (from.empty() || from[0] > 8 || count * from[0] > from.size() - 1) return false;
  const unsigned width = from[0];
  from = from.subspan(1);
  out.assign(count, 0);
  for (unsigned plane = 0; plane < width; ++plane) {
    for (std::size_t i = 0; i < count; ++i) out[i] |= std::uint64_t{from[i]} << (8 * plane);
    from = from.subspan(count);
  }
  return true;
}

bool take_bytes(Bytes& from, std::size_t count, Bytes& out) {
  if (count > from.size()) return false;
  out = from.first(count);
  from = from.subspan(count);
  return true;
}

bool take_u32(Bytes& from, std::uint32_t& value) {
  Bytes bytes;
  if (!take_bytes(from, 4, bytes)) return false;
  value = load_native<std::uint32_t>(bytes.data());
  return true;
}

void put_u32(std::vector<std::uint8_t>& out, std::size_t value) {
  const std::size_t at = out.size();
  out.resize(at + 4);
  store_native(out.data() + at, static_cast<std::uint32_t>(value));
}

// How a byte column of payloads is written.
enum Mode : std::uint8_t { as_is = 0, difference = 1 };

// Bits that an ideal code of single bytes takes.
double cost_of(const std::array<std::uint32_t, 256>& counts, double total) {
  double bits = 0;
  for (const std::uint32_t count : counts) {
    if (count > 0) bits += count * std::log2(total / count);
  }
  return bits;
}

// Fewer records than this teach nothing about a column.
constexpr std::size_t modes_from = 8;
// Longer payloads are texts and media: columns of them say nothing.
constexpr std::size_t modes_size_max = 1024;

Mode choose_mode(std::span<const Record> records, const std::vector<std::uint32_t>& members,
                 std::size_t column) {
  std::array<std::uint32_t, 256> plain{};
  std::array<std::uint32_t, 256> differences{};
  std::uint8_t before = 0;
  for (const std::uint32_t member : members) {
    const std::uint8_t byte = records[member].payload[column];
    ++plain[byte];
    ++differences[static_cast<std::uint8_t>(byte - before)];
    before = byte;
  }
  const auto total = static_cast<double>(members.size());
  return cost_of(differences, total) < cost_of(plain, total) ? difference : as_is;
}

void put_payloads(std::vector<std::uint8_t>& out, std::span<const Record> records,
                  const std::vector<std::uint32_t>& members) {
  const std::size_t size = records[members.front()].payload.size();
  if (size > modes_size_max) {
    for (const std::uint32_t member : members) {
      const Bytes payload = records[member].payload;
      out.insert(out.end(), payload.begin(), payload.end());
    }
    return;
  }
  const std::size_t modes_at = out.size();
  out.resize(modes_at + size + size * members.size());
  std::uint8_t* to = out.data() + modes_at + size;
  for (std::size_t column = 0; column < size; ++column) {
    const Mode mode =
        members.size() < modes_from ? as_is : choose_mode(records, members, column);
    out[modes_at + column] = mode;
    std::uint8_t before = 0;
    for (const std::uint32_t member : members) {
      const std::uint8_t byte = records[member].payload[column];
      *to++ = static_cast<std::uint8_t>(byte - before);
      if (mode == difference) before = byte;
    }
  }
}

}  // namespace

void Timeline::add(const RecordHeader& record) {
  const Position batch = record.position - record.committed_back;
  if (!steps_.empty()) {
    const TimeStep& last = steps_.back();
    if (last.received_us == record.received_us && last.wall_delta_ms == record.wall_delta_ms &&
        last.batch == batch) {
      return;
    }
  }
  steps_.push_back({record.position, record.received_us, record.wall_delta_ms, batch});
}

std::vector<std::uint8_t> Timeline::encode(Position begin) const {
  Numbers positions;
  Numbers received;
  Numbers walls;
  Numbers batches;  // 0: the same, 1: begins here, 2 and more: so far behind the step
  TimeStep before{begin, 0, 0, ~Position{0}};
  for (const TimeStep& step : steps_) {
    positions.push_back((step.position - before.position) / 8);
    received.push_back(static_cast<std::uint64_t>(step.received_us - before.received_us));
    walls.push_back(zigzag(std::int64_t{step.wall_delta_ms} - before.wall_delta_ms));
    const std::uint64_t back = step.position - step.batch;
    batches.push_back(step.batch == before.batch ? 0 : back == 0 ? 1 : back + 1);
    before = step;
  }
  std::vector<std::uint8_t> out;
  put_u32(out, steps_.size());
  for (const Numbers* column : {&positions, &received, &walls, &batches}) put_numbers(out, *column);
  return out;
}

bool Timeline::decode(Bytes from, Position begin, Position end) {
  std::uint32_t count = 0;
  Numbers columns[4];
  if (!take_u32(from, count) || count > (end - begin) / record_header_size) return false;
  for (Numbers& column : columns) {
    if (!take_numbers(from, count, column)) return false;
  }
  steps_.resize(count);
  // In variables of their own: a step that is put together in memory and copied from there would
  // wait for its parts, and a segment has some 100,000 of them in each chunk.
  Position position = begin;
  Position batch = begin;
  std::uint64_t received = 0;
  std::uint32_t wall_delta_ms = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    if (columns[0][i] > (end - position) / 8) return false;
    position += columns[0][i] * 8;
    received += columns[1][i];
    wall_delta_ms += static_cast<std::uint32_t>(unzigzag(columns[2][i]));
    if (columns[3][i] != 0) batch = position - (columns[3][i] - 1);
    TimeStep& step = steps_[i];
    step.position = position;
    step.received_us = static_cast<WallUs>(received);
    step.wall_delta_ms = static_cast<std::int32_t>(wall_delta_ms);
    step.batch = batch;
  }
  return true;
}

const TimeStep* Timeline::at(Position position) const {
  const auto after =
      std::upper_bound(steps_.begin(), steps_.end(), position,
                       [](Position p, const TimeStep& step) { return p < step.position; });
  return after == steps_.begin() ? nullptr : &*std::prev(after);
}

std::vector<std::uint8_t> encode_columns(std::span<const Record> records, ChunkRange chunk) {
  using ShapeKey = std::tuple<std::uint8_t, std::uint8_t, std::uint16_t, std::size_t>;
  std::map<ShapeKey, std::uint32_t> known;
  std::vector<std::vector<std::uint32_t>> members;
  Numbers spaces, id_sizes, counts, positions, shapes, links, serials;
  std::vector<std::uint8_t> ids;
  const Record* before = nullptr;
  std::uint64_t link = 0;
  for (std::uint32_t i = 0; i < records.size(); ++i) {
    const Record& record = records[i];
    const RecordHeader& header = record.header;
    const bool same = before != nullptr && before->header.ns == header.ns &&
                      before->device == record.device;
    if (!same) {
      spaces.push_back(header.ns);
      id_sizes.push_back(record.device.size());
      ids.insert(ids.end(), record.device.begin(), record.device.end());
      counts.push_back(0);
    }
    ++counts.back();
    positions.push_back((header.position - (same ? before->header.position : chunk.begin)) / 8);
    links.push_back(zigzag(static_cast<std::int64_t>(header.link - link)));
    link = header.link;
    serials.push_back(static_cast<std::uint16_t>(header.serial - (same ? before->header.serial
                                                                        : 0)));
    const ShapeKey key{header.kind, header.flags, header.message, record.payload.size()};
    const auto [shape, fresh] =
        known.try_emplace(key, static_cast<std::uint32_t>(members.size()));
    if (fresh) members.emplace_back();
    members[shape->second].push_back(i);
    shapes.push_back(shape->second);
    before = &record;
  }
  Numbers kinds, flags, messages, sizes;
  for (const auto& list : members) {
    const Record& first = records[list.front()];
    kinds.push_back(first.header.kind);
    flags.push_back(first.header.flags);
    messages.push_back(first.header.message);
    sizes.push_back(first.payload.size());
  }
  std::vector<std::uint8_t> out;
  put_u32(out, records.size());
  put_u32(out, counts.size());
  put_u32(out, members.size());
  for (const Numbers* column : {&spaces, &id_sizes, &counts}) put_numbers(out, *column);
  out.insert(out.end(), ids.begin(), ids.end());
  for (const Numbers* column : {&kinds, &flags, &messages, &sizes, &shapes, &positions, &links,
                                &serials}) {
    put_numbers(out, *column);
  }
  for (const auto& list : members) put_payloads(out, records, list);
  return out;
}

bool ColumnDecoder::take_devices(Bytes& from, std::uint32_t records, std::uint32_t count) {
  Numbers spaces, sizes, counts;
  if (!take_numbers(from, count, spaces) || !take_numbers(from, count, sizes) ||
      !take_numbers(from, count, counts)) {
    return false;
  }
  devices_.resize(count);
  std::uint64_t total = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    if (spaces[i] > 255 || sizes[i] > 255 || counts[i] == 0 || counts[i] > records - total) {
      return false;
    }
    devices_[i].ns = static_cast<std::uint8_t>(spaces[i]);
    devices_[i].records = static_cast<std::uint32_t>(counts[i]);
    total += counts[i];
    if (!take_bytes(from, sizes[i], devices_[i].id)) return false;
  }
  return total == records;
}

bool ColumnDecoder::take_shapes(Bytes& from, std::uint32_t records, std::uint32_t count) {
  Numbers kinds, flags, messages, sizes;
  if (!take_numbers(from, count, kinds) || !take_numbers(from, count, flags) ||
      !take_numbers(from, count, messages) || !take_numbers(from, count, sizes) ||
      !take_numbers(from, records, shape_of_)) {
    return false;
  }
  shapes_.assign(count, {});
  for (std::uint32_t i = 0; i < count; ++i) {
    if (kinds[i] > 255 || flags[i] > 255 || messages[i] > 0xffff || sizes[i] > record_size_max) {
      return false;
    }
    Shape& shape = shapes_[i];
    shape.kind = static_cast<std::uint8_t>(kinds[i]);
    shape.flags = static_cast<std::uint8_t>(flags[i]);
    shape.message = static_cast<std::uint16_t>(messages[i]);
    shape.payload_bytes = static_cast<std::uint32_t>(sizes[i]);
  }
  for (std::uint32_t i = 0; i < records; ++i) {
    if (shape_of_[i] >= count) return false;
    shapes_[shape_of_[i]].records.push_back(i);
  }
  return true;
}

// Writes each record's header and device, and clears the rest.
bool ColumnDecoder::place_records(Bytes& from, ChunkRange chunk, const Timeline& timeline,
                                  const Target& target) {
  Numbers positions, links, serials;
  if (!take_numbers(from, shape_of_.size(), positions) ||
      !take_numbers(from, shape_of_.size(), links) ||
      !take_numbers(from, shape_of_.size(), serials)) {
    return false;
  }
  places_.clear();
  places_.reserve(shape_of_.size());
  std::uint64_t packed = 0;
  std::uint64_t link = 0;
  std::size_t i = 0;
  for (const Device& device : devices_) {
    Position position = chunk.begin;
    std::uint16_t serial = 0;
    for (std::uint32_t n = 0; n < device.records; ++n, ++i) {
      if (positions[i] > (chunk.end - position) / 8) return false;
      position += positions[i] * 8;
      link += static_cast<std::uint64_t>(unzigzag(links[i]));
      serial = static_cast<std::uint16_t>(serial + serials[i]);
      const Shape& shape = shapes_[shape_of_[i]];
      const TimeStep* step = timeline.at(position);
      const std::uint64_t size = record_header_size + device.id.size() + shape.payload_bytes;
      if (step == nullptr || size > record_size_max ||
          padded_size(size) > chunk.end - position) {
        return false;
      }
      const std::uint64_t at = target.packed ? packed : position - chunk.begin;
      if (at + padded_size(size) > target.memory.size()) return false;
      packed += padded_size(size);
      std::uint8_t* to = target.memory.data() + at;
      RecordHeader header{};
      header.size_bytes = static_cast<std::uint32_t>(size);
      header.position = position;
      header.received_us = step->received_us;
      header.wall_delta_ms = step->wall_delta_ms;
      header.committed_back = static_cast<std::uint32_t>(position - step->batch);
      header.link = link;
      header.kind = shape.kind;
      header.ns = device.ns;
      header.device_size = static_cast<std::uint8_t>(device.id.size());
      header.flags = shape.flags;
      header.message = shape.message;
      header.serial = serial;
      store_native<std::uint64_t>(to + padded_size(size) - 8, 0);
      std::memcpy(to, &header, sizeof header);
      if (!device.id.empty()) {
        std::memcpy(to + record_header_size, device.id.data(), device.id.size());
      }
      places_.push_back({position, header.size_bytes, to});
    }
  }
  return true;
}

bool ColumnDecoder::take_payloads(Bytes& from) {
  for (const Shape& shape : shapes_) {
    const std::size_t size = shape.payload_bytes;
    const std::size_t count = shape.records.size();
    const auto payload_of = [&](std::uint32_t record) {
      return places_[record].at + places_[record].size_bytes - size;
    };
    Bytes bytes;
    if (size > modes_size_max) {
      for (const std::uint32_t record : shape.records) {
        if (!take_bytes(from, size, bytes)) return false;
        std::memcpy(payload_of(record), bytes.data(), size);
      }
      continue;
    }
    Bytes modes;
    if (!take_bytes(from, size, modes) || !take_bytes(from, size * count, bytes)) return false;
    const std::uint8_t* at = bytes.data();
    for (std::size_t column = 0; column < size; ++column) {
      const std::uint8_t keep = modes[column] == difference ? 0xff : 0;
      std::uint8_t before = 0;
      for (const std::uint32_t record : shape.records) {
        const auto byte = static_cast<std::uint8_t>(*at++ + before);
        payload_of(record)[column] = byte;
        before = byte & keep;
      }
    }
  }
  return true;
}

bool ColumnDecoder::decode(Bytes from, ChunkRange chunk, const Timeline& timeline,
                           std::uint32_t seed, const Target& target) {
  places_.clear();
  std::uint32_t records = 0;
  std::uint32_t devices = 0;
  std::uint32_t shapes = 0;
  if (!take_u32(from, records) || !take_u32(from, devices) || !take_u32(from, shapes)) return false;
  if (records > (chunk.end - chunk.begin) / record_header_size || devices > records ||
      shapes > records) {
    return false;
  }
  if (!take_devices(from, records, devices) || !take_shapes(from, records, shapes) ||
      !place_records(from, chunk, timeline, target) || !take_payloads(from)) {
    return false;
  }
  for (const Place& place : places_) {
    store_native(place.at, record_crc(seed, place.at, place.size_bytes));
  }
  return true;
}

std::uint32_t ColumnDecoder::check(std::uint32_t seed) const {
  std::uint32_t crc = seed;
  for (const Place& place : places_) crc = crc32c(crc, {place.at, 4});
  return crc;
}

std::uint32_t check_of(std::span<const Record> records, std::uint32_t seed) {
  std::uint32_t crc = seed;
  for (const Record& record : records) {
    std::uint8_t bytes[4];
    store_native(bytes, record.header.crc);
    crc = crc32c(crc, bytes);
  }
  return crc;
}

}  // namespace ringgate::log
