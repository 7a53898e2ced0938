// Exports of Prometheus and run files, good and broken; URLs.
#include <doctest/doctest.h>
#include <fmt/core.h>

#include <cmath>

#include "tools/analyze/http.hpp"
#include "tools/analyze/judge.hpp"
#include "tools/analyze/report.hpp"
#include "tools/analyze/sources.hpp"

using namespace ringgate::analyze;

namespace {

std::string series(const std::string& name, const std::string& labels, double step) {
  std::string values;
  for (int i = 0; i < 40; ++i) {
    values += fmt::format("{}[{},\"{}\"]", i == 0 ? "" : ",", 1'700'000'000 + 15 * i, step * i);
  }
  return fmt::format(R"({{"metric":{{"__name__":"{}"{}}},"values":[{}]}})", name, labels, values);
}

std::string matrix(const std::string& rows) {
  return R"({"status":"success","data":{"resultType":"matrix","result":[)" + rows + "]}}";
}

// A run of 30 seconds; `lag` as a step of the histogram, `server` CPU seconds a second.
std::string run_text(int lag_step, int dropped, double server) {
  std::string rows;
  for (int i = 0; i < 30; ++i) {
    rows += fmt::format(
        R"({}{{"stage":0,"from_s":{},"to_s":{},"own_cpu":0.2,"server":{{"cpu_s":{}}},"classes":[)"
        R"({{"due":1000,"dropped":{},"acknowledged":{},"errors":{{"timeout":1}},"lag":{{"count":)"
        R"(10,"buckets":[{},10]}},"response":{{"count":10,"buckets":[900,10]}}}}]}})",
        i == 0 ? "" : ",", i, i + 1, server, dropped, 1000 - dropped, lag_step);
  }
  return fmt::format(R"({{"format":"ringgate-load run","format_version":1,"started_unix_us":)"
                     R"(1700000000000000,"machine":{{"cpus":4}},"timeline":[{}]}})", rows);
}

}  // namespace

TEST_CASE("files: an export of Prometheus") {
  const std::string labels = R"(,"shard":"0","instance":"a:7880")";
  const auto busy = prometheus_case(
      {{"a.json", matrix(series("ringgate_loop_turn_seconds_sum", labels, 14) + "," +
                         series("ringgate_loop_turn_seconds_count", labels, 100))},
       {"b.json", matrix(series("ringgate_log_records_total", labels, 15'000))}});
  REQUIRE(busy.ok());
  CHECK(busy->times_s.size() == 39);
  CHECK(busy->begin_unix_s == 1.7e9);
  CHECK(busy->messages[0] == doctest::Approx(1000));
  const Judgement judgement = judge(*busy);
  REQUIRE(judgement.verdicts.size() == 1);
  CHECK(judgement.verdicts[0].cause == Cause::cpu);  // 14 of 15 seconds
  CHECK(judgement.verdicts[0].severity == Severity::high);
  CHECK(moment_text(*busy, 0) == "2023-11-14T22:13:20Z (after 0 s)");
}

TEST_CASE("files: exports that can't be used say why") {
  const auto message = [](const std::string& text) {
    const auto wrong = prometheus_case({{"a.json", text}});
    REQUIRE_FALSE(wrong.ok());
    return wrong.error().message;
  };
  CHECK(message("nonsense").find("query_range") != std::string::npos);
  CHECK(message(matrix("")).find("fewer than two samples") != std::string::npos);
  CHECK(message(matrix(R"({"metric":{},"values":[]})")).find("__name__") != std::string::npos);
  CHECK(message(matrix(R"({"metric":{"__name__":"a"},"values":[[1]]})")).find("value") !=
        std::string::npos);
  CHECK(message(matrix("7")).find("without metric") != std::string::npos);
  CHECK(message(matrix(series("other", "", 1))).find("none of the metrics") != std::string::npos);
  const std::string name = "ringgate_loop_turn_seconds_count";
  CHECK(message(matrix(series(name, R"(,"instance":"a")", 1) + "," +
                       series(name, R"(,"instance":"b")", 1)))
            .find("2 gateways") != std::string::npos);
}

TEST_CASE("files: a run whose generator is well, is late, or gives up") {
  auto well = run_case("r.json", run_text(500, 0, 0.4));
  REQUIRE(well.ok());
  CHECK(well->times_s.size() == 30);
  CHECK(well->errors[3] == 1);
  CHECK(judge(*well).verdicts.empty());
  CHECK(well->find("cpu.process")->values[0] == doctest::Approx(0.1));  // of 4 CPUs
  // Step 1200 of the histogram is some 12 ms.
  const auto late = run_case("r.json", run_text(1200, 0, 0.4));
  CHECK(late->find("generator.lag")->values[0] == doctest::Approx(0.0126).epsilon(0.01));
  REQUIRE_FALSE(judge(*late).verdicts.empty());
  CHECK(judge(*late).verdicts[0].cause == Cause::generator);
  const auto gave_up = run_case("r.json", run_text(500, 100, 3.9));
  const Judgement judgement = judge(*gave_up);
  REQUIRE(judgement.verdicts.size() == 2);
  CHECK(judgement.verdicts[0].main.signal->spec->id == "generator.dropped");
  CHECK(judgement.verdicts[1].cause == Cause::cpu);
}

// As above, with a gateway whose commits take 30 ms; asked every 2 s.
std::string run_with_gateway(const std::string& gateway) {
  std::string text = run_text(500, 0, 0.4);
  text.pop_back();
  return text + R"(,"gateway":)" + gateway + "}";
}

TEST_CASE("files: a run that asked its gateway says why answers are late") {
  std::string times, below, all;
  for (int i = 0; i <= 15; ++i) {
    const char* comma = i == 0 ? "" : ",";
    times += fmt::format("{}{}", comma, 2 * i + 0.1);
    below += fmt::format("{}{}", comma, i);
    all += fmt::format("{}{}", comma, 100 * i);
  }
  const auto subject = run_case("r.json", run_with_gateway(fmt::format(
      R"({{"times_s":[{}],"config":{{"server.data_dir":"/srv"}},"steady":{{)"
      R"("ringgate_loop_turn_seconds_count{{shard=\"0\"}}":5}},"series":{{)"
      R"("ringgate_log_commit_seconds_bucket{{shard=\"0\",le=\"0.02\"}}":[{}],)"
      R"("ringgate_log_commit_seconds_bucket{{shard=\"0\",le=\"0.04\"}}":[{}],)"
      R"("ringgate_log_commit_seconds_bucket{{shard=\"0\",le=\"+Inf\"}}":[{}]}}}})",
      times, below, all, all)));
  REQUIRE_MESSAGE(subject.ok(), subject.error().message);
  const Signal* commit = subject->find("commit.p99");
  REQUIRE(commit != nullptr);
  REQUIRE(commit->values.size() == subject->times_s.size());
  CHECK(commit->values[10] == doctest::Approx(0.04).epsilon(0.05));
  CHECK(*subject->setting("server.data_dir") == "/srv");
  const Judgement judgement = judge(*subject);
  REQUIRE_FALSE(judgement.verdicts.empty());
  CHECK(judgement.verdicts[0].cause == Cause::commit);
}

TEST_CASE("files: what is wrong with a run's gateway is said, or noted") {
  for (const char* bad :
       {"{}", R"({"times_s":[1,1],"series":{},"steady":{}})", R"({"times_s":[1],"series":7})",
        R"({"times_s":[1,2],"series":{"ringgate_a":[1]},"steady":{}})",
        R"({"times_s":[1,2],"series":{},"steady":{"a{b":1}})"}) {
    CAPTURE(bad);
    CHECK_FALSE(run_case("r.json", run_with_gateway(bad)).ok());
  }
  const auto refused = run_case(
      "r.json", run_with_gateway(R"({"times_s":[],"series":{},"steady":{},"problem":"401"})"));
  REQUIRE(refused.ok());
  CHECK(refused->notes.at(0) == "the gateway's metrics: 401");
}

TEST_CASE("files: run files that can't be used say why") {
  for (const char* bad :
       {"", "{}", "[]", R"({"format":"other"})", R"({"format":"ringgate-load run"})",
        R"({"format":"ringgate-load run","format_version":2,"timeline":[]})",
        R"({"format":"ringgate-load run","timeline":[7]})"}) {
    CHECK_FALSE(run_case("r.json", bad).ok());
  }
  const auto empty = run_case("r.json", R"({"format":"ringgate-load run","timeline":[]})");
  REQUIRE(empty.ok());
  CHECK_FALSE(judge(*empty).enough);
  CHECK(report_html(*empty, judge(*empty)).find("Too few samples") != std::string::npos);
  CHECK_FALSE(file_case({"/nowhere/r.json"}).ok());
}

TEST_CASE("files: a page holds nothing but what belongs to it") {
  auto subject = run_case("<script>.json", run_text(1200, 0, 0.4));
  REQUIRE(subject.ok());
  const std::string page = report_html(*subject, judge(*subject));
  CHECK(page.find("<script>") == std::string::npos);
  CHECK(page.find("&lt;script&gt;") != std::string::npos);
  CHECK(page.find("src=") == std::string::npos);
  CHECK(page.find("href=") == std::string::npos);
  CHECK(page.find("url(") == std::string::npos);
  CHECK(page.find("nan") == std::string::npos);
}

TEST_CASE("urls") {
  const auto plain = parse_url("http://127.0.0.1:7880");
  REQUIRE(plain.ok());
  CHECK(plain->host == "127.0.0.1");
  CHECK(plain->port == "7880");
  CHECK(plain->loopback());
  const auto six = parse_url("http://[::1]:7880/below/");
  REQUIRE(six.ok());
  CHECK(six->host == "::1");
  CHECK(six->path == "/below");
  CHECK(parse_url("http://gateway")->port == "80");
  CHECK_FALSE(parse_url("http://gateway")->loopback());
  for (const char* bad : {"https://a:1", "a:1", "http://", "http://[::1", "http://:80"}) {
    CHECK_FALSE(parse_url(bad).ok());
  }
}
