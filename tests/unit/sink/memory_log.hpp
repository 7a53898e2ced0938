// A log in memory with a tail over it, for tests of workers: streams of small records that grow
// while they are read. The records of all streams have one order, that of their received time.
#pragma once

#include <fmt/format.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "storage/query/tail.hpp"

namespace ringgate::sink {

class MemoryLog {
 public:
  struct Entry {
    log::StreamId stream;
    Position position = 0;
    std::string device;
    std::string payload;
    WallUs received_us = 0;
  };

  void append(log::StreamId stream, const std::string& device, const std::string& payload) {
    const std::lock_guard lock(mutex_);
    Position& end = ends_[stream];
    const auto received = static_cast<WallUs>(1'000'000 + entries_.size());
    entries_.push_back({stream, end, device, payload, received});
    end += size_of(entries_.back());
  }
  std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return entries_.size();
  }
  Entry at(std::size_t index) const {
    const std::lock_guard lock(mutex_);
    return entries_[index];
  }
  static std::uint64_t size_of(const Entry& entry) {
    return log::padded_size(log::record_header_size + entry.device.size() + entry.payload.size());
  }
  log::Cursor end() const {
    const std::lock_guard lock(mutex_);
    log::Cursor cursor;
    for (const auto& [stream, position] : ends_) cursor.set(stream, position);
    return cursor;
  }
  std::unique_ptr<query::Tail> tail(const query::TailStart& start) const;

 private:
  mutable std::mutex mutex_;
  std::vector<Entry> entries_;
  std::map<log::StreamId, Position> ends_;
};

class MemoryTail final : public query::Tail {
 public:
  explicit MemoryTail(const MemoryLog& log) : log_(log) {}

  const log::NodeId& node() const override { return node_; }
  bool next(query::Found& found) override {
    pass_last();
    while (next_ < visible_) {
      entry_ = log_.at(next_++);
      const auto start = cursor_.start_of(entry_.stream);
      if (!start || *start > entry_.position) continue;  // passed before
      handed_out_ = true;
      found.stream = entry_.stream;
      found.record = {};
      found.record.header.position = entry_.position;
      found.record.header.size_bytes = static_cast<std::uint32_t>(
          log::record_header_size + entry_.device.size() + entry_.payload.size());
      found.record.header.kind = static_cast<std::uint8_t>(event::RecordKind::frame_up);
      found.record.header.received_us = entry_.received_us;
      found.record.device = entry_.device;
      found.record.payload = {reinterpret_cast<const std::uint8_t*>(entry_.payload.data()),
                              entry_.payload.size()};
      return true;
    }
    return false;
  }
  bool refresh() override {
    visible_ = log_.size();
    return true;
  }
  log::Cursor cursor() const override { return cursor_; }
  Result<void> seek(const query::TailStart& start) override {
    handed_out_ = false;
    next_ = 0;
    cursor_ = {};
    if (start.where == query::TailStart::Where::cursor) cursor_ = start.cursor;
    if (start.where == query::TailStart::Where::end) cursor_ = log_.end();
    return {};
  }
  query::Lag lag() const override { return {visible_ - next_, next_ < visible_ ? 1 : 0}; }
  std::uint64_t lost_bytes() const override { return 0; }
  const std::vector<std::string>& problems() const override { return problems_; }

 private:
  void pass_last() {
    if (!handed_out_) return;
    cursor_.set(entry_.stream, entry_.position + MemoryLog::size_of(entry_));
    handed_out_ = false;
  }

  const MemoryLog& log_;
  log::NodeId node_{};
  MemoryLog::Entry entry_;
  bool handed_out_ = false;
  std::size_t next_ = 0;
  std::size_t visible_ = 0;
  log::Cursor cursor_;
  std::vector<std::string> problems_;
};

inline std::unique_ptr<query::Tail> MemoryLog::tail(const query::TailStart& start) const {
  auto tail = std::make_unique<MemoryTail>(*this);
  static_cast<void>(tail->seek(start));
  return tail;
}

}  // namespace ringgate::sink
