#include "storage/log/keys.hpp"

#include "engine/base/bytes.hpp"

namespace ringgate::log {

LogOptions log_options(const config::Settings& settings) {
  LogOptions options;
  options.data_dir = settings.text("server.data_dir");
  options.segment_size =
      align_down(static_cast<std::uint64_t>(settings.size_bytes("log.segment_size")), block_size);
  options.retention_bytes = static_cast<std::uint64_t>(settings.size_bytes("log.retention_bytes"));
  options.retention_age_s = settings.duration_ns("log.retention_age") / ns_per_s;
  options.retention_hard_bytes =
      static_cast<std::uint64_t>(settings.size_bytes("log.retention_hard_bytes"));
  if (options.retention_hard_bytes == 0) options.retention_hard_bytes = 2 * options.retention_bytes;
  options.compress = static_cast<Compress>(settings.choice_index("log.compress"));
  options.compress_after_s = settings.duration_ns("log.compress_after") / ns_per_s;
  options.on_failure = static_cast<OnFailure>(settings.choice_index("log.on_failure"));
  options.direct = static_cast<Direct>(settings.choice_index("log.direct"));
  options.sync = settings.boolean("log.dsync");
  options.batch_size = batch_size_for(options.segment_size);
  return options;
}

}  // namespace ringgate::log
