// jsonl: the smallest complete protocol, and the example of how one is plugged in. A client sends
// one JSON object a line; each is answered by {"ok":n}, n being the line's number on its link, once
// it is durable, or by {"error":"reason","line":n}. A link may name many devices; a line whose
// device is at home on another shard is logged there. One per shard; lives on it.
#pragma once

#include "engine/net/links.hpp"
#include "engine/net/listener.hpp"
#include "engine/observe/counter.hpp"
#include "protocols/jsonl/codec.hpp"
#include "storage/log/writer.hpp"

namespace ringgate::jsonl {

inline constexpr config::KeySpec keys[] = {
    RG_LISTENER_KEYS("jsonl", ""),
};

inline constexpr observe::MetricSpec lines_received{.name = "ringgate_jsonl_lines_total",
                                                    .help = "Lines taken."};
inline constexpr observe::MetricSpec lines_bad{.name = "ringgate_jsonl_bad_lines_total",
                                               .help = "Lines that were refused, by reason.",
                                               .label = "reason",
                                               .values = line_error_names};

class Session final : public net::Protocol {
 public:
  Session(net::Links& links, log::Writer& log, observe::CounterGroup& counters)
      : links_(links),
        log_(log),
        lines_(counters.counter(lines_received)),
        bad_(counters.family<LineError>(lines_bad)) {}

  std::string_view name() const override { return "jsonl"; }
  void on_open(net::Link&) override {}
  std::size_t on_bytes(net::Link& link, Bytes bytes) override;
  void on_close(net::Link&, net::CloseReason) override {}
  Position on_forwarded(LinkId origin, Bytes line) override;
  void on_ordered(net::Link& link, std::uint32_t cookie, bool taken) override;

 private:
  struct State {
    std::uint32_t lines;
  };
  bool take(net::Link& link, std::string_view text);
  bool take_here(net::Link& link, std::string_view id, std::string_view text);
  void refuse(net::Link& link, LineError error);
  Position store(LinkId origin, std::string_view id, Bytes line);
  void answer(net::Link& link, std::uint32_t line, std::string_view error);

  net::Links& links_;
  log::Writer& log_;
  observe::Counter lines_;
  observe::Family<LineError> bad_;
};

}  // namespace ringgate::jsonl
