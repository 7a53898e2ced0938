#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/unit/config/tables.hpp"

using namespace config_test;

namespace {

using Texts = std::vector<std::string>;

Result<Settings, ConfigErrors> load(const Schema& schema, const Texts& files,
                                    const Texts& environment = {}, const Texts& sets = {}) {
  return load_settings(schema, files, environment, sets);
}

// Errors of one file with the temporary name replaced by "F".
Texts file_errors(std::string_view toml) {
  const Schema schema = make_schema();
  const TempFile file(toml);
  const auto loaded = load(schema, {file.path()});
  Texts texts;
  if (loaded.ok()) return texts;
  for (const ConfigError& error : loaded.error()) {
    const std::string text = error.text();
    REQUIRE(text.starts_with(file.path()));
    texts.push_back(std::string(1, 'F').append(text, file.path().size()));
  }
  return texts;
}

Texts layer_errors(const Texts& environment, const Texts& sets) {
  const Schema schema = make_schema();
  const auto loaded = load(schema, {}, environment, sets);
  Texts texts;
  if (loaded.ok()) return texts;
  for (const ConfigError& error : loaded.error()) texts.push_back(error.text());
  return texts;
}

}  // namespace

TEST_CASE("defaults") {
  const Schema schema = make_schema();
  const Settings settings(schema);
  CHECK(settings.integer("server.shards") == 0);
  CHECK_FALSE(settings.boolean("server.verbose"));
  CHECK(settings.text("server.secret").empty());
  CHECK(settings.list("jt808.listen") == Texts{"127.0.0.1:7808"});
  CHECK(settings.duration_ns("jt808.idle_timeout") == 300 * ns_per_s);
  CHECK(settings.text("jt808.admission") == "open");
  CHECK(settings.choice_index("jt808.admission") == 0);
  CHECK(settings.size_bytes("log.segment_size") == 64 << 20);
  CHECK(settings.source("log.segment_size") == "default");
  CHECK(settings.is_default("log.segment_size"));
}

TEST_CASE("--set takes values as a file has them") {
  const Schema schema = make_schema();
  const Texts sets = {"jt808.listen=[\"127.0.0.1:1\", '[::1]:2']", "jt808.idle_timeout=\"40s\""};
  const auto loaded = load(schema, {}, {}, sets);
  REQUIRE(loaded.ok());
  CHECK(loaded->list("jt808.listen") == Texts{"127.0.0.1:1", "[::1]:2"});
  CHECK(loaded->duration_ns("jt808.idle_timeout") == 40 * ns_per_s);
  const auto bare = load(schema, {}, {}, {"jt808.listen=[::1]:3,[::1]:4"});
  REQUIRE(bare.ok());
  CHECK(bare->list("jt808.listen") == Texts{"[::1]:3", "[::1]:4"});
}

TEST_CASE("layers: file, second file, environment, --set; the later wins and names itself") {
  const Schema schema = make_schema();
  const TempFile first(
      "[server]\nshards = 1\nverbose = true\n[jt808]\nidle_timeout = \"30s\"\nlisten = "
      "[\"[::1]:1\", \":2\"]\n"
      "admission = \"known\"\n[log]\nsegment_size = 2097152\nsink.batch = \"1kB\"\n");
  const TempFile second("server.shards = 2\n");
  const auto loaded =
      load(schema, {first.path(), second.path()},
           {"PATH=/bin", "RINGGATE_JT808__IDLE_TIMEOUT=1m", "RINGGATE_SERVER__SHARDS=3",
            "RINGGATE_JT808__LISTEN=127.0.0.1:1, [::1]:2"},
           {"server.shards=4", "server.shards=5", "jt808.note=a=b, c"});
  REQUIRE(loaded.ok());
  CHECK(loaded->integer("server.shards") == 5);
  CHECK(loaded->source("server.shards") == "--set server.shards");
  CHECK(loaded->duration_ns("jt808.idle_timeout") == 60 * ns_per_s);
  CHECK(loaded->source("jt808.idle_timeout") == "environment RINGGATE_JT808__IDLE_TIMEOUT");
  CHECK(loaded->list("jt808.listen") == Texts{"127.0.0.1:1", "[::1]:2"});
  CHECK(loaded->boolean("server.verbose"));
  CHECK(loaded->source("server.verbose") == first.path() + ":3:11");
  CHECK(loaded->choice_index("jt808.admission") == 1);
  CHECK(loaded->size_bytes("log.segment_size") == 2 << 20);
  CHECK(loaded->size_bytes("log.sink.batch") == 1000);
  CHECK(loaded->text("jt808.note") == "a=b, c");
}

