// How many records a second the NATS sink takes to JetStream, and how many the plainest loop over
// libnats does with the same subjects and payloads: js_PublishAsync for all, then wait.
// nats-bench --url URL [--kind sink|plain] [--records N] [--devices N] [--batch N] [--stream NAME]
//   [--json FILE|-]
#include <fmt/core.h>
#include <nats/nats.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "perf/micro/batches.hpp"
#include "perf/micro/sink_bench.hpp"
#include "protocols/jt808/catalog.hpp"
#include "storage/log/segment.hpp"
#include "storage/sink/nats.hpp"

namespace {

using namespace ringgate;

struct Options : perf::SinkBenchOptions {
  std::string kind = "sink";
  std::string stream = "BENCH";
};

Options parse(int argc, char** argv) {
  Options options;
  options.records = 200'000;
  options.batch = 16384;  // the sink's default
  perf::parse(argc, argv, options, [&](std::string_view name, const char* value) {
    if (name == "--kind") options.kind = value;
    if (name == "--stream") options.stream = value;
  });
  return options;
}

int fail(std::string_view why) {
  fmt::print(stderr, "nats-bench: {}\n", why);
  return 1;
}

using Clock = std::chrono::steady_clock;

// Seconds, or less than 0.
double run_sink(sink::Target& target, const std::vector<perf::OwnedBatch>& batches) {
  const auto started = Clock::now();
  const log::Cursor cursor;
  for (const perf::OwnedBatch& batch : batches) {
    if (auto written = target.write({"bench", {}, batch.items, cursor}); !written) {
      fail(written.error().message);
      return -1;
    }
  }
  return std::chrono::duration<double>(Clock::now() - started).count();
}

struct Message {
  std::string subject;
  std::string payload;
};

std::vector<Message> make_messages(const std::vector<perf::OwnedBatch>& batches) {
  std::vector<Message> messages;
  event::RecordJson json;
  for (const perf::OwnedBatch& batch : batches) {
    for (const sink::Item& item : batch.items) {
      Message& made = messages.emplace_back();
      made.subject = fmt::format("ringgate.bench.jt808.{}.{}",
                                 json.title(item.view, item.catalog), item.view.device);
      json.write(log::record_id({}, item.stream, item.position), "bench", item.view, item.catalog,
                 {}, made.payload);
    }
  }
  return messages;
}

double run_plain(const Options& options, const std::vector<Message>& messages) {
  natsConnection* connection = nullptr;
  jsCtx* stream = nullptr;
  natsStatus s = natsConnection_ConnectTo(&connection, options.url.c_str());
  if (s == NATS_OK) s = natsConnection_JetStream(&stream, connection, nullptr);
  const auto started = Clock::now();
  for (const Message& message : messages) {
    if (s != NATS_OK) break;
    s = js_PublishAsync(stream, message.subject.c_str(), message.payload.data(),
                        static_cast<int>(message.payload.size()), nullptr);
  }
  if (s == NATS_OK) s = js_PublishAsyncComplete(stream, nullptr);
  const double seconds = std::chrono::duration<double>(Clock::now() - started).count();
  jsCtx_Destroy(stream);
  natsConnection_Destroy(connection);
  if (s == NATS_OK) return seconds;
  fail(natsStatus_GetText(s));
  return -1;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  auto url = sink::parse_nats_url(options.url);
  if (!url) return fail(url.error().message);
  const jt808::Catalog catalog;
  perf::Fleet fleet(options.devices, 1'790'000'000);
  const auto batches = perf::make_batches(fleet, options.records, options.batch, catalog);
  sink::NatsOptions nats;
  nats.link.url = *url;
  nats.stream.name = options.stream;
  const auto target = sink::make_nats_target(nats);
  // Makes the stream for both kinds.
  if (auto opened = target->open(); !opened) return fail(opened.error().message);
  const double seconds = options.kind == "sink" ? run_sink(*target, batches)
                                                : run_plain(options, make_messages(batches));
  if (seconds < 0) return 1;
  const std::string json =
      fmt::format(R"({{"kind":"{}","records":{},"seconds":{:.4f},"records_per_s":{:.0f}}})",
                  options.kind, options.records, seconds,
                  static_cast<double>(options.records) / seconds);
  return perf::finish(options, json);
}
