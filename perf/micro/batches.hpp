// Batches of a fleet's location reports, for benchmarks of sinks: as a worker hands them over.
#pragma once

#include <cstdint>
#include <vector>

#include "perf/micro/vehicle.hpp"
#include "storage/sink/target.hpp"

namespace ringgate::perf {

// A batch with memory of its own.
struct OwnedBatch {
  std::vector<std::vector<std::uint8_t>> frames;
  std::vector<sink::Item> items;
};

// `records` reports in batches of `batch`; one stream, one position after the other.
inline std::vector<OwnedBatch> make_batches(Fleet& fleet, std::uint64_t records,
                                            std::uint32_t batch,
                                            const event::MessageCatalog& catalog) {
  constexpr Position apart = 144;  // a record of such a report in the log
  std::vector<OwnedBatch> batches;
  Position position = 0;
  for (std::uint64_t made = 0; made < records;) {
    OwnedBatch& one = batches.emplace_back();
    for (std::uint32_t i = 0; i < batch && made < records; ++i, ++made) {
      const event::RecordView record = fleet.next();
      one.frames.emplace_back(record.payload.begin(), record.payload.end());
      sink::Item& item = one.items.emplace_back();
      item.position = position += apart;
      item.view = record;
      item.catalog = &catalog;
    }
    for (std::size_t i = 0; i < one.items.size(); ++i) one.items[i].view.payload = one.frames[i];
  }
  return batches;
}

}  // namespace ringgate::perf
