#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/unit/config/tables.hpp"

using namespace config_test;

namespace {

using Texts = std::vector<std::string>;

// A commented setting is '#' followed by a name; prose has a blank between.
std::string uncommented(const std::string& sample) {
  std::string out;
  for (std::size_t at = 0; at < sample.size();) {
    const std::size_t end = sample.find('\n', at);
    std::string line = sample.substr(at, end - at);
    if (line.size() > 1 && line[0] == '#' && line[1] != ' ') line.erase(0, 1);
    out += line + '\n';
    at = end + 1;
  }
  return out;
}

}  // namespace

TEST_CASE(
    "the sample says all about every key, parses clean, and uncommented yields the defaults") {
  const Schema schema = make_schema();
  const std::string sample = sample_config(schema);
  CHECK(
      sample.find(
          "\n[jt808]\n"
          "# Where terminals connect.\n"
          "# list of text between 1 and 4 entries; default [\"127.0.0.1:7808\"]; a change needs a "
          "restart.\n"
          "#listen = [\"127.0.0.1:7808\"]\n"
          "\n"
          "# A link that has sent nothing for this long is closed.\n"
          "# duration between 10s and 1d; default \"5m\"; a reload applies it to new links.\n"
          "#idle_timeout = \"5m\"\n"
          "\n"
          "# Who may register.\n"
          "# one of \"open\", \"known\", \"closed\"; default \"open\"; a reload applies it at "
          "once.\n"
          "#admission = \"open\"\n") != std::string::npos);
  CHECK(sample.find("force_small_ring") == std::string::npos);

  const Settings defaults(schema);
  const TempFile as_is(sample);
  const auto nothing_set = load_settings(schema, Texts{as_is.path()}, {}, {});
  REQUIRE(nothing_set.ok());
  CHECK(diff(defaults, *nothing_set).empty());
  CHECK(nothing_set->is_default("jt808.listen"));

  const TempFile all(uncommented(sample));
  const auto all_set = load_settings(schema, Texts{all.path()}, {}, {});
  REQUIRE(all_set.ok());
  CHECK(diff(defaults, *all_set).empty());
  for (std::size_t i = 0; i < schema.size(); ++i) {
    CAPTURE(schema.key(i).name);
    CHECK(all_set->is_default(schema.key(i).name) == schema.key(i).hidden);
  }
}

TEST_CASE("the printed configuration shows values and sources, hides secrets, and parses") {
  const Schema schema = make_schema();
  const auto loaded = load_settings(schema, {}, Texts{"RINGGATE_SERVER__SECRET=hunter2"},
                                    Texts{"jt808.idle_timeout=90s", "jt808.listen=:1,:2"});
  REQUIRE(loaded.ok());
  const std::string text = print_config(*loaded);
  CHECK(text ==
        "# Every setting in effect. Behind each value stands where it comes from.\n"
        "\n[server]\n"
        "shards = 0  # default\n"
        "verbose = false  # default\n"
        "secret = \"<redacted>\"  # environment RINGGATE_SERVER__SECRET\n"
        "pin = \"<redacted>\"  # default\n"
        "\n[jt808]\n"
        "listen = [\":1\", \":2\"]  # --set jt808.listen\n"
        "idle_timeout = \"1m30s\"  # --set jt808.idle_timeout\n"
        "admission = \"open\"  # default\n"
        "note = \"a \\\"quoted\\\"\\\\ note\"  # default\n"
        "\n[log]\n"
        "segment_size = \"64MiB\"  # default\n"
        "\n[log.sink]\n"
        "batch = \"1500B\"  # default\n");

  // Without the secrets it is a configuration again.
  std::string again = text;
  for (const char* line : {"\nsecret", "\npin"}) again.insert(again.find(line) + 1, 1, '#');
  const TempFile file(again);
  const auto reloaded =
      load_settings(schema, Texts{file.path()}, Texts{"RINGGATE_SERVER__SECRET=hunter2"}, {});
  REQUIRE(reloaded.ok());
  CHECK(diff(*loaded, *reloaded).empty());
}

TEST_CASE("hidden keys are printed once they are set; odd file names stay in their comment") {
  const Schema schema = make_schema();
  Settings settings(schema);
  CHECK(print_config(settings).find("force_small_ring") == std::string::npos);
  settings.put(schema.find("server.force_small_ring"), true, "evil\nname = 1");
  CHECK(print_config(settings).find("force_small_ring = true  # evil?name = 1\n") !=
        std::string::npos);
}

TEST_CASE("a difference names the keys, their texts and when they apply") {
  const Schema schema = make_schema();
  const auto before = load_settings(schema, {}, {}, Texts{"server.secret=old"});
  const auto after =
      load_settings(schema, {}, {},
                    Texts{"server.secret=new", "server.shards=2", "jt808.idle_timeout=10m",
                          "jt808.admission=open", "log.segment_size=65536KiB"});
  REQUIRE(before.ok());
  REQUIRE(after.ok());
  const auto changes = diff(*before, *after);
  REQUIRE(changes.size() == 3);
  CHECK(changes[0].key->name == "server.shards");
  CHECK(changes[0].before == "0");
  CHECK(changes[0].after == "2");
  CHECK(changes[0].key->apply == Apply::restart);
  CHECK(changes[1].key->name == "server.secret");
  CHECK(changes[1].before == "<redacted>");
  CHECK(changes[1].after == "<redacted>");
  CHECK(changes[2].after == "10m");
  CHECK(apply_name(changes[2].key->apply) == "new links");
  CHECK(diff(*before, *before).empty());
}