TEST_CASE("unknown keys and sections name the nearest one") {
  CHECK(file_errors("[jt808]\nidle_timout = \"30s\"\n") ==
        Texts{"F:2:1: unknown key \"jt808.idle_timout\"; did you mean \"jt808.idle_timeout\"?"});
  CHECK(file_errors("jt808.idle_timout = \"30s\"\n").size() == 1);
  CHECK(file_errors("[jt880]\nlisten = []\nx = 1\n") ==
        Texts{"F:1:2: unknown section \"jt880\"; did you mean \"jt808\"?"});
  CHECK(file_errors("[server]\nlisten = []\n") ==
        Texts{"F:2:1: unknown key \"server.listen\"; did you mean \"jt808.listen\"?"});
  CHECK(file_errors("shards = 2\n") ==
        Texts{"F:1:1: unknown key \"shards\"; did you mean \"server.shards\"?"});
  CHECK(file_errors("[server]\ncolour = 1\n") == Texts{"F:2:1: unknown key \"server.colour\""});
  CHECK(
      file_errors("server = 1\n") ==
      Texts{
          "F:1:1: \"server\" is a section, not a setting; write [server] and its settings below"});
}

TEST_CASE("wrong types say what would be right") {
  CHECK(file_errors("[server]\nshards = \"two\"\n") ==
        Texts{"F:2:10: server.shards must be a whole number, not the text \"two\""});
  CHECK(file_errors("[server]\nshards = 1.5\n") ==
        Texts{"F:2:10: server.shards must be a whole number, not the number 1.5"});
  CHECK(file_errors("[server]\nverbose = \"yes\"\n") ==
        Texts{"F:2:11: server.verbose must be true or false, not the text \"yes\""});
  CHECK(file_errors("[jt808]\nidle_timeout = 30\n") ==
        Texts{"F:2:16: jt808.idle_timeout needs a unit: write \"30s\" or \"30ms\", not 30"});
  CHECK(file_errors("[jt808]\nidle_timeout = \"30 fortnights\"\n") ==
        Texts{"F:2:16: jt808.idle_timeout must be a duration such as \"30s\" or \"5m\", not \"30 "
              "fortnights\": "
              "the unit must be ns, us, ms, s, m, h or d, larger ones first"});
  CHECK(
      file_errors("[jt808.idle_timeout]\n") ==
      Texts{"F:1:1: jt808.idle_timeout must be a duration such as \"30s\" or \"5m\", not a table"});
  CHECK(file_errors("[jt808]\nlisten = \"127.0.0.1:1\"\n") ==
        Texts{"F:2:10: jt808.listen must be a list of texts such as [\"a\", \"b\"], not the text "
              "\"127.0.0.1:1\""});
  CHECK(file_errors("[jt808]\nlisten = [1]\n") ==
        Texts{"F:2:10: jt808.listen must hold only texts in quotes, not the integer 1"});
  CHECK(file_errors("[jt808]\nnote = 2026-11-20\n") ==
        Texts{"F:2:8: jt808.note must be text in quotes, not a date or time"});
  CHECK(file_errors("[log]\nsegment_size = \"64M\"\n") ==
        Texts{"F:2:16: log.segment_size must be a size such as \"64MiB\", not \"64M\": the unit "
              "must be B, KiB, "
              "MiB, GiB, TiB, kB, MB, GB or TB"});
}

