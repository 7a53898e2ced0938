#include "tools/load/run/verify.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>

#include "engine/base/crc32c.hpp"
#include "engine/base/hex.hpp"
#include "engine/base/time_text.hpp"
#include "engine/io/sys.hpp"
#include "storage/log/limits.hpp"
#include "storage/log/reader.hpp"
#include "tools/common/clock.hpp"
#include "tools/common/http_calls.hpp"
#include "tools/load/crowd/acked.hpp"
#include "tools/load/frames.hpp"
#include "tools/load/run/coordinator.hpp"

namespace ringgate::load {
namespace {

constexpr std::uint16_t location_report = 0x0200;  // JT/T 808-2019 8.12
constexpr std::size_t examples_max = 10;
// Clocks of two hosts may differ, and the gateway's record may say a moment earlier than the run.
constexpr WallUs clock_slack_us = 60 * us_per_s;
// Workers look at the clock once a turn, and reports say whole seconds.
constexpr WallUs own_clock_slack_us = us_per_s;
// A stream that falls idle proves its last batch after log::commit_mark_after, and as long as that
// write takes: so often and so long.
constexpr int looks_max = 20;
constexpr timespec between_looks{.tv_sec = 0, .tv_nsec = log::commit_mark_after};

std::uint64_t key_of(std::uint64_t phone, std::uint16_t serial) { return phone << 16 | serial; }

std::uint32_t checksum(std::string_view text) {
  return crc32c(0, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

bool read_phone(std::string_view device, std::uint64_t& phone) {
  const auto [end, error] = std::from_chars(device.data(), device.data() + device.size(), phone);
  return error == std::errc{} && end == device.data() + device.size();
}

Result<void> take_acked(const std::vector<std::string>& files, Truth& comparison) {
  for (const std::string& file : files) {
    const Result<std::vector<Acked>> acked = read_acked(file);
    if (!acked.ok()) return acked.error();
    for (const Acked& one : *acked) comparison.acknowledged(one.phone, one.serial);
  }
  return {};
}

// One page of the API's records into `comparison`. The cursor of the next page; empty: none.
Result<std::string> take_page(const std::string& body, WallUs from_us, Truth& comparison) {
  const nlohmann::json page = nlohmann::json::parse(body, nullptr, false);
  if (!page.is_object() || !page.contains("records") || !page["records"].is_array()) {
    return Error{0, "its answer is no page of records"};
  }
  for (const nlohmann::json& record : page["records"]) {
    StoredReport report;
    const std::string device = record.value("device", std::string{});
    if (!read_phone(device, report.phone)) continue;
    const std::string frame = record.value("frame", std::string{});
    if (const auto bytes = from_hex(frame); bytes && !made_since(*bytes, from_us)) continue;
    report.serial = record.value("serial", std::uint16_t{0});
    report.duplicate = record.value("duplicate", false);
    report.content = checksum(frame);
    report.link = checksum(record.value("link", std::string{}));
    comparison.stored(report);
  }
  return page.value("next", std::string{});
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.';
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

// All that there is now.
void take_log(log::Reader& reader, WallUs from_us, Truth& comparison,
              const std::function<void(double)>& said) {
  log::Entry entry;
  std::uint64_t seen = 0;
  while (reader.next(entry)) {
    if (++seen % 65'536 == 0 && reader.bytes_total() > 0) {
      said(static_cast<double>(reader.bytes_done()) / static_cast<double>(reader.bytes_total()));
    }
    const log::Record& record = entry.record;
    StoredReport report;
    if (record.kind() != log::Kind::frame_up || record.header.message != location_report ||
        record.header.received_us < from_us - clock_slack_us ||
        !read_phone(record.device, report.phone) || !made_since(record.payload, from_us)) {
      continue;
    }
    report.serial = record.header.serial;
    report.duplicate = record.duplicate();
    report.content = crc32c(0, record.payload);
    report.link = record.header.link;
    comparison.stored(report);
  }
}

}  // namespace

bool made_since(Bytes frame, WallUs from_us) {
  constexpr std::size_t time_at = 22;  // in the body, after status and position
  if (frame.size() < 4) return true;
  const unsigned attributes = load_be16(frame.data() + 2);
  const std::size_t header = ((attributes & 0x4000U) != 0 ? 17U : 12U) +
                             ((attributes & 0x2000U) != 0 ? 4U : 0U);
  const BcdTime from = bcd_time(from_us);
  if (frame.size() < header + time_at + from.size()) return true;  // says nothing of it
  return std::memcmp(frame.data() + header + time_at, from.data(), from.size()) >= 0;
}

void Truth::acknowledged(std::uint64_t phone, std::uint16_t serial) {
  acknowledged_.push_back(key_of(phone, serial));
  devices_.try_emplace(phone);
}

void Truth::stored(const StoredReport& report) {
  const auto device = devices_.find(report.phone);
  if (device == devices_.end()) return;
  ++records_;
  const std::uint64_t link = report.link;
  const std::uint32_t content =
      crc32c(report.content, {reinterpret_cast<const std::uint8_t*>(&link), sizeof link});
  stored_.push_back({key_of(report.phone, report.serial), content, report.duplicate});
  if (report.duplicate) return;
  Last& last = device->second;
  const auto ahead = static_cast<std::uint16_t>(report.serial - last.serial);
  if (last.any && last.link == report.link && ahead > 0x8000) {
    ++reordered_;
    if (examples_.size() < examples_max) {
      examples_.push_back(fmt::format("reordered: phone {} serial {} is stored after serial {}",
                                      report.phone, report.serial, last.serial));
    }
    return;  // the later ones are compared with the highest
  }
  last = {report.link, report.serial, true};
}

void Truth::fill(Verification& out) {
  std::sort(acknowledged_.begin(), acknowledged_.end());
  std::sort(stored_.begin(), stored_.end());
  out.looked_up = acknowledged_.size();
  out.records = records_;
  out.reordered = reordered_;
  out.examples = examples_;
  const auto example = [&](const char* what, std::uint64_t key) {
    if (out.examples.size() >= 2 * examples_max) return;
    out.examples.push_back(fmt::format("{}: phone {} serial {}", what, key >> 16, key & 0xffff));
  };
  auto stored = stored_.begin();
  // How many reports of the key the log has that differ; copies beyond are duplicates.
  const auto take_key = [&](std::uint64_t key) {
    std::uint64_t distinct = 0;
    for (; stored != stored_.end() && stored->key == key; ++stored) {
      const bool copy = distinct > 0 && stored->content == std::prev(stored)->content;
      distinct += copy ? 0 : 1;
      if (!copy || stored->duplicate) continue;
      ++out.duplicated;
      example("duplicated", key);
    }
    return distinct;
  };
  for (auto at = acknowledged_.begin(); at != acknowledged_.end();) {
    const std::uint64_t key = *at;
    const auto end = std::upper_bound(at, acknowledged_.end(), key);
    while (stored != stored_.end() && stored->key < key) take_key(stored->key);
    const std::uint64_t there = take_key(key);
    const auto wanted = static_cast<std::uint64_t>(end - at);
    if (there < wanted) {
      out.lost += wanted - there;
      example("lost", key);
    }
    at = end;
  }
  while (stored != stored_.end()) take_key(stored->key);
}

Result<void> can_verify_by_log(const std::string& log_dir) {
  const auto reader = log::Reader::open(io::real_sys(), log_dir, {});
  if (reader.ok()) return {};
  return Error{reader.error().code, fmt::format("nothing could be verified: {}",
                                                reader.error().message)};
}

Result<Verification> verify_by_log(const std::vector<std::string>& acked_files,
                                   const std::string& log_dir, WallUs from_us,
                                   const std::function<void(double)>& said) {
  const MonoNs began = tool::mono_now();
  Truth comparison;
  if (Result<void> r = take_acked(acked_files, comparison); !r.ok()) return r.error();
  log::ReaderOptions options;
  options.from_us = from_us - clock_slack_us;
  Result<std::unique_ptr<log::Reader>> reader =
      log::Reader::open(io::real_sys(), log_dir, options);
  if (!reader.ok()) return reader.error();
  Verification out;
  for (int look = 1;; ++look) {
    take_log(**reader, from_us, comparison, said);
    out = Verification{};
    comparison.fill(out);
    if (out.lost == 0 || look >= looks_max || !(*reader)->live()) break;
    nanosleep(&between_looks, nullptr);
    if (!(*reader)->refresh()) break;
  }
  out.how = fmt::format("log {}", log_dir);
  out.problems = (*reader)->problems();
  out.took_s = static_cast<double>(tool::mono_now() - began) / 1e9;
  return out;
}

Result<Verification> verify_by_api(const std::vector<std::string>& acked_files,
                                   const std::string& address, const std::string& token,
                                   WallUs from_us, const std::function<void(double)>& said) {
  const MonoNs began = tool::mono_now();
  Truth comparison;
  if (Result<void> r = take_acked(acked_files, comparison); !r.ok()) return r.error();
  tool::HttpCalls calls;
  tool::HttpRequest request;
  request.address = address;
  request.token = token;
  request.patience_ns = 60 * ns_per_s;
  std::string cursor;
  std::uint64_t pages = 0;
  do {
    request.path = fmt::format(
        "/api/v1/records?message=0x0200&kind=frame-up&decode=false&limit=10000&from={}{}",
        escaped(time_text(from_us - clock_slack_us)),
        cursor.empty() ? "" : fmt::format("&cursor={}", escaped(cursor)));
    const tool::HttpAnswer answer = calls.call(request);
    if (!answer.well()) {
      return Error{0, fmt::format("--verify-api {}: {}", address, answer.text())};
    }
    Result<std::string> next = take_page(answer.body, from_us, comparison);
    if (!next.ok()) return Error{0, fmt::format("--verify-api {}: {}", address,
                                                next.error().message)};
    cursor = *next;
    said(-static_cast<double>(++pages));
  } while (!cursor.empty());
  Verification out;
  out.how = fmt::format("API {}", address);
  comparison.fill(out);
  out.took_s = static_cast<double>(tool::mono_now() - began) / 1e9;
  return out;
}

void Coordinator::verify() {
  std::vector<std::string> files;
  for (std::uint32_t i = 0; i < workers_.workers().size(); ++i) {
    const std::string path = acked_path(i);
    if (access(path.c_str(), R_OK) == 0) {
      files.push_back(path);
      if (const auto acked = read_acked(path); acked.ok()) result_.workers[i].acked = acked->size();
    } else if (workers_.workers()[i].remote) {
      // Lost before it could send its log: what it was told is not known here.
      result_.verification_problem =
          fmt::format("{} was lost with its log of what was acknowledged", result_.workers[i].name);
    }
  }
  // Clocks of other hosts may go before ours.
  bool remote = false;
  for (const WorkerResult& worker : result_.workers) remote = remote || worker.remote;
  const WallUs from_us = result_.started_us - (remote ? clock_slack_us : own_clock_slack_us);
  MonoNs said_ns = tool::mono_now();
  const auto said = [&](double share) {
    if (tool::mono_now() - said_ns < 2 * ns_per_s) return;
    said_ns = tool::mono_now();
    view_.on_notice(share < 0 ? fmt::format("verifying: {:.0f} pages", -share)
                              : fmt::format("verifying: {:.0f} % of the log", share * 100));
  };
  Result<Verification> found =
      !scenario_.verify.log_dir.empty()
          ? verify_by_log(files, scenario_.verify.log_dir, from_us, said)
          : verify_by_api(files, scenario_.verify.api, token_, from_us, said);
  if (!found.ok()) {
    result_.verification_problem = found.error().message;
  } else {
    timeline_->set_verified(found->lost, found->duplicated, found->reordered);
    result_.verification = std::move(*found);
  }
  result_.verdicts = judge(scenario_.thresholds, [&](const Scope& scope) {
    return timeline_->measured(scope);
  });
}

}  // namespace ringgate::load
