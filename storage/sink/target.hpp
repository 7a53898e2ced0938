// What a sink of one kind must do: take batches of records and say when the other side has them for
// good. The worker (worker.hpp) does the rest: reading, batching, cursors, back-off, metrics.
//
// A target is made and used by its worker's thread alone. It may block: nobody waits for it but its
// own cursor, and stop() ends what it waits for.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"
#include "storage/event/catalog.hpp"
#include "storage/log/cursor.hpp"

namespace ringgate::sink {

// A record on its way, with its identity. `view` points into the batch.
struct Item {
  log::StreamId stream;
  Position position = 0;
  event::RecordView view;
  const event::MessageCatalog* catalog = nullptr;  // null: nobody knows its namespace
};

// Records in the order of the tail; at most one record of a (stream, position).
struct Batch {
  std::string_view node_name;  // node.name
  log::NodeId node{};
  const std::vector<Item>& items;
  // Behind the last item: what a target keeps that stores cursors in the other side's transaction.
  const log::Cursor& cursor;
};

// Why something failed. Counted by reason; decides what the worker does next.
enum class Failure : std::uint8_t {
  unreachable,   // no connection, or it broke: try again, from the connection on
  refused,       // credentials or rights: try again, slowly; say so loudly
  overloaded,    // the other side asks to wait, or its disk is full: try again
  bad_config,    // will not get better without the operator: try again slowly
  bad_record,    // the other side will never take item `item`: it is skipped and counted
  count,
};
inline constexpr std::string_view failure_names[] = {"unreachable", "refused", "overloaded",
                                                     "bad_config", "bad_record"};

struct Trouble {
  Failure failure = Failure::unreachable;
  std::string message;   // names the server (no password), what it said, and the cure
  std::size_t item = 0;  // of bad_record
};

class Target {
 public:
  virtual ~Target() = default;

  // Whether the other side keeps the cursor, in the transaction of the batch: then that one wins
  // over the one in the data directory.
  virtual bool keeps_cursor() const { return false; }
  // Connects and makes what must be there (streams, tables). The cursor that the other side keeps,
  // where it keeps one; nothing: it knows nothing of this node.
  virtual Result<std::optional<log::Cursor>, Trouble> open() = 0;
  // Returns when the other side has all of the batch for good (at least once). After a failure the
  // same batch comes again, without the record that was bad; after close() and open() where it was
  // unreachable, refused or bad_config, on the same connection after overloaded. A target that
  // keeps the cursor may find another batch after open(): the one behind its cursor.
  virtual Result<void, Trouble> write(const Batch& batch) = 0;
  // Rows, keys, messages or whatever it made of records so far; confirmed ones.
  virtual std::uint64_t rows_written() const { return 0; }
  // Called now and then while nothing comes, for keepalives. May fail as write() does.
  virtual Result<void, Trouble> idle() { return {}; }
  // Ends the connection. open() may follow.
  virtual void close() = 0;
  // Any thread: ends what open(), write() and idle() wait for, soon and for good.
  virtual void stop() = 0;
};

}  // namespace ringgate::sink
