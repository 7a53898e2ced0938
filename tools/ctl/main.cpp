// ringgate-ctl: command line. What it asks of the gateway is in commands.cpp and send.cpp.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <system_error>

#include "tools/ctl/commands.hpp"
#include "tools/ctl/registry.hpp"
#include "tools/ctl/token.hpp"

using namespace ringgate::ctl;

namespace {

constexpr const char* main_footer = R"(
The gateway is found by its data directory: --data DIR, else RINGGATE_SERVER__DATA_DIR, else
ringgate-data here, else the package's /var/lib/ringgate; or by --socket PATH (control.sock in that
directory).
Exit code: 0 done, 1 failed, refused or no answer in time, 2 wrong arguments, filter or command,
  3 the gateway can't be reached or ended.

Examples:
  ringgate-ctl --data /var/lib/ringgate devices --filter 'online and speed>80'
  ringgate-ctl device 13800138000
  ringgate-ctl send 13800138000 '{"message":"query-location"}' --wait 5s
  ringgate-ctl trace 13800138000
  ringgate-ctl stats --watch 2s)";

constexpr const char* filter_footer = R"(
Filters are terms joined by 'and', each also with 'not' before it:
  online              banned                 version=2019        phone~138*
  speed>80            alarm!=0               frames<=10          last_heard>10m
  in(31.1,121.2,31.4,121.6)    latitude and longitude of two corners
Any key that --json shows can be named. A device without the key does not match; a key that no
device has is an error.

Examples:
  ringgate-ctl devices --online --limit 20
  ringgate-ctl devices --filter 'phone~138* and last_heard>10m'
  ringgate-ctl devices --json --filter 'alarm!=0' | jq .phone)";

constexpr const char* send_footer = R"(
JSON names a message and its fields as ringgate-codec does; a message without fields can be given
by its name alone; - reads it from standard input. Several phones are joined by commas. --all takes
every device that --filter names (default: online) and shows progress on standard error.
Exit code 0 only if every device answered (or, with --wait 0s, was sent to; or the command waits
for it, with --when-online).
With --when-online the command is kept until its device answers it or --expires is over, also over
restarts of the gateway. It is sent again where nobody knows whether it arrived: at least once.
A device that is not online, or does not answer within --wait, is shown as pending with an id.

Examples:
  ringgate-ctl send 13800138000 query-location --wait 10s
  ringgate-ctl send 13800138000,13800138001 \
      '{"message":"text-message","flags":["display"],"text":"hello"}'
  ringgate-ctl send --all --filter 'version=2019' '{"message":"0x8104"}' --parallel 100 --json
  ringgate-ctl send 13800138000 query-location --when-online --expires 24h)";

constexpr const char* pending_footer = R"(
Commands that were sent with --when-online and are not done. SENT: how often they may have reached
their device. The next to expire come first.

Examples:
  ringgate-ctl pending
  ringgate-ctl pending 13800138000 --json | jq -r .id
  ringgate-ctl cancel 13800138000 1200000000001 --why 'wrong vehicle')";

constexpr const char* ban_footer = R"(
A banned terminal is cut off, its authentication codes become worthless, and it is refused when it
registers (result 4) or authenticates, also after a restart of the gateway.

Examples:
  ringgate-ctl ban 13800138000 --for 1h --why 'floods the port'
  ringgate-ctl unban 13800138000)";

constexpr const char* reload_footer = R"(
As SIGHUP does, but waits until every shard has it. All or nothing: with an error in the files, or a
changed key that takes a restart, nothing changes, the reasons are shown, and the exit code is 1.

Examples:
  ringgate-ctl --data /var/lib/ringgate reload
  ringgate --config /etc/ringgate/ringgate.toml --check-config && ringgate-ctl reload)";

constexpr const char* sink_footer = R"(
PLACE is beginning, end, a time in UTC (2026-11-21T05:00:00Z, or seconds since 1970), or a cursor as
'sink list --json' shows it. A sink that is sent back writes again what it finds there: databases
leave out what they have, streams get it twice.

