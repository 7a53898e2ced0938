#include "protocols/api/stream_hub.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "engine/base/json_writer.hpp"

namespace ringgate::api {

namespace {

constexpr MonoNs slow_look_every = 100 * ns_per_ms;
// What an entry of a map costs besides what is in it, and a text on the heap.
constexpr std::uint64_t node_bytes = 64;
constexpr std::uint64_t text_bytes = 16;
constexpr std::string_view retry_line = "retry: 1000\n\n";

void put_event(std::string_view json, std::string_view cursor, std::vector<std::uint8_t>& out) {
  const auto add = [&out](std::string_view text) {
    out.insert(out.end(), text.begin(), text.end());
  };
  if (!cursor.empty()) {
    add("id: ");
    add(cursor);
    add("\n");
  }
  if (!json.empty()) {
    add("data: ");
    add(json);
    add("\n");
  }
  add("\n");
}

void put_frame(Bytes payload, bool deflated, std::vector<std::uint8_t>& out) {
  std::uint8_t head[websocket::frame_head_max];
  const std::size_t size = websocket::write_frame_head(head, websocket::Opcode::text,
                                                       payload.size(), true, deflated);
  out.insert(out.end(), head, head + size);
  out.insert(out.end(), payload.begin(), payload.end());
}

}  // namespace

std::string json_text(std::string_view text) {
  std::string out;
  JsonWriter(out).text(text);
  return out;
}

std::string events_message(std::string_view id_json, std::string_view events,
                           std::uint64_t coalesced, std::string_view cursor) {
  std::string out;
  out.reserve(events.size() + id_json.size() + cursor.size() + 64);
  out.append(R"({"events":[)").append(events).append(R"(],"id":)").append(id_json);
  if (coalesced > 0) out += fmt::format(R"(,"coalesced":{})", coalesced);
  if (!cursor.empty()) out.append(R"(,"cursor":")").append(cursor).append("\"");
  return out += '}';
}

std::string gap_message(std::string_view id_json, std::uint64_t lost_bytes) {
  return fmt::format(R"({{"gap":{{"lost_bytes":{}}},"id":{}}})", lost_bytes, id_json);
}

// Groups ----------------------------------------------------------------------------------------

struct StreamHub::Group {
  enum class Kind : std::uint8_t {
    shared,
    coalescing,  // of a slow client: its own
    keeping,     // of a client that still reads old log: its own
  };
  struct Kept {
    std::string json;  // empty: a newer one has taken its place
    log::StreamId stream;  // of its record,
    Position end = 0;      // which ends there
  };

  Kind kind = Kind::shared;
  std::shared_ptr<const Subscription> wanted;
  std::string key;
  std::string id_json;
  ClientKey owner;  // not of shared ones

  // Shared ones: the batch under way, and whom it goes to, by shard and form.
  std::string events;
  std::uint32_t count = 0;
  MonoNs deadline = 0;  // 0: nothing waits
  bool due = false;
  std::vector<std::vector<ClientRef>> members;
  std::uint32_t member_count = 0;
  std::uint64_t flushes = 0;
  MonoNs told_ns = 0;

  // Others: events in their order, what of the log is before them, and which of them are the newest
  // positions.
  StreamPlace before;
  std::vector<Kept> kept;
  std::size_t empty_kept = 0;
  std::unordered_map<DeviceKey, std::size_t, DeviceHash> newest;
  std::uint64_t kept_bytes = 0;
  std::uint64_t coalesced = 0;
  std::uint64_t counted_bytes = 0;  // of memory_bytes(), in the hub's sums

