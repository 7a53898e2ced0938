// The operation `reload` of the control socket, and the desk where it is asked for.
#include <signal.h>
#include <unistd.h>

#include "tools/ringgate/control_client.hpp"
#include "tools/ringgate/reload_desk.hpp"

namespace ringgate::server {

std::uint64_t ReloadDesk::ask(const std::string& by) {
  std::uint64_t number = 0;
  {
    std::lock_guard lock(mutex_);
    number = ++asked_;
    by_ = by;
  }
  // The main thread waits for signals and takes them alone.
  ::kill(::getpid(), SIGHUP);
  return number;
}

std::optional<ReloadOutcome> ReloadDesk::outcome(std::uint64_t number) const {
  std::lock_guard lock(mutex_);
  if (answered_ < number) return {};
  return last_;
}

ReloadDesk::Asked ReloadDesk::begin() {
  std::lock_guard lock(mutex_);
  Asked asked{asked_, by_.empty() ? "SIGHUP" : by_};
  by_.clear();
  return asked;
}

void ReloadDesk::end(std::uint64_t number, ReloadOutcome outcome) {
  std::lock_guard lock(mutex_);
  answered_ = number;
  last_ = std::move(outcome);
}

namespace {

class ReloadOp final : public ControlOp {
 public:
  using ControlOp::ControlOp;
  void start(const Json&) override {
    if (control_.reloads() == nullptr) return fail("no-reload", "nothing to read here again");
    control_.logs().info("reload asked for", {{"by", client_.who()}});
    number_ = control_.reloads()->ask(client_.who());
    pump();
  }

  void pump() override {
    if (number_ == 0 || ended()) return;
    const auto outcome = control_.reloads()->outcome(number_);
    if (!outcome) return control_.look_again();
    for (const std::string& text : outcome->lines) {
      line(Json{{outcome->done ? "changed" : "problem", text}}.dump(-1, ' ', false, replace));
    }
    if (!outcome->done) return fail("refused", "nothing was changed");
    end(Json{{"ok", true}, {"changes", outcome->lines.size()}}.dump());
  }

 private:
  static constexpr auto replace = Json::error_handler_t::replace;
  std::uint64_t number_ = 0;
};

}  // namespace

std::shared_ptr<ControlOp> make_reload_op(Control& control, ControlClient& client) {
  return std::make_shared<ReloadOp>(control, client);
}

}  // namespace ringgate::server
