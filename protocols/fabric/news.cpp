// Presence: what a node tells the others of its devices, and what it hears of theirs. Every message
// of a node has the next number of its sequence; who misses one asks for the whole list.
#include <fmt/format.h>

#include "engine/base/json_scan.hpp"
#include "engine/base/json_writer.hpp"
#include "protocols/fabric/node.hpp"
#include "storage/sink/nats.hpp"

namespace ringgate::fabric {

namespace {

using Claims = std::vector<std::pair<DeviceKey, std::int64_t>>;

void write_claims(std::string_view key, const Claims& claims, std::size_t from, std::size_t to,
                  JsonWriter& json) {
  json.key(key).begin_array();
  for (std::size_t i = from; i < to; ++i) {
    json.begin_array().text(claims[i].first.id()).integer(claims[i].second).end_array();
  }
  json.end_array();
}

}  // namespace

// `rest`: further members, with a comma in front.
void Node::tell(std::string_view what, std::string_view rest) {
  std::string text;
  JsonWriter json(text);
  json.begin_object();
  json.key("node").text(parts_.node_name);
  json.key("id").text(parts_.node_id);
  json.key("run").unsigned_integer(parts_.run);
  json.key("seq").unsigned_integer(++sequence_);
  json.key("what").text(what);
  text.append(rest).append("}");
  const std::string subject = "ringgate.presence." + sink::subject_token(parts_.node_name);
  // What can't be told now is told with the list of the next connection.
  static_cast<void>(link_->publish(subject.c_str(), nullptr, text));
  told_at_ = mono_now();
}

void Node::on_changes(const Changes& changes) {
  for (const auto& [device, online] : changes) {
    if (online) {
      came_.emplace_back(device, presence_.attached(device, wall_now()));
    } else if (const auto stamp = presence_.detached(device); stamp) {
      went_.emplace_back(device, *stamp);
    }
  }
  // Without a connection nobody listens; the list of the next one tells all.
  if (link_ != nullptr) return;
  came_.clear();
  went_.clear();
}

void Node::tell_changes() {
  const auto tell_all = [this](std::string_view key, const Claims& claims) {
    for (std::size_t from = 0; from < claims.size(); from += limits::devices_per_message) {
      std::string rest = "{";
      JsonWriter json(rest);
      write_claims(key, claims, from,
                   std::min(claims.size(), from + limits::devices_per_message), json);
      rest.front() = ',';
      tell("changes", rest);
    }
  };
  // A device that went and came back in one turn is here; one that came and went is not.
  std::erase_if(came_, [this](const auto& one) {
    const auto ours = presence_.own().find(one.first);
    return ours == presence_.own().end() || ours->second != one.second;
  });
  tell_all("offline", std::exchange(went_, {}));
  tell_all("online", std::exchange(came_, {}));
}

void Node::tell_list() {
  list_due_ = false;
  listed_at_ = mono_now();
  const Claims all(presence_.own().begin(), presence_.own().end());
  std::size_t from = 0;
  do {
    const std::size_t to = std::min(all.size(), from + limits::devices_per_message);
    std::string rest = "{";
    JsonWriter json(rest);
    write_claims("online", all, from, to, json);
    rest.front() = ',';
    if (from == 0) rest += R"(,"first":true)";
    if (to == all.size()) rest += R"(,"last":true)";
    tell("list", rest);
    from = to;
  } while (from < all.size());
}

void Node::on_presence(const sink::NatsMessage& message) {
  // The library's functions recurse as deep as values nest.
  const std::string_view payload = sink::data_of(message);
  if (scan_json_object(payload, "").error != JsonScan::Error::none) return;
  const Json said = Json::parse(payload, nullptr, false);
  const auto text = [&](const char* key) -> std::string {
    const auto found = said.find(key);
    return found != said.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const auto number = [&](const char* key) -> std::uint64_t {
    const auto found = said.find(key);
    return found != said.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
  };
  if (!said.is_object()) return;
  const std::string id = text("id");
  if (id.empty() || id == parts_.node_id) return;
  counters_.presence_messages.add();
  const auto heard = presence_.heard(id, text("node"), number("run"), number("seq"), mono_now());
  if (!heard) return;
  const std::string what = text("what");
  if (heard->fresh) {
    parts_.logs.info("fabric: node", {{"name", text("node")}, {"id", id}});
    if (text("node") == parts_.node_name) {
      parts_.logs.error("fabric: another node has our node.name",
                        {{"name", parts_.node_name}, {"id", id}});
    }
  }
  if (what == "bye") return presence_.left(heard->node);
  if ((heard->fresh && what != "hello") || heard->gap) {
    tell("ask", fmt::format(R"(,"of":"{}")", id));
  }
  if (what == "hello" || (what == "ask" && text("of") == parts_.node_id)) list_due_ = true;
  const auto offline = said.find("offline");
  const auto online = said.find("online");
  if (what == "list" && said.contains("first")) presence_.begin_list(heard->node);
  if (offline != said.end()) on_claims(heard->node, *offline, false);
  if (online != said.end()) on_claims(heard->node, *online, true);
  if (what == "list" && said.contains("last")) presence_.end_list(heard->node);
}

void Node::on_claims(NodeNumber node, const Json& claims, bool online) {
  if (!claims.is_array()) return;
  for (const Json& claim : claims) {
    if (!claim.is_array() || claim.size() != 2 || !claim[0].is_string() ||
        !claim[1].is_number_integer()) {
      continue;
    }
    const auto& device = claim[0].get_ref<const std::string&>();
    if (!DeviceKey::fits(device)) continue;
    const DeviceKey key(parts_.devices.ns(), device);
    const auto again =
        presence_.claim(node, key, online, claim[1].get<std::int64_t>(), wall_now());
    if (again) came_.emplace_back(key, *again);
  }
}

}  // namespace ringgate::fabric
