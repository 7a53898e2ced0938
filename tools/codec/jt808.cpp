// JT/T 808 for ringgate-codec: frames between delimiters, and the dump of explain.
#include <fmt/core.h>

#include "engine/base/hex.hpp"
#include "protocols/jt808/catalog.hpp"
#include "protocols/jt808/codec/describe.hpp"
#include "protocols/jt808/codec/explain.hpp"
#include "protocols/jt808/codec/framing.hpp"
#include "tools/codec/jt808_markdown.hpp"
#include "tools/codec/protocol.hpp"

namespace ringgate::codec_tool {

namespace {

using jt808::ExplainLine;
using Mark = ExplainLine::Kind;

constexpr std::size_t bytes_per_line = 8;

struct Colours {
  const char* title = "";
  const char* problem = "";
  const char* faint = "";
  const char* end = "";
};

// Characters, of which UTF-8 may need several bytes.
std::size_t width_of(std::string_view text) {
  std::size_t width = 0;
  for (const char c : text) width += (static_cast<unsigned char>(c) & 0xc0) != 0x80 ? 1 : 0;
  return width;
}
std::string padded(std::string text, std::size_t width) {
  const std::size_t is = width_of(text);
  if (is < width) text.append(width - is, ' ');
  return text;
}

class Dump {
 public:
  Dump(const ExplainOptions& options) : secrets_(options.secrets) {
    if (options.colours) colours_ = {"\x1b[1m", "\x1b[31m", "\x1b[2m", "\x1b[0m"};
  }

  void line(const ExplainLine& line) {
    const std::string indent(2 * std::size_t{line.depth}, ' ');
    if (line.kind == Mark::title) return title(indent + line.name, line.source);
    if (line.kind == Mark::problem) {
      text_ += fmt::format("{}{:04x}  {:16}  {}! {}{}\n", colours_.problem, line.offset, "", indent,
                           line.name, colours_.end);
      return;
    }
    std::string value = line.value;
    if (!line.unit.empty()) value += fmt::format(" {}", line.unit);
    std::string about(line.source);
    if (!line.note.empty()) about += fmt::format("{}{}", about.empty() ? "" : "; ", line.note);
    if (!about.empty()) value += fmt::format("  {}({}){}", colours_.faint, about, colours_.end);
    const bool hidden = line.is_secret && !secrets_;
    const char* colour = line.kind == Mark::unknown ? colours_.problem : "";
    std::string name = indent + line.name;
    if (line.bytes.empty()) {
      // A part of the number above it.
      text_ += fmt::format("      {:16}  {}  {}\n", "", padded(name, name_width), value);
      return;
    }
    for (std::size_t at = 0; at < line.bytes.size(); at += bytes_per_line) {
      const Bytes some = line.bytes.subspan(at, std::min(bytes_per_line, line.bytes.size() - at));
      const std::string hex = hidden ? std::string(2 * some.size(), '*') : to_hex(some);
      if (at == 0) {
        text_ += fmt::format("{:04x}  {}{:16}  {}{}  {}\n", line.offset, colour, hex,
                             padded(name, name_width), *colour != 0 ? colours_.end : "", value);
      } else {
        text_ += fmt::format("{:04x}  {}\n", line.offset + at, hex);
      }
    }
  }

  void title(std::string_view name, std::string_view source) {
    text_ += fmt::format("      {:16}  {}{}{}", "", colours_.title, name, colours_.end);
    if (!source.empty()) text_ += fmt::format("  {}({}){}", colours_.faint, source, colours_.end);
    text_ += '\n';
  }

  // What the wire has besides the frame: the check byte, and which bytes were escaped.
  void wire(Bytes bytes, std::size_t frame_size) {
    Bytes content = bytes;
    while (!content.empty() && content.front() == jt808::delimiter) content = content.subspan(1);
    while (!content.empty() && content.back() == jt808::delimiter) {
      content = content.first(content.size() - 1);
    }
    std::vector<std::string> escapes;
    std::uint8_t check = 0;
    std::size_t at = 0;
    for (std::size_t i = 0; i < content.size(); ++i, ++at) {
      check = content[i];
      if (content[i] != jt808::escape_mark || i + 1 == content.size()) continue;
      check = static_cast<std::uint8_t>(0x7c + content[++i]);
      escapes.push_back(fmt::format("{:04x}  7d{:02x} on the wire is {:02x}", at,
                                    unsigned{content[i]}, unsigned{check}));
    }
    title("end", "JT/T 808-2019 4.4.2");
    text_ += fmt::format("{:04x}  {:02x}{:14}  {}  right\n", frame_size, unsigned{check}, "",
                         padded("  check", name_width));
    if (escapes.empty()) return;
    title("escapes", "JT/T 808-2019 4.4.2");
    for (const std::string& escape : escapes) text_ += fmt::format("{}\n", escape);
  }

  std::string take() { return std::move(text_); }

 private:
  static constexpr std::size_t name_width = 32;
  bool secrets_;
  Colours colours_;
  std::string text_;
};

class Jt808 final : public Protocol {
 public:
  const event::MessageCatalog& catalog() const override { return catalog_; }

  std::size_t cut(Bytes stream, bool at_end,
                  const std::function<void(const Cut&)>& each) const override {
    std::vector<std::uint8_t> scratch(jt808::scratch_size);
    std::size_t at = 0;
    for (;;) {
      const Bytes left = stream.subspan(at);
      const jt808::NextFrame next = jt808::next_frame(left, scratch);
      std::size_t start = 0;
      while (start < left.size() && left[start] == jt808::delimiter) ++start;
      if (start > 0) --start;
      if (next.kind == jt808::NextFrame::Kind::need_more) {
        const std::size_t done = at + next.consumed;
        if (!at_end) return done;
        const Bytes rest = stream.subspan(done);
        if (jt808::is_partial_frame(rest)) {
          each({.offset = done, .wire = rest, .wrong = "no closing 7e"});
        }
        return stream.size();
      }
      const Bytes wire = left.subspan(start, next.consumed - start);
      const bool ok = next.kind == jt808::NextFrame::Kind::frame;
      // Line ends and blanks between frames are nobody's fault.
      const bool is_blank = !ok && as_text(wire).find_first_not_of("\r\n \t\x7e") ==
                                       std::string_view::npos;
      if (!is_blank) {
        each({.offset = at + start,
              .wire = wire,
              .frame = next.frame,
              .wrong = ok ? std::string_view{} : jt808::name(next.reason)});
      }
      at += next.consumed;
    }
  }

  Result<std::vector<std::uint8_t>> wire(Bytes frame) const override {
    auto out = catalog_.to_wire(frame);
    if (!out) return Error{0, out.error().message + "; --stored shows the whole"};
    return out;
  }

  Result<std::string> explain(const Cut& cut, const ExplainOptions& options) const override {
    Dump dump(options);
    for (const ExplainLine& line : jt808::explain(cut.frame, options.secrets)) dump.line(line);
    if (!cut.wire.empty()) dump.wire(cut.wire, cut.frame.size());
    return dump.take();
  }

  void describe(JsonWriter& out) const override { jt808::describe_json(out); }

  std::string markdown() const override { return jt808_markdown(); }

 private:
  jt808::Catalog catalog_;
};

}  // namespace

const Protocol& jt808_protocol() {
  static const Jt808 protocol;
  return protocol;
}

}  // namespace ringgate::codec_tool
