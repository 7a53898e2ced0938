#include "storage/state/registry_errand.hpp"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "storage/state/shard_host.hpp"

namespace ringgate::state {

namespace {

using Json = nlohmann::json;

struct TextMember {
  std::string_view key;
  std::optional<std::string> RegistrationPatch::*patch;
  std::string Registration::*whole;
  std::size_t size_max;
};
constexpr TextMember text_members[] = {
    {"plate", &RegistrationPatch::plate, &Registration::plate, text_size_max},
    {"terminal_id", &RegistrationPatch::terminal_id, &Registration::terminal_id, text_size_max},
    {"maker", &RegistrationPatch::maker, &Registration::maker, text_size_max},
    {"model", &RegistrationPatch::model, &Registration::model, text_size_max},
    {"note", &RegistrationPatch::note, &Registration::note, note_size_max},
};

// Empty: all is well.
std::string read_text(const Json& object, const TextMember& member, RegistrationPatch& out) {
  const auto found = object.find(member.key);
  if (found == object.end()) return {};
  if (!found->is_string()) return fmt::format("{}: wants a text in quotes", member.key);
  const auto& text = found->get_ref<const std::string&>();
  if (text.size() > member.size_max) {
    return fmt::format("{}: is longer than {} bytes", member.key, member.size_max);
  }
  out.*member.patch = text;
  return {};
}

}  // namespace

RegistrationPatch::RegistrationPatch(Registration whole)
    : plate_colour(whole.plate_colour), enabled(whole.enabled) {
  for (const TextMember& member : text_members) {
    this->*member.patch = std::move(whole.*member.whole);
  }
}

void RegistrationPatch::apply(Registration& to) const {
  for (const TextMember& member : text_members) {
    if (this->*member.patch) to.*member.whole = *(this->*member.patch);
  }
  if (plate_colour) to.plate_colour = *plate_colour;
  if (enabled) to.enabled = *enabled;
}

Result<RegistrationPatch> read_registration(const Json& object, bool whole) {
  RegistrationPatch out;
  if (whole) out = RegistrationPatch(Registration{});
  for (const TextMember& member : text_members) {
    if (auto wrong = read_text(object, member, out); !wrong.empty()) return Error{0, wrong};
  }
  if (const auto colour = object.find("plate_colour"); colour != object.end()) {
    if (!colour->is_number_unsigned() || colour->get<std::uint64_t>() > 255) {
      return Error{0, "plate_colour: wants a whole number from 0 to 255"};
    }
    out.plate_colour = static_cast<std::uint8_t>(colour->get<std::uint64_t>());
  }
  if (const auto enabled = object.find("enabled"); enabled != object.end()) {
    if (!enabled->is_boolean()) return Error{0, "enabled: wants true or false"};
    out.enabled = enabled->get<bool>();
  }
  return out;
}

std::span<const std::string_view> registration_keys() {
  static constexpr std::string_view keys[] = {"plate", "plate_colour", "terminal_id", "maker",
                                              "model", "note",         "enabled"};
  return keys;
}

std::string registration_row(std::string_view id_key, std::string_view id,
                             const RegistrationView& entry) {
  std::string text;
  JsonWriter json(text);
  json.begin_object();
  json.key(id_key).text(id);
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

std::string_view text_of(RegistryOutcome outcome) {
  constexpr std::string_view names[] = {"done", "not stored: the log takes nothing now",
                                        "not stored: too many devices are known",
                                        "is not registered"};
  return names[static_cast<std::size_t>(outcome)];
}

void RegistryErrand::run(shard::ErrandHost& at, shard::ErrandTicket ticket) {
  ShardHost& host = ShardHost::of(at);
  Position last = 0;
  for (const RegistryWish& wish : wishes_) outcomes_.push_back(change(host, wish, last));
  if (last == 0) return ticket.done();
  // The ticket is shared only because a function must be able to be copied.
  auto kept = std::make_shared<shard::ErrandTicket>(std::move(ticket));
  host.waits().wait(last, [kept] { kept->done(); });
}

RegistryOutcome RegistryErrand::change(ShardHost& host, const RegistryWish& wish,
                                       Position& last) {
  Store& store = host.store();
  const auto known = store.registration(wish.device);
  if (!known && (!wish.put || wish.must_exist)) return RegistryOutcome::unknown;
  Registration next;
  if (wish.put) {
    if (known) next = Registration(*known);
    wish.put->apply(next);
    if (known && *known == next.view()) return RegistryOutcome::done;
  }
  const Position position = wish.put ? store.put_registration(wish.device, next.view())
                                     : store.remove_registration(wish.device);
  if (position == 0) {
    return store.is_full() ? RegistryOutcome::full : RegistryOutcome::not_stored;
  }
  event::DeviceGate* const gate = host.find(wish.device.ns);
  if (gate != nullptr) {
    gate->audit(wish.device, wish.put ? "registry put" : "registry remove", {who_, {}});
  }
  last = host.appended();
  // Whoever may come no longer must not stay either.
  const bool out = !wish.put || !next.enabled;
  if (out && gate != nullptr && gate->wants_registration()) {
    gate->kick(wish.device, {who_, wish.put ? "registration disabled" : "registration removed"});
  }
  return RegistryOutcome::done;
}

}  // namespace ringgate::state
