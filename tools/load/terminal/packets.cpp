#include "tools/load/terminal/packets.hpp"

#include <algorithm>

namespace ringgate::load {

Downlink read_downlink(Bytes raw, Version version) {
  const std::size_t header_bytes = version == Version::v2019 ? 17 : 12;
  Downlink out;
  out.message_id = load_be16(raw.data());
  const std::uint16_t attributes = load_be16(raw.data() + 2);
  std::copy_n(raw.data() + header_bytes - 8, out.phone.size(), out.phone.begin());
  out.serial = load_be16(raw.data() + header_bytes - 2);
  out.encrypted = (attributes & 0x1c00) != 0;
  std::size_t body_at = header_bytes;
  if ((attributes & 0x2000) != 0) {
    out.total = load_be16(raw.data() + header_bytes);
    out.number = load_be16(raw.data() + header_bytes + 2);
    body_at += 4;
  }
  out.body = raw.subspan(body_at);
  return out;
}

std::optional<Command> Assembly::add(const Downlink& part, MonoNs now) {
  if (part.total <= 1) {
    return Command{part.message_id, part.serial, part.encrypted,
                   {part.body.begin(), part.body.end()}};
  }
  if (part.number == 0 || part.number > part.total) return {};
  const auto first = static_cast<std::uint16_t>(part.serial - (part.number - 1));
  const auto is_it = [&](const Open& open) {
    return open.message_id == part.message_id && open.first_serial == first &&
           open.parts.size() == part.total;
  };
  auto open = std::find_if(open_.begin(), open_.end(), is_it);
  if (open == open_.end()) {
    if (open_.size() == open_max) open_.pop_front();  // the oldest has the least hope
    open_.push_back({.message_id = part.message_id, .first_serial = first,
                     .encrypted = part.encrypted});
    open = open_.end() - 1;
    open->parts.resize(part.total);
  }
  open->due_ns = now + patience_ns;
  std::optional<Body>& place = open->parts[part.number - 1U];
  if (!place) {
    place.emplace(part.body.begin(), part.body.end());
    ++open->have;
  }
  if (open->have < part.total) return {};
  Command whole{open->message_id, open->first_serial, open->encrypted, {}};
  for (const std::optional<Body>& one : open->parts) {
    whole.body.insert(whole.body.end(), one->begin(), one->end());
  }
  open_.erase(open);
  return whole;
}

std::optional<Assembly::Missing> Assembly::overdue(MonoNs now) {
  for (auto open = open_.begin(); open != open_.end(); ++open) {
    if (open->due_ns > now) continue;
    Missing missing{open->first_serial, {}};
    if (++open->asked > asked_max + 1) {
      open_.erase(open);
      return missing;
    }
    if (open->asked > asked_max) {
      open->due_ns = now + keep_ns;
      continue;
    }
    open->due_ns = now + patience_ns * (open->asked + 1);
    for (std::size_t i = 0; i < open->parts.size(); ++i) {
      if (!open->parts[i]) missing.numbers.push_back(static_cast<std::uint16_t>(i + 1));
    }
    return missing;
  }
  return {};
}

MonoNs Assembly::next_due() const {
  MonoNs due = INT64_MAX;
  for (const Open& open : open_) due = std::min(due, open.due_ns);
  return due;
}

std::vector<Uplink> Packer::pack(std::uint16_t message_id, Bytes body,
                                 std::uint16_t& next_serial) const {
  std::vector<Uplink> out;
  const std::size_t total = (body.size() + part_bytes - 1) / part_bytes;
  if (total <= 1) {
    out.push_back(frame(message_id, next_serial++, 0, 0, body));
    return out;
  }
  for (std::size_t i = 0; i < total; ++i) {
    const std::size_t at = i * part_bytes;
    out.push_back(frame(message_id, next_serial++, static_cast<std::uint16_t>(total),
                        static_cast<std::uint16_t>(i + 1),
                        body.subspan(at, std::min(part_bytes, body.size() - at))));
  }
  return out;
}

Uplink Packer::frame(std::uint16_t message_id, std::uint16_t serial, std::uint16_t total,
                     std::uint16_t number, Bytes body) const {
  const bool wide = version_ == Version::v2019;
  BodyWriter raw;
  raw.u16(message_id);
  raw.u16(body.size() | (wide ? 0x4000U : 0U) | (total > 0 ? 0x2000U : 0U));
  if (wide) raw.u8(1).u32(0);  // protocol version; the phone's eight more digits
  raw.bytes(phone_).u16(serial);
  if (total > 0) raw.u16(total).u16(number);
  raw.bytes(body);
  Body bytes = raw.take();
  const std::size_t size = bytes.size();
  bytes.resize(size + 16);  // write_frame puts the check byte there and reads ahead
  Uplink out{message_id, serial, Body(2 * size + 16)};
  out.wire.resize(write_frame(out.wire.data(), bytes.data(), size));
  return out;
}

}  // namespace ringgate::load
