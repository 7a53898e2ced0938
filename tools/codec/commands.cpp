#include "tools/codec/commands.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
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

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
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
      bytes_of_stdin();
    } else {
      std::string line;
      for (std::size_t number = 1; std::getline(std::cin, line); ++number) {
        if (is_blank(line) || line[0] == '#') continue;
        hex_line(line, number);
        std::fflush(stdout);  // whoever writes the lines may be waiting
      }
    }
    return failed_ ? 1 : 0;
  }

 private:
  void bytes_of_stdin() {
    std::vector<std::uint8_t> kept;
    std::size_t before = 0;  // offset of `kept` in the stream
    for (bool at_end = false; !at_end;) {
      std::uint8_t more[65536];
      const ssize_t size = ::read(STDIN_FILENO, more, sizeof more);
      at_end = size <= 0;
      if (size > 0) kept.insert(kept.end(), more, more + size);
      const std::size_t done = stream(kept, 0, at_end, before);
      kept.erase(kept.begin(), kept.begin() + static_cast<std::ptrdiff_t>(done));
      before += done;
      std::fflush(stdout);
    }
  }

  void complain(std::size_t line, std::size_t offset, std::string_view what) {
    failed_ = true;
    std::fflush(stdout);
    const std::string where = line == 0 ? std::string() : fmt::format("line {}, ", line);
    fmt::print(stderr, "ringgate-codec: {}offset {}: {}\n", where, offset, what);
  }

  void hex_line(std::string_view text, std::size_t number) {
    const auto bytes = from_hex(text);
    if (bytes) return static_cast<void>(stream(*bytes, number, true, 0));
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

  // Returns how many bytes are done with.
  std::size_t stream(Bytes bytes, std::size_t number, bool at_end, std::size_t before) {
    const auto take = [&](const Cut& cut) {
      const std::string wrong = cut.wrong.empty() ? (*each_)(cut) : std::string(cut.wrong);
      if (!wrong.empty()) complain(number, before + cut.offset, wrong);
    };
    if (!options_.stored) return protocol_.cut(bytes, at_end, take);
    if (!at_end) return 0;  // one frame is all there is
    take({.frame = bytes});
    return bytes.size();
  }

  const Protocol& protocol_;
  const FrameOptions& options_;
  const std::function<std::string(const Cut&)>* each_ = nullptr;
  bool failed_ = false;
};

// JSON objects one after the other, on one line or several: the end of the first one, if it is all
// there. A line that begins no object ends with itself.
std::optional<std::size_t> object_end(std::string_view text) {
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
    } else if (depth == 0 && c == '\n') {
      return i;
    }
  }
  return {};
}

class ObjectWriter {
 public:
  ObjectWriter(const Protocol& protocol, const EncodeOptions& options)
      : protocol_(protocol), options_(options) {}

  // More text; with `at_end` what is left is an object, whole or not.
  void take(std::string_view more, bool at_end) {
    pending_ += more;
    std::string_view left = pending_;
    for (;;) {
      left.remove_prefix(std::min(left.find_first_not_of(" \t\r\n"), left.size()));
      const std::optional<std::size_t> end = object_end(left);
      if (left.empty() || (!end && !at_end)) break;
      write(left.substr(0, end.value_or(left.size())));
      left.remove_prefix(end.value_or(left.size()));
    }
    pending_.erase(0, pending_.size() - left.size());
    std::fflush(stdout);
  }
  bool failed() const { return failed_; }

 private:
  void write(std::string_view object) {
    ++number_;
    auto frame = protocol_.catalog().encode(object);
    if (frame && !options_.stored) frame = protocol_.wire(*frame);
    if (!frame) {
      failed_ = true;
      std::fflush(stdout);
      fmt::print(stderr, "ringgate-codec: object {}: {}\n", number_, frame.error().message);
      return;
    }
    std::string out = options_.binary ? std::string(as_text(*frame)) : to_hex(*frame);
    if (!options_.binary) out += '\n';
    std::fwrite(out.data(), 1, out.size(), stdout);
  }

  const Protocol& protocol_;
  const EncodeOptions& options_;
  std::string pending_;
  std::size_t number_ = 0;
  bool failed_ = false;
};

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
  ObjectWriter writer(*protocol, options);
  if (options.input == "-") {
    std::string line;
    while (std::getline(std::cin, line)) writer.take(line += '\n', false);
    writer.take({}, true);
  } else {
    writer.take(options.input, true);
  }
  return writer.failed() ? 1 : 0;
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
  if (options.markdown) {
    fmt::print("{}", protocol->markdown());
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
