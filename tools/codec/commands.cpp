#include "tools/codec/commands.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>
#include <optional>

#include "engine/base/hex.hpp"
#include "tools/codec/protocol.hpp"

namespace ringgate::codec_tool {

namespace {

const Protocol* protocol_or_complain(const std::string& name) {
  const Protocol* protocol = find_protocol(name);
  if (protocol != nullptr) return protocol;
  std::string known;
  for (const std::string& one : protocol_names()) {
    known += fmt::format("{}{}", known.empty() ? "" : ", ", one);
  }
  fmt::print(stderr, "ringgate-codec: there is no protocol '{}'; there are: {}\n", name, known);
  return nullptr;
}

std::string all_of_stdin() {
  std::string out;
  char buffer[65536];
  for (;;) {
    const std::size_t size = std::fread(buffer, 1, sizeof buffer, stdin);
    if (size == 0) return out;
    out.append(buffer, size);
  }
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

// The next line of `text`, which loses it.
std::string_view next_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

// Frames of the input, one after the other; what is wrong goes to standard error.
class Frames {
 public:
  Frames(const Protocol& protocol, const FrameOptions& options)
      : protocol_(protocol), options_(options) {}

  // `each` says what is wrong with a frame, or nothing.
  int run(const std::function<std::string(const Cut&)>& each) {
    each_ = &each;
    if (options_.input != "-") {
      hex_line(options_.input, 0);
    } else if (options_.binary) {
      const std::string bytes = all_of_stdin();
      stream(as_bytes(bytes), 0);
    } else {
      const std::string text = all_of_stdin();
      std::string_view left = text;
      for (std::size_t number = 1; !left.empty(); ++number) {
        const std::string_view line = next_line(left);
        if (!is_blank(line) && line[0] != '#') hex_line(line, number);
      }
    }
    return failed_ ? 1 : 0;
  }

 private:
  void complain(std::size_t line, std::size_t offset, std::string_view what) {
    failed_ = true;
    std::fflush(stdout);
    const std::string where = line == 0 ? std::string() : fmt::format("line {}, ", line);
    fmt::print(stderr, "ringgate-codec: {}offset {}: {}\n", where, offset, what);
  }

  void hex_line(std::string_view text, std::size_t number) {
    const auto bytes = from_hex(text);
    if (bytes) return stream(*bytes, number);
    std::size_t at = 0;
    while (at < text.size() && std::string_view("0123456789abcdefABCDEF \t\r").find(text[at]) !=
                                   std::string_view::npos) {
      ++at;
    }
    failed_ = true;
    std::fflush(stdout);
    fmt::print(stderr, "ringgate-codec: {}{}\n",
               number == 0 ? std::string() : fmt::format("line {}: ", number),
               at == text.size() ? std::string("an odd number of hex digits")
                                 : fmt::format("character {} is no hex digit", at + 1));
  }

  void stream(Bytes bytes, std::size_t number) {
    const auto take = [&](const Cut& cut) {
      const std::string wrong = cut.wrong.empty() ? (*each_)(cut) : std::string(cut.wrong);
      if (!wrong.empty()) complain(number, cut.offset, wrong);
    };
    if (options_.stored) return take({.frame = bytes});
    protocol_.cut(bytes, take);
  }

  const Protocol& protocol_;
  const FrameOptions& options_;
  const std::function<std::string(const Cut&)>* each_ = nullptr;
  bool failed_ = false;
};

// JSON objects one after the other, on one line or several: the end of the first one.
std::size_t object_end(std::string_view text) {
  int depth = 0;
  bool in_text = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_text) {
      if (c == '\\') ++i;
      in_text = c != '"';
    } else if (c == '"') {
      in_text = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      if (--depth <= 0) return i + 1;
    } else if (depth == 0 && c == '\n' && !is_blank(text.substr(0, i))) {
      return i;  // no object: its line
    }
  }
  return text.size();
}

}  // namespace

int decode(const FrameOptions& options) {
  const Protocol* protocol = protocol_or_complain(options.protocol);
  if (protocol == nullptr) return 2;
  return Frames(*protocol, options).run([&](const Cut& cut) {
    std::string text;
    JsonWriter json(text);
    protocol->catalog().json(cut.frame, json, !options.redact);
    text += '\n';
    std::fwrite(text.data(), 1, text.size(), stdout);
    return std::string();
  });
}

int explain(const FrameOptions& options) {
  const Protocol* protocol = protocol_or_complain(options.protocol);
  if (protocol == nullptr) return 2;
  const ExplainOptions how{.secrets = !options.redact, .colours = isatty(STDOUT_FILENO) == 1};
  bool first = true;
  return Frames(*protocol, options).run([&](const Cut& cut) {
    const Result<std::string> dump = protocol->explain(cut, how);
    if (!dump) return dump.error().message;
    if (!first) std::fputs("\n", stdout);
    first = false;
    std::fwrite(dump->data(), 1, dump->size(), stdout);
    return std::string();
  });
}

int encode(const EncodeOptions& options) {
  const Protocol* protocol = protocol_or_complain(options.protocol);
  if (protocol == nullptr) return 2;
  const std::string text = options.input == "-" ? all_of_stdin() : options.input;
  std::string_view left = text;
  bool failed = false;
  for (std::size_t number = 1; !is_blank(left); ++number) {
    left.remove_prefix(left.find_first_not_of(" \t\r\n"));
    const std::string_view object = left.substr(0, object_end(left));
    left.remove_prefix(object.size());
    auto frame = protocol->catalog().encode(object);
    if (frame && !options.stored) frame = protocol->wire(*frame);
    if (!frame) {
      failed = true;
      std::fflush(stdout);
      fmt::print(stderr, "ringgate-codec: object {}: {}\n", number, frame.error().message);
      continue;
    }
    const std::string out = options.binary ? std::string(as_text(*frame)) : to_hex(*frame) + '\n';
    std::fwrite(out.data(), 1, out.size(), stdout);
  }
  return failed ? 1 : 0;
}

int list(const ListOptions& options) {
  const Protocol* protocol = protocol_or_complain(options.protocol);
  if (protocol == nullptr) return 2;
  if (options.json) {
    std::string text;
    JsonWriter json(text);
    protocol->describe(json);
    text += '\n';
    std::fwrite(text.data(), 1, text.size(), stdout);
    return 0;
  }
  const std::vector<event::MessageInfo> messages = protocol->catalog().list();
  if (messages.empty()) {
    fmt::print("{} has no table of messages: each one says itself what it is\n", options.protocol);
    return 0;
  }
  fmt::print("{:8}{:6}{:34}{}\n", "id", "from", "name", "source");
  for (const event::MessageInfo& message : messages) {
    fmt::print("{:8}{:6}{:34}{}\n", protocol->catalog().message_id_text(message.id),
               message.from_device ? "up" : "down", message.name, message.source);
  }
  return 0;
}

}  // namespace ringgate::codec_tool