  std::uint64_t memory_bytes() const {
    return events.capacity() + kept.capacity() * sizeof(Kept) + kept.size() * text_bytes +
           kept_bytes + newest.size() * (sizeof(DeviceKey) + node_bytes);
  }
  // Whether it took the place of an older one.
  bool keep(const DeviceKey& device, bool replaces, Kept one) {
    const std::size_t size = one.json.size();
    bool instead = false;
    if (replaces) {
      const auto [found, first] = newest.try_emplace(device, kept.size());
      if (!first) {
        Kept& older = kept[found->second];
        kept_bytes -= older.json.size();
        older.json = {};
        ++empty_kept;
        ++coalesced;
        instead = true;
        found->second = kept.size();
      }
    }
    kept.push_back(std::move(one));
    kept_bytes += size;
    if (empty_kept > 1024 && empty_kept > kept.size() / 2) squeeze();
    return instead;
  }
  void squeeze() {
    std::vector<std::size_t> moved(kept.size());
    std::size_t to = 0;
    for (std::size_t from = 0; from < kept.size(); ++from) {
      moved[from] = to;
      if (kept[from].json.empty()) continue;
      if (to != from) kept[to] = std::move(kept[from]);
      ++to;
    }
    kept.resize(to);
    empty_kept = 0;
    for (auto& [device, at] : newest) at = moved[at];
  }
};

struct StreamHub::Held {
  enum class Stage : std::uint8_t {
    reading,  // old log
    joining,  // old log up to a place from which on `own` keeps what happens
    live,
  };
  std::shared_ptr<const Subscription> wanted;
  std::string id_json;
  Stage stage = Stage::live;
  Group* group = nullptr;      // that it is a member of, where it is live
  std::unique_ptr<Group> own;  // instead
  std::uint64_t joined_at = 0;  // Group::flushes
  std::uint64_t job = 0;
  StreamPlace until;  // of `joining`
  bool waits = false;  // its reader goes on when the socket has room
  std::uint64_t counted_bytes = 0;  // of its subscription, in the hub's sums
};

struct StreamHub::Client {
  ClientKey key;
  ClientInfo info;
  std::map<std::string, Held> held;
  bool slow = false;
  MonoNs slow_since = 0;
  std::uint64_t messages = 0;
  std::uint64_t coalesced = 0;
  std::uint64_t queued_bytes = 0;
};

StreamHub::StreamHub(const SubscriptionWords& words, const log::NodeId& node, ShardIndex shards,
                     CatchUps& catch_ups, StreamCounters& counters)
    : words_(words), node_(node), shards_(shards), catch_ups_(catch_ups), counters_(counters),
      out_(shards), kept_(shards, 0) {}

StreamHub::~StreamHub() = default;

const std::string& StreamHub::cursor_text() {
  if (cursor_text_.empty()) cursor_text_ = to_text(node_, place_);
  return cursor_text_;
}

// Delivering --------------------------------------------------------------------------------------

void StreamHub::tell(const ClientKey& key, Form form, std::string_view json,
                     std::string_view cursor) {
  Delivery& out = out_[key.shard];
  Delivery::Item item;
  item.offset = static_cast<std::uint32_t>(out.bytes.size());
  if (form == Form::events) {
    put_event(json, cursor, out.bytes);
  } else {
    bool deflated = false;
    Bytes payload = as_bytes(json);
    if (form == Form::deflated && json.size() >= stream_limits::deflate_bytes_min) {
      payload = deflater_.deflate(as_bytes(json));
      deflated = true;
    }
    put_frame(payload, deflated, out.bytes);
  }
  item.size = static_cast<std::uint32_t>(out.bytes.size()) - item.offset;
  item.first_ref = static_cast<std::uint32_t>(out.refs.size());
  item.refs = 1;
  out.refs.push_back(key.ref);
  out.items.push_back(item);
}

void StreamHub::told(Client& client, std::string_view json, std::string_view cursor) {
  ++client.messages;
  tell(client.key, client.info.form, json, cursor);
}

