#include "tools/load/run/view.hpp"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>

namespace ringgate::load {
namespace {

// Enter the alternate screen and hide the cursor; the other way round.
constexpr std::string_view take_screen = "\x1b[?1049h\x1b[?25l\x1b[2J";
constexpr std::string_view give_screen = "\x1b[?25h\x1b[?1049l";
constexpr std::size_t recent_max = 300;
// What is left of a second where a stage ends in it: its rates say nothing.
constexpr MonoNs fragment_ns = 250 * ns_per_ms;

volatile std::sig_atomic_t screen_fd = -1;

std::string clock_text(MonoNs ns) {
  const auto seconds = static_cast<std::int64_t>(ns / ns_per_s);
  if (seconds < 60) return fmt::format("{} s", seconds);
  if (seconds < 3600) return fmt::format("{}:{:02}", seconds / 60, seconds % 60);
  return fmt::format("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

double per_second(std::uint64_t count, const Row& row) {
  return static_cast<double>(count) / std::max(row.seconds(), 1e-3);
}

std::string p_text(const Latency& latency, double percent) {
  return latency.count() == 0 ? "-" : latency_text(latency.percentile(percent));
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

class QuietView final : public View {
 public:
  explicit QuietView(int fd) : fd_(fd) {}
  void on_progress(const Progress&) override {}
  void on_row(const Row&, const Progress&) override {}
  void on_notice(const std::string& text) override {
    write_all(fd_, fmt::format("ringgate-load: {}\n", text));
  }
  void end() override {}

 private:
  int fd_;
};

class PlainView final : public View {
 public:
  PlainView(const Scenario& scenario, int fd) : scenario_(scenario), fd_(fd) {}
  void on_progress(const Progress&) override {}

  void on_row(const Row& row, const Progress& progress) override {
    const Tally all = row.all();
    errors_ += all.error_count();
    if (row.to_ns - row.from_ns < fragment_ns) return;
    std::string line = fmt::format(
        "{:>7} of {}  {}: {} of {} users, {}/s sent, {}/s done, p50 {}, p99 {}, {} errors",
        clock_text(row.to_ns), clock_text(progress.planned_ns), scenario_.stages[row.stage].name,
        all.ready, all.users_wanted, count_text(per_second(all.sent, row)),
        count_text(per_second(all.acknowledged + all.delivered, row)), p_text(all.response, 50),
        p_text(all.response, 99), errors_);
    if (row.server) {
      line += fmt::format(", server {:.0f} % CPU {}",
                          row.server->cpu_s * 100 / std::max(row.seconds(), 1e-3),
                          bytes_text(static_cast<double>(row.server->rss_bytes)));
    }
    for (const std::string& fault : progress.faults) line += fmt::format(", fault {}", fault);
    if (progress.workers_lost > 0) {
      line += fmt::format(", {} of {} workers LOST", progress.workers_lost, progress.workers);
    }
    if (!progress.doing.empty()) line += fmt::format(" ({})", progress.doing);
    line += '\n';
    write_all(fd_, line);
  }

  void on_notice(const std::string& text) override {
    write_all(fd_, fmt::format("ringgate-load: {}\n", text));
  }
  void end() override {}

 private:
  const Scenario& scenario_;
  int fd_;
  std::uint64_t errors_ = 0;
};

class ScreenView final : public View {
 public:
  ScreenView(const Scenario& scenario, int fd) : scenario_(scenario), fd_(fd) {
    write_all(fd_, take_screen);
    screen_fd = fd_;
  }
  ~ScreenView() override { end(); }

  void on_progress(const Progress& progress) override {
    state_.progress = progress;
    draw();
  }
  void on_row(const Row& row, const Progress& progress) override {
    state_.progress = progress;
    for (const Tally& tally : row.classes) {
      for (const auto& [name, count] : tally.errors) state_.errors[name] += count;
    }
    if (row.to_ns - row.from_ns < fragment_ns) return;
    state_.recent.push_back(row);
    if (state_.recent.size() > recent_max) state_.recent.erase(state_.recent.begin());
  }
  void on_notice(const std::string& text) override {
    state_.notices.push_back(
        fmt::format("{}  {}", clock_text(state_.progress.now_ns), text));
  }
  void end() override {
    if (ended_) return;
    ended_ = true;
    restore_terminal();
    // What was said on the screen is gone with it.
    for (const std::string& notice : state_.notices) {
      write_all(fd_, fmt::format("ringgate-load: {}\n", notice));
    }
  }

 private:
  void draw() {
    winsize size{};
    if (ioctl(fd_, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
      size.ws_col = 80;
      size.ws_row = 24;
    }
    const bool resized = size.ws_col != columns_ || size.ws_row != rows_;
    columns_ = size.ws_col;
    rows_ = size.ws_row;
    std::string frame = resized ? "\x1b[2J\x1b[H" : "\x1b[H";
    const std::vector<std::string> lines =
        draw_screen(scenario_, state_, columns_, rows_, true);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      frame += lines[i];
      frame += "\x1b[K";
      if (i + 1 < rows_) frame += "\r\n";
    }
    frame += "\x1b[J";
    write_all(fd_, frame);
  }

  const Scenario& scenario_;
  int fd_;
  ScreenState state_;
  std::size_t columns_ = 0;
  std::size_t rows_ = 0;
  bool ended_ = false;
};

// Cuts at `columns` characters; bytes of escapes and of continued UTF-8 take no room.
std::string cut(const std::string& text, std::size_t columns) {
  std::string out;
  std::size_t used = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b') {
      const std::size_t end = text.find('m', i);
      if (end == std::string::npos) break;
      out.append(text, i, end - i + 1);
      i = end;
      continue;
    }
    const bool continued = (static_cast<unsigned char>(text[i]) & 0xc0) == 0x80;
    if (!continued && used++ == columns) return out + "\x1b[0m";
    out += text[i];
  }
  return out;
}

class Screen {
 public:
  Screen(const Scenario& scenario, const ScreenState& state, std::size_t columns,
         std::size_t lines, bool colours)
      : scenario_(scenario), state_(state), columns_(columns), lines_(lines), colours_(colours) {}

  std::vector<std::string> draw() {
    head();
    if (!state_.recent.empty()) {
      charts();
      classes();
      generator();
    }
    errors();
    notices();
    leave_room();
    if (out_.size() > lines_) out_.resize(lines_);
    for (std::string& line : out_) line = cut(line, columns_);
    return std::move(out_);
  }

 private:
  std::string paint(const char* code, const std::string& text) const {
    return colours_ ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : text;
  }

  void head() {
    const Progress& is = state_.progress;
    const std::string& stage = scenario_.stages[is.stage].name;
    out_.push_back(fmt::format("{}  {}  {}", paint("1", scenario_.name), stage, is.doing));
    const double share =
        is.planned_ns <= 0 ? 0
                           : std::clamp(static_cast<double>(is.now_ns) /
                                            static_cast<double>(is.planned_ns), 0.0, 1.0);
    const std::size_t width = std::clamp<std::size_t>(columns_ / 2, 10, 60);
    const auto full = static_cast<std::size_t>(share * static_cast<double>(width));
    std::string bar;
    for (std::size_t i = 0; i < width; ++i) bar += i < full ? "█" : "░";
    const std::string eta = is.phase == "running"
                                ? fmt::format("{} of {}", clock_text(is.now_ns),
                                              clock_text(is.planned_ns))
                                : is.phase;
    out_.push_back(fmt::format("{} {}", paint("36", bar), eta));
    std::string workers = fmt::format("{} worker{}", is.workers, is.workers == 1 ? "" : "s");
    if (is.workers_lost > 0) {
      workers += paint("1;31", fmt::format("  {} LOST", is.workers_lost));
    }
    for (const std::string& fault : is.faults) {
      workers += paint("1;35", fmt::format("  fault {}", fault));
    }
    out_.push_back(workers);
    out_.emplace_back();
  }

  void chart(const char* name, const std::string& now, const std::vector<double>& values) {
    const std::size_t width = columns_ > 34 ? columns_ - 34 : 1;
    out_.push_back(fmt::format("{:<14}{:>16}  {}", name, now,
                               paint("36", sparkline(values, width))));
  }

  void charts() {
    std::vector<double> users, done, p50, p99, cpu;
    for (const Row& row : state_.recent) {
      const Tally all = row.all();
      users.push_back(static_cast<double>(all.ready));
      done.push_back(per_second(all.acknowledged + all.delivered, row));
      p50.push_back(static_cast<double>(all.response.percentile(50)));
      p99.push_back(static_cast<double>(all.response.percentile(99)));
      cpu.push_back(row.server ? row.server->cpu_s / std::max(row.seconds(), 1e-3) : 0);
    }
    const Row& last = state_.recent.back();
    const Tally all = last.all();
    chart("users", fmt::format("{} of {}", all.ready, all.users_wanted), users);
    chart("done", fmt::format("{}/s", count_text(done.back())), done);
    chart("response p50", p_text(all.response, 50), p50);
    chart("response p99", p_text(all.response, 99), p99);
    if (last.server) {
      chart("server", fmt::format("{:.0f} % {}", cpu.back() * 100,
                                  bytes_text(static_cast<double>(last.server->rss_bytes))), cpu);
    }
    out_.emplace_back();
  }

  void classes() {
    out_.push_back(paint("2", fmt::format("{:<18} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8}",
                                          "class", "users", "sent/s", "done/s", "p50", "p99",
                                          "svc p99", "errors")));
    const Row& last = state_.recent.back();
    classes_at_ = out_.size();
    classes_shown_ = last.classes.size();
    for (std::size_t i = 0; i < last.classes.size(); ++i) {
      const Tally& tally = last.classes[i];
      const Latency& seen = tally.response.count() > 0 ? tally.response : tally.delivery;
      const std::string errors_now = fmt::format("{:>8}", tally.error_count());
      out_.push_back(fmt::format(
          "{:<18} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {}", scenario_.classes[i].name.substr(0, 18),
          tally.ready, count_text(per_second(tally.sent, last)),
          count_text(per_second(tally.acknowledged + tally.delivered, last)), p_text(seen, 50),
          p_text(seen, 99), p_text(tally.service, 99),
          tally.error_count() > 0 ? paint("31", errors_now) : errors_now));
    }
    out_.emplace_back();
  }

  // On a low screen classes give way to what is below them: errors, and what has happened.
  void leave_room() {
    if (out_.size() <= lines_ || classes_shown_ < 2) return;
    const std::size_t gone = std::min(out_.size() - lines_ + 1, classes_shown_);
    const std::size_t kept = classes_shown_ - gone;
    const auto from = out_.begin() + static_cast<std::ptrdiff_t>(classes_at_ + kept);
    *from = paint("2", fmt::format("{}{} classes: the screen is low", gone,
                                   kept > 0 ? " more" : ""));
    out_.erase(from + 1, from + static_cast<std::ptrdiff_t>(gone));
  }

  void generator() {
    const Row& last = state_.recent.back();
    const Tally all = last.all();
    const std::string text =
        fmt::format("generator    {:.0f} % of a CPU in its busiest worker, lag p99 {}, {} dropped",
                    last.own_cpu * 100, p_text(all.lag, 99), all.dropped);
    out_.push_back(last.own_cpu >= 0.9
                       ? paint("1;31", fmt::format("{}: IT IS THE BOTTLENECK", text))
                       : text);
  }

  void errors() {
    std::string text;
    for (const auto& [name, count] : state_.errors) text += fmt::format("  {} {}", name, count);
    if (!text.empty()) out_.push_back(paint("31", fmt::format("errors       {}", text)));
  }

  void notices() {
    const std::size_t from = state_.notices.size() > 4 ? state_.notices.size() - 4 : 0;
    for (std::size_t i = from; i < state_.notices.size(); ++i) {
      out_.push_back(paint("33", state_.notices[i]));
    }
  }

  const Scenario& scenario_;
  const ScreenState& state_;
  std::size_t columns_;
  std::size_t lines_;
  bool colours_;
  std::vector<std::string> out_;
  std::size_t classes_at_ = 0;     // in out_
  std::size_t classes_shown_ = 0;
};

}  // namespace

void restore_terminal() {
  const int fd = screen_fd;
  if (fd < 0) return;
  screen_fd = -1;
  const ssize_t written = write(fd, give_screen.data(), give_screen.size());
  static_cast<void>(written);  // a terminal that is gone needs nothing back
}

std::string sparkline(const std::vector<double>& values, std::size_t columns) {
  static constexpr const char* heights[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const std::size_t from = values.size() > columns ? values.size() - columns : 0;
  double highest = 0;
  for (std::size_t i = from; i < values.size(); ++i) highest = std::max(highest, values[i]);
  std::string out;
  for (std::size_t i = from; i < values.size(); ++i) {
    const double share = highest <= 0 ? 0 : values[i] / highest;
    out += heights[std::clamp(static_cast<int>(std::lround(share * 7)), 0, 7)];
  }
  return out;
}

std::vector<std::string> draw_screen(const Scenario& scenario, const ScreenState& state,
                                     std::size_t columns, std::size_t lines, bool colours) {
  return Screen(scenario, state, columns, lines, colours).draw();
}

std::unique_ptr<View> make_plain_view(const Scenario& scenario, int fd) {
  return std::make_unique<PlainView>(scenario, fd);
}
std::unique_ptr<View> make_screen_view(const Scenario& scenario, int fd) {
  return std::make_unique<ScreenView>(scenario, fd);
}
std::unique_ptr<View> make_quiet_view(int fd) { return std::make_unique<QuietView>(fd); }

}  // namespace ringgate::load
