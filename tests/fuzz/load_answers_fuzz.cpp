// What the load tool reads of a server: answers of HTTP, frames of WebSocket, lines of
// text/event-stream, messages of the live stream. The first byte says which, the second in pieces
// of how many bytes it comes.
// What must hold: in pieces it says what it says at once; nothing is made up (bodies and messages
// are no longer than what came); what is bad stays bad; a message is read to its records and times.
// By hand as jt808_framing_fuzz.cpp says.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/common/http_answer.hpp"
#include "tools/load/crowd/feed_reader.hpp"
#include "tools/load/crowd/stream_message.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::load;
using tool::HttpAnswerReader;

void require(bool condition) {
  if (!condition) __builtin_trap();
}

// A piece on the heap of its own: a read past its end is seen.
template <class Use>
void in_pieces(Bytes input, std::size_t size, Use&& use) {
  while (!input.empty()) {
    const Bytes front = input.first(std::min(size, input.size()));
    const std::vector<std::uint8_t> piece(front.begin(), front.end());
    input = input.subspan(front.size());
    if (!use(Bytes(piece))) return;
  }
}

// ---- HTTP --------------------------------------------------------------------------------------

struct Answers {
  std::vector<int> statuses;
  std::string bodies;
  std::string fields;
  HttpAnswerReader::Step last = HttpAnswerReader::Step::more;
  HttpAnswerReader::Step closed = HttpAnswerReader::Step::more;
  bool operator==(const Answers&) const = default;
};

Answers read_answers(Bytes input, std::size_t size, bool to_head, bool wants_head) {
  Answers out;
  HttpAnswerReader reader;
  reader.begin(to_head, wants_head);
  in_pieces(input, size, [&](Bytes bytes) {
    while (!bytes.empty()) {
      const std::size_t before = bytes.size();
      out.last = reader.feed(bytes, &out.bodies);
      require(bytes.size() <= before);
      if (out.last == HttpAnswerReader::Step::bad) return false;
      if (out.last == HttpAnswerReader::Step::more) return require(bytes.empty()), true;
      require(reader.status() >= 100 && reader.status() <= 999);
      out.statuses.push_back(reader.status());
      out.fields += reader.field("content-type");
      out.fields += reader.keeps_alive() ? '1' : '0';
      // A head is followed by its body.
      if (out.last == HttpAnswerReader::Step::done) reader.begin(to_head, wants_head);
      else if (reader.status() == 101) return false;
    }
    return true;
  });
  out.closed = reader.closed();
  require(out.bodies.size() <= input.size());
  require((out.last == HttpAnswerReader::Step::bad) == (reader.problem()[0] != '\0'));
  return out;
}

// ---- the stream --------------------------------------------------------------------------------

void read_message(std::string_view text) {
  StreamMessage message;
  if (!read_stream_message(text, message)) return;
  require(message.cursor.size() <= text.size() && message.detail.size() <= text.size());
  require(message.events.size() <= text.size());
  for (const StreamEvent& event : message.events) {
    require(event.received_us >= -63'000'000'000'000'000);
    require(event.received_us <= 254'000'000'000'000'000);
    if (const auto place = read_record(event.record)) {
      require(event.record.starts_with(place->stream) && !place->stream.empty());
    }
  }
}

struct Said {
  std::vector<FeedItem::Kind> kinds;
  std::string all;
  bool operator==(const Said&) const = default;
};

template <class Reader, class Add>
Said read_feed(Bytes input, std::size_t size, Add&& add) {
  Said out;
  Reader reader;
  in_pieces(input, size, [&](Bytes bytes) {
    add(reader, bytes);
    while (true) {
      const FeedItem item = reader.next();
      if (item.kind == FeedItem::Kind::more) return true;
      out.kinds.push_back(item.kind);
      out.all += item.payload;
      if (item.kind == FeedItem::Kind::bad) {
        require(reader.next().kind == FeedItem::Kind::bad);
        return false;
      }
      require(item.payload.size() <= input.size());
      if (item.kind == FeedItem::Kind::message) read_message(item.payload);
    }
  });
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const Bytes input(data + 2, size - 2);
  const std::size_t piece = 1 + data[1] % 32;
  const auto whole = std::max<std::size_t>(input.size(), 1);
  switch (data[0] % 4) {
    case 0: {
      const bool to_head = (data[0] & 0x10) != 0;
      const bool wants_head = (data[0] & 0x20) != 0;
      require(read_answers(input, whole, to_head, wants_head) ==
              read_answers(input, piece, to_head, wants_head));
      break;
    }
    case 1: {
      const auto add = [](FrameReader& reader, Bytes bytes) { reader.add(bytes); };
      require(read_feed<FrameReader>(input, whole, add) ==
              read_feed<FrameReader>(input, piece, add));
      break;
    }
    case 2: {
      const auto add = [](LineReader& reader, Bytes bytes) { reader.add(as_text(bytes)); };
      require(read_feed<LineReader>(input, whole, add) == read_feed<LineReader>(input, piece, add));
      break;
    }
    default: read_message(as_text(input));
  }
  return 0;
}
