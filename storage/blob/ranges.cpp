#include "storage/blob/ranges.hpp"

#include <algorithm>

#include "engine/base/check.hpp"
#include "engine/base/crc32c.hpp"

namespace ringgate::blob {

namespace {

void join(Ranges::Piece& first, const Ranges::Piece& second, bool checked) {
  if (checked) {
    first.crc32c = crc32c_join(first.crc32c, second.crc32c, second.end - second.begin);
  }
  first.end = second.end;
}

}  // namespace

std::size_t Ranges::after(std::uint64_t at) const {
  const auto found = std::upper_bound(
      pieces_.begin(), pieces_.end(), at,
      [](std::uint64_t offset, const Piece& piece) { return offset < piece.begin; });
  return static_cast<std::size_t>(found - pieces_.begin());
}

Ranges::Run Ranges::run_at(std::uint64_t at) const {
  const std::size_t next = after(at);
  if (next > 0 && at < pieces_[next - 1].end) return {true, pieces_[next - 1].end};
  return {false, next < pieces_.size() ? pieces_[next].begin : ~std::uint64_t{0}};
}

bool Ranges::needs_piece(std::uint64_t at) const {
  const std::size_t next = after(at);
  if (next > 0 && at <= pieces_[next - 1].end) return false;
  return next == pieces_.size() || pieces_[next].begin != at + 1;
}

void Ranges::insert(std::uint64_t begin, std::uint64_t end, std::uint32_t crc32c, bool checked) {
  if (begin == end) return;
  const std::size_t next = after(begin);
  const bool touches_before = next > 0 && pieces_[next - 1].end == begin;
  const bool touches_after = next < pieces_.size() && pieces_[next].begin == end;
  RG_CHECK(begin < end && (next == 0 || pieces_[next - 1].end <= begin));
  RG_CHECK(next == pieces_.size() || end <= pieces_[next].begin);
  bytes_ += end - begin;
  const Piece piece{begin, end, crc32c};
  if (touches_before) {
    join(pieces_[next - 1], piece, checked);
    if (!touches_after) return;
    join(pieces_[next - 1], pieces_[next], checked);
    pieces_.erase(pieces_.begin() + static_cast<std::ptrdiff_t>(next));
  } else if (touches_after) {
    Piece joined = piece;
    join(joined, pieces_[next], checked);
    pieces_[next] = joined;
  } else {
    pieces_.insert(pieces_.begin() + static_cast<std::ptrdiff_t>(next), piece);
  }
}

}  // namespace ringgate::blob
