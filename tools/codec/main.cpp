// ringgate-codec: frames to JSON and back, byte by byte where one asks.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <system_error>

#include "tools/codec/commands.hpp"

using namespace ringgate::codec_tool;

namespace {

constexpr const char* decode_footer = R"(
INPUT is hex in any case, blanks allowed, of one or more frames as they stand on the wire; "-" reads
lines of hex from standard input (empty ones and those that begin with # are skipped), or bytes
with --binary. Every frame is one JSON object on a line. A frame that is bad is told on standard
error with its offset and the reason, and the next one follows.

Examples:
  ringgate-codec decode jt808 7e0002000001234567890100018b7e
  grep -v '^#' frames.hex | ringgate-codec decode jt808 -
  nc -l 6808 | ringgate-codec decode jt808 - --binary
  ringgate-log dump DIR | jq -r '.frame // empty' | ringgate-codec decode jt808 - --stored)";

constexpr const char* encode_footer = R"(
INPUT is one JSON object or several, "-" reads them from standard input: what decode writes, or less
(what has a default may be left out). Prints each as it goes on the wire, in hex, one a line.
A key that is wrong is named with what it wants.

Examples:
  ringgate-codec encode jt808 '{"message":"heartbeat","phone":"13800138000"}'
  ringgate-codec encode jt808 '{"message":"text-message","phone":"13800138000","version":"2019",
      "body":{"flags":["display"],"type":"notice","text":"Come home"}}'
  ringgate-codec decode jt808 - < a.hex | ringgate-codec encode jt808 -)";

constexpr const char* explain_footer = R"(
Offset (hex, in the frame without delimiters and escapes), bytes, name, value, unit and source of
every byte; what no table names is "unparsed" or "unknown". Input as in decode.

Example:
  ringgate-codec explain jt808 7e0002000001234567890100018b7e)";

constexpr const char* main_footer = R"(
Exit code: 0 all well, 1 a frame or an object is wrong, 2 an argument can't be used.

Examples:
  ringgate-codec list jt808
  ringgate-codec explain jt808 7e0002000001234567890100018b7e
  ringgate-codec encode jt808 '{"message":"heartbeat","phone":"13800138000"}')";

void add_frame_options(CLI::App& command, FrameOptions& options) {
  command.add_option("PROTOCOL", options.protocol, "jt808 or jsonl")->required();
  command.add_option("INPUT", options.input, "Frames in hex, or - for standard input")->required();
  command.add_flag("--binary", options.binary, "Standard input is bytes, not hex");
  command.add_flag("--stored", options.stored,
                   "Frames as ringgate-log shows them: header to body, one a line");
  command.add_flag("--redact", options.redact, "Stars for authentication codes and passwords");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Turns frames into JSON and JSON into frames, and explains every byte.",
               "ringgate-codec");
  app.require_subcommand(1);
  app.set_version_flag("--version", "ringgate-codec " RINGGATE_VERSION);
  app.footer(main_footer);

  FrameOptions decoding;
  CLI::App* decode_command = app.add_subcommand("decode", "Frames to JSON, one object a line");
  add_frame_options(*decode_command, decoding);
  decode_command->footer(decode_footer);

  EncodeOptions encoding;
  CLI::App* encode_command = app.add_subcommand("encode", "JSON to frames in hex, one a line");
  encode_command->add_option("PROTOCOL", encoding.protocol, "jt808 or jsonl")->required();
  encode_command->add_option("INPUT", encoding.input, "JSON, or - for standard input")->required();
  encode_command->add_flag("--binary", encoding.binary, "Print bytes, not hex");
  encode_command->add_flag("--stored", encoding.stored,
                           "Frames as the log keeps them, without delimiters, escapes and check");
  encode_command->footer(encode_footer);

  FrameOptions explaining;
  CLI::App* explain_command = app.add_subcommand("explain", "A dump with every byte named");
  add_frame_options(*explain_command, explaining);
  explain_command->footer(explain_footer);

  ListOptions listing;
  CLI::App* list_command = app.add_subcommand("list", "The messages of a protocol");
  list_command->add_option("PROTOCOL", listing.protocol, "jt808 or jsonl")->required();
  CLI::Option* as_json = list_command->add_flag("--json", listing.json,
                                                "Everything the tables say: fields, units, names");
  list_command->add_flag("--markdown", listing.markdown, "The tables as a page of documentation")
      ->excludes(as_json);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : 2;
  }
  const auto run = [&] {
    if (decode_command->parsed()) return decode(decoding);
    if (encode_command->parsed()) return encode(encoding);
    if (explain_command->parsed()) return explain(explaining);
    return list(listing);
  };
  int code = 1;
  try {
    code = run();
  } catch (const std::system_error&) {  // of fmt::print
  }
  // Done is only what stdout has taken.
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  std::fputs("ringgate-codec: standard output takes nothing more; is its disk full?\n", stderr);
  return code == 0 ? 1 : code;
}