TEST_CASE("values out of range say the range and its unit") {
  CHECK(file_errors("[jt808]\nidle_timeout = \"1s\"\n") ==
        Texts{"F:2:16: jt808.idle_timeout is 1s; it must be between 10s and 1d"});
  CHECK(file_errors("[log]\nsegment_size = 5\n") ==
        Texts{"F:2:16: log.segment_size is 5B; it must be between 1MiB and 1GiB"});
  CHECK(file_errors("[server]\nshards = 5000\n") ==
        Texts{"F:2:10: server.shards is 5000 shards; it must be between 0 and 1024 shards"});
  CHECK(file_errors("[jt808]\nlisten = []\n") ==
        Texts{"F:2:10: jt808.listen has 0 entries; it must have between 1 and 4 entries"});
  CHECK(file_errors("[log]\nsink.batch = 0\n") ==
        Texts{"F:2:14: log.sink.batch is 0B; it must be at least 1B"});
  CHECK(file_errors("[jt808]\nadmission = \"opne\"\n") ==
        Texts{"F:2:13: jt808.admission must be \"open\", \"known\" or \"closed\", not \"opne\"; "
              "did you mean "
              "\"open\"?"});
  CHECK(file_errors("[jt808]\nlisten = [\"127.0.0.1:1\", \"localhost:2\"]\n") ==
        Texts{"F:2:10: jt808.listen: \"localhost:2\" is no listen address: the host must be an IP "
              "address of "
              "this machine, such as 127.0.0.1, 0.0.0.0 or [::1]; \":PORT\" means all addresses"});
}

TEST_CASE("letters beyond ASCII outside of quotes are errors, whichever they are") {
  // One of each block of 256: where the parser asks for their class, it must have an answer.
  for (std::uint32_t code = 0x80; code <= 0xffff; code += code < 0x3100 ? 1 : 256) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    std::string letter;
    if (code < 0x800) {
      letter += static_cast<char>(0xc0 | code >> 6);
    } else {
      letter += static_cast<char>(0xe0 | code >> 12);
      letter += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    }
    letter += static_cast<char>(0x80 | (code & 0x3f));
    for (const std::string_view before : {"", "[server]", "[server]\nzeta", "zeta = "}) {
      const Texts errors = file_errors(std::string(before) + letter + "x\n");
      REQUIRE(errors.size() == 1);
      CHECK(errors[0].starts_with("F:"));
    }
  }
}

TEST_CASE("table names that are none are errors and end nothing") {
  for (const std::string_view text :
       {"[.jt808]", "[=]", "[\x1bx]", "[[.jt808]]", "[ (x]", "[\"x\".]", "[x.=]", "[#]", "[\n]",
        "[[\x7f]]", ".x = 1", "= 1", "x. = 1", "x.. = 1", "[x", "[[x", "[[x]", "[", "[["}) {
    CAPTURE(text);
    const Texts errors = file_errors(std::string(text));
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].starts_with("F:1:"));
  }
}

TEST_CASE("every error is reported, in the order of the file, then of the layers") {
  const Schema schema = make_schema();
  const TempFile file("[server]\nzeta = 1\nshards = -1\nalpha = 1\n[jt808]\nidle_timeout = 5\n");
  const auto loaded = load(schema, {file.path(), "/nonexistent/x.toml"},
                           {"RINGGATE_SERVER__SHARDS=many"}, {"nonsense"});
  REQUIRE_FALSE(loaded.ok());
  const ConfigErrors& errors = loaded.error();
  REQUIRE(errors.size() == 7);
  CHECK(errors[0].where == file.path() + ":2:1");
  CHECK(errors[1].message == "server.shards is -1 shards; it must be between 0 and 1024 shards");
  CHECK(errors[2].where == file.path() + ":4:1");
  CHECK(errors[3].where == file.path() + ":6:16");
  CHECK(errors[4].text() == "/nonexistent/x.toml: cannot read it: No such file or directory");
  CHECK(errors[5].text() ==
        "environment RINGGATE_SERVER__SHARDS: server.shards must be a whole number, not \"many\"");
  CHECK(errors[6].text() == "--set nonsense: the value is missing; write --set section.key=value");
}