// One message for all members of a group: framed once for each form, copied once for each shard.
void StreamHub::send(const Group& group, std::string_view json, std::string_view cursor) {
  Bytes deflated;
  for (std::size_t at = 0; at < group.members.size(); ++at) {
    const std::vector<ClientRef>& refs = group.members[at];
    if (refs.empty()) continue;
    Delivery& out = out_[at / forms];
    Delivery::Item item;
    item.offset = static_cast<std::uint32_t>(out.bytes.size());
    switch (static_cast<Form>(at % forms)) {
      case Form::plain:
        put_frame(as_bytes(json), false, out.bytes);
        break;
      case Form::deflated:
        if (json.size() < stream_limits::deflate_bytes_min) {
          put_frame(as_bytes(json), false, out.bytes);
          break;
        }
        if (deflated.empty()) deflated = deflater_.deflate(as_bytes(json));
        put_frame(deflated, true, out.bytes);
        break;
      case Form::events:
        put_event(json, cursor, out.bytes);
        break;
    }
    item.size = static_cast<std::uint32_t>(out.bytes.size()) - item.offset;
    item.first_ref = static_cast<std::uint32_t>(out.refs.size());
    item.refs = static_cast<std::uint32_t>(refs.size());
    out.refs.insert(out.refs.end(), refs.begin(), refs.end());
    out.items.push_back(item);
  }
}

void StreamHub::flush(Group& group) {
  if (group.deadline == 0) return;
  deadlines_.erase({group.deadline, &group});
  group.deadline = 0;
  const std::string& cursor = cursor_text();
  const std::string json = events_message(group.id_json, group.events, 0, cursor);
  send(group, json, cursor);
  ++group.flushes;
  group.told_ns = now_;
  counters_.messages.add();
  counters_.events.add(std::uint64_t{group.count} * group.member_count);
  group.events.clear();
  group.count = 0;
}

// The log -----------------------------------------------------------------------------------------

void StreamHub::take(Event& event) {
  index_.find(event.facts(), [&](Group& group) {
    if (group.wanted->wants(event.facts())) take_into(group, event);
  });
}

void StreamHub::take_into(Group& group, Event& event) {
  const std::string_view json = event.json(group.wanted->decode);
  const bool alarm = event.facts().type == EventType::alarm;
  if (group.kind != Group::Kind::shared) {
    const bool replaces = group.kind == Group::Kind::coalescing &&
                          event.facts().type == EventType::position;
    if (group.keep(event.facts().device, replaces,
                   {std::string(json), record_stream_, record_end_})) {
      counters_.coalesced.add();
    }
    recount(group);
    const bool coalescing = group.kind == Group::Kind::coalescing;
    const std::uint64_t most =
        coalescing ? stream_limits::queue_bytes : stream_limits::held_bytes_max;
    if (group.kept_bytes > most) over_.push_back(group.owner);
    return;
  }
  if (group.deadline == 0) {
    const MonoNs latest = now_ + group.wanted->batch_delay_ns;
    constexpr MonoNs grain = stream_limits::batch_grain;
    group.deadline = std::max<MonoNs>(latest / grain * grain, 1);
    deadlines_.insert({group.deadline, &group});
  } else {
    group.events += ',';
  }
  group.events += json;
  recount(group);
  ++group.count;
  const bool full = group.count >= group.wanted->batch_max ||
                    group.events.size() >= stream_limits::batch_bytes_max;
  if ((alarm || full) && !group.due) {
    group.due = true;
    due_.push_back(&group);
  }
}

// Batches end between records, so that a cursor names a whole number of them.
void StreamHub::record_done() {
  place_.pass(record_stream_, record_end_);
  cursor_text_.clear();
  for (Group* group : due_) {
    group->due = false;
    flush(*group);
  }
  due_.clear();
  for (const ClientKey& key : std::exchange(over_, {})) {
    Client* const client = find(key);
    if (client != nullptr) relieve(*client);
  }
}

// Some group of its own is too large. Old log that is still being read is read on; what was live is
// lost to it.
void StreamHub::relieve(Client& client) {
  bool too_slow = false;
  for (auto& [id, held] : client.held) {
    if (held.own == nullptr) continue;
    if (held.stage == Held::Stage::live) {
      too_slow |= held.own->kept_bytes > stream_limits::queue_bytes;
    } else if (held.own->kept_bytes > stream_limits::held_bytes_max) {
      end_own(held);
      held.stage = Held::Stage::reading;
    }
  }
  if (too_slow) drop_slow(client);
}

