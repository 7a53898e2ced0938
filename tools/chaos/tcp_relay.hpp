// The TCP side of a proxy: its listening socket, which rules can make refuse or ignore connects,
// and its connections. On the desk's thread, owned by its Proxy.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/config/listen_address.hpp"
#include "tools/chaos/desk.hpp"
#include "tools/chaos/proxy_state.hpp"

namespace ringgate::chaos {

class TcpRelay final : public Operand, public ConnectionOwner {
 public:
  // `state` outlives it and its connections. Error: names the address and the cure.
  static Result<std::unique_ptr<TcpRelay>> open(Desk& desk, ProxyState& state,
                                                const config::ListenAddress& address);
  ~TcpRelay() override;

  // Accepts from now on.
  void begin();
  // state.rules are others.
  void adopt();
  // Resets all connections and ends listening; then it is to be buried.
  void close();
  // Whether it listens, refuses or is silent as the rules have it now: a change takes a turn.
  bool settled() const { return mode_ == wanted(); }
  const std::string& address() const { return address_; }
  std::size_t connections() const { return connections_.size(); }

  void on_done(std::uint8_t op, std::int32_t result, std::uint32_t flags) override;
  void on_due() override;
  void on_over(TcpConnection& connection) override;
  void on_target_failed(int error) override;
  const ServerAddress& target() const override { return state_.target; }

 private:
  enum Op : std::uint8_t { accepting, cancelling };
  enum class Mode : std::uint8_t {
    open,
    refusing,  // not listening: the kernel answers connects with RST
    silent,    // the backlog is full: the kernel drops connects
  };

  TcpRelay(Desk& desk, ProxyState& state, int fd);
  void accept();
  void take(int fd);
  bool is_filler(int fd);
  Mode wanted() const;
  void settle();
  void change(Mode mode);
  void fill_backlog();
  void empty_backlog();
  void drop_fillers();

  ProxyState& state_;
  int fd_;
  std::string address_;
  Mode mode_ = Mode::open;
  bool armed_ = false;
  bool cancelled_ = false;
  bool closing_ = false;
  MonoNs rest_until_ns_ = 0;
  std::vector<int> fillers_;               // connects of our own that fill the backlog
  std::vector<std::uint16_t> filler_ports_;
  std::vector<std::unique_ptr<TcpConnection>> connections_;
};

}  // namespace ringgate::chaos
