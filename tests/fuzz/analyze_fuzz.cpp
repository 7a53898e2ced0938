// What ringgate-analyze reads: metrics as text, exports of Prometheus, run files. The first byte
// says which.
// What must hold: whatever is read is judged and reported in all three forms; the JSON parses; the
// page has no tag of the input's; severities fit their ratios, and the verdicts are in order.
// By hand as jt808_framing_fuzz.cpp says.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "tools/analyze/report.hpp"
#include "tools/analyze/sources.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::analyze;

void require(bool condition) {
  if (!condition) __builtin_trap();
}

void judge_all(const Case& subject) {
  const Judgement judgement = judge(subject);
  for (const Verdict& verdict : judgement.verdicts) {
    require(judgement.enough);
    require(verdict.severity == severity_of(verdict.main.ratio));
    require(verdict.severity != Severity::none);
    require(verdict.follows != verdict.cause);
    for (const Reading& other : verdict.others) require(other.ratio <= verdict.main.ratio);
  }
  require(!report_text(subject, judgement, true).empty());
  require(nlohmann::json::parse(report_json(subject, judgement), nullptr, false).is_object());
  const std::string page = report_html(subject, judgement);
  require(page.find("<script") == std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 3 == 0) {
    const auto samples = parse_exposition(text);
    if (!samples) return require(!samples.error().message.empty()), 0;
    History history;
    std::vector<Sample> growing = *samples;
    for (int i = 0; i < 8; ++i) {
      history.add(i, growing);
      for (Sample& one : growing) one.value *= 1.5;
    }
    Case subject;
    subject.source = "fuzz";
    add_gateway_signals(history, {}, {}, subject);
    judge_all(subject);
  } else {
    const auto subject = data[0] % 3 == 1 ? prometheus_case({{"<script>", text}})
                                          : run_case("<script>", text);
    if (!subject) return require(!subject.error().message.empty()), 0;
    judge_all(*subject);
  }
  return 0;
}
