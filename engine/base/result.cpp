#include "engine/base/result.hpp"

#include <cstring>

namespace ringgate {

Error errno_error(int code, std::string message) {
  char text[128];
  message += ": ";
  message += strerror_r(code, text, sizeof text);
  return Error{code, std::move(message)};
}

}  // namespace ringgate
