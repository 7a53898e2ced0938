// The state of one shard's devices in memory: who is registered, banned, of which key generation,
// and which commands wait. Compact: a registered device takes some 130 bytes with its texts. Knows
// no log; store.hpp does.
//
// Built by the start (any thread) or with the shard, then lives on one shard and is used only
// there.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/base/ids.hpp"
#include "engine/flow/budget.hpp"
#include "storage/state/limits.hpp"
#include "storage/state/values.hpp"

namespace ringgate::state {

class Table {
 public:
  // `budget` is charged for what the table allocates.
  explicit Table(flow::Budget& budget);
  ~Table();
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;
  // From now on this one is charged.
  void charge_to(flow::Budget& budget);

  // Texts are cut to their bounds. False: entries_max devices have something already.
  bool put_registration(const DeviceKey& device, const RegistrationView& registration);
  bool put_ban(const DeviceKey& device, Ban ban);
  bool set_generation(const DeviceKey& device, std::uint32_t generation);
  // Replaces one with the same id.
  bool put_pending(const DeviceKey& device, PendingCommand command);
  // How often a waiting command was tried; where there is none nothing changes.
  void set_tries(const DeviceKey& device, std::uint64_t id, std::uint32_t tries);
  // False: there was none.
  bool remove_registration(const DeviceKey& device);
  bool remove_ban(const DeviceKey& device);
  bool remove_pending(const DeviceKey& device, std::uint64_t id);
  // Forgets bans that are over.
  void forget_bans(WallUs now_us);

  // Nothing, null, 0: there is none. Valid until the next change.
  std::optional<RegistrationView> registration(const DeviceKey& device) const;
  const Ban* ban(const DeviceKey& device) const;
  std::uint32_t generation(const DeviceKey& device) const;
  const std::vector<PendingCommand>* pending(const DeviceKey& device) const;

  std::uint64_t size() const { return used_; }  // devices that have anything
  std::uint64_t registrations() const { return registrations_; }
  std::size_t bans() const { return bans_.size(); }
  std::size_t pending_commands() const { return pending_count_; }
  std::uint64_t memory_bytes() const { return charged_; }

  struct Entry {
    DeviceKey device;
    std::optional<RegistrationView> registration;
    const Ban* ban = nullptr;
    std::uint32_t generation = 0;
    const std::vector<PendingCommand>* pending = nullptr;
  };
  using Visit = std::function<void(const Entry&)>;
  // Looks at `limit` places from `cursor` on (0: the first); next cursor, 0 at the end. An entry
  // that is there from the first call to the last is visited exactly once, whatever changes
  // between.
  std::uint64_t list(std::uint64_t cursor, std::uint32_t limit, const Visit& visit) const;
  // Those of them that are banned; all at once.
  void for_each_ban(const std::function<void(const DeviceKey&, const Ban&)>& visit) const;
  // All commands that wait, in no order; all at once.
  void for_each_pending(
      const std::function<void(const DeviceKey&, const PendingCommand&)>& visit) const;

 private:
  static constexpr std::uint32_t slots_per_chunk = 1024;
  static constexpr std::uint32_t no_slot = ~std::uint32_t{0};
  static constexpr std::size_t texts = 5;  // plate, terminal id, maker, model, note

  // Free where `bytes` is null.
  struct Slot {
    std::unique_ptr<char[]> bytes;  // id, then the texts of its registration
    std::uint16_t generation = 0;
    Namespace ns = Namespace::none;
    std::uint8_t id_size = 0;
    std::uint8_t text_size[texts] = {};
    std::uint8_t plate_colour = 0;
    bool registered : 1 = false;
    bool enabled : 1 = false;
    bool banned : 1 = false;
    bool waits : 1 = false;  // has pending commands

    std::size_t size() const {
      std::size_t all = id_size;
      for (const std::uint8_t one : text_size) all += one;
      return all;
    }
    std::string_view id() const { return {bytes.get(), id_size}; }
    bool empty() const { return !registered && !banned && !waits && generation == 0; }
  };
  static_assert(sizeof(Slot) <= 24);
  struct Place {  // of the index: upper half of the hash, slot + 1
    std::uint32_t tag = 0;
    std::uint32_t slot_plus_1 = 0;
  };

  Slot& at(std::uint32_t slot) { return chunks_[slot / slots_per_chunk][slot % slots_per_chunk]; }
  const Slot& at(std::uint32_t slot) const {
    return chunks_[slot / slots_per_chunk][slot % slots_per_chunk];
  }
  std::uint32_t first_place(std::uint32_t tag) const;
  std::uint32_t probe(const DeviceKey& device) const;
  std::uint32_t find(const DeviceKey& device) const;
  std::uint32_t find_or_add(const DeviceKey& device);
  void drop_if_empty(std::uint32_t slot);
  void erase_place(std::uint32_t place);
  void grow();
  void set_bytes(Slot& slot, std::unique_ptr<char[]> bytes, std::size_t before, std::size_t after);
  void charge(std::uint64_t bytes);
  void release(std::uint64_t bytes);
  DeviceKey key_of(const Slot& slot) const { return {slot.ns, slot.id()}; }
  static RegistrationView view_of(const Slot& slot);

  flow::Budget* budget_;
  std::uint64_t charged_ = 0;
  std::vector<Place> index_;  // open addressing, linear probing, at most half full
  std::vector<std::unique_ptr<Slot[]>> chunks_;
  std::uint32_t slots_ = 0;
  std::vector<std::uint32_t> free_;
  std::uint64_t used_ = 0;
  std::uint64_t registrations_ = 0;
  std::size_t pending_count_ = 0;
  std::unordered_map<std::uint32_t, Ban> bans_;  // by slot
  std::unordered_map<std::uint32_t, std::vector<PendingCommand>> pending_;
};

}  // namespace ringgate::state