void StreamHub::lost(std::uint64_t bytes) {
  counters_.lost_bytes.add(bytes);
  for (const auto& [key, group] : groups_) {
    flush(*group);
    send(*group, gap_message(group->id_json, bytes), {});
  }
  for (const auto& [number, client] : clients_) {
    for (auto& [id, held] : client->held) {
      if (held.own == nullptr) continue;
      // What was kept was before it, and goes out before it.
      if (held.stage == Held::Stage::live) flush_own(*client, held);
      told(*client, gap_message(held.id_json, bytes));
    }
  }
}

// Time --------------------------------------------------------------------------------------------

MonoNs StreamHub::next_ns() const {
  MonoNs next = std::numeric_limits<MonoNs>::max();
  if (!deadlines_.empty()) next = deadlines_.begin()->first;
  if (!slow_.empty()) next = std::min(next, next_look_);
  if (!groups_.empty()) next = std::min(next, next_cursors_);
  return next;
}

void StreamHub::tick(MonoNs now) {
  now_ = now;
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    flush(*deadlines_.begin()->second);
  }
  if (now >= next_look_) {
    next_look_ = now + slow_look_every;
    look_at_slow();
  }
  if (now >= next_cursors_) {
    next_cursors_ = now + ns_per_s;
    tell_cursors();
  }
}

void StreamHub::look_at_slow() {
  std::erase_if(slow_, [this](const ClientKey& key) {
    const Client* const client = find(key);
    return client == nullptr || !client->slow;
  });
  const std::vector<ClientKey> keys = slow_;
  for (const ClientKey& key : keys) {
    Client* const client = find(key);
    if (now_ - client->slow_since >= stream_limits::slow_patience) drop_slow(*client);
  }
}

// So that whoever seldom gets anything need not read days of log to find out that there is nothing;
// and so that proxies see that a stream lives.
void StreamHub::tell_cursors() {
  for (const auto& [key, group] : groups_) {
    if (group->deadline != 0 || now_ - group->told_ns < stream_limits::cursor_every) continue;
    group->told_ns = now_;
    const std::string& cursor = cursor_text();
    send(*group, fmt::format(R"({{"cursor":"{}","id":{}}})", cursor, group->id_json), cursor);
    ++group->flushes;
  }
}

// Membership --------------------------------------------------------------------------------------

// What waits in the group is not for the new member: it goes out first.
void StreamHub::join(Client& client, Held& held) {
  const std::string key = held.wanted->key();
  std::unique_ptr<Group>& group = groups_[key];
  if (group == nullptr) {
    group = std::make_unique<Group>();
    group->wanted = held.wanted;
    group->key = key;
    group->id_json = held.id_json;
    group->members.resize(std::size_t{shards_} * forms);
    group->told_ns = now_;
    index_.add(*group, *group->wanted);
  } else {
    flush(*group);
  }
  const std::size_t at = client.key.shard * forms + static_cast<std::size_t>(client.info.form);
  group->members[at].push_back(client.key.ref);
  ++group->member_count;
  held.group = group.get();
  held.joined_at = group->flushes;
  held.stage = Held::Stage::live;
  counters_.groups.set(static_cast<std::int64_t>(groups_.size()));
}

void StreamHub::leave(Client& client, Held& held) {
  Group* const group = std::exchange(held.group, nullptr);
  if (group == nullptr) return;
  flush(*group);
  client.messages += group->flushes - held.joined_at;
  const std::size_t at = client.key.shard * forms + static_cast<std::size_t>(client.info.form);
  std::vector<ClientRef>& refs = group->members[at];
  const auto found = std::ranges::find(refs, client.key.ref);
  RG_CHECK(found != refs.end());
  *found = refs.back();
  refs.pop_back();
  if (--group->member_count > 0) return;
  if (group->due) std::erase(due_, group);
  index_.remove(*group, *group->wanted);
  kept_shared_ -= group->counted_bytes;
  groups_.erase(std::string(group->key));
  counters_.groups.set(static_cast<std::int64_t>(groups_.size()));
}

void StreamHub::make_own(Client& client, Held& held, bool coalesces) {
  RG_CHECK(held.own == nullptr);
  held.own = std::make_unique<Group>();
  held.own->kind = coalesces ? Group::Kind::coalescing : Group::Kind::keeping;
  held.own->wanted = held.wanted;
  held.own->id_json = held.id_json;
  held.own->owner = client.key;
  held.own->before = place_;
  index_.add(*held.own, *held.wanted);
}

