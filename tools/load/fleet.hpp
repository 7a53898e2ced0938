// Simulated JT/T 808 terminals: connects, registers, authenticates and reports, on one shard's
// ring. Each device has one multishot receive and at most one send in flight.
//
// Lives on one shard, which runs nothing else; the object must outlive the shard's last turn.
// Memory per idle device: one Device (40 bytes); what is outstanding lies in pages that are touched
// only when it reports. A device that the platform has told something has a Terminal beside it
// (terminal/), which answers; reports never look at that.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <queue>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/io/ring.hpp"
#include "engine/net/tls/filter.hpp"
#include "engine/observe/histogram.hpp"
#include "engine/shard/shard.hpp"
#include "tools/load/frames.hpp"
#include "tools/load/report.hpp"
#include "tools/load/retransmission.hpp"
#include "tools/load/schedule.hpp"
#include "tools/load/terminal/terminal.hpp"
#include "tools/load/uploads.hpp"
#include "tools/load/vehicle.hpp"

namespace ringgate::load {

struct FleetOptions {
  sockaddr_storage target{};
  socklen_t target_bytes = 0;
  std::vector<in_addr> sources;  // connections leave from these in turn; empty: the kernel picks
  Version version = Version::v2013;
  std::uint32_t devices = 1;
  std::uint64_t phone_base = 13'800'000'000;
  double rate = 0;              // reports per second and device; 0: closed model
  std::uint32_t in_flight = 1;  // closed model
  double connect_rate = 0;      // per second; 0: as fast as they are taken
  MonoNs warmup_ns = 0;
  MonoNs duration_ns = 0;  // 0: until stop()
  bool idle = false;       // authenticate, then only hold the links
  bool reconnect = false;  // come back after a loss
  bool drive = false;      // positions of simulated vehicles
  int acked_log_fd = -1;   // a line `phone,serial` for each acknowledged report; -1: none
  int server_pid = 0;      // whose CPU time to sample; 0: nobody's
  bool udp = false;        // datagrams instead of connections
  bool tls = false;        // on connections; any certificate of the server will do
  double loss = 0;         // of parts, attachment blocks, and datagrams
  double alarms = 0;       // alarms of driver assistants per second and device
  std::uint64_t seed = 1;  // of everything the terminals leave to chance
  int events_fd = -1;      // a JSON line for whatever a terminal did for the platform; -1: none
  std::string files_dir;   // where to write what was photographed and attached; empty: nowhere
};

// Reports of one device that wait for an answer, open model: more are held back, and their lateness
// counts.
constexpr std::uint32_t open_window = 64;

class Fleet final : public shard::CompletionHandler, public shard::Hook, public Uploads::Owner {
 public:
  Fleet(shard::Shard& shard, std::unique_ptr<io::BufferRing> buffers, const FleetOptions& options);
  ~Fleet() override;
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  // No new reports: wait for what is outstanding, then close everything. Own thread.
  void stop();
  bool finished() const { return phase_ == Phase::finished; }
  // How long the shard may sleep before something is due here.
  MonoNs sleep_budget() const;

  std::string_view phase_name() const;
  const Counts& counts() const { return counts_; }
  std::uint32_t ready() const { return ready_; }
  std::uint64_t outstanding() const { return outstanding_; }
  // The last reason of a failed connect or broken link, for people; empty if there was none.
  const std::string& last_error() const { return last_error_; }
  // Fills in what the fleet knows.
  void fill(Report& report) const;

  void on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t flags) override;
  void before_wait() override;
  void on_upload_end(std::uint32_t index, const AttachmentUpload& upload,
                     std::string_view problem) override;

