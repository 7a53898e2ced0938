#include "tools/ringgate/keys.hpp"

namespace ringgate::server {

Result<void> check_feature_name(std::string_view name) {
  const auto feature = io::features_from_names(name);
  if (!feature) return feature.error();
  return {};
}

Result<void> check_socket_mode(std::string_view text) {
  const bool octal = text.find_first_not_of("01234567") == std::string_view::npos;
  if (!octal || socket_mode(text) > 0777 || (socket_mode(text) & 0600) != 0600) {
    return Error{0, "a file mode in octal like 0600 or 0660 is expected"};
  }
  return {};
}

unsigned socket_mode(std::string_view text) {
  unsigned mode = 0;
  for (const char digit : text) mode = mode * 8 + static_cast<unsigned>(digit - '0');
  return mode;
}

}  // namespace ringgate::server
