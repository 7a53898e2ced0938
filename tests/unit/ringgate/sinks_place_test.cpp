// Where an operator's words send a sink: names, times, cursors, over a real log of three runs.
#include <fmt/format.h>

#include "protocols/fabric/keys.hpp"
#include "tests/unit/query/query_rig.hpp"
#include "tools/ringgate/sinks.hpp"

using namespace ringgate;
using namespace ringgate::server;
using Where = query::TailStart::Where;

namespace {

// Sinks without one that is on, over a log of three runs with 400 records each.
class Places {
 public:
  Places() {
    schema_.add(node_keys);
    add_sink_keys(schema_);
#ifdef RINGGATE_NATS
    schema_.add(fabric_keys);
#endif
    for (std::uint64_t run = 0; run < 3; ++run) {
      // Behind everything of the run before, so that times tell runs apart.
      const WallUs ended = io::real_sys().wall_now();
      WallUs begins = ended;
      while (begins <= ended) begins = io::real_sys().wall_now();
      begins_us_.push_back(begins);
      log::Rig rig(log::small_options(dir_.path()));
      query::write(rig, run * 400, (run + 1) * 400);
      node_ = rig.dir->node();
      run_ = rig.dir->run();
    }
    const config::Settings settings(schema_);
    auto started = Sinks::start({settings, scan(), node_, run_, holds_, logger_, registry_});
    REQUIRE(started.ok());
    sinks_ = std::move(*started);
  }

  Result<query::TailStart> place(std::string_view text) const { return sinks_->place(text); }
  std::string error(std::string_view text) const {
    const auto found = place(text);
    return found.ok() ? std::string() : found.error().message;
  }
  // The number of the first record from there on; 1200: none.
  std::uint64_t first(std::string_view text) const {
    const auto start = place(text);
    REQUIRE_MESSAGE(start.ok(), (start.ok() ? std::string() : start.error().message));
    const auto numbers = query::TailRig(dir_.path(), *start).take();
    return numbers.empty() ? 1200 : numbers.front();
  }
  std::string cursor_text(const log::Cursor& cursor) const { return log::to_text(node_, cursor); }
  WallUs began_us(std::size_t run) const { return begins_us_[run]; }
  std::uint32_t run() const { return run_; }
  const log::NodeId& node() const { return node_; }

 private:
  query::Scan::Parts scan() { return {io::real_sys(), dir_.path(), catalogs_}; }

  log::ScratchDir dir_;
  std::vector<WallUs> begins_us_;
  config::Schema schema_;
  event::CatalogSet catalogs_;
  log::Holds holds_;
  observe::Logger logger_;
  observe::Registry registry_;
  log::NodeId node_{};
  std::uint32_t run_ = 0;
  std::unique_ptr<Sinks> sinks_;
};

}  // namespace

TEST_CASE("sinks: no url, no worker") {
  const Places places;
  CHECK(places.place("beginning")->where == Where::beginning);
  CHECK(places.place("end")->where == Where::end);
  CHECK(places.first("beginning") == 0);
}

TEST_CASE("sinks: times are places before the first record that came then or later") {
  const Places places;
  CHECK(places.first("0") == 0);
  CHECK(places.first("1970-01-01") == 0);
  CHECK(places.first("2001-01-01T00:00:00Z") == 0);
  CHECK(places.first("-1h") == 0);  // all of it came within the last hour
  CHECK(places.first("-0s") == 1200);
  CHECK(places.first("2100-01-01") == 1200);
  for (const std::size_t run : {1U, 2U}) {
    const double seconds = static_cast<double>(places.began_us(run)) / us_per_s;
    const std::uint64_t first = places.first(fmt::format("{:.6f}", seconds));
    CHECK(first == run * 400);
  }
}

TEST_CASE("sinks: cursors of this node are places") {
  const Places places;
  log::Cursor cursor;
  cursor.finish_runs_below(places.run());
  CHECK(places.first(places.cursor_text(cursor)) == 800);
  log::Cursor none;
  CHECK(places.first(places.cursor_text(none)) == 0);
}

TEST_CASE("sinks: what is no place is refused with a reason") {
  const Places places;
  for (const char* text : {"", "nowhere", "2026-13-01", "2026-11-21T05", "1e99", "nan",
                           "inf", "1x", "--1h", "<3", "beginning "}) {
    CAPTURE(text);
    CHECK(places.error(text).find("is expected") != std::string::npos);
  }
  log::NodeId other = places.node();
  other[3] ^= 1;
  CHECK(places.error(log::to_text(other, {})).find("the cursor is of node") == 0);
  log::Cursor ahead;
  ahead.set({places.run() + 1, 0}, 0);
  CHECK(places.error(places.cursor_text(ahead)).find("names run") != std::string::npos);
  log::Cursor behind;
  behind.finish_runs_below(places.run() + 1);
  CHECK(places.error(places.cursor_text(behind)).find("lies behind") != std::string::npos);
}