TEST_CASE("environment and --set") {
  CHECK(layer_errors({"RINGGATE_JT808__IDLE_TIMOUT=5m"}, {}) ==
        Texts{"environment RINGGATE_JT808__IDLE_TIMOUT: no setting has this name; did you mean "
              "RINGGATE_JT808__IDLE_TIMEOUT?"});
  CHECK(layer_errors({"RINGGATE_SERVER_SHARDS=5"}, {}) ==
        Texts{"environment RINGGATE_SERVER_SHARDS: no setting has this name; did you mean "
              "RINGGATE_SERVER__SHARDS?"});
  CHECK(layer_errors({"RINGGATE_server__shards=5"}, {}) ==
        Texts{"environment RINGGATE_server__shards: no setting has this name; did you mean "
              "RINGGATE_SERVER__SHARDS?"});
  CHECK(layer_errors({"RINGGATE_WEATHER=5"}, {}) ==
        Texts{"environment RINGGATE_WEATHER: no setting has this name"});
  CHECK(layer_errors({}, {"jt808.idle_timout=5m"}) ==
        Texts{"--set jt808.idle_timout: unknown key \"jt808.idle_timout\"; did you mean "
              "\"jt808.idle_timeout\"?"});
  CHECK(layer_errors({}, {"jt808.idle_timeout=30"}) ==
        Texts{"--set jt808.idle_timeout: jt808.idle_timeout must be a duration such as \"30s\" or "
              "\"5m\", not "
              "\"30\": the unit must be ns, us, ms, s, m, h or d, larger ones first"});
  CHECK(layer_errors({}, {"server.verbose=1"}) ==
        Texts{"--set server.verbose: server.verbose must be true or false, not \"1\""});
  CHECK(layer_errors({}, {"jt808.note=\xff"}) ==
        Texts{"--set jt808.note: jt808.note is not valid UTF-8"});
  // What Kubernetes sets beside a Service named ringgate is not ours.
  CHECK(layer_errors({"RINGGATE_PORT=tcp://10.0.0.1:7808", "RINGGATE_SERVICE_HOST=10.0.0.1",
                      "RINGGATE_SERVICE_PORT_JT808=7808", "RINGGATE_PORT_7808_TCP_ADDR=10.0.0.1",
                      "PATH=/bin", "NOTRINGGATE_X=1"},
                     {})
            .empty());
}

TEST_CASE("syntax errors and files that are no text carry their place") {
  const auto syntax = file_errors("[server]\nshards = = 2\n");
  REQUIRE(syntax.size() == 1);
  CHECK(syntax[0].starts_with("F:2:10: not valid TOML: "));
  const auto twice = file_errors("[server]\nshards = 1\nshards = 2\n");
  REQUIRE(twice.size() == 1);
  CHECK(twice[0].starts_with("F:3:"));
  CHECK(file_errors(std::string_view("[s]\n\x7f" "ELF\0\0", 10)) ==
        Texts{"F:2:5: not a text file (it holds a zero byte); a configuration is TOML in UTF-8"});
  const auto garbage = file_errors("\xff\xfe\x01garbage\x1b[31m");
  REQUIRE(garbage.size() == 1);
  CHECK(garbage[0].starts_with("F:1:1: not valid TOML: "));
  CHECK(garbage[0].find('\x1b') == std::string::npos);
  CHECK(file_errors(std::string((1 << 20) + 1, '#')) ==
        Texts{"F: larger than 1 MiB; that is no configuration file"});
  CHECK(layer_errors({}, {}).empty());
  const Schema schema = make_schema();
  const auto folder = load(schema, {"/"});
  REQUIRE_FALSE(folder.ok());
  CHECK(folder.error()[0].text() == "/: cannot read it: Is a directory");
  CHECK(file_errors("").empty());
  CHECK(file_errors("# only a comment").empty());
}

TEST_CASE("errors repeat no secret") {
  const auto errors = layer_errors(
      {"RINGGATE_SERVER__SECRET=hunter2hunter2hunter2", "RINGGATE_SERVER__PIN=hunter2"}, {});
  CHECK(
      errors ==
      Texts{
          "environment RINGGATE_SERVER__SECRET: server.secret has 21 bytes; it must have between 0 "
          "and 16 bytes",
          "environment RINGGATE_SERVER__PIN: server.pin must be a whole number"});
  CHECK(file_errors("[server]\nsecret = 77001\npin = \"77001\"\n") ==
        Texts{"F:2:10: server.secret must be text in quotes",
              "F:3:7: server.pin must be a whole number"});
  CHECK(file_errors("[server]\npin = 77001\n") ==
        Texts{"F:2:7: server.pin must be between 1000 and 9999"});
}
