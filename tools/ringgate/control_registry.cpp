// Operations on the registry: the devices that the operator knows. Each change is done once it is
// durable on its device's shard.
#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>

#include "engine/base/json_writer.hpp"
#include "tools/ringgate/control_client.hpp"
#include "tools/ringgate/control_fields.hpp"
#include "tools/ringgate/plugs.hpp"

namespace ringgate::server {

namespace {

// Entries of one request.
constexpr std::size_t entries_max = 1024;
// Devices that one errand changes or copies: some 100 us on their shard.
constexpr std::size_t changes_per_errand = 64;
constexpr std::uint32_t entries_per_errand = 256;

std::string row_of(std::string_view id, const state::RegistrationView& entry) {
  std::string text;
  JsonWriter json(text);
  json.begin_object();
  json.key(device_plug().devices->id_key()).text(id);
  json.key("plate").text(entry.plate);
  json.key("plate_colour").unsigned_integer(entry.plate_colour);
  json.key("terminal_id").text(entry.terminal_id);
  json.key("maker").text(entry.maker);
  json.key("model").text(entry.model);
  json.key("note").text(entry.note);
  json.key("enabled").boolean(entry.enabled);
  json.end_object();
  return text;
}

// One device's change, on its way to its shard.
struct Wish {
  DeviceKey device;
  std::optional<state::Registration> put;  // nothing: remove
};

enum class Outcome : std::uint8_t { done, not_stored, full, unknown };
std::string_view name_of(Outcome outcome) {
  constexpr std::string_view names[] = {"done", "not stored: the log takes nothing now",
                                        "not stored: too many devices are known",
                                        "is not registered"};
  return names[static_cast<std::size_t>(outcome)];
}

// Makes changes on one shard and comes home when the last one is durable.
class ChangeErrand final : public shard::Errand {
 public:
  using Home = std::function<void(const std::vector<Wish>&, const std::vector<Outcome>&, bool)>;
  ChangeErrand(std::vector<Wish> wishes, std::string who, Home home)
      : wishes_(std::move(wishes)), who_(std::move(who)), home_(std::move(home)) {}

  void run(shard::ErrandHost& at, shard::ErrandTicket ticket) override {
    ShardHost& host = ShardHost::of(at);
    Position last = 0;
    for (const Wish& wish : wishes_) outcomes_.push_back(change(host, wish, last));
    if (last == 0) return ticket.done();
    // The ticket is shared only because a function must be able to be copied.
    auto kept = std::make_shared<shard::ErrandTicket>(std::move(ticket));
    host.waits().wait(last, [kept] { kept->done(); });
  }
  void home(bool ran) override { home_(wishes_, outcomes_, ran); }
  // It could not be sent.
  std::vector<Wish> take_back() { return std::move(wishes_); }

 private:
  Outcome change(ShardHost& host, const Wish& wish, Position& last) {
    state::Store& store = host.store();
    const auto known = store.registration(wish.device);
    if (!wish.put && !known) return Outcome::unknown;
    if (wish.put && known && *known == wish.put->view()) return Outcome::done;
    const Position position = wish.put
                                  ? store.put_registration(wish.device, wish.put->view())
                                  : store.remove_registration(wish.device);
    if (position == 0) return store.is_full() ? Outcome::full : Outcome::not_stored;
    last = position;
    // Whoever may come no longer must not stay either.
    const bool out = !wish.put || !wish.put->enabled;
    event::DeviceGate* const gate = host.find(wish.device.ns);
    if (out && gate != nullptr && gate->wants_registration()) {
      gate->kick(wish.device, {who_, wish.put ? "registration disabled" : "registration removed"});
    }
    return Outcome::done;
  }

  std::vector<Wish> wishes_;
  std::string who_;
  Home home_;
  std::vector<Outcome> outcomes_;
};

// Sends the changes of a request to their shards and tells what came of them.
class ChangeOp : public ControlOp {
 public:
  using ControlOp::ControlOp;

