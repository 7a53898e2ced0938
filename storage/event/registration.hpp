// What an operator says of a device that may come: an entry of the registry (storage/state keeps
// it). Plain values, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ringgate::event {

// Texts are UTF-8; storage/state/limits.hpp bounds them. Views live as long as whose they are.
struct RegistrationView {
  std::string_view plate;
  std::uint8_t plate_colour = 0;  // JT/T 697.7; 0: none given
  std::string_view terminal_id;   // empty: any
  std::string_view maker;
  std::string_view model;
  std::string_view note;  // the operator's own
  bool enabled = true;

  friend bool operator==(const RegistrationView&, const RegistrationView&) = default;
};

// The same with texts of its own.
struct Registration {
  std::string plate;
  std::uint8_t plate_colour = 0;
  std::string terminal_id;
  std::string maker;
  std::string model;
  std::string note;
  bool enabled = true;

  Registration() = default;
  explicit Registration(const RegistrationView& from)
      : plate(from.plate), plate_colour(from.plate_colour), terminal_id(from.terminal_id),
        maker(from.maker), model(from.model), note(from.note), enabled(from.enabled) {}
  RegistrationView view() const {
    return {plate, plate_colour, terminal_id, maker, model, note, enabled};
  }
};

}  // namespace ringgate::event
