#include "storage/sink/postgres_connection.hpp"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>

#include "engine/io/sys.hpp"

namespace ringgate::sink {

namespace {

constexpr std::size_t copy_chunk = 256U << 10;
// For a server to take a connection and to prove who it is; longer only where it is said to be
// slow. Until then nobody knows that something is wrong.
constexpr MonoNs connect_timeout_ns = 10 * ns_per_s;
// A lock that others hold is waited for so long, then it is told and tried again: a waiting
// transaction of ours would hold locks that others wait for.
constexpr MonoNs lock_timeout_ns = 10 * ns_per_s;

MonoNs now_ns() { return io::real_sys().mono_now(); }

Failure failure_of(std::string_view state) {
  const std::string_view kind = state.substr(0, 2);
  if (kind == "28" || state == "42501") return Failure::refused;
  if (state == "42P01") return Failure::unreachable;  // our tables are gone: open() makes them
  if (kind == "53" || kind == "40" || state == "55P03" || state == "57014") {
    return Failure::overloaded;
  }
  if (kind == "08" || kind == "57" || kind == "58" || kind == "XX" || state.empty()) {
    return Failure::unreachable;
  }
  return Failure::bad_config;
}

std::string_view cure_of(std::string_view state) {
  if (state.starts_with("28")) return "; check the user and the password in sink.postgres.url";
  if (state == "42501") return "; grant the user the right to create and write its tables";
  if (state == "25006") {
    return "; it is a standby: name the primary in sink.postgres.url, or all servers and "
           "target_session_attrs=read-write";
  }
  if (state == "55P03") return "; somebody holds a lock on our tables (see pg_locks)";
  if (state == "53100") return "; make room on the server's disk";
  if (state == "53300") return "; raise its max_connections, or lower sink.postgres.connections";
  return "";
}

// "FATAL:  28P01: ..." of a connection that was refused.
std::string_view state_in(std::string_view message) {
  for (std::size_t at = message.find(":  "); at != std::string_view::npos;
       at = message.find(":  ", at + 1)) {
    const std::string_view state = message.substr(at + 3, 5);
    const bool is_state = state.size() == 5 && message.substr(at + 8, 1) == ":" &&
                          std::all_of(state.begin(), state.end(), [](unsigned char c) {
                            return std::isdigit(c) != 0 || std::isupper(c) != 0;
                          });
    if (is_state) return state;
  }
  return {};
}

// A server of another kind may answer with anything: no control signs go to the log.
std::string one_line(std::string_view text) {
  std::string out(text.substr(0, text.find_last_not_of("\n ") + 1));
  for (char& c : out) {
    if (std::iscntrl(static_cast<unsigned char>(c)) != 0) c = ' ';
  }
  return out;
}

// "a,b,c" to "b,c,a" and so on: keys whose values go by host.
std::string turned(const std::string& list, std::size_t first) {
  std::vector<std::string> parts(1);
  for (const char c : list) {
    if (c == ',') {
      parts.emplace_back();
    } else {
      parts.back().push_back(c);
    }
  }
  if (parts.size() == 1) return list;  // one port for all
  std::rotate(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(first % parts.size()),
              parts.end());
  std::string out;
  for (const std::string& part : parts) {
    if (&part != &parts.front()) out += ',';
    out += part;
  }
  return out;
}

// A url as libpq's keywords, its hosts from number `host` on.
struct ConnectWords {
  ConnectWords(const std::string& url, std::size_t host) {
    PQconninfoOption* options = PQconninfoParse(url.c_str(), nullptr);
    for (PQconninfoOption* one = options; one != nullptr && one->keyword != nullptr; ++one) {
      if (one->val == nullptr) continue;
      const std::string_view name = one->keyword;
      const bool by_host = name == "host" || name == "hostaddr" || name == "port";
      texts.emplace_back(one->keyword, by_host ? turned(one->val, host) : one->val);
    }
    PQconninfoFree(options);
    for (const auto& [keyword, value] : texts) {
      keywords.push_back(keyword.c_str());
      values.push_back(value.c_str());
    }
    keywords.push_back(nullptr);
    values.push_back(nullptr);
  }

