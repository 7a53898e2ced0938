#include "protocols/jt808/reassembly.hpp"

#include <algorithm>

#include "engine/base/crc32c.hpp"

namespace ringgate::jt808 {

namespace {

// What the allocator and the containers take beside the bytes themselves.
constexpr std::uint64_t message_cost = sizeof(Reassembly::Message) + 256;
constexpr std::uint64_t part_cost = sizeof(Reassembly::Part) + 80;

std::uint16_t first_serial_of(const Header& header) {
  return static_cast<std::uint16_t>(header.serial - (header.packet_number - 1));
}

}  // namespace

std::vector<std::uint16_t> Reassembly::Message::missing(std::size_t max) const {
  std::vector<std::uint16_t> out;
  std::uint32_t next = 1;
  const auto up_to = [&](std::uint32_t end) {
    for (; next < end && out.size() < max; ++next) out.push_back(static_cast<std::uint16_t>(next));
  };
  for (const auto& [number, part] : parts) {
    up_to(number);
    next = number + 1U;
    if (out.size() == max) return out;
  }
  up_to(total + 1U);
  return out;
}

Bytes Reassembly::Message::part(std::uint16_t number) const {
  const auto at = parts.find(number);
  if (at == parts.end() || at->second.bytes == nullptr) return {};
  return {at->second.bytes.get(), at->second.size};
}

Reassembly::Reassembly(flow::Budget& budget, Listener& listener, const ReassemblyOptions& options)
    : budget_(budget), listener_(listener), options_(options) {
  RG_CHECK(options.device_messages_max >= 2);  // there is always another one to make room
}

Reassembly::~Reassembly() { budget_.release(held_bytes_); }

Reassembly::Message* Reassembly::find(device::DeviceSlot device, const Header& header) const {
  const auto of = devices_.find(device);
  if (of == devices_.end()) return nullptr;
  const std::uint16_t first_serial = first_serial_of(header);
  for (const auto& message : of->second.messages) {
    if (message->message_id == header.message_id && message->first_serial == first_serial) {
      return message.get();
    }
  }
  return nullptr;
}

std::optional<std::size_t> Reassembly::would_complete(device::DeviceSlot device,
                                                      const Header& header, Bytes body) const {
  const Message* message = find(device, header);
  if (message == nullptr || message->done || message->total != header.packet_total ||
      message->parts.size() + 1 != message->total ||
      message->encryption != (header.attributes & attribute_encryption)) {
    return std::nullopt;
  }
  if (message->parts.contains(header.packet_number)) return std::nullopt;
  return message->body_bytes + body.size();
}

PartVerdict Reassembly::take(device::DeviceSlot device, const Header& header, Bytes body,
                             MonoNs now) {
  const std::uint32_t crc = crc32c(header.packet_number, body);
  Message* message = find(device, header);
  if (message != nullptr) {
    const auto at = message->parts.find(header.packet_number);
    const bool there = at != message->parts.end();
    if (there && (at->second.crc != crc || at->second.size != body.size())) {
      // A terminal that started anew counts from the same serials again.
      if (message->done) {
        drop(*message);
      } else {
        give_up(*message, GiveUp::replaced);
      }
      message = nullptr;
    } else if (message->total != header.packet_total ||
               message->encryption != (header.attributes & attribute_encryption)) {
      return PartVerdict::mismatch;
    } else if (message->refused) {
      return PartVerdict::refused;
    } else if (there) {
      return PartVerdict::duplicate;
    }
  }
  if (message == nullptr) message = &begin(device, header, now);
  return add(*message, header, body, crc, now);
}

Reassembly::Message& Reassembly::begin(device::DeviceSlot device, const Header& header,
                                       MonoNs now) {
  OfDevice& of = devices_[device];
  while (of.messages.size() >= options_.device_messages_max) release_one_of(of, nullptr);
  Message& message = *of.messages.emplace_back(std::make_unique<Message>());
  message.device = device;
  message.message_id = header.message_id;
  message.first_serial = first_serial_of(header);
  message.total = header.packet_total;
  message.encryption = static_cast<std::uint16_t>(header.attributes & attribute_encryption);
  message.due_ns = now + options_.timeout_ns;
  message.in_due = incomplete_.insert(incomplete_.end(), &message);
  message.in_age = age_.insert(age_.end(), &message);
  charge(message, message_cost);
  return message;
}

PartVerdict Reassembly::add(Message& message, const Header& header, Bytes body, std::uint32_t crc,
                            MonoNs now) {
  const bool too_long = message.body_bytes + body.size() > options_.message_max;
  if (too_long || !make_room(message, body.size() + part_cost)) {
    listener_.on_given_up(message, too_long ? GiveUp::too_long : GiveUp::memory);
    message.refused = true;
    finish(message, now);
    return PartVerdict::refused;
  }
  Part part;
  part.size = static_cast<std::uint16_t>(body.size());
  part.crc = crc;
  part.bytes = std::make_unique<std::uint8_t[]>(body.size());
  std::copy(body.begin(), body.end(), part.bytes.get());
  message.parts.emplace_hint(message.parts.end(), header.packet_number, std::move(part));
  message.body_bytes += body.size();
  charge(message, body.size() + part_cost);
  message.requests = 0;
  message.due_ns = now + options_.timeout_ns;
  incomplete_.splice(incomplete_.end(), incomplete_, message.in_due);
  age_.splice(age_.end(), age_, message.in_age);
  return message.parts.size() == message.total ? PartVerdict::complete : PartVerdict::kept;
}

std::vector<std::uint8_t> Reassembly::take_whole(device::DeviceSlot device, const Header& header,
                                                 std::size_t front, MonoNs now) {
  Message* message = find(device, header);
  RG_CHECK(message != nullptr && !message->done && message->parts.size() == message->total);
  std::vector<std::uint8_t> out;
  out.reserve(front + message->body_bytes);
  out.resize(front);
  for (auto& [number, part] : message->parts) {
    out.insert(out.end(), part.bytes.get(), part.bytes.get() + part.size);
    part.bytes.reset();
  }
  finish(*message, now);
  return out;
}

// One that is complete goes first, then the one that waits longest. False: there is no other.
bool Reassembly::release_one_of(OfDevice& of, const Message* but_not) {
  Message* oldest = nullptr;
  for (const auto& other : of.messages) {
    if (other.get() == but_not) continue;
    if (oldest == nullptr || (other->done && !oldest->done) ||
        (other->done == oldest->done && other->due_ns < oldest->due_ns)) {
      oldest = other.get();
    }
  }
  if (oldest == nullptr) return false;
  if (oldest->done) {
    drop(*oldest);
  } else {
    give_up(*oldest, GiveUp::device);
  }
  return true;
}

// Room for more bytes of `message`: at the cost of what is complete, then of the oldest. False:
// the message alone is over a bound.
bool Reassembly::make_room(Message& message, std::uint64_t bytes) {
  OfDevice& of = devices_[message.device];
  while (of.bytes + bytes > options_.device_bytes_max) {
    if (!release_one_of(of, &message)) return false;
  }
  while (held_bytes_ + bytes > options_.shard_bytes_max) {
    if (!done_.empty()) {
      drop(*done_.front());
    } else if (age_.front() != &message) {
      give_up(*age_.front(), GiveUp::memory);
    } else if (age_.size() > 1) {
      give_up(**std::next(age_.begin()), GiveUp::memory);
    } else {
      return false;
    }
  }
  return true;
}

void Reassembly::charge(Message& message, std::uint64_t bytes) {
  message.charged += bytes;
  devices_[message.device].bytes += bytes;
  held_bytes_ += bytes;
  budget_.charge(bytes);
}

// From now on it only recognises its parts when they come again.
void Reassembly::finish(Message& message, MonoNs now) {
  for (auto& [number, part] : message.parts) part.bytes.reset();
  message.done = true;
  age_.erase(message.in_age);
  message.due_ns = now + options_.done_keep_ns;
  done_.splice(done_.end(), incomplete_, message.in_due);
  const std::uint64_t left = message_cost + message.parts.size() * part_cost;
  const std::uint64_t freed = message.charged - left;
  message.charged = left;
  devices_[message.device].bytes -= freed;
  held_bytes_ -= freed;
  budget_.release(freed);
}

void Reassembly::give_up(Message& message, GiveUp why) {
  listener_.on_given_up(message, why);
  drop(message);
}

void Reassembly::drop(Message& message) {
  if (message.done) {
    done_.erase(message.in_due);
  } else {
    incomplete_.erase(message.in_due);
    age_.erase(message.in_age);
  }
  const auto of = devices_.find(message.device);
  of->second.bytes -= message.charged;
  held_bytes_ -= message.charged;
  budget_.release(message.charged);
  Messages& messages = of->second.messages;
  messages.erase(std::find_if(messages.begin(), messages.end(),
                              [&](const auto& other) { return other.get() == &message; }));
  if (messages.empty()) devices_.erase(of);
}

std::optional<MonoNs> Reassembly::next_due() const {
  if (incomplete_.empty() && done_.empty()) return std::nullopt;
  if (incomplete_.empty()) return done_.front()->due_ns;
  if (done_.empty()) return incomplete_.front()->due_ns;
  return std::min(incomplete_.front()->due_ns, done_.front()->due_ns);
}

}  // namespace ringgate::jt808