  void pump() override {
    while (!ended() && !waiting_.empty()) {
      const auto first = waiting_.begin();
      std::vector<Wish>& wishes = first->second;
      const auto kept = wishes.size() - std::min(changes_per_errand, wishes.size());
      const auto begin = wishes.begin() + static_cast<std::ptrdiff_t>(kept);
      std::vector<Wish> some(std::make_move_iterator(begin),
                             std::make_move_iterator(wishes.end()));
      std::unique_ptr<shard::Errand> errand = make_errand(std::move(some));
      const shard::Posted posted = control_.post().send(first->first, errand);
      if (posted == shard::Posted::stopped) return fail_posted(posted);
      if (posted == shard::Posted::busy) {
        std::ranges::move(static_cast<ChangeErrand&>(*errand).take_back(), begin);
        return control_.look_again();
      }
      wishes.resize(kept);
      if (wishes.empty()) waiting_.erase(first);
      ++outstanding_;
    }
    if (!ended() && outstanding_ == 0) finish();
  }

 protected:
  void add(Wish wish) {
    waiting_[home_of(wish.device)].push_back(std::move(wish));
  }

 private:
  std::unique_ptr<shard::Errand> make_errand(std::vector<Wish> wishes) {
    return std::make_unique<ChangeErrand>(
        std::move(wishes), client_.who(),
        [weak = weak_from_this()](const std::vector<Wish>& done,
                                  const std::vector<Outcome>& outcomes, bool ran) {
          const auto self = std::static_pointer_cast<ChangeOp>(weak.lock());
          if (self != nullptr && !self->ended()) self->take(done, outcomes, ran);
        });
  }
  void take(const std::vector<Wish>& wishes, const std::vector<Outcome>& outcomes, bool ran) {
    --outstanding_;
    if (!ran) return fail_posted(shard::Posted::stopped);
    for (std::size_t i = 0; i < wishes.size(); ++i) {
      if (outcomes[i] == Outcome::done) {
        ++done_;
      } else {
        failed_.emplace_back(std::string(wishes[i].device.id()), name_of(outcomes[i]));
      }
    }
    if (outstanding_ == 0 && waiting_.empty()) finish();
  }
  void finish() {
    control_.logs().info("control", {{"action", action()}, {"done", done_},
                                     {"failed", failed_.size()}, {"by", client_.who()}});
    std::string text;
    JsonWriter json(text);
    json.begin_object().key("ok").boolean(true).key("done").unsigned_integer(done_);
    json.key("failed").begin_array();
    for (const auto& [id, why] : failed_) {
      json.begin_object().key(device_plug().devices->id_key()).text(id);
      json.key("why").text(why).end_object();
    }
    json.end_array().end_object();
    end(text);
  }
  virtual std::string_view action() const = 0;

  std::map<ShardIndex, std::vector<Wish>> waiting_;
  std::size_t outstanding_ = 0;
  std::uint64_t done_ = 0;
  std::vector<std::pair<std::string, std::string_view>> failed_;
};

class PutOp final : public ChangeOp {
 public:
  using ChangeOp::ChangeOp;
  void start(const Json& request) override {
    const auto entries = request.find("entries");
    if (entries == request.end() || !entries->is_array() || entries->size() > entries_max) {
      return fail("bad-request", fmt::format("\"entries\" is a list of at most {} registrations",
                                             entries_max));
    }
    for (const Json& entry : *entries) {
      if (!take_entry(entry)) return;
    }
    pump();
  }

 private:
  std::string_view action() const override { return "registry put"; }