Examples:
  ringgate-ctl sink
  ringgate-ctl sink pause postgres
  ringgate-ctl sink seek nats 2026-11-21T05:00:00Z)";

constexpr const char* registry_footer = R"(
With jt808.admission = "registry" only terminals that are registered here, and enabled, are let in.
Files are CSV (first line: phone,plate,plate_colour,terminal_id,maker,model,note,enabled; only phone
must be there, columns in any order) or TOML ([[device]] tables with the same names). A file with an
error changes nothing.

Examples:
  ringgate-ctl registry add 13800138000 --plate 沪A12345
  ringgate-ctl registry import fleet.csv --dry-run --replace
  ringgate-ctl registry export fleet.toml
  ringgate-ctl registry list --json | jq -r .phone)";

constexpr const char* token_footer = R"(
Programs show a token to the HTTP interface (Authorization: Bearer rg_...), people log in with it.
Scopes: read (devices, tracks, live data), command (send commands), admin (bans, registry).
A token is printed once, when it is made; the gateway keeps its hash. What is revoked ends at once.

Examples:
  ringgate-ctl token create --name grafana > grafana.token
  ringgate-ctl token create --name ops --scope read,command --expires 90d
  ringgate-ctl token list
  ringgate-ctl token revoke ops)";

std::string default_data() {
  const char* from = std::getenv("RINGGATE_SERVER__DATA_DIR");
  if (from != nullptr && *from != '\0') return from;
  constexpr const char* here = "ringgate-data";
  constexpr const char* of_the_package = "/var/lib/ringgate";
  std::error_code none;
  const bool installed = !std::filesystem::exists(here, none) &&
                         std::filesystem::exists(of_the_package, none);
  return installed ? of_the_package : here;
}

struct Command {
  CLI::App* app;
  std::function<int(Client& client, const Options& options)> run;
};

CLI::App* with_phone(CLI::App* app, Options& options) {
  app->add_option("PHONE", options.words, "The terminal's phone number")->required()->expected(1);
  return app;
}

void add_file(CLI::App* app, RegistryOptions& registry, const char* what) {
  app->add_option("FILE", registry.file, what)->required();
  app->add_option("--format", registry.format, "csv or toml; default: by the file's name")
      ->check(CLI::IsMember({"csv", "toml"}));
}

std::vector<Command> add_registry(CLI::App& app, Options& options, RegistryOptions& registry) {
  CLI::App* group = app.add_subcommand("registry", "The devices that may come");
  group->require_subcommand(1);
  group->footer(registry_footer);
  const auto add = [&](const char* name, const char* what) {
    return group->add_subcommand(name, what);
  };
  CLI::App* list = add("list", "List registered devices");
  list->add_flag("--json", options.json, "One JSON object a line, for programs");
  CLI::App* show = with_phone(add("show", "One device"), options);
  show->add_flag("--json", options.json, "As JSON");
  CLI::App* put = with_phone(add("add", "Register a device, or change its entry"), options);
  RegistryEntry& entry = registry.entry;
  put->add_option("--plate", entry.plate, "Number plate");
  put->add_option("--plate-colour", entry.plate_colour, "As in JT/T 697.7: 1 blue, 2 yellow, ...");
  put->add_option("--terminal-id", entry.terminal_id, "Only a terminal with this id; default: any");
  put->add_option("--maker", entry.maker, "Maker of the terminal");
  put->add_option("--model", entry.model, "Model of the terminal");
  put->add_option("--note", entry.note, "For people");
  put->add_flag("--disabled", registry.disabled, "Known, but not let in");
  CLI::App* remove = add("remove", "Remove devices, and end their links");
  remove->add_option("PHONE", options.words, "Phone numbers")->required();
  CLI::App* import = add("import", "Register the devices of a file");
  add_file(import, registry, "CSV or TOML; - is standard input");
  import->add_flag("--replace", registry.replace, "Remove the devices that the file does not name");
  import->add_flag("--dry-run", registry.dry_run, "Check the file and say what would change");
  CLI::App* write = add("export", "Write all registered devices to a file");
  add_file(write, registry, "CSV or TOML; - is standard output");
  return {{list, &registry_list},
          {show, &registry_show},
          {remove, &registry_remove},
          {put, [&](Client& c, const Options& o) { return registry_add(c, o, registry); }},
          {import, [&](Client& c, const Options& o) { return registry_import(c, o, registry); }},
          {write, [&](Client& c, const Options& o) { return registry_export(c, o, registry); }}};
}

