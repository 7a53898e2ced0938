// Simulated JT/T 808 terminals on one shard's ring: connects, registers, authenticates, reports,
// sends again, and does what the platform says. Who comes, when, and when reports are due is its
// driver's business (Owner): the phases of `ringgate-load jt808`, or the aims of a crowd.
// Each device has one multishot receive and at most one send in flight.
//
// Lives on one shard; must outlive the shard's last turn. Memory per idle device: one Device (44
// bytes). A report that is due or outstanding has a Pending for as long as it is. A device that the
// platform has told something has a Terminal beside it (terminal/), which answers; reports never
// look at that.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/io/ring.hpp"
#include "engine/net/tls/filter.hpp"
#include "engine/shard/shard.hpp"
#include "tools/load/crowd/desk.hpp"
#include "tools/load/frames.hpp"
#include "tools/load/report.hpp"
#include "tools/load/retransmission.hpp"
#include "tools/load/terminal/terminal.hpp"
#include "tools/load/uploads.hpp"
#include "tools/load/vehicle.hpp"

namespace ringgate::load {

struct TerminalsOptions {
  sockaddr_storage target{};
  socklen_t target_bytes = 0;
  std::vector<in_addr> sources;  // connections leave from these in turn; empty: the kernel picks
  Version version = Version::v2013;
  std::uint32_t devices = 1;
  std::uint64_t phone_base = 13'800'000'000;
  std::uint64_t phone_step = 1;
  // Reports of a device that wait for an answer at a time; at most 4,096.
  std::uint32_t window = 1;
  std::uint32_t frames_per_send = 1;
  // Closed model: while reporting, each device has `window` reports on their way. Else reports are
  // sent as report_due() says.
  bool closed = true;
  // Open model: reports of a device that are due or outstanding, above which none is taken; 0: all
  // are taken, and their lateness counts.
  std::uint32_t due_max = 0;
  MonoNs handshake_limit_ns = 0;  // connect to ready; above it the link is lost. 0: no limit
  bool drive = false;      // positions of simulated vehicles
  Position position;       // without `drive`
  bool udp = false;        // datagrams instead of connections
  bool tls = false;        // on connections; any certificate of the server will do
  double loss = 0;         // of parts, attachment blocks, and datagrams
  std::uint64_t seed = 1;  // of everything the terminals leave to chance
  bool events = false;     // whatever a terminal does for the platform becomes a JSON line
  std::string files_dir;   // where to write what was photographed and attached; empty: nowhere
};

class Terminals final : public shard::CompletionHandler, public Uploads::Owner {
 public:
  struct Answered {
    std::uint32_t index = 0;
    std::uint64_t phone = 0;
    MonoNs due_ns = 0;
    MonoNs lag_ns = 0;  // from due to sent; saturates at 4.3 s
    // When the kernel received it, so that the time in which this process was not awake yet is no
    // time of the server's; where the kernel does not tell, the shard's now().
    MonoNs answered_ns = 0;
    std::uint16_t serial = 0;
    bool refused = false;  // with a result other than 0
  };
  // Called from within on_completion and turn(); may call back, but not destroy.
  class Owner {
   public:
    virtual ~Owner() = default;
    // A report was answered.
    virtual void on_answered(const Answered& report) = 0;
    // A device has authenticated, `since_ns` after its connect began.
    virtual void on_ready(std::uint32_t index, MonoNs since_ns) = 0;
    // A device has no link any more and may be connected again. `away_ns`: not negative where the
    // platform has told it to go, and to stay away for so long.
    virtual void on_down(std::uint32_t index, MonoNs away_ns) = 0;
  };

  Terminals(shard::Shard& shard, Desk& desk, io::BufferRing& buffers,
            const TerminalsOptions& options, Owner& owner);
  ~Terminals() override;
  Terminals(const Terminals&) = delete;
  Terminals& operator=(const Terminals&) = delete;

