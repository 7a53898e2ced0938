// Reply bytes on their way from a session to a socket: a chain of chunks per link, taken from a
// pool of the shard when the first reply is written and returned when it has been sent. An idle
// link owns none. One per shard, used only there.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <initializer_list>

#include "engine/base/check.hpp"
#include "engine/base/limits.hpp"
#include "engine/flow/budget.hpp"

namespace ringgate::net {

struct OutChunk {
  OutChunk* next;
  std::uint32_t capacity;
  std::uint32_t end;    // bytes written
  std::uint32_t begin;  // bytes sent
  std::uint32_t unused;
  std::uint8_t* data() { return reinterpret_cast<std::uint8_t*>(this + 1); }
};
static_assert(sizeof(OutChunk) == 24);

class OutChunkPool {
 public:
  static constexpr std::uint32_t large_capacity = limits::out_chunk_large_bytes - sizeof(OutChunk);

  explicit OutChunkPool(flow::Budget& budget) : budget_(budget) {}
  ~OutChunkPool() { trim(); }
  OutChunkPool(const OutChunkPool&) = delete;
  OutChunkPool& operator=(const OutChunkPool&) = delete;

  // A chunk with at least `room` free bytes; the small size if that suffices and `first`.
  OutChunk* take(std::uint32_t room, bool first) {
    const bool small = first && room <= small_capacity;
    RG_CHECK(room <= large_capacity);
    Shelf& shelf = small ? small_ : large_;
    OutChunk* chunk = shelf.head;
    if (chunk != nullptr) {
      shelf.head = chunk->next;
      --shelf.count;
    } else {
      const std::uint32_t bytes =
          small ? limits::out_chunk_small_bytes : limits::out_chunk_large_bytes;
      chunk = static_cast<OutChunk*>(std::malloc(bytes));
      RG_CHECK(chunk != nullptr);
      chunk->capacity = bytes - static_cast<std::uint32_t>(sizeof(OutChunk));
      budget_.charge(bytes);
    }
    chunk->next = nullptr;
    chunk->begin = chunk->end = 0;
    return chunk;
  }

  void give_back(OutChunk* chunk) {
    Shelf& shelf = chunk->capacity == small_capacity ? small_ : large_;
    if (shelf.count >= keep_) return release(chunk);
    chunk->next = shelf.head;
    shelf.head = chunk;
    ++shelf.count;
  }

  std::uint64_t kept_bytes() const {
    return std::uint64_t{small_.count} * limits::out_chunk_small_bytes +
           std::uint64_t{large_.count} * limits::out_chunk_large_bytes;
  }

  // Memory level 1: keep nothing that nobody uses.
  void set_keep(std::uint32_t keep) {
    keep_ = keep;
    if (keep == 0) trim();
  }

 private:
  static constexpr std::uint32_t small_capacity = limits::out_chunk_small_bytes - sizeof(OutChunk);
  struct Shelf {
    OutChunk* head = nullptr;
    std::uint32_t count = 0;
  };
  void release(OutChunk* chunk) {
    budget_.release(chunk->capacity + sizeof(OutChunk));
    std::free(chunk);
  }
  void trim() {
    for (Shelf* shelf : {&small_, &large_}) {
      while (shelf->head != nullptr) {
        OutChunk* chunk = shelf->head;
        shelf->head = chunk->next;
        release(chunk);
      }
      shelf->count = 0;
    }
  }

  flow::Budget& budget_;
  Shelf small_;
  Shelf large_;
  std::uint32_t keep_ = limits::out_chunks_kept;
};

}  // namespace ringgate::net