void StreamHub::end_own(Held& held) {
  if (held.own == nullptr) return;
  index_.remove(*held.own, *held.wanted);
  kept_[held.own->owner.shard] -= held.own->counted_bytes;
  held.own.reset();
}

void StreamHub::flush_own(Client& client, Held& held) {
  Group& own = *held.own;
  std::erase_if(own.kept, [](const Group::Kept& one) { return one.json.empty(); });
  std::string events;
  std::uint32_t count = 0;
  for (std::size_t i = 0; i < own.kept.size(); ++i) {
    const Group::Kept& one = own.kept[i];
    if (count++ > 0) events += ',';
    events += one.json;
    own.before.pass(one.stream, one.end);
    const bool last = i + 1 == own.kept.size();
    // A message ends between records, so that its cursor names a whole number of them.
    const bool more_of_it = !last && own.kept[i + 1].end == one.end &&
                            own.kept[i + 1].stream == one.stream;
    const bool full = count >= held.wanted->batch_max ||
                      events.size() >= stream_limits::batch_bytes_max;
    if (!last && (!full || more_of_it)) continue;
    const std::string cursor = last ? cursor_text() : to_text(node_, own.before);
    told(client, events_message(held.id_json, events, last ? own.coalesced : 0, cursor), cursor);
    counters_.messages.add();
    counters_.events.add(count);
    events.clear();
    count = 0;
  }
  own.before = place_;
  client.coalesced += own.coalesced;
  own.kept.clear();
  own.newest.clear();
  own.empty_kept = 0;
  own.kept_bytes = 0;
  own.coalesced = 0;
  recount(own);
}

void StreamHub::go_live(Client& client, Held& held) {
  held.stage = Held::Stage::live;
  if (client.slow) {
    make_own(client, held, true);
  } else {
    join(client, held);
  }
}

void StreamHub::slow(const ClientKey& key, std::uint32_t queued_bytes) {
  Client* const client = find(key);
  if (client == nullptr) return;
  client->queued_bytes = queued_bytes;
  if (client->slow) return;
  client->slow = true;
  client->slow_since = now_;
  slow_.push_back(key);
  for (auto& [id, held] : client->held) {
    if (held.group == nullptr) continue;
    leave(*client, held);
    make_own(*client, held, true);
  }
}

void StreamHub::room(const ClientKey& key) {
  Client* const client = find(key);
  if (client == nullptr || !client->slow) return;
  client->slow = false;
  client->queued_bytes = 0;
  for (auto& [id, held] : client->held) {
    if (held.stage == Held::Stage::live) {
      flush_own(*client, held);
      end_own(held);
      join(*client, held);
    } else if (held.waits) {
      held.waits = false;
      catch_ups_.go_on(held.job, bound_of(held));
    }
  }
}

// Old log -----------------------------------------------------------------------------------------

// How far its reader may read.
const StreamPlace& StreamHub::bound_of(const Held& held) const {
  return held.stage == Held::Stage::joining ? held.until : place_;
}

bool StreamHub::start_of(const Subscription& wanted, CatchUps::Start& start,
                         std::string& wrong) const {
  const std::string own = log::to_text(node_);
  std::string_view text = wanted.from;
  if (text.find('/') == std::string_view::npos) {
    auto place = place_from_text(text, node_);
    if (!place) {
      wrong = place.error().message;
      return false;
    }
    start.place = std::move(*place);
    return true;
  }
  // A record's id says where its stream was read to, and nothing of others.
  if (!text.starts_with(own) || text.size() <= own.size() || text[own.size()] != '/') {
    wrong = "from is the id of another node's record";
    return false;
  }
  const auto read = log::cursor_from_text(
      fmt::format("{} <0 {}", own, text.substr(own.size() + 1)));
  if (!read || read->cursor.positions().size() != 1) {
    wrong = "from is neither a cursor nor the id of a record";
    return false;
  }
  if (shards_ > 1) {
    wrong = "this gateway has several shards: go on from a cursor, which names a place in each";
    return false;
  }
  const auto& [stream, position] = *read->cursor.positions().begin();
  start.place.pass(stream, position);
  start.skips_first = true;
  return true;
}