  // Whether another device may start to connect: what is on its way is bounded.
  bool can_connect() const;
  bool is_down(std::uint32_t index) const { return devices_[index].state == State::down; }
  bool is_ready(std::uint32_t index) const { return devices_[index].state == State::ready; }
  // It has been told to leave, or has left and is still being closed.
  bool is_going(std::uint32_t index) const {
    return devices_[index].leaving || devices_[index].state == State::closing;
  }
  // A device that is down.
  void connect(std::uint32_t index);

  enum class Due : std::uint8_t {
    taken,
    missed,     // it has no authenticated link
    full,       // due_max
    excused,    // it is away, leaving, or still coming for the first time
  };
  // Open model: a report of this device was due at `due_ns`; it goes out as soon as may be.
  Due report_due(std::uint32_t index, MonoNs due_ns);
  // Closed model.
  void set_reporting(bool reporting);
  void raise_alarm(std::uint32_t index);

  enum class Leaving : std::uint8_t {
    close,   // FIN
    logout,  // 0x0003 and its answer, then FIN
    reset,   // RST
  };
  // No more reports; hangs up once what is outstanding is answered. on_down() follows. Nothing
  // happens to a device that is down.
  void leave(std::uint32_t index, Leaving how);
  // At once; what is outstanding counts as unanswered.
  void hang_up(std::uint32_t index) { hang_up(index, 0); }
  void give_up(std::uint32_t index);  // one that hangs in its leaving or its handshake
  // One that leaves waits so long for its answers. A report that is younger when its user leaves
  // nevertheless was cut off by us, and is no failure of the server's: Counts::cut_off.
  static constexpr MonoNs leave_limit_ns = 5 * ns_per_s;
  // The same of one that leaves before it is ready: from so long after its connect on the server is
  // to blame, Counts::not_ready. One that loses datagrams on purpose gets as long as a handshake
  // may take; where nobody has ever become ready, a fourth will do.
  MonoNs handshake_patience_ns() const;
  // All of them, at once.
  void give_up_all();
  void give_up_handshakes();
  // The end: all links are closed, and nothing that happens to them any more is an error.
  void close_all();
  bool all_closed() const { return open_links_ == 0 && uploads_.idle(); }

  // Sends what may be sent. Once a turn, before the ring is entered.
  void turn();
  MonoNs next_due() const;

  const Counts& counts() const { return counts_; }
  void fail(Failure failure, std::uint64_t times = 1) {
    counts_.failures[static_cast<std::size_t>(failure)] += times;
  }
  std::uint32_t ready() const { return ready_; }
  std::uint32_t open_links() const { return open_links_; }
  std::uint32_t handshakes() const { return handshakes_; }  // between connect and ready
  std::uint32_t settled() const { return settled_; }  // have been ready, or have failed once
  MonoNs progress_ns() const { return progress_ns_; }  // when a device last settled
  std::uint64_t outstanding() const { return outstanding_; }
  std::uint64_t held_back() const { return held_back_; }  // due, but neither sent nor missed yet
  // The last reason of a failed connect or broken link, for people; empty if there was none.
  const std::string& last_error() const { return last_error_; }
  // A file could not be written; last_error() says which.
  bool file_failed() const { return file_failed_; }
  std::string& event_lines() { return event_lines_; }

  void on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t flags) override;
  void on_upload_end(std::uint32_t index, const AttachmentUpload& upload,
                     std::string_view problem) override;

