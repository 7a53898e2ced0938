// JSON lines: a frame is a line, and it says itself what it is.
#include "protocols/jsonl/catalog.hpp"
#include "tools/codec/protocol.hpp"

namespace ringgate::codec_tool {

namespace {

class Jsonl final : public Protocol {
 public:
  const event::MessageCatalog& catalog() const override { return catalog_; }

  std::size_t cut(Bytes stream, bool at_end,
                  const std::function<void(const Cut&)>& each) const override {
    std::size_t at = 0;
    while (at < stream.size()) {
      std::size_t end = at;
      while (end < stream.size() && stream[end] != '\n') ++end;
      if (end == stream.size() && !at_end) return at;
      Bytes line = stream.subspan(at, end - at);
      if (!line.empty() && line.back() == '\r') line = line.first(line.size() - 1);
      if (!line.empty()) {
        const jsonl::LineError error = jsonl::parse_line(as_text(line)).error;
        const bool ok = error == jsonl::LineError::none;
        each({.offset = at,
              .wire = stream.subspan(at, end - at),
              .frame = ok ? line : Bytes{},
              .wrong = ok ? std::string_view{}
                          : jsonl::line_error_names[static_cast<std::size_t>(error)]});
      }
      at = end + 1;
    }
    return stream.size();
  }

  Result<std::vector<std::uint8_t>> wire(Bytes frame) const override {
    std::vector<std::uint8_t> out(frame.begin(), frame.end());
    out.push_back('\n');
    return out;
  }

  Result<std::string> explain(const Cut&, const ExplainOptions&) const override {
    return Error{0, "a line of JSON has nothing to explain; use decode"};
  }

  void describe(JsonWriter& out) const override {
    out.begin_object().key("protocol").text("jsonl").key("messages").begin_array().end_array();
    out.end_object();
  }

 private:
  jsonl::Catalog catalog_;
};

}  // namespace

const Protocol& jsonl_protocol() {
  static const Jsonl protocol;
  return protocol;
}

}  // namespace ringgate::codec_tool