  std::vector<std::pair<std::string, std::string>> texts;
  std::vector<const char*> keywords;
  std::vector<const char*> values;
};

std::size_t host_count(const std::string& url) {
  const ConnectWords words(url, 0);
  std::size_t hosts = 1;
  for (const auto& [keyword, value] : words.texts) {
    if (keyword != "host" && keyword != "hostaddr") continue;
    const auto commas = std::count(value.begin(), value.end(), ',');
    hosts = std::max(hosts, static_cast<std::size_t>(commas) + 1);
  }
  return hosts;
}

}  // namespace

Trouble PostgresConnection::lost(std::string_view what) {
  lost_ = true;
  last_state_.clear();
  const std::string said =
      connection_ == nullptr ? std::string() : one_line(PQerrorMessage(connection_));
  return {Failure::unreachable,
          fmt::format("PostgreSQL: {}{}{}", what, said.empty() ? "" : ": ", said), 0};
}

Trouble PostgresConnection::failed(const PGresult* result) {
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  last_state_ = state == nullptr ? "" : state;
  return {failure_of(last_state_),
          fmt::format("PostgreSQL: {} ({}){}", one_line(PQresultErrorMessage(result)), last_state_,
                      cure_of(last_state_)), 0};
}

PostgresConnection::Done PostgresConnection::wait(short events, MonoNs timeout_ns) {
  pollfd waits[] = {{PQsocket(connection_), events, 0}, {stop_.fd(), POLLIN, 0}};
  const int ready = ::poll(waits, 2, static_cast<int>(timeout_ns / ns_per_ms));
  if (stop_.stopped()) return lost("the gateway ends");
  if (ready == 0) {
    silent_ = true;
    return lost(fmt::format("no answer for {} s; is it PostgreSQL, and does it keep up?",
                            timeout_ns / ns_per_s));
  }
  return {};
}

bool PostgresConnection::healthy() const {
  return connection_ != nullptr && PQstatus(connection_) == CONNECTION_OK && !lost_;
}

void PostgresConnection::close() {
  if (connection_ != nullptr) PQfinish(connection_);
  connection_ = nullptr;
  pipeline_.clear();
  syncs_ = 0;
}

PostgresConnection::Done PostgresConnection::open() {
  const std::size_t hosts = host_count(options_.url);
  Done done;
  for (std::size_t tried = 0; tried < hosts; ++tried) {
    done = open_from(host_);
    if (done) return set_up();
    // libpq goes on to the next by itself where one refuses, but waits for ever for a silent one.
    if (!silent_ || stop_.stopped()) return done;
    host_ = (host_ + 1) % hosts;
  }
  return done;
}

PostgresConnection::Done PostgresConnection::open_from(std::size_t host) {
  close();
  lost_ = silent_ = false;
  ConnectWords words(options_.url, host);
  connection_ = PQconnectStartParams(words.keywords.data(), words.values.data(), 0);
  if (connection_ == nullptr) return lost("no memory");
  PQsetErrorVerbosity(connection_, PQERRORS_VERBOSE);  // so that the refusal has its code
  PostgresPollingStatusType next = PGRES_POLLING_WRITING;
  while (PQstatus(connection_) != CONNECTION_BAD && next != PGRES_POLLING_OK &&
         next != PGRES_POLLING_FAILED) {
    if (auto waited = wait(next == PGRES_POLLING_READING ? POLLIN : POLLOUT,
                           std::min(options_.timeout_ns, connect_timeout_ns)); !waited) {
      return waited;
    }
    next = PQconnectPoll(connection_);
  }
  if (PQstatus(connection_) == CONNECTION_OK) return {};
  Trouble trouble = lost("can't connect");
  last_state_ = state_in(PQerrorMessage(connection_));
  if (!last_state_.empty()) {
    trouble.failure = failure_of(last_state_);
    trouble.message += cure_of(last_state_);
  }
  return trouble;
}

PostgresConnection::Done PostgresConnection::set_up() {
  PQsetErrorVerbosity(connection_, PQERRORS_DEFAULT);
  PQsetnonblocking(connection_, 1);
  // What the server says beside errors ("relation exists") is no news.
  PQsetNoticeProcessor(connection_, [](void*, const char*) {}, nullptr);
  // The server gives up as we do: what we left must not wait for locks there.
  return query(fmt::format("set statement_timeout = {}; set lock_timeout = {}",
                           options_.timeout_ns / ns_per_ms,
                           std::min(options_.timeout_ns / 2, lock_timeout_ns) / ns_per_ms));
}

PostgresConnection::Done PostgresConnection::flush() {
  for (;;) {
    const int left = PQflush(connection_);
    if (left < 0) return lost("connection lost");
    if (left == 0) return {};
    if (auto waited = wait(POLLIN | POLLOUT, options_.timeout_ns); !waited) return waited;
    if (PQconsumeInput(connection_) == 0) return lost("connection lost");
  }
}

PostgresConnection::Done PostgresConnection::input() {
  while (PQisBusy(connection_) != 0) {
    if (auto waited = wait(POLLIN, options_.timeout_ns); !waited) return waited;
    if (PQconsumeInput(connection_) == 0) return lost("connection lost");
  }
  return {};
}

void PostgresConnection::note_slow(std::string_view what, MonoNs took_ns) {
  if (!what.empty() && options_.slow_ns > 0 && took_ns > options_.slow_ns) {
    slow_.push_back({std::string(what.substr(0, 200)), took_ns});
  }
}

// Until nothing is left, or COPY wants its rows.
PostgresConnection::Done PostgresConnection::results(std::string_view what,
                                                     std::vector<std::string>* column) {
  const MonoNs began = now_ns();
  std::optional<Trouble> trouble;
  for (;;) {
    if (auto ready = input(); !ready) return ready;
    PGresult* result = PQgetResult(connection_);
    if (result == nullptr) break;
    const ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_FATAL_ERROR && !trouble) trouble = failed(result);
    if (status == PGRES_TUPLES_OK && column != nullptr) {
      for (int row = 0; row < PQntuples(result); ++row) {
        column->emplace_back(PQgetvalue(result, row, 0));
      }
    }
    PQclear(result);
    if (status == PGRES_COPY_IN) break;
  }
  note_slow(what, now_ns() - began);
  if (trouble) return *trouble;
  return {};
}

