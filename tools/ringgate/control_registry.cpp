// Operations on the registry: the devices that the operator knows. Each change is done once it is
// durable on its device's shard.
#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>

#include "engine/base/json_writer.hpp"
#include "storage/state/registry_errand.hpp"
#include "tools/ringgate/control_client.hpp"
#include "tools/ringgate/control_fields.hpp"
#include "tools/ringgate/plugs.hpp"

namespace ringgate::server {

namespace {

// Entries of one request.
constexpr std::size_t entries_max = 1024;
// Devices that one errand copies: some 100 us on their shard.
constexpr std::uint32_t entries_per_errand = 256;

std::string row_of(std::string_view id, const state::RegistrationView& entry) {
  return state::registration_row(device_plug().devices->id_key(), id, entry);
}

// Sends the changes of a request to their shards and tells what came of them.
class ChangeOp : public ControlOp {
 public:
  using ControlOp::ControlOp;

  void pump() override {
    while (!ended() && !waiting_.empty()) {
      const auto first = waiting_.begin();
      std::vector<state::RegistryWish>& wishes = first->second;
      const auto kept = wishes.size() - std::min(state::RegistryErrand::wishes_max, wishes.size());
      const auto begin = wishes.begin() + static_cast<std::ptrdiff_t>(kept);
      std::vector<state::RegistryWish> some(std::make_move_iterator(begin),
                                            std::make_move_iterator(wishes.end()));
      std::unique_ptr<shard::Errand> errand = make_errand(std::move(some));
      const shard::Posted posted = control_.post().send(first->first, errand);
      if (posted == shard::Posted::stopped) return fail_posted(posted);
      if (posted == shard::Posted::busy) {
        std::ranges::move(static_cast<state::RegistryErrand&>(*errand).take_back(), begin);
        return control_.look_again();
      }
      wishes.resize(kept);
      if (wishes.empty()) waiting_.erase(first);
      ++outstanding_;
    }
    if (!ended() && outstanding_ == 0) finish();
  }

 protected:
  void add(state::RegistryWish wish) {
    waiting_[home_of(wish.device)].push_back(std::move(wish));
  }

 private:
  std::unique_ptr<shard::Errand> make_errand(std::vector<state::RegistryWish> wishes) {
    return std::make_unique<state::RegistryErrand>(
        std::move(wishes), client_.who(),
        [weak = weak_from_this()](const std::vector<state::RegistryWish>& done,
                                  const std::vector<state::RegistryOutcome>& outcomes, bool ran) {
          const auto self = std::static_pointer_cast<ChangeOp>(weak.lock());
          if (self != nullptr && !self->ended()) self->take(done, outcomes, ran);
        });
  }
  void take(const std::vector<state::RegistryWish>& wishes,
            const std::vector<state::RegistryOutcome>& outcomes, bool ran) {
    --outstanding_;
    if (!ran) return fail_posted(shard::Posted::stopped);
    for (std::size_t i = 0; i < wishes.size(); ++i) {
      if (outcomes[i] == state::RegistryOutcome::done) {
        ++done_;
      } else {
        failed_.emplace_back(std::string(wishes[i].device.id()), state::text_of(outcomes[i]));
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

  std::map<ShardIndex, std::vector<state::RegistryWish>> waiting_;
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
    const auto registration = state::read_registration(entry, true);
    if (!registration) {
      fail("bad-request", fmt::format("{}: {}", device->id(), registration.error().message));
      return false;
    }
    add({*device, *registration});
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
