// export: the log as tables for other programs.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <string>

#include "engine/base/gcj02.hpp"
#include "engine/io/sys.hpp"
#include "tools/log/commands.hpp"
#include "tools/log/common.hpp"
#include "tools/log/export_rows.hpp"
#include "tools/log/scanning.hpp"
#include "tools/log/selecting.hpp"

namespace ringgate::log_tool {

namespace {

constexpr const char* footer = R"(
One row a line, in the order of receipt; `record_id` and `sub` together are unique and say where a
row came from. JSON Lines and CSV (RFC 4180, UTF-8) have the same columns, with units in their names
and times in UTC. Retransmissions and parts give no rows, except that --rows records shows every
record (--no-duplicates and --no-parts leave them out). --gcj02 gives coordinates as maps of
mainland China have them (see `track --help`); --area stays WGS-84.

Parquet: Debian 12 packages no library that writes it (neither Arrow nor DuckDB), so this program
does not. Export csv and convert it where such a library is: with DuckDB
  duckdb -c "copy (from 'positions.csv') to 'positions.parquet'"
or with Python: pyarrow.parquet.write_table(pyarrow.csv.read_csv(...), ...).

Examples:
  ringgate-log export /var/lib/ringgate --rows positions --format csv -o positions.csv
  ringgate-log export /var/lib/ringgate --rows alarms --from -1d | jq .type | sort | uniq -c
  ringgate-log export /var/lib/ringgate --rows records --device 13800138000 --format csv)";

constexpr const char* no_parquet =
    "--format parquet: Debian 12 has no library that writes Parquet. Export csv and convert it, as "
    "with: duckdb -c \"copy (from 'FILE.csv') to 'FILE.parquet'\"";

struct Options {
  SelectOptions select;
  std::string format = "jsonl";
  std::string rows = "positions";
  std::string output;
  bool gcj02 = false;
};

class Exporter final : public event::RowVisitor {
 public:
  Exporter(RowKind kind, RowFormat format, bool gcj02, const query::Selection& selection,
           std::string& out)
      : kind_(kind), gcj02_(gcj02), selection_(selection), cells_(make_cells(format, out)) {}

  void record(const RowSource& source, const event::MessageCatalog* catalog) {
    source_ = source;
    if (kind_ == RowKind::records) {
      put_record(*cells_, source, catalog);
      ++rows_;
    } else if (catalog != nullptr) {
      catalog->rows(source.record->view(), *this);
    }
  }
  void position(const event::PositionRow& row) override {
    if (!wants_place(selection_, row.device_time_us, row.latitude_deg, row.longitude_deg)) return;
    put(RowKind::positions, on_map(row));
  }
  void alarm(const event::AlarmRow& row) override { put(RowKind::alarms, on_map(row)); }
  void session(const event::SessionRow& row) override { put(RowKind::sessions, row); }
  void device(const event::DeviceRow& row) override { put(RowKind::devices, row); }
  void media(const event::MediaRow& row) override { put(RowKind::media, row); }
  std::uint64_t rows() const { return rows_; }

 private:
  template <class Row>
  Row on_map(Row row) const {
    if (!gcj02_) return row;
    const GeoPoint moved = gcj02_of({row.latitude_deg, row.longitude_deg});
    row.latitude_deg = moved.latitude_deg;
    row.longitude_deg = moved.longitude_deg;
    return row;
  }
  template <class Row>
  void put(RowKind kind, const Row& row) {
    if (kind != kind_) return;
    put_row(*cells_, source_, row);
    ++rows_;
  }

  RowKind kind_;
  bool gcj02_;
  const query::Selection& selection_;
  std::unique_ptr<Cells> cells_;
  RowSource source_;
  std::uint64_t rows_ = 0;
};

// What can't give such rows need not be read.
void narrow(RowKind rows, query::Selection& selection) {
  if (rows == RowKind::records) return;
  selection.duplicates = false;
  selection.parts = false;
  if (selection.kinds != 0) return;
  if (rows == RowKind::media) return selection.add_kind(log::Kind::media);
  selection.add_kind(log::Kind::frame_up);
  if (rows == RowKind::sessions) selection.add_kind(log::Kind::session);
}

int run_export(const Options& options) {
  if (options.format == "parquet") return refuse({0, no_parquet});
  const RowFormat format = options.format == "csv" ? RowFormat::csv : RowFormat::jsonl;
  const auto* const name = std::ranges::find(row_kind_names, options.rows);
  const auto kind = static_cast<RowKind>(name - row_kind_names);
  auto selection = to_selection(options.select, io::real_sys().wall_now());
  if (!selection) return refuse(selection.error());
  narrow(kind, *selection);
  const Catalogs catalogs;
  Scanning scanning(catalogs.set);
  if (auto opened = scanning.open(options.select.directory, *selection, "exporting"); !opened) {
    return refuse(opened.error());
  }
  Output out;
  if (auto ready = out.open(options.output); !ready) return refuse(ready.error());
  if (format == RowFormat::csv) put_header(kind, out.text);
  Exporter exporter(kind, format, options.gcj02, scanning.selection(), out.text);
  const MonoNs started = io::real_sys().mono_now();
  query::Found found;
  while (scanning.next(found)) {
    const event::MessageCatalog* catalog = catalogs.set.find(found.record.ns());
    exporter.record({.node = scanning.node(),
                     .stream = found.stream,
                     .record = &found.record,
                     .protocol = catalog != nullptr ? catalog->protocol() : ""},
                    catalog);
    if (!out.flush(false)) break;
  }
  int code = scanning.finish();
  if (scanning.cut_short()) code = exit_problems;  // a file that ends early is no export
  code = out.finish(code);
  if (!options.output.empty() && options.output != "-") {
    const double seconds = static_cast<double>(io::real_sys().mono_now() - started) / 1e9;
    fmt::print(stderr, "{} rows in {:.1f} s{}\n", exporter.rows(), seconds,
               scanning.cut_short() ? "; cut short" : "");
  }
  return code;
}

}  // namespace

Command add_export(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("export", "The log as tables: JSON Lines or CSV");
  add_select_options(*command, options->select);
  command
      ->add_option("--rows", options->rows, "positions, alarms, sessions, devices, media, records")
      ->check(CLI::IsMember({"positions", "alarms", "sessions", "devices", "media", "records"}))
      ->capture_default_str();
  command->add_option("--format", options->format, "jsonl, csv (parquet: see below)")
      ->check(CLI::IsMember({"jsonl", "csv", "parquet"}))
      ->capture_default_str();
  command->add_flag("--gcj02", options->gcj02, "Coordinates as maps of China have them");
  command->add_option("-o,--output", options->output, "Write there instead of to stdout");
  command->footer(footer);
  return {command, [options] { return run_export(*options); }};
}

}  // namespace ringgate::log_tool
