// How fast the JT/T 808 codec is on one core, without any I/O.
// codec-bench [--rounds N] [--json FILE|-]: a table, and the same as JSON.
//
// A row is one stream of about 256 KiB, walked again and again as a session does it: next_frame,
// parse_header, then decode_location or for_each_location by message id. Positions are those of
// vehicles on a random walk; escapes fall where they fall, and their share is printed. Time is the
// thread's CPU time, so that neighbours on a busy machine cost less; each figure is the median of
// the rounds; rows alternate, so that noise hits all of them.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "engine/base/json_writer.hpp"
#include "protocols/jt808/codec/framing.hpp"
#include "protocols/jt808/codec/header.hpp"
#include "protocols/jt808/codec/location.hpp"
#include "protocols/jt808/codec/writer.hpp"
#include "perf/micro/vehicle.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;
using perf::Items;
using perf::Vehicle;

constexpr std::size_t stream_size_bytes = 256 * 1024;
constexpr int passes_per_round = 200;

struct Stream {
  std::vector<std::uint8_t> bytes;
  std::size_t frames = 0, positions = 0, escaped = 0;
};

// One frame in `batch_every` is a 0x0704 of five positions; 0: none.
Stream make_stream(Version version, unsigned batch_every) {
  std::mt19937_64 random(808);
  Vehicle vehicle{random};
  Stream out;
  const Peer peer = make_peer(version, "13800138000");
  std::uint8_t frame[wire_size_max];
  while (out.bytes.size() < stream_size_bytes) {
    const auto serial = static_cast<std::uint16_t>(out.frames);
    Items items[5];
    std::size_t size = 0;
    if (batch_every != 0 && out.frames % batch_every == batch_every - 1) {
      LocationFields positions[5];
      for (int i = 0; i < 5; ++i) positions[i] = vehicle.step(items[i]);
      size = write_location_batch(frame, peer, serial, 1, positions);
      out.positions += 5;
    } else {
      size = write_location(frame, peer, serial, vehicle.step(items[0]));
      out.positions += 1;
    }
    if (std::find(frame, frame + size, escape_mark) != frame + size) ++out.escaped;
    out.bytes.insert(out.bytes.end(), frame, frame + size);
    ++out.frames;
  }
  return out;
}

// Makes the compiler believe that somebody reads `value`.
template <class T>
inline void use(const T& value) {
  asm volatile("" : : "m"(value) : "memory");
}

struct Counts {
  std::size_t frames = 0, positions = 0;
};

Counts decode_all(Bytes in, MutableBytes scratch) {
  Counts out;
  Header header;
  Location location;
  for (;;) {
    const NextFrame next = next_frame(in, scratch);
    in = in.subspan(next.consumed);
    if (next.kind != NextFrame::Kind::frame) break;
    if (parse_header(next.frame, header) != BadReason::none) break;
    const Bytes body = body_of(next.frame, header);
    ++out.frames;
    if (header.message_id == id::location) {
      if (decode_location(body, location)) ++out.positions;
      use(location);
    } else if (header.message_id == id::location_batch) {
      out.positions += for_each_location(body, [](const Location& at, Bytes, std::size_t) {
                         use(at);
                       }).decoded;
    }
    use(header);
  }
  return out;
}

Counts frame_all(Bytes in, MutableBytes scratch) {
  Counts out;
  for (;;) {
    const NextFrame next = next_frame(in, scratch);
    in = in.subspan(next.consumed);
    if (next.kind != NextFrame::Kind::frame) break;
    use(next);
    ++out.frames;
  }
  return out;
}

Counts ack_all(std::size_t count) {
  const Peer peer = make_peer(Version::v2013, "13800138000");
  std::uint8_t out[ack_size_max];
  for (std::size_t i = 0; i < count; ++i) {
    const auto serial = static_cast<std::uint16_t>(i);
    use(write_ack(out, peer, serial, serial, id::location, AckResult::ok));
    use(out);
  }
  return {.frames = count};
}

