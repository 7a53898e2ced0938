// The note beside an unfinished upload: which of its bytes are durable, so that it can be resumed.
// One block of a file that holds two; they are written in turn, so that a torn write leaves the
// other. BLOB.md has the layout. Pure, any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/bytes.hpp"
#include "engine/base/clock.hpp"
#include "storage/blob/content.hpp"
#include "storage/blob/limits.hpp"
#include "storage/blob/ranges.hpp"

namespace ringgate::blob {

struct Note {
  std::uint64_t sequence = 0;  // the higher of two valid blocks counts
  WallUs written_us = 0;
  std::uint64_t size_bytes = 0;  // of the whole upload
  std::string id;                // what the blob will be called
  std::string resume_key;
  std::array<std::uint8_t, magic_bytes> head{};  // the file's first bytes, where they are there
  std::vector<Ranges::Piece> pieces;             // durable, in order
};

constexpr std::uint32_t note_file_bytes = 2 * block_size;
constexpr std::uint64_t note_offset(std::uint64_t sequence) {
  return (sequence & 1) * block_size;
}

// Fills a block. Of more than noted_pieces_max pieces the largest are kept.
void encode_note(const Note& note, std::uint8_t (&block)[block_size]);
// The newer of the valid blocks of a note's file.
std::optional<Note> decode_note(Bytes file);

// What an upload's files in partial/ are called: 32 hex digits of the key, nothing of its text.
std::string partial_name(std::string_view resume_key);

}  // namespace ringgate::blob