std::vector<Command> add_tokens(CLI::App& app, Options& options, TokenOptions& token) {
  CLI::App* group = app.add_subcommand("token", "Who may use the HTTP interface");
  group->require_subcommand(1);
  group->footer(token_footer);
  const auto add = [&](const char* name, const char* what) {
    CLI::App* command = group->add_subcommand(name, what);
    command->add_flag("--json", options.json, "As JSON, for programs");
    command->footer(token_footer);
    return command;
  };
  CLI::App* create = add("create", "Make a token, and print it");
  create->add_option("--name", token.name, "What it is called")->required();
  create->add_option("--scope", token.scopes, "Some of read,command,admin")
      ->type_name("SCOPES")
      ->capture_default_str();
  create->add_option("--expires", token.expires, "After this time (90d); default: never")
      ->type_name("TIME");
  CLI::App* list = add("list", "List tokens");
  CLI::App* revoke = add("revoke", "End a token, its log-ins and its streams");
  revoke->add_option("NAME", token.name, "What it is called")->required();
  return {{create, [&](Client& c, const Options& o) { return token_create(c, o, token); }},
          {list, &token_list},
          {revoke, [&](Client& c, const Options& o) { return token_revoke(c, o, token); }}};
}

std::vector<Command> add_commands(CLI::App& app, Options& options) {
  const auto add = [&](const char* name, const char* what) {
    CLI::App* command = app.add_subcommand(name, what);
    command->add_flag("--json", options.json, "One JSON object a line, for programs");
    return command;
  };
  CLI::App* list = add("devices", "List devices");
  list->add_option("--filter", options.filter, "Only these; see below")->type_name("EXPR");
  list->add_option("--limit,-n", options.limit, "At most so many")
      ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{1} << 40));
  list->add_flag("--online", options.online, "Only those that are connected");
  list->footer(filter_footer);
  CLI::App* one = with_phone(add("device", "Everything that is known of one device"), options);
  CLI::App* sending = add("send", "Send a command and wait for the answer");
  sending->add_option("WHAT", options.words, "PHONE[,PHONE...] JSON, or JSON with --all")
      ->required()
      ->expected(1, 2)
      ->type_name("");
  sending->add_option("--wait", options.wait, "How long to wait for each answer")
      ->type_name("TIME")
      ->capture_default_str();
  sending->add_flag("--all", options.all, "To every device that --filter names");
  sending->add_option("--filter", options.filter, "With --all: see devices --help")
      ->type_name("EXPR");
  sending->add_option("--parallel", options.parallel, "Devices that are waited for at a time")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  sending->add_flag("--when-online", options.when_online, "Keep it until its device is online");
  sending->add_option("--expires", options.expires, "With --when-online: how long; default 24h")
      ->type_name("TIME");
  sending->footer(send_footer);
  CLI::App* kicking = with_phone(add("kick", "End a device's connection"), options);
  kicking->add_option("--why", options.why, "For the log");
  CLI::App* banning = with_phone(add("ban", "Cut a device off and keep it out"), options);
  banning->add_option("--for", options.ban_for, "Time after which it ends; default: never")
      ->type_name("TIME");
  banning->add_option("--why", options.why, "For the log and the list of bans");
  banning->footer(ban_footer);
  CLI::App* unbanning = with_phone(add("unban", "End a ban"), options);
  unbanning->add_option("--why", options.why, "For the log");
  CLI::App* banned = add("bans", "List bans");
  CLI::App* waiting = add("pending", "List commands that wait for their device to come online");
  waiting->add_option("PHONE", options.words, "Only this terminal's")->expected(0, 1);
  waiting->add_option("--limit,-n", options.limit, "At most so many");
  waiting->footer(pending_footer);
  CLI::App* cancelling = add("cancel", "End a command that waits");
  cancelling->add_option("PHONE ID", options.words, "The terminal, and the id as pending shows it")
      ->required()
      ->expected(2);
  cancelling->add_option("--why", options.why, "For the log");
  cancelling->footer(pending_footer);
  CLI::App* tracing = with_phone(add("trace", "Show a device's frames as they come and go"),
                                 options);
  CLI::App* bad = add("badframes", "Show the last bytes that were no good frames");
  bad->add_option("--limit,-n", options.limit, "At most so many; default 20")
      ->check(CLI::Range(1, 10'000));
  CLI::App* counting = add("stats", "Show all counters");
  counting->add_option("--watch", options.watch, "Again and again, with rates")
      ->type_name("TIME")
      ->expected(0, 1)
      ->default_str("2s");
  counting->add_flag("--zeros", options.zeros, "Also what is zero");
  CLI::App* standing = add("status", "How the gateway is: links, devices, sinks in trouble");
  CLI::App* sinking = add("sink", "Show, pause, resume or send back what goes to other systems");
  sinking->add_option("WHAT", options.words, "[list] | pause NAME | resume NAME | seek NAME PLACE")
      ->expected(0, 3)
      ->type_name("");
  sinking->footer(sink_footer);
  CLI::App* reloading = add("reload", "Have the configuration read again, and say what changed");
  reloading->footer(reload_footer);
  return {{list, &devices},     {one, &device},   {sending, &send}, {kicking, &kick},
          {banning, &ban},      {unbanning, &unban}, {banned, &bans},  {tracing, &trace},
          {bad, &bad_frames},   {counting, &stats}, {sinking, &sink},
          {waiting, &pending},  {cancelling, &cancel}, {standing, &status},
          {reloading, &reload}};
}

// Done is only what stdout has taken.
int written(int code) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  std::perror("ringgate-ctl: standard output");
  return code == 0 ? exit_failed : code;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Asks and commands a running ringgate.", "ringgate-ctl");
  Options options;
  std::string data = default_data();
  app.add_option("--data", data, "The gateway's data directory")->type_name("DIR");
  app.add_option("--socket", options.socket, "Its control socket")->type_name("PATH");
  app.set_version_flag("--version", "ringgate-ctl " RINGGATE_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(main_footer);
  std::vector<Command> commands = add_commands(app, options);
  RegistryOptions registry;
  for (Command& command : add_registry(app, options, registry)) {
    commands.push_back(std::move(command));
  }
  TokenOptions token;
  for (Command& command : add_tokens(app, options, token)) commands.push_back(std::move(command));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const std::vector<std::string> unknown = app.remaining();
    if (app.get_subcommands().empty() && error.get_exit_code() != 0 && !unknown.empty()) {
      std::fprintf(stderr, "ringgate-ctl: there is no command '%s'; see ringgate-ctl --help\n",
                   unknown[0].c_str());
      return exit_usage;
    }
    return app.exit(error) == 0 ? 0 : exit_usage;
  }
  if (options.socket.empty()) options.socket = data + "/control.sock";
  catch_signals();
  Client client;
  if (auto connected = client.connect(options.socket); !connected) {
    std::fprintf(stderr, "ringgate-ctl: %s\n", connected.error().message.c_str());
    return exit_unreachable;
  }
  int code = exit_usage;
  try {
    for (const Command& command : commands) {
      if (command.app->parsed()) code = command.run(client, options);
    }
  } catch (const std::system_error&) {  // of fmt::print
    code = exit_failed;
  }
  return written(code);
}