 private:
  enum class Phase : std::uint8_t { connecting, warming, measuring, draining, closing, finished };
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
    std::uint16_t outstanding = 0;
    bool settled = false;       // has been ready, or has failed once
    bool dirty = false;         // is in dirty_
    bool has_rest = false;      // is in rests_
    bool has_side = false;      // is in sides_
    std::uint32_t buffer = no_buffer;  // of the send in flight
    std::uint16_t send_at = 0;
    std::uint16_t send_bytes = 0;
    std::uint32_t due = 0;      // open model: reports that came due
    std::uint32_t taken = 0;    // ... of which were sent or missed
  };
  static_assert(sizeof(Device) == 40);
  struct Outstanding {
    MonoNs due_ns = 0;
    std::uint32_t lag_ns = 0;  // saturates at 4.3 s
    std::uint16_t serial = 0;
    bool live = false;
  };
  static_assert(sizeof(Outstanding) == 16);
  // What only a device has that was told something, or that sends a frame again.
  struct Side {
    std::unique_ptr<Terminal> terminal;
    std::deque<Body> queue;      // frames on the wire, to be sent before any report
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

  Device& device(std::uint32_t index) { return devices_[index]; }
  Outstanding& slot(std::uint32_t index, std::uint16_t serial) {
    return slots_[std::size_t{index} * window_ + (serial & (window_ - 1))];
  }
  std::uint64_t data_for(io::Tag tag, std::uint32_t index) const {
    return io::user_data(tag, devices_[index].generation, index);
  }
  void fail(Failure failure, std::uint64_t times = 1) {
    counts_.failures[static_cast<std::size_t>(failure)] += times;
  }

  // Life of a link (fleet_links.cpp).
  void start_connects();
  void connect(std::uint32_t index);
  void on_connect(std::uint32_t index, std::int32_t result);
  void register_device(std::uint32_t index);
  void arm_recv(std::uint32_t index);
  void on_recv(std::uint32_t index, std::int32_t result, std::uint32_t flags);
  void feed(std::uint32_t index, Bytes bytes);
  void drop_rest(std::uint32_t index);
  void lose(std::uint32_t index, Failure failure, int error);
  void hang_up(std::uint32_t index);
  void close_if_idle(std::uint32_t index);
  void settle(Device& device);
  void close_all();
  void give_up_on_silent();

  // TLS (fleet_tls.cpp).
  void begin_tls(std::uint32_t index);
  void feed_tls(std::uint32_t index, Bytes wire);
  void send_tls(std::uint32_t index, Bytes plain);
  void flush_tls(std::uint32_t index);

  // Traffic (fleet.cpp).
  void on_reply(std::uint32_t index, Bytes inside);
  void on_acknowledged(std::uint32_t index, const Reply& reply);
  void on_ready(std::uint32_t index);
  void mark(std::uint32_t index);
  void take_due();
  bool may_report(std::uint32_t index);
  void drop_held_back(Device& device, Failure as);
  void report(std::uint32_t index);
  std::uint8_t* take_buffer(std::uint32_t index);
  void free_buffer(Device& device);
  void send(std::uint32_t index, std::size_t size_bytes);
  void submit_send(std::uint32_t index);
  void on_send(std::uint32_t index, std::int32_t result);
  void step_phase();
  void start_window();
  void end_window();
  void write_acked_log();
  bool write_all(int fd, std::string& text, std::string_view option);
  const std::uint8_t* buffer_of(std::uint32_t index);

  // What the platform says besides acknowledgements (fleet_terminals.cpp).
  Side& side_of(std::uint32_t index);
  Terminal& terminal_of(std::uint32_t index);
  Moment moment_of(std::uint32_t index);
  void on_command(std::uint32_t index, const Reply& reply);
  bool loses(Side& side, const Downlink& frame);
  void on_other_answer(std::uint32_t index, const Reply& reply);
  void take_outbox(std::uint32_t index, Outbox& outbox);
  void schedule_terminal(std::uint32_t index);
  void run_terminals();
  bool alarms_run() const {
    return options_.alarms > 0 && (phase_ == Phase::warming || phase_ == Phase::measuring);
  }
  void raise_alarms();
  void keep_file(const Outbox::File& file);
  bool send_queued(std::uint32_t index);
  bool is_leaving(std::uint32_t index) const;
  void come_back(std::uint32_t index);
  void on_side_down(std::uint32_t index);
  // UDP.
  void queue_datagram(std::uint32_t index, std::uint16_t serial, Bytes wire);
  void retransmit();

  shard::Shard& shard_;
  std::unique_ptr<io::BufferRing> buffers_;
  FleetOptions options_;
  FrameWriter writer_;
  ReplyScratch scratch_{};
  std::vector<Device> devices_;
  std::vector<Vehicle> vehicles_;
  Outstanding* slots_ = nullptr;  // window_ per device, mapped, zero until used
  std::uint32_t window_ = 1;      // a power of two
  std::uint32_t send_buffer_bytes_ = 0;
  std::vector<std::unique_ptr<std::uint8_t[]>> slabs_;  // send buffers
  std::vector<std::uint32_t> free_buffers_;
  std::vector<std::uint32_t> dirty_;   // devices that may have something to send
  std::vector<std::uint32_t> starved_;  // receives to arm again
  std::deque<std::pair<MonoNs, std::uint32_t>> reconnects_;
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
  OpenSchedule alarm_schedule_;
  Chance chance_;
  std::string event_lines_;

  Phase phase_ = Phase::connecting;
  MonoNs phase_end_ns_ = 0;
  MonoNs started_ns_ = 0;
  MonoNs connected_ns_ = 0;   // when the last device settled
  MonoNs send_time_ns_ = 0;   // clock of the sends of this turn
  ConnectPace pace_;
  OpenSchedule schedule_;
  bool reporting_ = false;
  bool stop_asked_ = false;
  bool interrupted_ = false;
  std::uint64_t connects_started_ = 0;
  std::uint32_t handshakes_ = 0;  // between connect and ready
  std::uint32_t settled_ = 0;
  std::uint32_t ready_ = 0;
  std::uint32_t open_links_ = 0;
  std::uint64_t outstanding_ = 0;
  std::uint64_t held_back_ = 0;   // due, but neither sent nor missed yet
  MonoNs progress_ns_ = 0;        // when a device last settled
  std::uint64_t acked_now_ = 0;   // of this turn, not yet in counts_
  std::string acked_lines_;
  std::string last_error_;
  WallUs bcd_second_ = -1;
  BcdTime bcd_time_{};

  Counts counts_;
  Counts window_start_counts_, window_end_counts_;
  MonoNs window_start_ns_ = 0, window_end_ns_ = 0;
  std::int64_t own_cpu_start_ns_ = 0, own_cpu_end_ns_ = 0;
  std::int64_t server_cpu_start_ns_ = 0, server_cpu_end_ns_ = 0;
  ServerUse server_end_;
  observe::Histogram response_, service_, lag_;
};

}  // namespace ringgate::load
