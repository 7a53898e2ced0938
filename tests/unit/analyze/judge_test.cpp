// Made-up troubles: each is named first, by the severity that it has; a healthy gateway gets
// "nothing wrong".
#include "tools/analyze/judge.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "tools/analyze/report.hpp"

using namespace ringgate::analyze;

namespace {

constexpr std::size_t count = 60;

// A gateway that works: every signal is there, a third of its threshold, with some noise.
Case healthy() {
  Case out;
  out.source = "made up";
  std::mt19937 random(11);
  std::uniform_real_distribution<double> around(0.8, 1.2);
  for (std::size_t i = 0; i < count; ++i) {
    out.times_s.push_back(static_cast<double>(i + 1));
    out.errors.push_back(0);
    out.replies.push_back(0.002 * around(random));
    out.messages.push_back(1000 * around(random));
  }
  for (const SignalSpec& spec : all_signals()) {
    if (spec.cause == Cause::generator || spec.cause == Cause::replies) continue;
    Signal signal{&spec, spec.threshold, {}, {}};
    for (std::size_t i = 0; i < count; ++i) {
      signal.values.push_back(spec.threshold / 3 * around(random));
    }
    out.signals.push_back(std::move(signal));
  }
  return out;
}

void raise(Case& subject, std::string_view id, double times, std::size_t from = 0) {
  for (Signal& signal : subject.signals) {
    if (signal.spec->id != id) continue;
    for (std::size_t i = from; i < count; ++i) signal.values[i] = signal.threshold * times;
  }
}

}  // namespace

TEST_CASE("judge: nothing wrong on a healthy run") {
  const Case subject = healthy();
  const Judgement judgement = judge(subject);
  CHECK(judgement.enough);
  CHECK(judgement.verdicts.empty());
  CHECK(judgement.readings.size() == subject.signals.size());
  CHECK(report_text(subject, judgement, false).find("nothing wrong") != std::string::npos);
  CHECK(report_html(subject, judgement).find("Nothing wrong") != std::string::npos);
}

TEST_CASE("judge: a slow second or two is no bottleneck") {
  Case subject = healthy();
  for (Signal& signal : subject.signals) {
    if (signal.spec->level != Level::sustained) continue;
    for (const std::size_t i : {7U, 30U}) signal.values[i] = signal.threshold * 20;
  }
  CHECK(judge(subject).verdicts.empty());
}

TEST_CASE("judge: each trouble alone is named, and nothing else") {
  for (const SignalSpec& spec : all_signals()) {
    if (spec.cause == Cause::generator || spec.cause == Cause::replies) continue;
    Case subject = healthy();
    raise(subject, spec.id, 2.5);
    const Judgement judgement = judge(subject);
    INFO(spec.id);
    REQUIRE(judgement.verdicts.size() == 1);
    const Verdict& verdict = judgement.verdicts[0];
    CHECK(verdict.cause == spec.cause);
    CHECK(verdict.main.signal->spec->id == spec.id);
    CHECK(verdict.severity == Severity::critical);
    CHECK_FALSE(verdict.advice.empty());
  }
}

TEST_CASE("judge: severity by the ratio to the threshold") {
  CHECK(severity_of(0.99) == Severity::none);
  CHECK(severity_of(1) == Severity::low);
  CHECK(severity_of(1.2) == Severity::medium);
  CHECK(severity_of(1.5) == Severity::high);
  CHECK(severity_of(2) == Severity::critical);
  Case subject = healthy();
  raise(subject, "commit.p99", 1.3);
  raise(subject, "sink.lag", 1.6);
  raise(subject, "memory.share", 1.05);
  const Judgement judgement = judge(subject);
  REQUIRE(judgement.verdicts.size() == 3);
  CHECK(judgement.verdicts[0].cause == Cause::sink);
  CHECK(judgement.verdicts[0].severity == Severity::high);
  CHECK(judgement.verdicts[1].cause == Cause::commit);
  CHECK(judgement.verdicts[1].severity == Severity::medium);
  CHECK(judgement.verdicts[2].severity == Severity::low);
}

