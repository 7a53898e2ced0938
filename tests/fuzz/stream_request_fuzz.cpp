// What clients of the live stream say: messages, queries and cursors. Whatever is taken must be
// within its bounds, and mean the same when it is written again.
#include <algorithm>

#include "engine/base/check.hpp"
#include "protocols/api/stream_place.hpp"
#include "tests/unit/api/stream_rig.hpp"

using namespace ringgate;
using namespace ringgate::api;

namespace {

const unit::Numbers numbers;
const SubscriptionWords words{numbers, nullptr};

void check(const Subscription& made) {
  RG_CHECK(!made.id.empty() && made.id.size() <= stream_limits::id_bytes_max);
  RG_CHECK(made.devices.size() <= stream_limits::devices_max);
  RG_CHECK(made.types != 0 && (made.types & ~all_event_types) == 0);
  RG_CHECK(made.batch_max >= 1 && made.batch_max <= stream_limits::batch_max_most);
  RG_CHECK(made.batch_delay_ns >= 0 && made.batch_delay_ns <= stream_limits::batch_delay_most);
  RG_CHECK(std::ranges::is_sorted(made.messages));
  for (const DeviceKey& device : made.devices) RG_CHECK(made.wants_device(device));
  EventFacts facts;
  facts.type = EventType::position;
  facts.device = made.devices.empty() ? unit::device(1) : made.devices.front();
  const bool wanted = made.wants(facts);
  RG_CHECK(!wanted || (!made.area && made.messages.empty()));
  RG_CHECK(!made.key().empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = as_text({data, size});
  if (const auto request = parse_stream_request(text, words); request) {
    if (request->what == StreamRequest::What::subscribe) check(request->subscription);
  } else {
    RG_CHECK(!request.error().detail.empty());
  }
  if (const auto made = subscription_from_query(text, words); made) check(*made);
  const log::NodeId node{0x4f, 0x1c, 0x09, 0xab};
  if (const auto place = place_from_text(text, node); place) {
    const auto again = place_from_text(to_text(node, *place), node);
    RG_CHECK(again.ok() && *again == *place);
  }
  return 0;
}
