#include "protocols/jt808/codec/text.hpp"

#include <iconv.h>

#include "engine/base/utf8.hpp"

namespace ringgate::jt808 {

namespace {

bool plain_ascii(Bytes text) {
  for (const std::uint8_t byte : text) {
    if (byte >= 0x80) return false;
  }
  return true;
}

class Converter {
 public:
  Converter(const char* to, const char* from) : handle_(::iconv_open(to, from)) {}
  Converter(const Converter&) = delete;
  Converter& operator=(const Converter&) = delete;
  ~Converter() {
    if (ok()) ::iconv_close(handle_);
  }
  bool ok() const { return handle_ != reinterpret_cast<iconv_t>(-1); }

  // Converts a prefix of `in`, appends it to `out` and returns its size.
  std::size_t run(Bytes in, std::string& out) {
    char* from = const_cast<char*>(reinterpret_cast<const char*>(in.data()));
    std::size_t left = in.size();
    while (left != 0) {
      char buffer[256];
      char* to = buffer;
      std::size_t room = sizeof buffer;
      const std::size_t before = left;
      const std::size_t status = ::iconv(handle_, &from, &left, &to, &room);
      out.append(buffer, sizeof buffer - room);
      if (status == static_cast<std::size_t>(-1) && left == before) break;
    }
    return in.size() - left;
  }

 private:
  iconv_t handle_;
};

}  // namespace

std::string utf8_from_gbk(Bytes text) {
  if (plain_ascii(text)) return std::string(as_text(text));
  std::string out;
  Converter converter("UTF-8", "GB18030");  // holds GBK and never lacks a character of it
  while (!text.empty()) {
    const std::size_t done = converter.ok() ? converter.run(text, out) : 0;
    text = text.subspan(done);
    if (text.empty()) break;
    out += "\xef\xbf\xbd";
    text = text.subspan(1);
  }
  return out;
}

std::string gbk_from_utf8(std::string_view text, std::vector<std::uint8_t>& out) {
  if (plain_ascii(as_bytes(text))) {
    out.insert(out.end(), text.begin(), text.end());
    return {};
  }
  Converter converter("GBK", "UTF-8");
  if (!converter.ok()) return "can't be written: this system's iconv knows no GBK";
  std::string gbk;
  const std::size_t done = converter.run(as_bytes(text), gbk);
  if (done != text.size()) {
    const std::size_t length = utf8_length(text, done);
    if (length == 0) return "is no UTF-8";
    std::string wrong = "has a character that is not in GBK: ";
    return wrong.append(text.substr(done, length));
  }
  out.insert(out.end(), gbk.begin(), gbk.end());
  return {};
}

Bytes trimmed(Bytes text) {
  const auto is_padding = [](std::uint8_t byte) { return byte == 0 || byte == ' '; };
  while (!text.empty() && is_padding(text.front())) text = text.subspan(1);
  while (!text.empty() && is_padding(text.back())) text = text.first(text.size() - 1);
  return text;
}

}  // namespace ringgate::jt808
