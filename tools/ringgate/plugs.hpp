// The protocols of this gateway, one entry each: what a new protocol adds to the executable.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "engine/device/device_table.hpp"
#include "engine/net/links.hpp"
#include "engine/observe/logger.hpp"
#include "protocols/api/front.hpp"
#include "protocols/api/keys.hpp"
#include "protocols/api/plane.hpp"
#include "protocols/api/stream_room.hpp"
#include "protocols/http/limits.hpp"
#include "protocols/jsonl/session.hpp"
#include "protocols/jt808/attachment/server.hpp"
#include "protocols/jt808/authenticator.hpp"
#include "protocols/jt808/catalog.hpp"
#include "protocols/jt808/device_folder.hpp"
#include "protocols/jt808/gate.hpp"
#include "protocols/jt808/keys.hpp"
#include "protocols/jt808/prepared.hpp"
#include "protocols/jt808/session.hpp"
#include "storage/blob/store.hpp"
#include "storage/log/writer.hpp"
#include "storage/state/store.hpp"

namespace ringgate::server {

// What a session of one shard may use.
struct PlugParts {
  const config::Settings& settings;
  net::Links& links;
  log::Writer& log;
  device::DeviceTable& devices;
  state::Store& state;
  blob::Uploads& uploads;
  const jt808::Authenticator& authenticator;
  jt808::Expectations& expectations;
  api::Plane& plane;
  api::Feed& feed;
  websocket::Session& sockets;
  observe::CounterGroup& counters;
  observe::LogSource& logs;
};

struct Plug {
  std::string_view section;  // of the configuration; has RG_LISTENER_KEYS
  std::span<const config::KeySpec> keys;
  std::string_view beyond_loopback;  // a warning where it listens there; empty: none
  std::unique_ptr<net::Protocol> (*make)(const PlugParts& parts);  // on the shard's thread
  // Control of its devices; null: a control plane has nothing to do with this protocol.
  std::unique_ptr<event::DeviceGate> (*make_gate)(net::Protocol& made, const PlugParts& parts);
  const event::DeviceProtocol* devices = nullptr;
  const event::MessageCatalog* catalog = nullptr;
  // Reads the last state of its devices from the log; null: it keeps none.
  std::unique_ptr<event::DeviceFolder> (*make_folder)() = nullptr;
  bool datagrams = false;  // also over UDP; then it has RG_DATAGRAM_KEY
  // A peer that takes nothing for so long, or for the idle time-out, is gone; 0: as TCP has it.
  std::int64_t stalled_ms = 0;
};

inline const jt808::DeviceProtocol jt808_devices;
inline const jt808::Catalog jt808_catalog;

inline const Plug plugs[] = {
    {"jt808", jt808::keys, "jt808.admission is \"open\": whoever reaches the port may register",
     [](const PlugParts& p) -> std::unique_ptr<net::Protocol> {
       auto session = std::make_unique<jt808::Session>(p.links, p.log, p.devices, p.authenticator,
                                                       p.counters, p.logs,
                                                       jt808::session_options(p.settings));
       session->use_state(p.state);
       session->use_uploads(p.uploads);
       session->commands().use_expectations(p.expectations);
       return session;
     },
     [](net::Protocol& made, const PlugParts& p) -> std::unique_ptr<event::DeviceGate> {
       return std::make_unique<jt808::Gate>(static_cast<jt808::Session&>(made), p.links, p.log,
                                            p.devices, p.logs);
     },
     &jt808_devices, &jt808_catalog,
     []() -> std::unique_ptr<event::DeviceFolder> {
       return std::make_unique<jt808::DeviceFolder>();
     },
     true},
    {"attachment", jt808::attachment_keys,
     "attachment.admission is \"open\": whoever reaches the port may send files",
     [](const PlugParts& p) -> std::unique_ptr<net::Protocol> {
       return std::make_unique<jt808::AttachmentServer>(p.links, p.log, p.uploads, p.expectations,
                                                        p.counters, p.logs,
                                                        jt808::attachment_options(p.settings));
     },
     nullptr},
    {"jsonl", jsonl::keys, "jsonl takes lines from whoever reaches the port",
     [](const PlugParts& p) -> std::unique_ptr<net::Protocol> {
       return std::make_unique<jsonl::Session>(p.links, p.log, p.counters);
     },
     nullptr},
    {"http", api::keys,
     "http goes beyond this machine: it serves whoever has a token; only TLS hides tokens",
     [](const PlugParts& p) -> std::unique_ptr<net::Protocol> {
       auto session = std::make_unique<http::Session>(p.links, p.counters,
                                                      http::session_options(p.settings));
       auto front = std::make_unique<api::Front>(
           *session, p.plane, p.links.shard(),
           p.plane.parts().access.make_check(p.counters, p.logs));
       front->use_page(api::page_options(p.settings));
       front->use_streams(
           std::make_unique<api::StreamRoom>(p.links, *session, p.sockets, p.feed));
       session->use_handler(std::move(front));
       return session;
     },
     nullptr, nullptr, nullptr, nullptr, false, http::limits::stalled_client_ms},
};

// The protocol whose devices the control socket is about.
inline const Plug& device_plug() { return plugs[0]; }

}  // namespace ringgate::server