 private:
  enum class State : std::uint8_t {
    down, connecting, registering, authenticating, ready, closing
  };
  struct Device {
    int fd = -1;
    std::uint16_t generation = 0;
    State state = State::down;
    std::uint8_t operations = 0;  // in flight on the ring
    Phone phone{};
    std::uint16_t next_serial = 0;
    // Its Pendings, oldest first: those that were sent, then those that wait. While it connects,
    // one that says since when.
    std::uint32_t first = no_pending;
    std::uint32_t last = no_pending;
    std::uint32_t first_waiting = no_pending;
    std::uint32_t buffer = no_buffer;  // of the send in flight
    std::uint32_t waiting = 0;         // Pendings that were not sent
    std::uint16_t outstanding = 0;     // Pendings that were
    std::uint16_t send_at = 0;
    std::uint16_t send_bytes = 0;
    bool settled : 1 = false;   // has been ready, or has failed once
    bool dirty : 1 = false;     // is in dirty_
    bool has_rest : 1 = false;  // is in rests_
    bool has_side : 1 = false;  // is in sides_
    bool leaving : 1 = false;
    bool logging_out : 1 = false;  // has sent its 0x0003
    Leaving how : 2 = Leaving::close;
  };
  static_assert(sizeof(Device) == 44);
  struct Pending {
    MonoNs due_ns = 0;
    std::uint32_t lag_ns = 0;  // saturates at 4.3 s
    std::uint32_t next = no_pending;
    std::uint16_t serial = 0;
  };
  static_assert(sizeof(Pending) == 24);
  // What only a device has that was told something, or that sends a frame again.
  struct Side {
    std::unique_ptr<Terminal> terminal;
    std::vector<Body> queue;     // frames on the wire, to be sent before any report
    Body sending;                // what is being sent of them
    MonoNs scheduled_ns = INT64_MAX;  // the entry in terminal_due_ that counts
    MonoNs away_ns = -1;         // not negative: it leaves, or is away, for so long
    std::vector<std::uint64_t> skipped;  // frames of the platform that got lost
  };
  // TLS of a device's link. Only `sending` is in the kernel's hands.
  struct Secured {
    std::unique_ptr<net::Filter> filter;
    std::vector<std::uint8_t> sending;
    std::vector<std::uint8_t> next;
    std::vector<std::uint8_t> plain;
    bool in_flight = false;
  };
  class SecuredSink;
  static constexpr std::uint32_t no_buffer = UINT32_MAX;
  static constexpr std::uint32_t side_buffer = UINT32_MAX - 1;  // it is Side::sending
  static constexpr std::uint32_t tls_buffer = UINT32_MAX - 2;   // it is Secured::sending
  static constexpr std::uint32_t no_pending = UINT32_MAX;
  static constexpr std::uint32_t pendings_per_slab = 1024;

  Device& device(std::uint32_t index) { return devices_[index]; }
  Pending& pending(std::uint32_t number) {
    return pending_slabs_[number / pendings_per_slab][number % pendings_per_slab];
  }
  std::uint64_t data_for(io::Tag tag, std::uint32_t index) const {
    return Desk::data(tag, devices_[index].generation, member_, index);
  }
  std::uint64_t number_of(std::uint32_t index) const {
    return options_.phone_base + index * options_.phone_step;
  }

  // Life of a link (terminals_links.cpp).
  void on_connect(std::uint32_t index, std::int32_t result);
  void register_device(std::uint32_t index);
  void ask_for_stamps(int fd);
  void arm_recv(std::uint32_t index);
  Bytes unwrap(Bytes received);
  void on_recv(std::uint32_t index, std::int32_t result, std::uint32_t flags);
  void on_received(std::uint32_t index, Bytes bytes);
  void feed(std::uint32_t index, Bytes bytes);
  void drop_rest(std::uint32_t index);
  void lose(std::uint32_t index, Failure failure, int error);
  void hang_up(std::uint32_t index, MonoNs excused_ns);
  void close_if_idle(std::uint32_t index);
  void settle(Device& device);
  void judge_handshake(const Device& who);
  void expire_handshakes();
  bool step_leaving(std::uint32_t index);

  // TLS (terminals_tls.cpp).
  void begin_tls(std::uint32_t index);
  void feed_tls(std::uint32_t index, Bytes wire);
  void send_tls(std::uint32_t index, Bytes plain);
  void flush_tls(std::uint32_t index);

  // Traffic (terminals.cpp).
  std::uint32_t add_pending(Device& device, MonoNs due_ns);
  void free_pending(std::uint32_t number);
  std::uint32_t find_sent(Device& device, std::uint16_t serial, std::uint32_t& before);
  // Outstanding reports that were due within the last `excused_ns` are cut off.
  void drop_pending(std::uint32_t index, MonoNs excused_ns);
  void on_reply(std::uint32_t index, Bytes inside);
  void on_acknowledged(std::uint32_t index, const Reply& reply);
  void on_authenticated(std::uint32_t index);
  void mark(std::uint32_t index);
  bool may_report(const Device& device);
  void report(std::uint32_t index);
  std::size_t write_report(std::uint32_t index, std::uint8_t* out);
  std::uint8_t* take_buffer(std::uint32_t index);
  void free_buffer(Device& device);
  void send(std::uint32_t index, std::size_t size_bytes);
  void submit_send(std::uint32_t index);
  void on_send(std::uint32_t index, std::int32_t result);
  const std::uint8_t* buffer_of(std::uint32_t index);