TEST_CASE("judge: starved shards explain long turns and late commits, a slow disk it does not") {
  Case subject = healthy();
  raise(subject, "cpu.wait", 2.5);
  raise(subject, "loop.turn", 8);    // 40 ms
  raise(subject, "commit.p99", 10);  // 100 ms
  subject.run_queue_wait_s = 0.015;
  Judgement judgement = judge(subject);
  REQUIRE(judgement.verdicts.size() == 3);
  CHECK(judgement.verdicts[0].cause == Cause::cpu);
  CHECK(judgement.verdicts[1].follows == Cause::cpu);
  CHECK(judgement.verdicts[2].follows == Cause::cpu);
  // Waits of 0.1 ms do not make commits of 200 ms.
  subject.run_queue_wait_s = 1e-4;
  raise(subject, "loop.turn", 1.1);
  raise(subject, "commit.p99", 20);
  judgement = judge(subject);
  CHECK(judgement.verdicts[0].cause == Cause::commit);
  CHECK_FALSE(judgement.verdicts[0].follows);
  CHECK(judgement.verdicts[1].cause == Cause::cpu);
}

TEST_CASE("judge: a generator that can't keep up comes before all") {
  Case subject = healthy();
  raise(subject, "commit.p99", 50);
  const SignalSpec* spec = find_signal("generator.lag");
  subject.signals.push_back({spec, spec->threshold,
                             std::vector<double>(count, spec->threshold * 1.1), {}});
  const Judgement judgement = judge(subject);
  REQUIRE(judgement.verdicts.size() == 2);
  CHECK(judgement.verdicts[0].cause == Cause::generator);
  CHECK(judgement.verdicts[0].severity == Severity::low);
}

TEST_CASE("judge: first seen, trend, and errors that follow with a lag") {
  Case subject = healthy();
  std::mt19937 random(5);
  std::normal_distribution<double> jitter(0, 0.05);
  for (Signal& signal : subject.signals) {
    if (signal.spec->id != "memory.share") continue;
    for (std::size_t i = 0; i < count; ++i) {
      signal.values[i] = 0.2 + 0.012 * static_cast<double>(i) + jitter(random);
    }
    for (std::size_t i = 3; i < count; ++i) {
      subject.errors[i] = signal.values[i - 3] > 0.5 ? 10 * (signal.values[i - 3] - 0.5) : 0;
    }
  }
  const Judgement judgement = judge(subject);
  REQUIRE(judgement.verdicts.size() == 1);
  const Verdict& verdict = judgement.verdicts[0];
  CHECK(verdict.first_seen_s > 18);
  CHECK(verdict.first_seen_s < 34);
  REQUIRE(verdict.trend);
  CHECK(verdict.trend->slope_per_s == doctest::Approx(0.012).epsilon(0.15));
  REQUIRE(verdict.errors);
  CHECK(verdict.errors->lag == 3);
  CHECK_FALSE(verdict.replies);  // they are noise
  const std::string text = report_text(subject, judgement, false);
  CHECK(text.find("grows by") != std::string::npos);
  CHECK(text.find("errors come 3 s later") != std::string::npos);
}

TEST_CASE("judge: too few samples name nothing; one sample above is never 'first seen'") {
  Case subject = healthy();
  raise(subject, "sink.down", 3);
  subject.times_s.resize(4);
  const Judgement judgement = judge(subject);
  CHECK_FALSE(judgement.enough);
  CHECK(judgement.verdicts.empty());
  Case single = healthy();
  for (Signal& signal : single.signals) {
    if (signal.spec->id == "commit.refused") signal.values[20] = 100;
  }
  const Judgement once = judge(single);
  REQUIRE(once.verdicts.size() == 1);
  CHECK(once.verdicts[0].first_seen_s < 0);
}

TEST_CASE("judge: thresholds can be given") {
  Case subject = healthy();
  raise(subject, "commit.p99", 3);
  const Override slow[] = {*parse_override("commit.p99=100ms"), *parse_override("cpu.busy=0.9")};
  apply_overrides(slow, subject);
  CHECK(judge(subject).verdicts.empty());
  CHECK(parse_override("commit.p99=0.1")->threshold == doctest::Approx(0.1));
  for (const char* bad : {"commit=1", "commit.p99", "commit.p99=", "commit.p99=x", "cpu.busy=5ms",
                          "cpu.busy=0", "cpu.busy=-1", "cpu.busy=nan"}) {
    CHECK_FALSE(parse_override(bad).ok());
  }
}

TEST_CASE("judge: the table of signals says for each what, why and from where") {
  for (const SignalSpec& spec : all_signals()) {
    CHECK(find_signal(spec.id) == &spec);
    CHECK(spec.threshold > 0);
    CHECK(spec.what.size() > 10);
    CHECK(spec.why.size() > 20);
  }
}
