// Assertions for what must hold in every build. A broken invariant ends the process: going on could
// acknowledge what is not stored.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace ringgate {

[[noreturn]] inline void check_failed(const char* what, const char* file, int line) {
  std::fprintf(stderr, "ringgate: broken invariant: %s at %s:%d\n", what, file, line);
  std::abort();
}

}  // namespace ringgate

#define RG_CHECK(condition) \
  (__builtin_expect(!(condition), 0) ? ::ringgate::check_failed(#condition, __FILE__, __LINE__) \
                                     : static_cast<void>(0))
