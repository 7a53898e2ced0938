// The note beside an unfinished upload: after a torn write or damage, a block that is valid counts,
// the newer of two, and nothing else. Input: what the two notes say, then what damages their file.
// By hand as jt808_framing_fuzz.cpp says.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/base/crc32c.hpp"
#include "storage/blob/note.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::blob;

void require(bool condition) {
  if (!condition) __builtin_trap();
}

struct Input {
  Bytes left;
  std::uint8_t u8() {
    if (left.empty()) return 0;
    const std::uint8_t value = left.front();
    left = left.subspan(1);
    return value;
  }
};

Note make_note(Input& input, std::uint64_t sequence) {
  Note note;
  note.sequence = sequence;
  note.written_us = input.u8();
  note.id.assign(input.u8() % 65U, 'i');
  note.resume_key.assign(input.u8() * 2U, static_cast<char>(input.u8()));
  std::uint64_t at = 0;
  for (unsigned i = input.u8() % 200U; i > 0; --i) {
    const std::uint64_t begin = at + 1 + input.u8();
    at = begin + 1 + input.u8() * 1000ULL;
    note.pieces.push_back({begin, at, input.u8()});
  }
  note.size_bytes = at + input.u8();
  return note;
}

// What is kept of it: of more pieces than fit, the largest.
void check_same(const Note& read, const Note& written) {
  require(read.sequence == written.sequence && read.written_us == written.written_us);
  require(read.id == written.id && read.resume_key == written.resume_key);
  require(read.size_bytes == written.size_bytes);
  require(read.pieces.size() == std::min<std::size_t>(written.pieces.size(), noted_pieces_max));
  std::uint64_t last = 0;
  for (const Ranges::Piece& piece : read.pieces) {
    require(piece.begin > last && piece.end > piece.begin && piece.end <= read.size_bytes);
    require(std::ranges::any_of(written.pieces, [&](const Ranges::Piece& one) {
      return one.begin == piece.begin && one.end == piece.end && one.crc32c == piece.crc32c;
    }));
    last = piece.end;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input{{data, size}};
  const Note notes[2] = {make_note(input, 4), make_note(input, input.u8() % 2 == 0 ? 5 : 3)};
  std::vector<std::uint8_t> file(note_file_bytes);
  std::uint8_t block[block_size];
  for (int i = 0; i < 2; ++i) {
    encode_note(notes[i], block);
    std::copy(std::begin(block), std::end(block), file.begin() + i * std::ptrdiff_t{block_size});
  }
  const std::vector<std::uint8_t> whole = file;
  const bool recount = (input.u8() & 1) != 0;  // damage whose check sum is right
  for (unsigned i = input.u8() % 8U; i > 0; --i) {
    const std::size_t at = (input.u8() << 8 | input.u8()) % file.size();
    file[at] ^= input.u8();
  }
  if (recount) {
    const Bytes first{file.data(), block_size - 4};
    store_native(file.data() + block_size - 4, crc32c(0, first));
  }
  const std::size_t cut = input.u8() % 4 == 0 ? (input.u8() << 8 | input.u8()) % file.size() : 0;
  file.resize(file.size() - cut);
  const std::vector<std::uint8_t> exact(file);
  const auto read = decode_note(exact);
  if (recount) {  // anything may be said, but nothing that makes no sense
    std::uint64_t last = 0;
    for (std::size_t i = 0; read && i < read->pieces.size(); ++i) {
      const Ranges::Piece& piece = read->pieces[i];
      require(piece.begin < piece.end && (i == 0 || piece.begin > last));
      last = piece.end;
      require(last <= read->size_bytes);
    }
    return 0;
  }
  const Note* best = nullptr;
  for (int i = 0; i < 2; ++i) {
    const std::size_t begin = i * std::size_t{block_size};
    const bool intact = begin + block_size <= exact.size() &&
                        std::equal(exact.begin() + static_cast<std::ptrdiff_t>(begin),
                                   exact.begin() + static_cast<std::ptrdiff_t>(begin + block_size),
                                   whole.begin() + static_cast<std::ptrdiff_t>(begin));
    if (intact && (best == nullptr || notes[i].sequence > best->sequence)) best = &notes[i];
  }
  require(read.has_value() == (best != nullptr));
  if (best != nullptr) check_same(*read, *best);
  return 0;
}
