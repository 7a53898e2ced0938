// Commands that come by HTTP, between their routes: what a body says, what an entry of the store
// looks like, and which status an outcome has. Plane thread only.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "protocols/api/body.hpp"
#include "protocols/api/command_store.hpp"
#include "protocols/api/plane.hpp"
#include "storage/state/send_errand.hpp"

namespace ringgate::api {

// {"message", "fields" | "body_hex", "answer", "answer_has_serial", "when_online", "expires"},
// ready to be sent, with all the patience there is. What else a body may have, the caller has asked
// `members` for before. Error: names the key.
Result<state::Command> read_command(const event::DeviceProtocol& devices, Members& members,
                                    std::string by);

// The JSON object of an entry; of one to many devices without its outcomes.
std::string command_json(const CommandEntry& entry, const Plane& plane);
// The status of an answer that waited for this outcome: 200, or what kind of failure it is.
std::uint16_t status_of(const CommandEntry& entry);
// Answers with the entry as it is: 200 or 202 (it goes on) with its object, or a problem that has
// it as "command". Location says where it can be asked for.
void answer_command(const CallPtr& call, const CommandEntry& entry, const Plane& plane,
                    bool repeated);

// The parameter "wait" ("5s"); 0 where it is not there. Answers 400 and gives nothing where it is
// something else.
std::optional<MonoNs> read_wait(const CallPtr& call);

// Idempotency-Key of a request, and what else makes it the same one.
struct RepeatKey {
  std::string scope;  // empty: it has none
  std::uint64_t body_hash = 0;
};
// Answers where the key is none, or was used with another body (422); then nothing.
std::optional<RepeatKey> read_repeat_key(Plane& plane, const CallPtr& call);
// The entry that an earlier request with this key made. Null: none.
CommandEntry* find_repeated(Plane& plane, const RepeatKey& key);

// Answers when the entry has ended, or after `wait` as it is then.
void answer_later(Plane& plane, const CallPtr& call, CommandEntry& entry, MonoNs wait,
                  bool repeated);

// A request that is repeated with it is the same command.
inline constexpr Parameter repeat_parameter{
    .name = "Idempotency-Key",
    .in = Parameter::In::header,
    .doc = "Any text: the same request again, with the same key, is the same command."};

}  // namespace ringgate::api
