// jsonl as replay speaks it: no signing in, one answer a line (protocols/jsonl/JSONL.md).
#include <charconv>

#include "engine/base/json_scan.hpp"
#include "tools/log/replay_protocol.hpp"

namespace ringgate::log_tool {

namespace {

class Terminal final : public ReplayTerminal {
 public:
  void connected(Bytes, std::string&) override { lines_ = 0; }
  bool ready() const override { return true; }
  const std::string& refusal() const override { return refusal_; }

  std::optional<AnswerKey> send(Bytes frame, std::string& out) override {
    out += as_text(frame);
    out += '\n';
    lines_ = (lines_ + 1) & 0x0fffffff;
    return AnswerKey{0, lines_};
  }

  std::size_t receive(Bytes in, std::vector<ReplayAnswer>& answers, std::string&) override {
    std::size_t used = 0;
    for (;;) {
      const std::string_view left = as_text(in.subspan(used));
      const std::size_t end = left.find('\n');
      if (end == std::string_view::npos) return used;
      const std::string_view line = left.substr(0, end);
      used += end + 1;
      std::uint32_t number = 0;
      const bool ok = read(line, "ok", number);
      if (ok || read(line, "line", number)) answers.push_back({{0, number}, ok});
    }
  }

 private:
  static bool read(std::string_view line, std::string_view name, std::uint32_t& out) {
    const std::string_view text = scan_json_object(line, name).member;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    return error == std::errc() && end == text.data() + text.size() && !text.empty();
  }

  std::uint32_t lines_ = 0;
  std::string refusal_;
};

class Protocol final : public ReplayProtocol {
 public:
  std::string_view name() const override { return "jsonl"; }
  Namespace ns() const override { return Namespace::json; }
  bool replays(const event::RecordView&) const override { return true; }
  std::unique_ptr<ReplayTerminal> terminal(std::string_view) const override {
    return std::make_unique<Terminal>();
  }
};

}  // namespace

const ReplayProtocol& replay_jsonl() {
  static const Protocol protocol;
  return protocol;
}

}  // namespace ringgate::log_tool