void StreamHub::caught_up(const CaughtUp& chunk) {
  const auto job = jobs_.find(chunk.job);
  if (job == jobs_.end()) return;  // cancelled
  const auto [key, id] = job->second;
  Client* const client = find(key);
  RG_CHECK(client != nullptr);
  Held& held = client->held.at(id);
  for (std::size_t i = 0; i < chunk.messages.size(); ++i) {
    told(*client, chunk.messages[i], chunk.cursors[i]);
  }
  counters_.events.add(chunk.events);
  if (!chunk.error.empty()) {
    told(*client, fmt::format(R"({{"error":{{"id":{},"detail":{}}}}})", held.id_json,
                              json_text(chunk.error)));
    return unsubscribe(*client, id);
  }
  if (chunk.done && held.stage == Held::Stage::joining) {
    jobs_.erase(job);
    catch_ups_.cancel(std::exchange(held.job, 0));
    flush_own(*client, held);
    end_own(held);
    const std::string& cursor = cursor_text();
    told(*client, fmt::format(R"({{"live":{{"id":{},"cursor":"{}"}}}})", held.id_json, cursor),
         cursor);
    return go_live(*client, held);
  }
  if (chunk.done && held.stage == Held::Stage::reading) {
    held.stage = Held::Stage::joining;
    held.until = place_;
    make_own(*client, held, false);
  }
  if (chunk.messages.empty()) {
    catch_ups_.go_on(held.job, bound_of(held));
  } else {
    out_[key.shard].jobs.push_back(chunk.job);
  }
}

void StreamHub::arrived(const std::vector<std::uint64_t>& jobs) {
  for (const std::uint64_t number : jobs) {
    const auto job = jobs_.find(number);
    if (job == jobs_.end()) continue;
    Client* const client = find(job->second.first);
    Held& held = client->held.at(job->second.second);
    held.waits = client->slow;
    if (!held.waits) catch_ups_.go_on(number, bound_of(held));
  }
}

// Clients -----------------------------------------------------------------------------------------

StreamHub::Client* StreamHub::find(const ClientKey& key) {
  const auto found = clients_.find(number_of(key));
  return found != clients_.end() && found->second->key == key ? found->second.get() : nullptr;
}

void StreamHub::open(const ClientKey& key, const ClientInfo& info, MonoNs now) {
  now_ = std::max(now_, now);
  std::unique_ptr<Client>& client = clients_[number_of(key)];
  RG_CHECK(client == nullptr);  // its shard has said that the one before is gone
  client = std::make_unique<Client>();
  client->key = key;
  client->info = info;
  counters_.clients.add();
}

void StreamHub::open_events(const ClientKey& key, const ClientInfo& info, std::string_view query,
                            std::string_view last_id, MonoNs now) {
  auto wanted = subscription_from_query(query, words_);
  if (!wanted) return refuse_events(key, 400, wanted.error().message);
  if (!last_id.empty()) wanted->from = last_id;
  CatchUps::Start start;
  std::string wrong;
  if (!wanted->from.empty() && !start_of(*wanted, start, wrong)) {
    return refuse_events(key, 400, wrong);
  }
  open(key, info, now);
  begin_events(key);
  subscribe(*find(key), std::move(*wanted));
}

void StreamHub::begin_events(const ClientKey& key) {
  Delivery& out = out_[key.shard];
  Delivery::Item item;
  item.what = Delivery::What::begin;
  item.offset = static_cast<std::uint32_t>(out.bytes.size());
  out.bytes.insert(out.bytes.end(), retry_line.begin(), retry_line.end());
  item.size = static_cast<std::uint32_t>(retry_line.size());
  item.first_ref = static_cast<std::uint32_t>(out.refs.size());
  item.refs = 1;
  out.refs.push_back(key.ref);
  out.items.push_back(item);
}

