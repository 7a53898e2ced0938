#include "storage/blob/note.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "engine/base/check.hpp"
#include "engine/base/crc32c.hpp"

namespace ringgate::blob {

namespace {

constexpr std::uint64_t note_magic = 0x3145544f4e424752;  // "RGBNOTE1"

// Little-endian, no padding. Followed by the id, the key and the pieces.
struct Fixed {
  std::uint64_t magic;
  std::uint64_t sequence;
  std::int64_t written_us;
  std::uint64_t size_bytes;
  std::uint16_t id_size;
  std::uint16_t key_size;
  std::uint16_t pieces;
  std::uint16_t unused;
  std::uint8_t head[magic_bytes];
};
static_assert(sizeof(Fixed) == 40 + magic_bytes);

constexpr std::size_t piece_bytes = 20;
constexpr std::size_t id_size_max = 64;
constexpr std::size_t crc_at = block_size - 4;
constexpr std::size_t texts_max = id_size_max + key_size_max;
static_assert(sizeof(Fixed) + texts_max + noted_pieces_max * piece_bytes <= crc_at);

std::optional<Note> decode_block(Bytes block) {
  const auto fixed = load_native<Fixed>(block.data());
  if (fixed.magic != note_magic) return std::nullopt;
  if (load_native<std::uint32_t>(block.data() + crc_at) != crc32c(0, block.first(crc_at))) {
    return std::nullopt;
  }
  const std::size_t texts = std::size_t{fixed.id_size} + fixed.key_size;
  if (sizeof fixed + texts + fixed.pieces * piece_bytes > crc_at) return std::nullopt;
  Note note;
  note.sequence = fixed.sequence;
  note.written_us = fixed.written_us;
  note.size_bytes = fixed.size_bytes;
  std::copy(std::begin(fixed.head), std::end(fixed.head), note.head.begin());
  note.id = as_text(block.subspan(sizeof fixed, fixed.id_size));
  note.resume_key = as_text(block.subspan(sizeof fixed + fixed.id_size, fixed.key_size));
  const std::uint8_t* at = block.data() + sizeof fixed + texts;
  std::uint64_t last = 0;
  for (std::size_t i = 0; i < fixed.pieces; ++i, at += piece_bytes) {
    const Ranges::Piece piece{load_native<std::uint64_t>(at), load_native<std::uint64_t>(at + 8),
                              load_native<std::uint32_t>(at + 16)};
    const bool in_order = piece.begin < piece.end && (i == 0 || piece.begin > last);
    if (!in_order || piece.end > note.size_bytes) return std::nullopt;
    last = piece.end;
    note.pieces.push_back(piece);
  }
  return note;
}

}  // namespace

void encode_note(const Note& note, std::uint8_t (&block)[block_size]) {
  RG_CHECK(note.id.size() <= id_size_max && note.resume_key.size() <= key_size_max);
  std::vector<Ranges::Piece> pieces = note.pieces;
  if (pieces.size() > noted_pieces_max) {
    const auto larger = [](const Ranges::Piece& a, const Ranges::Piece& b) {
      return a.end - a.begin > b.end - b.begin;
    };
    std::nth_element(pieces.begin(), pieces.begin() + noted_pieces_max, pieces.end(), larger);
    pieces.resize(noted_pieces_max);
    std::ranges::sort(pieces, {}, &Ranges::Piece::begin);
  }
  std::memset(block, 0, block_size);
  Fixed fixed{};
  fixed.magic = note_magic;
  fixed.sequence = note.sequence;
  fixed.written_us = note.written_us;
  fixed.size_bytes = note.size_bytes;
  fixed.id_size = static_cast<std::uint16_t>(note.id.size());
  fixed.key_size = static_cast<std::uint16_t>(note.resume_key.size());
  fixed.pieces = static_cast<std::uint16_t>(pieces.size());
  std::copy(note.head.begin(), note.head.end(), std::begin(fixed.head));
  store_native(block, fixed);
  std::uint8_t* at = block + sizeof fixed;
  std::memcpy(at, note.id.data(), note.id.size());
  at += note.id.size();
  std::memcpy(at, note.resume_key.data(), note.resume_key.size());
  at += note.resume_key.size();
  for (const Ranges::Piece& piece : pieces) {
    store_native(at, piece.begin);
    store_native(at + 8, piece.end);
    store_native(at + 16, piece.crc32c);
    at += piece_bytes;
  }
  store_native(block + crc_at, crc32c(0, {block, crc_at}));
}

std::optional<Note> decode_note(Bytes file) {
  std::optional<Note> best;
  for (std::size_t at = 0; at + block_size <= file.size(); at += block_size) {
    auto note = decode_block(file.subspan(at, block_size));
    if (note && (!best || note->sequence > best->sequence)) best = std::move(note);
  }
  return best;
}

// Two FNV-1a sums from different beginnings. Keys that meet are told apart by the note's key.
std::string partial_name(std::string_view resume_key) {
  std::uint64_t a = 0xcbf29ce484222325;
  std::uint64_t b = 0x6c62272e07bb0142;
  for (const char letter : resume_key) {
    const auto byte = static_cast<std::uint8_t>(letter);
    a = (a ^ byte) * 0x100000001b3;
    b = (b ^ static_cast<std::uint8_t>(byte + 0x5b)) * 0x100000001b3;
  }
  return fmt::format("{:016x}{:016x}", a, b);
}

}  // namespace ringgate::blob
