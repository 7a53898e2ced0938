// jsonl over links: answers in order whatever shard a line goes to, errors in their places, long
// lines, a log that is full, links that end early.
#include "protocols/jsonl/session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "tests/unit/protocol_rig.hpp"

namespace {

using namespace ringgate;
using unit::Client;
using unit::Gateway;
using unit::GatewayOptions;
using unit::Stored;

std::string text_of(const Client& client) { return std::string(as_text(client.in)); }

std::string oks(int from, int to) {
  std::string out;
  for (int n = from; n <= to; ++n) out += fmt::format("{{\"ok\":{}}}\n", n);
  return out;
}

std::string refused(std::string_view why, int n) {
  return fmt::format("{{\"error\":\"{}\",\"line\":{}}}\n", why, n);
}

bool hears(Gateway& gateway, Client& client, const std::string& expected) {
  gateway.until([&] { return client.in.size() >= expected.size() || client.closed; });
  const std::string got = text_of(client);
  client.in.clear();
  CHECK(got == expected);
  return got == expected;
}

GatewayOptions two_shards() {
  GatewayOptions options;
  options.shards = 2;
  return options;
}

// An id whose home is `shard` of two.
std::string id_of(ShardIndex shard, int number = 0) {
  for (int i = 0;; ++i) {
    const std::string id = fmt::format("dev{}", i);
    if (home_shard(DeviceKey(Namespace::json, id), 2) == shard && number-- == 0) return id;
  }
}

std::string line(const std::string& id, int n) {
  return fmt::format("{{\"id\":\"{}\",\"n\":{}}}\n", id, n);
}

TEST_CASE("lines are answered by number and stored as they came, without their ends") {
  Gateway gateway;
  Client& client = gateway.jsonl();
  client.send("{\"id\":\"a\",\"v\":1}\n\r\n\n{\"id\":2}\r\n");
  CHECK(hears(gateway, client, oks(1, 2)));  // empty lines do not count
  client.send("  {\"id\" : \"a\"}  \n");
  CHECK(hears(gateway, client, oks(3, 3)));
  const auto all = gateway.stored();
  REQUIRE(all.size() == 3);
  CHECK(all[0].payload == "{\"id\":\"a\",\"v\":1}");
  CHECK(all[0].device == "a");
  CHECK(all[0].ns == Namespace::json);
  CHECK(all[0].kind == log::Kind::frame_up);
  CHECK(all[1].payload == "{\"id\":2}");
  CHECK(all[1].device == "2");
  CHECK(all[2].payload == "  {\"id\" : \"a\"}  ");
}

TEST_CASE("errors have their place in the order, and the link stays") {
  for (const ShardIndex shards : {ShardIndex{1}, ShardIndex{2}}) {
    GatewayOptions options;
    options.shards = shards;
    Gateway gateway(options);
    Client& client = gateway.jsonl();
    client.send(line(id_of(0), 1) + "nonsense\n" + line(id_of(1), 3) + "{\"id\":1.5}\n{\n" +
                line(id_of(0), 6) + line(id_of(1), 7) + "{}\n");
    CHECK(hears(gateway, client,
                oks(1, 1) + refused("no_object", 2) + oks(3, 3) + refused("bad_id", 4) +
                    refused("not_json", 5) + oks(6, 7) + refused("bad_id", 8)));
    CHECK_FALSE(client.closed);
    CHECK(gateway.stored().size() == 4);
  }
}

TEST_CASE("many devices over two shards: answers in order, each line on its home") {
  Gateway gateway(two_shards());
  Client* clients[] = {&gateway.jsonl(0), &gateway.jsonl(1)};
  constexpr int lines = 1500;
  std::size_t sent[] = {0, 0};
  std::string text;
  for (int n = 0; n < lines; ++n) text += line(fmt::format("m{}", n % 97), n);
  gateway.until([&] {
    for (int i = 0; i < 2; ++i) {
      sent[i] += clients[i]->offer(as_bytes(text).subspan(sent[i]));
    }
    return sent[0] == text.size() && sent[1] == text.size();
  });
  for (Client* client : clients) CHECK(hears(gateway, *client, oks(1, lines)));
  const auto all = gateway.stored();
  CHECK(all.size() == 2 * lines);
  // A device's lines of one link are in order, all on its home.
  std::map<std::pair<std::uint64_t, std::string>, int> last;
  for (const Stored& record : all) {
    CHECK(record.shard == home_shard(DeviceKey(Namespace::json, record.device), 2));
    const int n = std::stoi(record.payload.substr(record.payload.find("\"n\":") + 4));
    int& before = last.try_emplace({record.link, record.device}, -1).first->second;
    CHECK(n > before);
    before = n;
  }
  CHECK(last.size() == 2 * 97);
}

TEST_CASE("one byte at a time, over two shards") {
  Gateway gateway(two_shards());
  Client& client = gateway.jsonl();
  const std::string text = line(id_of(1), 1) + "\r\n" + line(id_of(0), 2) + line(id_of(1), 3);
  for (const char c : text) {
    client.send(std::string_view(&c, 1));
    gateway.turn();
  }
  CHECK(hears(gateway, client, oks(1, 3)));
}

TEST_CASE("more lines under way to another shard than may be: reading rests and goes on") {
  Gateway gateway(two_shards());
  Client& client = gateway.jsonl(0);
  constexpr int lines = 3 * static_cast<int>(limits::link_remote_frames_max);
  std::string text;
  for (int n = 0; n < lines; ++n) text += line(id_of(1), n);
  std::size_t sent = 0;
  // Shard 1 does not run: nothing is answered, and the queue fills up.
  for (int i = 0; i < 400; ++i) {
    sent += client.offer(as_bytes(text).subspan(sent));
    gateway.rooms[0].shard->turn(0);
  }
  client.poll();
  CHECK(client.in.empty());
  CHECK(gateway.rooms[0].links->counters().forwarded.value() <= limits::link_remote_frames_max);
  // A line that never ends, when the queue is full, must wait its turn too.
  text += std::string(jsonl::line_size_max + 100, 'x');
  gateway.until([&] {
    sent += client.offer(as_bytes(text).subspan(sent));
    return client.closed;
  });
  const std::string expected =
      oks(1, lines) + refused("too_long", lines + 1);
  CHECK(hears(gateway, client, expected));
  CHECK(gateway.stored().size() == lines);
}

TEST_CASE("the longest line, with either end and in pieces, also to another shard") {
  Gateway gateway(two_shards());
  for (const ShardIndex home : {ShardIndex{0}, ShardIndex{1}}) {
    Client& client = gateway.jsonl(0);
    std::string longest = fmt::format("{{\"id\":\"{}\",\"pad\":\"", id_of(home));
    longest += std::string(jsonl::line_size_max - longest.size() - 2, 'x') + "\"}";
    client.send(longest + "\n" + longest + "\r\n");
    CHECK(hears(gateway, client, oks(1, 2)));
    client.send(longest);
    gateway.settle();
    client.send("\r");
    gateway.settle();
    CHECK(client.in.empty());
    CHECK_FALSE(client.closed);
    client.send("\n");
    CHECK(hears(gateway, client, oks(3, 3)));
  }
  CHECK(gateway.stored().size() == 6);
}

TEST_CASE("a line that is too long ends the link after its error, however it comes") {
  for (const bool ended : {false, true}) {
    for (const std::size_t piece : {std::size_t{1000}, std::size_t{100'000}}) {
      CAPTURE(ended);
      CAPTURE(piece);
      Gateway gateway;
      Client& client = gateway.jsonl();
      std::string text = line("a", 1) + "{\"id\":\"a\",\"pad\":\"";
      text += std::string(jsonl::line_size_max, 'x') + "\"}";
      if (ended) text.append("\n").append(line("a", 3));
      for (std::size_t at = 0; at < text.size() && !client.closed; at += piece) {
        client.offer(as_bytes(text).subspan(at, std::min(piece, text.size() - at)));
        gateway.turn();
      }
      CHECK(gateway.until([&] { return client.closed; }));
      CHECK(text_of(client) == oks(1, 1) + refused("too_long", 2));
      CHECK(gateway.stored().size() == 1);
    }
  }
}

TEST_CASE("a peer that says it is done gets the answers of lines that are under way") {
  Gateway gateway(two_shards());
  Client& client = gateway.jsonl(0);
  constexpr int lines = 200;
  for (int n = 0; n < lines; ++n) client.send(line(id_of(n % 3 == 0 ? 0 : 1), n));
  client.finish();
  CHECK(hears(gateway, client, oks(1, lines)));
  CHECK(gateway.until([&] { return client.closed && gateway.links() == 0; }));
  CHECK_FALSE(client.reset);
  CHECK(gateway.stored().size() == lines);
}

TEST_CASE("a link that is reset with lines under way: they are stored, its slot is used again") {
  Gateway gateway(two_shards());
  Client& client = gateway.jsonl(0);
  for (int n = 0; n < 50; ++n) client.send(line(id_of(1), n));
  // Forwarded, and shard 1 has not run.
  for (int i = 0; i < 10'000 && gateway.rooms[0].links->counters().forwarded.value() < 50; ++i) {
    gateway.rooms[0].shard->turn(0);
  }
  client.abort();
  CHECK(gateway.until([&] { return gateway.links() == 0; }));
  Client& next = gateway.jsonl(0);
  next.send(line(id_of(1), 1));
  CHECK(hears(gateway, next, oks(1, 1)));
  CHECK(gateway.stored().size() == 51);
}

TEST_CASE("a log that refuses says not_stored in order, and takes lines again later") {
  Gateway gateway(two_shards());
  Client& client = gateway.jsonl(0);
  const std::string pad(8000, 'x');
  gateway.sys.disk_full = true;
  int sent = 0;
  const auto is_refused = [&] { return text_of(client).find("not_stored") != std::string::npos; };
  for (; sent < 400 && !is_refused(); ++sent) {
    const std::string id = id_of(sent % 2 == 0 ? 0 : 1);
    client.send(fmt::format("{{\"id\":\"{}\",\"pad\":\"{}\"}}\n", id, pad));
    const auto lines = [&] { return std::ranges::count(client.in, std::uint8_t{'\n'}); };
    CHECK(gateway.until([&] {
      gateway.sys.advance(ns_per_ms);
      return lines() == sent + 1;
    }));
  }
  REQUIRE(is_refused());
  CHECK(hears(gateway, client, oks(1, sent - 1) + refused("not_stored", sent)));
  gateway.sys.disk_full = false;
  REQUIRE(gateway.until([&] {
    gateway.sys.advance(10 * ns_per_ms);
    return std::ranges::all_of(gateway.rooms, [](const Gateway::Room& room) {
      return room.shard->watermark().state() == flow::LogState::accepting;
    });
  }));
  client.send(line(id_of(0), 1) + line(id_of(1), 2));
  CHECK(hears(gateway, client, oks(sent + 1, sent + 2)));
  CHECK(gateway.stored().size() == static_cast<std::size_t>(sent + 1));
}

TEST_CASE("a log that holds: lines wait, and are answered when it takes them") {
  GatewayOptions options;
  options.on_failure = log::OnFailure::hold;
  Gateway gateway(options);
  Client& client = gateway.jsonl();
  const std::string pad(8000, 'x');
  gateway.sys.disk_full = true;
  int sent = 0;
  const auto holding = [&] {
    return gateway.rooms[0].shard->watermark().state() == flow::LogState::holding;
  };
  for (; sent < 400 && !holding(); ++sent) {
    client.send(fmt::format("{{\"id\":\"a\",\"pad\":\"{}\"}}\n", pad));
    gateway.until([&] {
      gateway.sys.advance(ns_per_ms);
      return holding() || std::ranges::count(client.in, std::uint8_t{'\n'}) == sent + 1;
    });
  }
  REQUIRE(holding());
  client.send("{}\n" + line("a", 1));
  for (int i = 0; i < 50; ++i) gateway.turn();
  CHECK(std::ranges::count(client.in, std::uint8_t{'\n'}) < sent);
  gateway.sys.disk_full = false;
  const std::string expected = oks(1, sent) + refused("bad_id", sent + 1) + oks(sent + 2, sent + 2);
  gateway.until([&] {
    gateway.sys.advance(10 * ns_per_ms);
    return client.in.size() >= expected.size();
  });
  CHECK(hears(gateway, client, expected));
}

TEST_CASE("a line that does not end closes the link, silence too") {
  Gateway gateway;
  Client& slow = gateway.jsonl();
  Client& silent = gateway.jsonl();
  slow.send("{\"id\":");
  gateway.settle();
  REQUIRE(gateway.until([&] { return gateway.links() == 2; }));
  gateway.advance(31 * ns_per_s);
  CHECK(gateway.until([&] { return slow.closed; }));
  CHECK_FALSE(silent.closed);
  gateway.advance(270 * ns_per_s);
  CHECK(gateway.until([&] { return silent.closed; }));
}

}  // namespace
