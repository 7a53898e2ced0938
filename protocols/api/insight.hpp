// What the executable lets the API show of the gateway itself. Made after the sinks have started,
// before the plane serves; replaced as a whole when the configuration is read again.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/config/settings.hpp"
#include "engine/observe/counter.hpp"
#include "engine/observe/logger.hpp"
#include "storage/sink/worker.hpp"

namespace ringgate::api {

struct Insight {
  std::string_view version;
  WallUs started_us = 0;
  std::shared_ptr<const config::Settings> settings;
  const std::vector<std::unique_ptr<sink::Worker>>* sinks = nullptr;  // null: there are none
  const observe::Logger* logger = nullptr;
  // Names of counters, whatever protocol they are of. All have a line for each shard.
  std::vector<const observe::MetricSpec*> frames;
  std::vector<const observe::MetricSpec*> drops;
  const observe::MetricSpec* links = nullptr;
  const observe::MetricSpec* devices_online = nullptr;
  const observe::MetricSpec* memory_bytes = nullptr;
  const observe::MetricSpec* memory_level = nullptr;
  const observe::MetricSpec* turns = nullptr;    // histograms
  const observe::MetricSpec* commits = nullptr;
  const observe::MetricSpec* acks = nullptr;
};

}  // namespace ringgate::api