void StreamHub::refuse_events(const ClientKey& key, std::uint16_t status,
                              std::string_view detail) {
  Delivery& out = out_[key.shard];
  Delivery::Item item;
  item.what = Delivery::What::refuse;
  item.status = status;
  item.offset = static_cast<std::uint32_t>(out.bytes.size());
  out.bytes.insert(out.bytes.end(), detail.begin(), detail.end());
  item.size = static_cast<std::uint32_t>(detail.size());
  item.first_ref = static_cast<std::uint32_t>(out.refs.size());
  item.refs = 1;
  out.refs.push_back(key.ref);
  out.items.push_back(item);
}

void StreamHub::close(const ClientKey& key, websocket::CloseCode code, std::string_view why) {
  Delivery& out = out_[key.shard];
  Delivery::Item item;
  item.what = Delivery::What::close;
  item.code = code;
  item.offset = static_cast<std::uint32_t>(out.bytes.size());
  out.bytes.insert(out.bytes.end(), why.begin(), why.end());
  item.size = static_cast<std::uint32_t>(why.size());
  item.first_ref = static_cast<std::uint32_t>(out.refs.size());
  item.refs = 1;
  out.refs.push_back(key.ref);
  out.items.push_back(item);
}

void StreamHub::end_events(const ClientKey& key) {
  close(key, websocket::CloseCode::normal, {});
}

void StreamHub::said(const ClientKey& key, std::string_view message) {
  Client* const client = find(key);
  if (client == nullptr) return;
  auto request = parse_stream_request(message, words_);
  if (!request) {
    const RequestError& error = request.error();
    std::string id;
    if (!error.id.empty()) id = fmt::format(R"("id":{},)", json_text(error.id));
    return told(*client, fmt::format(R"({{"error":{{{}"detail":{}}}}})", id,
                                     json_text(error.detail)));
  }
  if (request->what == StreamRequest::What::subscribe) {
    return subscribe(*client, std::move(request->subscription));
  }
  const std::string& id = request->subscription.id;
  unsubscribe(*client, id);
  told(*client, fmt::format(R"({{"unsubscribed":{{"id":{}}}}})", json_text(id)));
}

void StreamHub::subscribe(Client& client, Subscription wanted) {
  const std::string id_json = json_text(wanted.id);
  const auto fail = [&](std::string_view detail) {
    told(client, fmt::format(R"({{"error":{{"id":{},"detail":{}}}}})", id_json,
                             json_text(detail)));
  };
  CatchUps::Start start;
  std::string wrong;
  if (!wanted.from.empty() && !start_of(wanted, start, wrong)) return fail(wrong);
  unsubscribe(client, wanted.id);
  if (client.held.size() >= stream_limits::subscriptions_max) {
    return fail(fmt::format("at most {} subscriptions", stream_limits::subscriptions_max));
  }
  const std::string id = wanted.id;
  Held& held = client.held[id];
  held.wanted = std::make_shared<const Subscription>(std::move(wanted));
  held.id_json = id_json;
  held.counted_bytes = sizeof(Held) + node_bytes + held.wanted->memory_bytes();
  kept_[client.key.shard] += held.counted_bytes;
  const bool old = !held.wanted->from.empty();
  const std::string cursor = old && !start.skips_first ? to_text(node_, start.place)
                             : old                     ? std::string()
                                                       : cursor_text();
  told(client,
       cursor.empty()
           ? fmt::format(R"({{"subscribed":{{"id":{}}}}})", id_json)
           : fmt::format(R"({{"subscribed":{{"id":{},"cursor":"{}"}}}})", id_json, cursor),
       cursor);
  if (!old) return go_live(client, held);
  held.stage = Held::Stage::reading;
  held.job = next_job_++;
  jobs_[held.job] = {client.key, id};
  counters_.catch_ups.add();
  catch_ups_.begin(held.job, held.wanted, start, place_);
}