  bool take_entry(const Json& entry) {
    const std::string key(device_plug().devices->id_key());
    if (!entry.is_object() || !entry.contains(key) || !entry[key].is_string()) {
      fail("bad-request", fmt::format("a registration is an object with \"{}\"", key));
      return false;
    }
    const auto device = device_plug().devices->parse_device(entry[key].get<std::string>());
    if (!device) {
      fail("bad-request", device.error().message);
      return false;
    }
    state::Registration registration;
    registration.plate = entry.value("plate", std::string());
    registration.terminal_id = entry.value("terminal_id", std::string());
    registration.maker = entry.value("maker", std::string());
    registration.model = entry.value("model", std::string());
    registration.note = entry.value("note", std::string());
    registration.enabled = entry.value("enabled", true);
    const auto colour = entry.value("plate_colour", std::uint64_t{0});
    if (colour > 255) {
      fail("bad-request", "\"plate_colour\" is a number from 0 to 255");
      return false;
    }
    registration.plate_colour = static_cast<std::uint8_t>(colour);
    const std::pair<const std::string*, std::size_t> bounds[] = {
        {&registration.plate, state::text_size_max},
        {&registration.terminal_id, state::text_size_max},
        {&registration.maker, state::text_size_max},
        {&registration.model, state::text_size_max},
        {&registration.note, state::note_size_max}};
    for (const auto& [text, size_max] : bounds) {
      if (text->size() <= size_max) continue;
      fail("bad-request", fmt::format("{}: '{}' is longer than {} bytes", device->id(), *text,
                                      size_max));
      return false;
    }
    add({*device, std::move(registration)});
    return true;
  }
};

class RemoveOp final : public ChangeOp {
 public:
  using ChangeOp::ChangeOp;
  void start(const Json& request) override {
    const auto phones = request.find("phones");
    if (phones == request.end() || !phones->is_array() || phones->size() > entries_max) {
      return fail("bad-request", fmt::format("\"phones\" is a list of at most {} devices",
                                             entries_max));
    }
    for (const Json& phone : *phones) {
      if (!phone.is_string()) return fail("bad-request", "\"phones\" is a list of texts");
      const auto device = device_plug().devices->parse_device(phone.get<std::string>());
      if (!device) return fail("bad-request", device.error().message);
      add({*device, {}});
    }
    pump();
  }

 private:
  std::string_view action() const override { return "registry remove"; }
};

// One device: {"registration": {...}}.
class ShowOp final : public ControlOp {
 public:
  using ControlOp::ControlOp;
  void start(const Json& request) override {
    DeviceKey device;
    if (!read_device(request, device)) return;
    ask_host(
        home_of(device),
        [device](ShardHost& host, ShardAnswer& answer) {
          const auto found = host.store().registration(device);
          answer.done = found.has_value();
          if (found) answer.text = row_of(device.id(), *found);
        },
        [this, id = std::string(device.id())](const ShardAnswer& answer) {
          if (!answer.done) return fail("not-registered", fmt::format("{} is not registered", id));
          end(R"({"ok":true,"registration":)" + answer.text + "}");
        });
  }
};

// All of them, as fast as the client reads.
class ListOp final : public ControlOp {
 public:
  using ControlOp::ControlOp;
  void start(const Json&) override { pump(); }

  void pump() override {
    while (!ended() && !asked_ && client_.has_room()) {
      if (shard_ == control_.post().shards()) {
        return end(fmt::format(R"({{"ok":true,"registrations":{}}})", count_));
      }
      asked_ = true;
      const bool posted = ask_host(
          shard_,
          [cursor = cursor_](ShardHost& host, ShardAnswer& answer) {
            answer.place = host.store().table().list(
                cursor, entries_per_errand, [&](const state::Table::Entry& entry) {
                  if (!entry.registration) return;
                  answer.lines.push_back(row_of(entry.device.id(), *entry.registration));
                });
          },
          [this](const ShardAnswer& answer) {
            asked_ = false;
            count_ += answer.lines.size();
            for (const std::string& row : answer.lines) line(R"({"registration":)" + row + "}");
            cursor_ = answer.place;
            if (cursor_ == 0) ++shard_;
            pump();
          });
      if (!posted) return;
    }
  }

 private:
  ShardIndex shard_ = 0;
  std::uint64_t cursor_ = 0;
  std::uint64_t count_ = 0;
  bool asked_ = false;
};

}  // namespace

std::shared_ptr<ControlOp> make_registry_op(std::string_view name, Control& control,
                                            ControlClient& client) {
  if (name == "registry") return std::make_shared<ShowOp>(control, client);
  if (name == "registry_list") return std::make_shared<ListOp>(control, client);
  if (name == "registry_put") return std::make_shared<PutOp>(control, client);
  if (name == "registry_remove") return std::make_shared<RemoveOp>(control, client);
  return nullptr;
}

}  // namespace ringgate::server