double thread_cpu_s() {
  std::timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

struct Row {
  const char* name;
  const char* key;
  Stream stream;  // empty for acknowledgements
  bool decode = true;
  std::vector<double> seconds = {};

  std::size_t frames() const { return stream.bytes.empty() ? 4096 : stream.frames; }

  void round() {
    std::vector<std::uint8_t> scratch(scratch_size);
    const double start_s = thread_cpu_s();
    for (int pass = 0; pass < passes_per_round; ++pass) {
      const Counts counts = stream.bytes.empty() ? ack_all(frames())
                            : decode             ? decode_all(stream.bytes, scratch)
                                                 : frame_all(stream.bytes, scratch);
      if (counts.frames != frames() || (decode && counts.positions != stream.positions)) {
        std::fprintf(stderr, "codec-bench: %s: the codec lost a frame\n", name);
        std::exit(1);
      }
    }
    seconds.push_back((thread_cpu_s() - start_s) / passes_per_round);
  }

  double median_s() const {
    std::vector<double> sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
  double per_second(std::size_t count) const { return static_cast<double>(count) / median_s(); }
};

void print_table(const std::vector<Row>& rows) {
  std::printf("%-52s %10s %10s %8s %9s %9s\n", "row", "M frames/s", "M pos/s", "GB/s", "ns/frame",
              "escaped");
  for (const Row& row : rows) {
    const double frames = static_cast<double>(row.frames());
    std::printf("%-52s %10.1f %10.1f %8.2f %9.1f %8.1f%%\n", row.name,
                row.per_second(row.frames()) / 1e6, row.per_second(row.stream.positions) / 1e6,
                row.per_second(row.stream.bytes.size()) / 1e9, row.median_s() / frames * 1e9,
                100.0 * static_cast<double>(row.stream.escaped) / frames);
  }
}

std::string as_json(const std::vector<Row>& rows) {
  std::string text;
  JsonWriter out(text);
  out.begin_object().key("codec").begin_array();
  for (const Row& row : rows) {
    out.begin_object();
    out.key("row").text(row.key);
    out.key("frames_per_s").number(row.per_second(row.frames()), 0);
    out.key("positions_per_s").number(row.per_second(row.stream.positions), 0);
    out.key("bytes_per_s").number(row.per_second(row.stream.bytes.size()), 0);
    out.key("ns_per_frame").number(row.median_s() / static_cast<double>(row.frames()) * 1e9, 2);
    out.key("escaped_share")
        .number(static_cast<double>(row.stream.escaped) / static_cast<double>(row.frames()), 4);
    out.key("rounds").unsigned_integer(row.seconds.size());
    out.end_object();
  }
  out.end_array().end_object();
  return text + "\n";
}

}  // namespace

int main(int argc, char** argv) {
  int rounds = 9;
  const char* json_path = nullptr;
  for (int i = 1; i < argc; ++i) {
    if (i + 1 < argc && std::strcmp(argv[i], "--rounds") == 0) {
      rounds = std::max(1, std::atoi(argv[++i]));
    } else if (i + 1 < argc && std::strcmp(argv[i], "--json") == 0) {
      json_path = argv[++i];
    } else {
      std::fprintf(stderr, "usage: %s [--rounds N] [--json FILE|-]\n", argv[0]);
      return 2;
    }
  }

  std::vector<Row> rows;
  rows.push_back({"decode: 0x0200 of 69 bytes, 2013", "position-2013",
                  make_stream(Version::v2013, 0)});
  rows.push_back({"decode: 0x0200 of 74 bytes, 2019", "position-2019",
                  make_stream(Version::v2019, 0)});
  rows.push_back({"decode: 69-byte 0x0200, 1 in 16 a 0x0704 of five", "mix",
                  make_stream(Version::v2013, 16)});
  rows.push_back({"framing and check only: 0x0200 of 69 bytes, 2013", "framing",
                  make_stream(Version::v2013, 0), false});
  rows.push_back({"write 0x8001, 2013", "acknowledge", {}, false});
  for (int round = 0; round < rounds; ++round) {
    for (Row& row : rows) row.round();
  }

  const std::string json = as_json(rows);
  if (json_path != nullptr && std::strcmp(json_path, "-") == 0) {
    std::fputs(json.c_str(), stdout);
    return 0;
  }
  print_table(rows);
  if (json_path == nullptr) return 0;
  std::FILE* file = std::fopen(json_path, "w");
  const bool written = file != nullptr && std::fputs(json.c_str(), file) >= 0;
  if (file == nullptr || std::fclose(file) != 0 || !written) {
    std::fprintf(stderr, "codec-bench: can't write %s: %s\n", json_path, std::strerror(errno));
    return 1;
  }
  return 0;
}
