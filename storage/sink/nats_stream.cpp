// The stream of the NATS sink, by JetStream's API: requests to $JS.API.*, JSON both ways.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "storage/sink/nats.hpp"

namespace ringgate::sink {

namespace {

using Json = nlohmann::json;

// JetStream's own numbers (nats/status.h lists most).
constexpr int stream_not_found = 10059;
constexpr int stream_name_in_use = 10058;
constexpr std::string_view command_subjects = "ringgate.cmd.*";
constexpr std::string_view presence_subjects = "ringgate.presence.*";

std::vector<std::string_view> tokens_of(std::string_view subject) {
  std::vector<std::string_view> tokens;
  for (;;) {
    const auto dot = subject.find('.');
    tokens.push_back(subject.substr(0, dot));
    if (dot == std::string_view::npos) return tokens;
    subject.remove_prefix(dot + 1);
  }
}

struct Answer {
  Json json;
  int error_code = 0;
  std::string error;
};

Result<Answer, Trouble> ask(NatsLink& link, std::string_view what, std::string_view stream,
                            const Json& request, const StopSignal& stop) {
  const std::string subject = fmt::format("$JS.API.STREAM.{}.{}", what, stream);
  auto message = link.request(subject, request.is_null() ? std::string() : request.dump(),
                              nats_limits::api_timeout_ms, stop);
  if (!message) return message.error();
  if (is_no_responders(*message)) {
    return Trouble{.failure = Failure::bad_config,
                   .message = fmt::format("{}: JetStream is not enabled there; start nats-server "
                                          "with --jetstream", link.server())};
  }
  Answer answer{.json = Json::parse(data_of(*message), nullptr, false)};
  if (!answer.json.is_object()) {
    return Trouble{.message = fmt::format("{}: the answer to {} is no JSON", link.server(),
                                          subject)};
  }
  if (const auto error = answer.json.find("error");
      error != answer.json.end() && error->is_object()) {
    answer.error_code = error->value("err_code", error->value("code", 0));
    answer.error = error->value("description", std::string("no description"));
  }
  return answer;
}

Trouble stream_trouble(const NatsLink& link, std::string_view stream, const Answer& answer) {
  return {.failure = failure_of_stream(answer.error_code),
          .message = fmt::format("{}: stream {}: {} ({})", link.server(), stream, answer.error,
                                 answer.error_code)};
}

Json new_stream(const NatsStreamOptions& options) {
  return {{"name", options.name},
          {"subjects", {record_subjects}},
          {"retention", "limits"},
          {"storage", "file"},
          {"discard", options.drop_oldest ? "old" : "new"},
          {"max_consumers", -1},
          {"max_msgs", -1},
          {"max_bytes", options.bytes_max == 0 ? std::int64_t{-1}
                                               : static_cast<std::int64_t>(options.bytes_max)},
          {"max_age", 0},
          {"max_msg_size", -1},
          {"num_replicas", options.replicas},
          {"duplicate_window", options.duplicates_ns}};
}

Result<void, Trouble> check(const NatsLink& link, const NatsStreamOptions& options,
                            const Json& config) {
  const auto bad = [&](std::string_view what) {
    return Trouble{.failure = Failure::bad_config,
                   .message = fmt::format("{}: stream {}: {}", link.server(), options.name, what)};
  };
  bool covers = false;
  for (const Json& subject : config.value("subjects", Json::array())) {
    if (!subject.is_string()) continue;
    const auto& pattern = subject.get_ref<const std::string&>();
    covers |= subject_covers(pattern, record_subjects);
    if (subjects_overlap(pattern, command_subjects) ||
        subjects_overlap(pattern, presence_subjects)) {
      return bad(fmt::format("its subject {} takes commands and presence too (and JetStream would "
                             "answer commands); let it take {}", pattern, record_subjects));
    }
  }
  if (!covers) {
    return bad(fmt::format("it does not take {}; add that to its subjects, or name another one in "
                           "sink.nats.stream", record_subjects));
  }
  if (config.value("no_ack", false)) return bad("it acknowledges nothing (no_ack)");
  return {};
}

// What must change so that the stream is no smaller than it should be; null: nothing.
Json widened(const NatsStreamOptions& options, const Json& config) {
  Json wanted = config;
  const auto bytes = config.value("max_bytes", std::int64_t{-1});
  const bool smaller = options.bytes_max == 0
                           ? false  // no wish: whatever somebody set
                           : bytes >= 0 && static_cast<std::uint64_t>(bytes) < options.bytes_max;
  if (smaller) wanted["max_bytes"] = options.bytes_max;
  if (config.value("num_replicas", 1) < options.replicas) wanted["num_replicas"] = options.replicas;
  return wanted == config ? Json() : wanted;
}

}  // namespace

bool subject_covers(std::string_view pattern, std::string_view wanted) {
  const auto have = tokens_of(pattern);
  const auto want = tokens_of(wanted);
  for (std::size_t i = 0; i < have.size(); ++i) {
    if (have[i] == ">") return want.size() > i;
    if (i == want.size() || want[i] == ">") return false;
    if (have[i] != "*" && have[i] != want[i]) return false;
  }
  return have.size() == want.size();
}

bool subjects_overlap(std::string_view one, std::string_view other) {
  const auto a = tokens_of(one);
  const auto b = tokens_of(other);
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (a[i] == ">" || b[i] == ">") return true;
    if (a[i] != "*" && b[i] != "*" && a[i] != b[i]) return false;
  }
  return a.size() == b.size();
}

Failure failure_of_stream(int error_code) {
  switch (error_code) {
    case 10002:  // resource limits exceeded for the account
    case 10023:  // insufficient resources
    case 10028:  // memory
    case 10047:  // storage
    case 10053:  // stream limits
    case 10077:  // "maximum bytes exceeded", "maximum messages exceeded", disk errors
      return Failure::overloaded;
    case 10054:  // the message is larger than max_msg_size
      return Failure::bad_record;
    case 10008:  // temporarily unavailable
    case 10009:  // not the leader
    case 10004:  // cluster incomplete
    case 10005:  // no suitable peers: not all servers are there yet
    case 10059:  // gone: made again
      return Failure::unreachable;
    case 10035:  // no account
      return Failure::refused;
    default:
      return Failure::bad_config;
  }
}

Result<void, Trouble> prepare_stream(NatsLink& link, const NatsStreamOptions& options,
                                     const StopSignal& stop) {
  auto info = ask(link, "INFO", options.name, {}, stop);
  if (!info) return info.error();
  if (info->error_code == stream_not_found) {
    auto made = ask(link, "CREATE", options.name, new_stream(options), stop);
    if (!made) return made.error();
    if (made->error_code == 0) return {};
    // Another node was faster, with other wishes.
    if (made->error_code != stream_name_in_use) return stream_trouble(link, options.name, *made);
    info = ask(link, "INFO", options.name, {}, stop);
    if (!info) return info.error();
  }
  if (info->error_code != 0) return stream_trouble(link, options.name, *info);
  const Json config = info->json.value("config", Json::object());
  if (auto checked = check(link, options, config); !checked) return checked.error();
  const Json wanted = widened(options, config);
  if (wanted.is_null()) return {};
  auto updated = ask(link, "UPDATE", options.name, wanted, stop);
  if (!updated) return updated.error();
  if (updated->error_code != 0) return stream_trouble(link, options.name, *updated);
  return {};
}

}  // namespace ringgate::sink
