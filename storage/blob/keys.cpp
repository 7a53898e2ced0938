#include "storage/blob/keys.hpp"

namespace ringgate::blob {

BlobOptions blob_options(const config::Settings& settings) {
  const auto bytes = [&](const char* key) {
    return static_cast<std::uint64_t>(settings.size_bytes(key));
  };
  BlobOptions options;
  options.data_dir = settings.text("server.data_dir");
  options.max_size = bytes("blob.max_size");
  options.device_uploads = static_cast<std::uint32_t>(settings.integer("blob.device_uploads"));
  options.device_unfinished = bytes("blob.device_unfinished");
  options.unfinished_size = bytes("blob.unfinished_size");
  options.unfinished_age_s = settings.duration_ns("blob.unfinished_age") / ns_per_s;
  options.buffers_bytes = bytes("blob.buffers");
  options.retention_size = bytes("blob.retention_size");
  options.retention_age_s = settings.duration_ns("blob.retention_age") / ns_per_s;
  options.min_free = bytes("blob.min_free");
  options.direct = settings.choice_index("log.direct") == 0;
  return options;
}

}  // namespace ringgate::blob