void StreamHub::unsubscribe(Client& client, const std::string& id) {
  const auto found = client.held.find(id);
  if (found == client.held.end()) return;
  Held& held = found->second;
  if (held.job != 0) {
    jobs_.erase(held.job);
    catch_ups_.cancel(held.job);
  }
  leave(client, held);
  end_own(held);
  kept_[client.key.shard] -= held.counted_bytes;
  client.held.erase(found);
}

void StreamHub::end(Client& client) {
  while (!client.held.empty()) unsubscribe(client, client.held.begin()->first);
  counters_.clients.sub();
  clients_.erase(number_of(client.key));
}

void StreamHub::gone(const ClientKey& key, std::string_view why, WallUs at_us) {
  Client* const client = find(key);
  if (client == nullptr) return;
  remember(*client, why, at_us);
  end(*client);
}

// Told, closed, and no longer served; its shard says when it has gone.
void StreamHub::drop_slow(Client& client) {
  const ClientKey key = client.key;
  std::uint64_t bytes = client.queued_bytes;
  for (const auto& [id, held] : client.held) {
    if (held.own != nullptr) bytes += held.own->kept_bytes;
  }
  client.queued_bytes = bytes;
  told(client, fmt::format(R"({{"slow":{{"queued_bytes":{},"seconds":{}}}}})", bytes,
                           (now_ - client.slow_since) / ns_per_s));
  close(key, websocket::CloseCode::try_again, ended_slow);
  while (!client.held.empty()) unsubscribe(client, client.held.begin()->first);
  client.slow = false;
}

// What is kept ------------------------------------------------------------------------------------

void StreamHub::recount(Group& group) {
  const std::uint64_t now = group.memory_bytes();
  const bool shared = group.kind == Group::Kind::shared;
  std::uint64_t& sum = shared ? kept_shared_ : kept_[group.owner.shard];
  sum = sum - group.counted_bytes + now;
  group.counted_bytes = now;
}

std::uint64_t StreamHub::kept_bytes(ShardIndex shard) const {
  const std::uint64_t windows =
      std::min<std::uint64_t>(jobs_.size(), stream_limits::catch_ups_max) *
      stream_limits::catch_up_window_bytes;
  return kept_[shard] + out_[shard].memory_bytes() + (kept_shared_ + windows) / shards_;
}

// Who there is ------------------------------------------------------------------------------------

std::uint64_t StreamHub::messages_of(const Client& client) const {
  std::uint64_t messages = client.messages;
  for (const auto& [id, held] : client.held) {
    if (held.group != nullptr) messages += held.group->flushes - held.joined_at;
  }
  return messages;
}

Consumer StreamHub::shown(const Client& client, WallUs) const {
  Consumer out;
  out.kind = client.info.form == Form::events ? "events" : "websocket";
  out.who = client.info.who;
  out.address = client.info.address;
  out.since_us = client.info.since_us;
  out.subscriptions = static_cast<std::uint32_t>(client.held.size());
  out.messages = messages_of(client);
  out.coalesced = client.coalesced;
  out.queued_bytes = client.queued_bytes;
  out.state = client.slow ? "coalescing" : "live";
  for (const auto& [id, held] : client.held) {
    if (held.own != nullptr) {
      out.queued_bytes += held.own->kept_bytes;
      out.coalesced += held.own->coalesced;
    }
    if (held.stage != Held::Stage::live) out.state = "catching-up";
  }
  if (client.slow) out.lag_us = static_cast<std::uint64_t>((now_ - client.slow_since) / ns_per_us);
  return out;
}

void StreamHub::remember(Client& client, std::string_view why, WallUs at_us) {
  Consumer one = shown(client, at_us);
  one.state = "closed";
  one.why = why;
  one.ended_us = at_us;
  ended_.push_front(std::move(one));
  if (ended_.size() > stream_limits::ended_kept) ended_.pop_back();
}

std::vector<Consumer> StreamHub::consumers(WallUs now_us) const {
  std::vector<Consumer> out;
  for (const auto& [number, client] : clients_) out.push_back(shown(*client, now_us));
  std::ranges::sort(out, std::greater<>(), &Consumer::queued_bytes);
  out.insert(out.end(), ended_.begin(), ended_.end());
  return out;
}

}  // namespace ringgate::api