PostgresConnection::Done PostgresConnection::query(const std::string& sql,
                                                   std::vector<std::string>& column) {
  if (connection_ == nullptr) return lost("not connected");
  if (PQsendQuery(connection_, sql.c_str()) == 0) return lost("connection lost");
  if (auto flushed = flush(); !flushed) return flushed;
  return results(sql, &column);
}

PostgresConnection::Done PostgresConnection::query(const std::string& sql,
                                                   std::optional<std::string>* value) {
  std::vector<std::string> column;
  auto done = query(sql, column);
  if (done && value != nullptr && !column.empty()) *value = std::move(column.back());
  return done;
}

PostgresConnection::Done PostgresConnection::copy(const std::string& sql, std::string_view bytes) {
  const MonoNs began = now_ns();
  if (connection_ == nullptr) return lost("not connected");
  if (PQsendQuery(connection_, sql.c_str()) == 0) return lost("connection lost");
  if (auto flushed = flush(); !flushed) return flushed;
  if (auto begun = results({}, nullptr); !begun) return begun;
  while (!bytes.empty()) {
    const std::string_view chunk = bytes.substr(0, copy_chunk);
    const int put = PQputCopyData(connection_, chunk.data(), static_cast<int>(chunk.size()));
    if (put < 0) return lost("connection lost");
    if (put == 1) bytes.remove_prefix(chunk.size());
    if (auto flushed = flush(); !flushed) return flushed;
  }
  while (true) {
    const int ended = PQputCopyEnd(connection_, nullptr);
    if (ended < 0) return lost("connection lost");
    if (auto flushed = flush(); !flushed) return flushed;
    if (ended == 1) break;
  }
  auto done = results({}, nullptr);
  note_slow(sql, now_ns() - began);
  return done;
}

// ---- pipeline -----------------------------------------------------------------------------------

