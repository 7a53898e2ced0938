// State records: the JSON of a change, and a change read back (FORMAT.md of this room). Pure
// functions, any thread.
#pragma once

#include <string>
#include <string_view>

#include "storage/event/record_view.hpp"
#include "storage/state/table.hpp"
#include "storage/state/values.hpp"

namespace ringgate::state {

std::string json_of(const RegistrationView& registration);
std::string json_of(const Ban& ban);
std::string json_of_generation(std::uint32_t generation);
std::string json_of(const PendingCommand& command);
std::string json_of_try(std::uint64_t id, std::uint32_t tries);
std::string json_of_end(std::uint64_t id, const PendingEnd& end);

// The text that a JSON string stands for, quotes included in `json`. Halves of surrogate pairs
// become U+FFFD.
std::string text_of_json(std::string_view json);

// Does to the table what the record says. Twice is as once. False: it is no change that is known,
// or its payload is not as it should be; then nothing has changed.
bool apply(const event::RecordView& record, Table& table);

}  // namespace ringgate::state
