// Changes of the registry on their way to their devices' shard and back, and its entries as JSON:
// what the control socket and the API do to it.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/json_writer.hpp"
#include "engine/shard/errand.hpp"
#include "storage/state/values.hpp"

namespace ringgate::state {

// What a registration is to become: what is not there stays as it is.
struct RegistrationPatch {
  std::optional<std::string> plate;
  std::optional<std::uint8_t> plate_colour;
  std::optional<std::string> terminal_id;
  std::optional<std::string> maker;
  std::optional<std::string> model;
  std::optional<std::string> note;
  std::optional<bool> enabled;

  RegistrationPatch() = default;
  // Replaces all of it.
  explicit RegistrationPatch(Registration whole);
  void apply(Registration& to) const;
};

// "plate", "plate_colour", "terminal_id", "maker", "model", "note", "enabled" of an object, with
// their types and bounds; other members are the caller's. `whole`: what is missing is what a new
// registration has. Error: names the key and what it wants.
Result<RegistrationPatch> read_registration(const nlohmann::json& object, bool whole);
// The keys of read_registration().
std::span<const std::string_view> registration_keys();

// {"phone": ..., "plate": ..., ...}; `id_key`: DeviceProtocol::id_key().
std::string registration_row(std::string_view id_key, std::string_view id,
                             const RegistrationView& entry);

// One device's change.
struct RegistryWish {
  DeviceKey device;
  std::optional<RegistrationPatch> put;  // nothing: remove
  bool must_exist = false;               // a change of what is there, and not a new one
};

enum class RegistryOutcome : std::uint8_t { done, not_stored, full, unknown };
std::string_view text_of(RegistryOutcome outcome);  // "is not registered"

// Makes changes on one shard, each with an audit record, and comes home when the last one is
// durable. Who may come no longer loses its link where devices must be registered.
class RegistryErrand final : public shard::Errand {
 public:
  // `outcomes`: one for each wish, where it ran.
  using Home = std::function<void(const std::vector<RegistryWish>& wishes,
                                  const std::vector<RegistryOutcome>& outcomes, bool ran)>;
  // Devices that one errand changes: some 100 us on their shard.
  static constexpr std::size_t wishes_max = 64;

  RegistryErrand(std::vector<RegistryWish> wishes, std::string who, Home home)
      : wishes_(std::move(wishes)), who_(std::move(who)), home_(std::move(home)) {}

  void run(shard::ErrandHost& at, shard::ErrandTicket ticket) override;
  void home(bool ran) override { home_(wishes_, outcomes_, ran); }
  // It could not be sent.
  std::vector<RegistryWish> take_back() { return std::move(wishes_); }

 private:
  RegistryOutcome change(class ShardHost& host, const RegistryWish& wish, Position& last);

  std::vector<RegistryWish> wishes_;
  std::string who_;
  Home home_;
  std::vector<RegistryOutcome> outcomes_;
};

}  // namespace ringgate::state