PostgresConnection::Done PostgresConnection::begin_pipeline() {
  pipeline_.clear();
  syncs_ = 0;
  affected_ = 0;
  if (connection_ == nullptr) return lost("not connected");
  if (PQenterPipelineMode(connection_) == 0) return lost("connection lost");
  return {};
}

PostgresConnection::Done PostgresConnection::sent(int went, std::string_view what, bool counted) {
  if (went == 0) return lost("connection lost");
  pipeline_.push_back({std::string(what), counted});
  return {};
}

PostgresConnection::Done PostgresConnection::call(const std::string& sql, bool counted) {
  return sent(PQsendQueryParams(connection_, sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0),
              sql, counted);
}

PostgresConnection::Done PostgresConnection::send(const std::string& sql) {
  return call(sql, false);
}

PostgresConnection::Done PostgresConnection::prepare(const char* name, const std::string& sql) {
  return sent(PQsendPrepare(connection_, name, sql.c_str(), 0, nullptr), name, false);
}

PostgresConnection::Done PostgresConnection::call(const char* name, std::string_view tuple,
                                                  bool counted) {
  const auto big = [&](std::size_t at, std::size_t size) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < size; ++i) {
      value = value << 8 | static_cast<std::uint8_t>(tuple[at + i]);
    }
    return value;
  };
  values_.clear();
  lengths_.clear();
  std::size_t at = 2;
  for (std::uint32_t left = big(0, 2); left > 0; --left) {
    const auto size = static_cast<std::int32_t>(big(at, 4));
    at += 4;
    values_.push_back(size < 0 ? nullptr : tuple.data() + at);
    lengths_.push_back(std::max(size, 0));
    at += static_cast<std::size_t>(std::max(size, 0));
  }
  RG_CHECK(at == tuple.size());
  formats_.assign(values_.size(), 1);
  return sent(PQsendQueryPrepared(connection_, name, static_cast<int>(values_.size()),
                                  values_.data(), lengths_.data(), formats_.data(), 0),
              name, counted);
}

PostgresConnection::Done PostgresConnection::sync() {
  if (PQpipelineSync(connection_) == 0) return lost("connection lost");
  ++syncs_;
  return {};
}

// The server answers a pipeline at its end: its statements have one time.
std::string PostgresConnection::pipeline_text() const {
  std::string text;
  for (std::size_t i = 0; i < pipeline_.size() && text.size() < 200;) {
    std::size_t same = 1;
    while (i + same < pipeline_.size() && pipeline_[i + same].what == pipeline_[i].what) ++same;
    if (!text.empty()) text += "; ";
    if (same > 1) text += fmt::format("{} x ", same);
    text += pipeline_[i].what;
    i += same;
  }
  return text;
}

PostgresConnection::Done PostgresConnection::end_pipeline(std::string_view forgiven) {
  if (auto synced = sync(); !synced) return synced;
  const MonoNs began = now_ns();
  if (auto flushed = flush(); !flushed) return flushed;
  std::optional<Trouble> trouble;
  for (std::size_t at = 0; syncs_ > 0;) {
    if (auto ready = input(); !ready) return ready;
    PGresult* result = PQgetResult(connection_);
    if (result == nullptr) {  // the end of one statement
      if (PQstatus(connection_) != CONNECTION_OK) return lost("connection lost");
      ++at;
      continue;
    }
    const ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_PIPELINE_SYNC) {
      --syncs_;
      PQclear(result);
      continue;
    }
    if (status == PGRES_FATAL_ERROR && !trouble) {
      Trouble failure = failed(result);
      if (forgiven.empty() || last_state_ != forgiven) trouble = std::move(failure);
    }
    if (at < pipeline_.size() && pipeline_[at].counted) {
      affected_ += std::strtoull(PQcmdTuples(result), nullptr, 10);
    }
    PQclear(result);
  }
  const MonoNs took = now_ns() - began;
  if (took > options_.slow_ns) note_slow(pipeline_text(), took);
  if (PQexitPipelineMode(connection_) == 0) return lost("connection lost");
  if (trouble) return *trouble;
  return {};
}

}  // namespace ringgate::sink
