// The terminals' last state made again from the log at start: does to a device what the session did
// after it had appended the record (storage/event/device_folder.hpp). Two things are not in the log
// and stay as the snapshot has them: that a heartbeat came which was not logged, and the layout of
// 2011 where its registration lies before the snapshot's cursor and the authentication behind it.
//
// One thread.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "protocols/jt808/last_state.hpp"
#include "storage/event/device_folder.hpp"

namespace ringgate::jt808 {

class DeviceFolder final : public event::DeviceFolder {
 public:
  Namespace ns() const override { return Namespace::phone; }
  std::uint16_t layout() const override { return last_state_layout; }
  std::size_t last_state_size() const override { return sizeof(LastState); }
  void next_run() override { registered_2011_.clear(); }
  Sight look(const event::RecordView& record) override;
  void fold(const event::RecordView& record, device::Device& device) override;

 private:
  void fold_frame(const event::RecordView& record, device::Device& device);
  void note_registration(const event::RecordView& record);

  // By link: whether its last registration was of 2011. It counts when its terminal authenticates,
  // and anybody may register: bounded, and begun anew when it is full.
  static constexpr std::size_t registered_max = 65'536;
  std::unordered_map<std::uint64_t, bool> registered_2011_;
};

}  // namespace ringgate::jt808
