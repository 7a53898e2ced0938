// The events that a record of the log brings (STREAM.md), found once, and written as JSON at most
// once for each way in which somebody wants them.
//
// One per thread that reads the log.
#pragma once

#include <string>
#include <string_view>

#include "protocols/api/feed.hpp"
#include "protocols/api/subscription.hpp"
#include "storage/event/catalog.hpp"
#include "storage/event/record_json.hpp"
#include "storage/query/scan.hpp"

namespace ringgate::api {

// One event while its record is there.
class Event {
 public:
  virtual ~Event() = default;
  const EventFacts& facts() const { return facts_; }
  // Its JSON, written when first asked for; valid until the next event.
  virtual std::string_view json(bool decode) = 0;

 protected:
  EventFacts facts_;
};

class EventTaker {
 public:
  virtual ~EventTaker() = default;
  // Whether anybody may want events of this device: cheap, asked for each record first.
  virtual bool wants(const DeviceKey& device) = 0;
  virtual void take(Event& event) = 0;
};

class EventSource {
 public:
  EventSource(const event::CatalogSet& catalogs, Namespace ns, const log::NodeId& node);
  ~EventSource();
  EventSource(const EventSource&) = delete;
  EventSource& operator=(const EventSource&) = delete;

  // Hands out the events of a record, in the order of STREAM.md: positions, alarms, the rest.
  // `listener` is told its rows; null: nobody listens.
  void read(const query::Found& found, EventTaker& taker, FeedListener* listener = nullptr);

 private:
  class Rows;
  const event::MessageCatalog* catalog_;
  Namespace ns_;
  std::string node_text_;
  event::RecordJson names_;
  std::unique_ptr<Rows> rows_;
};

}  // namespace ringgate::api
