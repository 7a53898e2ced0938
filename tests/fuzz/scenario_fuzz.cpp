// Scenarios and conditions of any bytes. What is refused has a place inside of the text and a
// sentence; what is taken keeps its promises: stages that last, users within their bounds at every
// moment, the same again when it is read again. By hand as jt808_framing_fuzz.cpp says.
#include <algorithm>
#include <string>

#include "tools/load/scenario/measured.hpp"
#include "tools/load/scenario/shape.hpp"

using namespace ringgate;
using namespace ringgate::load;

namespace {

void require(bool condition) {
  if (!condition) __builtin_trap();
}

void read_condition(std::string_view text) {
  for (const auto& parsed : {parse_condition(text), parse_goal(text)}) {
    if (!parsed.ok()) {
      require(parsed.error().offset <= text.size());
      require(!parsed.error().message.empty());
      continue;
    }
    require(parsed->limit >= 0);
    require(parsed->text == text);
    require(!parsed->value(Measured{}) || parsed->unit == Unit::count);
    (void)format_value(parsed->unit, parsed->limit);
  }
  const Result<Pause> pause = parse_pause(text);
  if (pause.ok()) {
    for (const std::uint64_t chance : {std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{7}}) {
      const MonoNs drawn = pause->draw(chance);
      require(drawn >= pause->min_ns && drawn <= pause->max_ns);
    }
    const Result<Pause> again = parse_pause(format_pause(*pause));
    require(again.ok() && again->min_ns == pause->min_ns && again->max_ns == pause->max_ns &&
            again->mean_ns == pause->mean_ns);
  }
}

void play(const Scenario& scenario) {
  require(!scenario.classes.empty() && !scenario.stages.empty());
  const std::vector<std::uint32_t> most = scenario.users_max_by_class();
  Shape shape(scenario);
  const MonoNs whole = scenario.duration_ns();
  require(whole > 0);
  Observation seen;
  for (int i = 0; i <= 40; ++i) {
    const MonoNs now = static_cast<MonoNs>(static_cast<double>(whole) / 40 * i);
    const Aim aim = shape.at(now);
    require(aim.classes.size() == most.size());
    for (std::size_t c = 0; c < most.size(); ++c) {
      require(aim.classes[c].users <= most[c]);
      require(aim.classes[c].rate_factor >= 0);
    }
    seen.from_ns = seen.to_ns;
    seen.to_ns = now;
    seen.all.seconds = static_cast<double>(now - seen.from_ns) / 1e9;
    seen.all.tally.acknowledged = static_cast<std::uint64_t>(i % 7);
    shape.observe(seen);
    (void)shape.doing();
  }
  require(shape.at(whole + 1).over);
}

void read(std::string_view text, const ReadOptions& options) {
  const Result<Scenario, Problems> read = read_scenario(text, "x.toml", options);
  const auto lines = static_cast<unsigned>(std::count(text.begin(), text.end(), '\n') + 1);
  if (!read.ok()) {
    require(!read.error().empty());
    for (const Problem& problem : read.error()) {
      require(!problem.message.empty());
      require(problem.line <= lines + 1);
      require((problem.line == 0) == (problem.column == 0));
    }
    return;
  }
  require(read->text == text);
  if (read->users_max() <= 100'000) play(*read);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 4) {
    case 0: read_condition(text); break;
    case 1: {
      // The first line is a --set, the rest a scenario.
      const std::size_t end = std::min(text.find('\n'), text.size());
      const std::string rest = text.substr(std::min(end + 1, text.size()));
      read(rest, {.sets = {text.substr(0, end)}});
      break;
    }
    case 2: read(text, {.shorten = 0.01}); break;
    default: read(text, {}); break;
  }
  return 0;
}
