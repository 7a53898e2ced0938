// TCP connections of the users of one crowd, one of each at most, on their worker's ring. Lives on
// its shard; must outlive the shard's last turn. Memory per user: 24 bytes, and what is unsent.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/ring.hpp"
#include "engine/shard/shard.hpp"
#include "tools/load/crowd/desk.hpp"
#include "tools/load/crowd/targets.hpp"

namespace ringgate::load {

class Wires final : public shard::CompletionHandler {
 public:
  enum class End : std::uint8_t {
    ours,     // close()
    failed,   // no connection
    closed,   // by the other side, in good order
    broken,   // reset, or a receive or send failed
  };
  // Called from within on_completion; may call back, but not destroy.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void on_open(std::uint32_t user) = 0;
    virtual void on_bytes(std::uint32_t user, Bytes bytes) = 0;
    // Everything send() was given has left.
    virtual void on_sent(std::uint32_t user) = 0;
    // Once for each connect(); the user may connect again. `error`: an errno, or 0.
    virtual void on_end(std::uint32_t user, End end, int error) = 0;
  };

  Wires(shard::Shard& shard, Desk& desk, io::BufferRing& buffers, std::uint32_t users,
        Owner& owner);
  ~Wires() override;
  Wires(const Wires&) = delete;
  Wires& operator=(const Wires&) = delete;

  // What is on its way to a connection is bounded: below every server's usual backlog.
  bool can_connect() const { return connecting_ < connecting_max; }
  bool is_down(std::uint32_t user) const { return wires_[user].state == State::down; }
  bool is_open(std::uint32_t user) const { return wires_[user].state == State::open; }
  std::uint32_t open() const { return open_; }  // connecting, open or closing

  struct How {
    const TargetAddress* target = nullptr;
    const in_addr* source = nullptr;    // null: the kernel picks
    std::uint32_t receive_buffer = 0;   // bytes; 0: the kernel's own
    bool pulls = false;                 // receives only what pull() asks for
  };
  // One that is down.
  void connect(std::uint32_t user, const How& how);
  // Of one that is open.
  void send(std::uint32_t user, std::string_view bytes);
  bool is_sending(std::uint32_t user) const { return wires_[user].out != nullptr; }
  // Receives once, at most `bytes`; nothing happens while one is under way.
  void pull(std::uint32_t user, std::uint32_t bytes);
  // on_end() follows, at once or later. `reset`: RST instead of FIN.
  void close(std::uint32_t user, bool reset);

  // Once a turn, before the ring is entered.
  void turn();

  std::uint64_t sent_bytes() const { return sent_bytes_; }
  std::uint64_t received_bytes() const { return received_bytes_; }

  void on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t flags) override;

  static constexpr std::uint32_t connecting_max = 512;

 private:
  enum class State : std::uint8_t { down, connecting, open, closing };
  struct Out {
    std::string bytes;    // in the kernel's hands
    std::size_t at = 0;
    std::string next;
  };
  struct Wire {
    std::unique_ptr<Out> out;  // null: nothing is being sent
    int fd = -1;
    int error = 0;
    std::uint16_t generation = 0;
    State state = State::down;
    End end = End::ours;
    std::uint8_t operations = 0;
    bool pulls = false;
    bool receiving = false;
    bool reset = false;
  };
  static_assert(sizeof(Wire) == 24);

  std::uint64_t data_for(io::Tag tag, std::uint32_t user) const {
    return Desk::data(tag, wires_[user].generation, member_, user);
  }
  void arm_receive(std::uint32_t user, std::uint32_t bytes);
  void submit_send(std::uint32_t user);
  void on_connect(std::uint32_t user, std::int32_t result);
  void on_receive(std::uint32_t user, std::int32_t result, std::uint32_t flags);
  void on_send(std::uint32_t user, std::int32_t result);
  void end(std::uint32_t user, End end, int error);
  void close_if_idle(std::uint32_t user);

  shard::Shard& shard_;
  io::BufferRing& buffers_;
  Owner& owner_;
  std::uint8_t member_;
  std::vector<Wire> wires_;
  std::vector<std::uint32_t> starved_;
  std::uint32_t connecting_ = 0;
  std::uint32_t open_ = 0;
  std::uint64_t sent_bytes_ = 0;
  std::uint64_t received_bytes_ = 0;
};

}  // namespace ringgate::load