  // What the platform says besides acknowledgements (terminals_commands.cpp).
  Side& side_of(std::uint32_t index);
  void drop_idle_side(std::uint32_t index);
  Terminal& terminal_of(std::uint32_t index);
  Moment moment_of(std::uint32_t index);
  void on_command(std::uint32_t index, const Reply& reply);
  bool loses(Side& side, const Downlink& frame);
  void on_other_answer(std::uint32_t index, const Reply& reply);
  void take_outbox(std::uint32_t index, Outbox& outbox);
  void schedule_terminal(std::uint32_t index);
  void run_terminals();
  void keep_file(const Outbox::File& file);
  bool send_queued(std::uint32_t index);
  bool is_sent_away(std::uint32_t index) const;
  void come_back(std::uint32_t index);
  void on_side_down(std::uint32_t index);
  // UDP.
  void queue_datagram(std::uint32_t index, std::uint16_t serial, Bytes wire);
  void retransmit();

  shard::Shard& shard_;
  io::BufferRing& buffers_;
  TerminalsOptions options_;
  Owner& owner_;
  std::uint8_t member_;  // of the desk
  FrameWriter writer_;
  ReplyScratch scratch_{};
  std::vector<Device> devices_;
  std::vector<Vehicle> vehicles_;
  std::uint16_t serial_span_;  // serials of a device's outstanding reports stay within it
  std::vector<std::unique_ptr<Pending[]>> pending_slabs_;
  std::uint32_t free_pending_ = no_pending;
  std::uint32_t send_buffer_bytes_ = 0;
  std::vector<std::unique_ptr<std::uint8_t[]>> slabs_;  // send buffers
  std::vector<std::uint32_t> free_buffers_;
  std::vector<std::uint32_t> dirty_;   // devices that may have something to send
  std::vector<std::uint32_t> starved_;  // receives to arm again
  struct Handshake {
    MonoNs limit_ns;
    std::uint32_t index;
    std::uint16_t generation;
  };
  std::deque<Handshake> handshake_limits_;
  // Frames that have not ended, by device.
  std::unordered_map<std::uint32_t, std::vector<std::uint8_t>> rests_;

  net::tls::ContextPtr tls_context_;            // null without TLS
  std::vector<std::unique_ptr<Secured>> secured_;  // by device; empty without TLS
  std::unordered_map<std::uint32_t, Side> sides_;
  FrameWriter side_writer_;  // positions of single devices do not go into the others' template
  using TerminalDue = std::pair<MonoNs, std::uint32_t>;
  std::priority_queue<TerminalDue, std::vector<TerminalDue>, std::greater<>> terminal_due_;
  Uploads uploads_;
  Retransmission retransmission_;
  Chance chance_;
  std::string event_lines_;

  // Whether receives bring the kernel's time of receipt with them (SO_TIMESTAMPNS); not known
  // before the first link.
  std::optional<bool> stamps_;
  msghdr stamped_message_{};  // of all receives
  MonoNs received_ns_ = 0;    // of what is being fed
  MonoNs send_time_ns_ = 0;   // clock of the sends of this turn
  bool reporting_ = false;    // closed model
  bool closing_ = false;      // nothing is an error any more
  bool file_failed_ = false;
  std::uint32_t handshakes_ = 0;
  std::uint32_t settled_ = 0;
  std::uint32_t ready_ = 0;
  std::uint32_t open_links_ = 0;
  std::uint64_t outstanding_ = 0;
  std::uint64_t held_back_ = 0;
  MonoNs progress_ns_ = 0;
  std::string last_error_;
  WallUs bcd_second_ = -1;
  BcdTime bcd_time_{};
  Counts counts_;
};

}  // namespace ringgate::load
