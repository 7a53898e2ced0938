// What a subscriber of the live stream wants (STREAM.md): a plain value, made from what a client
// sends. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/base/ids.hpp"
#include "engine/base/result.hpp"
#include "protocols/api/stream_limits.hpp"
#include "storage/event/catalog.hpp"
#include "storage/event/device_gate.hpp"
#include "storage/query/selection.hpp"

namespace ringgate::api {

enum class EventType : std::uint8_t {
  position,
  alarm,
  session,
  command,
  media,
  device,
  message,
  count,
};
inline constexpr std::string_view event_type_names[] = {"position", "alarm",  "session", "command",
                                                        "media",    "device", "message"};
static_assert(std::size(event_type_names) == static_cast<std::size_t>(EventType::count));
constexpr std::uint32_t bit_of(EventType type) { return 1U << static_cast<unsigned>(type); }
constexpr std::uint32_t all_event_types = (1U << static_cast<unsigned>(EventType::count)) - 1;

// What of an event decides whether it is wanted.
struct EventFacts {
  EventType type = EventType::position;
  DeviceKey device;
  bool has_message = false;
  std::uint16_t message = 0;
  bool has_place = false;
  double latitude_deg = 0;
  double longitude_deg = 0;
  std::string_view alarm;  // its type
};

struct Subscription {
  std::string id;
  std::vector<DeviceKey> devices;          // sorted by text, each once; empty: all
  std::optional<query::Area> area;
  std::vector<std::uint16_t> messages;     // sorted; empty: all
  std::vector<std::string> alarms;         // sorted; empty: all
  std::uint32_t types = 0;                 // bits
  std::uint32_t batch_max = stream_limits::batch_max_default;
  MonoNs batch_delay_ns = stream_limits::batch_delay_default;
  bool decode = false;
  std::string from;  // as the client sent it; empty: now

  bool wants(const EventFacts& event) const;
  bool wants_device(const DeviceKey& device) const;
  // Two that have it in common are told the same bytes from the same moment on.
  std::string key() const;
  // Of it, and of its places in the index of those who are told.
  std::uint64_t memory_bytes() const;
};

// What makes names of devices and messages into what they are.
struct SubscriptionWords {
  const event::DeviceProtocol& devices;
  const event::MessageCatalog* catalog = nullptr;
};

// Of a message of a client.
struct StreamRequest {
  enum class What : std::uint8_t { subscribe, unsubscribe };
  What what = What::subscribe;
  Subscription subscription;  // of unsubscribe: only its id
};
struct RequestError {
  std::string id;  // of the subscription, where it could be read
  std::string detail;
};
Result<StreamRequest, RequestError> parse_stream_request(std::string_view text,
                                                         const SubscriptionWords& words);
// The same from a query, not decoded yet. Error: what is wrong with it.
Result<Subscription> subscription_from_query(std::string_view query,
                                             const SubscriptionWords& words);

}  // namespace ringgate::api
