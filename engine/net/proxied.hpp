// Links of a listener that has proxies, until it is known who they come from: a listed proxy's
// begins with a PROXY header, any other's must not. Then the link becomes one of the listener's
// protocol, with TLS where it has that. Belongs to Links.
#pragma once

#include "engine/net/protocol.hpp"

namespace ringgate::net {

class Links;

class Proxied final : public Protocol {
 public:
  explicit Proxied(Links& links) : links_(links) {}

  // Of a new link; before its bytes. `listed`: its socket's address is that of a proxy.
  static void begin(Link& link, bool listed);

  std::string_view name() const override { return "proxy"; }
  void on_open(Link&) override {}
  std::size_t on_bytes(Link& link, Bytes bytes) override;
  void on_close(Link& link, CloseReason reason) override;

 private:
  struct State {
    bool listed;
  };

  Links& links_;
};

}  // namespace ringgate::net
