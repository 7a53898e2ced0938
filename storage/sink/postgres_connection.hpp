// One connection to PostgreSQL for one thread at a time: statements, COPY, and libpq's pipeline for
// many statements in one round trip. Every wait also ends by the stop signal and the timeout.
//
// A failure leaves the connection usable where healthy() says so: roll back and go on. Otherwise
// open() it again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/clock.hpp"
#include "storage/sink/postgres.hpp"
#include "storage/sink/stop_signal.hpp"

// libpq's own: its header is not everywhere where this one is read.
struct pg_conn;
struct pg_result;

namespace ringgate::sink {

class PostgresConnection {
 public:
  using Done = Result<void, Trouble>;
  struct Slow {
    std::string statement;
    MonoNs took_ns = 0;
  };

  PostgresConnection(const PostgresOptions& options, const StopSignal& stop)
      : options_(options), stop_(stop) {}
  ~PostgresConnection() { close(); }
  PostgresConnection(const PostgresConnection&) = delete;
  PostgresConnection& operator=(const PostgresConnection&) = delete;

  // Tries the url's hosts; one that does not answer does not hide those behind it.
  Done open();
  void close();
  bool is_open() const { return connection_ != nullptr; }
  bool healthy() const;

  // Runs statements to their end; the value of the last row's first column goes to `value`, all
  // first columns of all rows to `column`.
  Done query(const std::string& sql, std::optional<std::string>* value = nullptr);
  Done query(const std::string& sql, std::vector<std::string>& column);
  // `sql`: ends in a COPY FROM STDIN that takes `bytes`.
  Done copy(const std::string& sql, std::string_view bytes);

  // A pipeline: send() and call() what there is, end() waits for all of it. Each statement between
  // two syncs is of one implicit transaction, unless it says begin: after a failure the rest up to
  // the sync is left out. end() syncs.
  Done begin_pipeline();
  Done send(const std::string& sql);  // one statement without values
  Done prepare(const char* name, const std::string& sql);
  // `tuple`: the values as a row of COPY BINARY has them. `counted`: affected() counts its rows.
  Done call(const char* name, std::string_view tuple, bool counted = false);
  Done call(const std::string& sql, bool counted);
  Done sync();
  // The first failure. Where there are several syncs, what follows the failure has been tried all
  // the same; `forgiven`: a SQLSTATE that is no failure.
  Done end_pipeline(std::string_view forgiven = {});
  std::uint64_t affected() const { return affected_; }  // of the last pipeline

  // SQLSTATE of the last failure; empty: the server said none.
  std::string_view last_state() const { return last_state_; }
  std::vector<Slow> take_slow() { return std::exchange(slow_, {}); }

 private:
  struct Sent {
    std::string what;
    bool counted = false;
  };
  Done open_from(std::size_t host);
  Done set_up();
  Done wait(short events, MonoNs timeout_ns);
  Done flush();
  Done input();  // until PQgetResult does not block
  Done results(std::string_view what, std::vector<std::string>* column);
  Done sent(int went, std::string_view what, bool counted);
  std::string pipeline_text() const;
  void note_slow(std::string_view what, MonoNs took_ns);
  Trouble failed(const pg_result* result);
  Trouble lost(std::string_view what);

  const PostgresOptions& options_;
  const StopSignal& stop_;
  pg_conn* connection_ = nullptr;
  bool lost_ = false;
  bool silent_ = false;  // it was lost because nothing came in time
  std::size_t host_ = 0;  // where open() begins
  std::string last_state_;
  std::vector<Sent> pipeline_;
  std::size_t syncs_ = 0;
  std::uint64_t affected_ = 0;
  std::vector<Slow> slow_;
  std::vector<const char*> values_;
  std::vector<int> lengths_;
  std::vector<int> formats_;
};

}  // namespace ringgate::sink
