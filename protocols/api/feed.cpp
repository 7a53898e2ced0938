#include "protocols/api/feed.hpp"

#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <optional>
#include <thread>

#include "protocols/api/catch_up.hpp"
#include "protocols/api/letters.hpp"
#include "protocols/api/stream_hub.hpp"
#include "protocols/api/stream_room.hpp"
#include "protocols/api/tracer.hpp"

namespace ringgate::api {

namespace {

// After the log could not be read, or a shard's column was full.
constexpr MonoNs retry_log = ns_per_s;
constexpr MonoNs retry_post = 2 * ns_per_ms;

// Tells several.
class Listeners final : public FeedListener {
 public:
  std::vector<FeedListener*> all;

  void on_position(const DeviceKey& device, const event::PositionRow& row,
                   WallUs received) override {
    for (FeedListener* one : all) one->on_position(device, row, received);
  }
  void on_session(const DeviceKey& device, const event::SessionRow& row,
                  WallUs received) override {
    for (FeedListener* one : all) one->on_session(device, row, received);
  }
  void on_device(const DeviceKey& device, const event::DeviceRow& row, WallUs received) override {
    for (FeedListener* one : all) one->on_device(device, row, received);
  }
  void on_alarm(const DeviceKey& device, const event::AlarmRow& row, WallUs received) override {
    for (FeedListener* one : all) one->on_alarm(device, row, received);
  }
  void on_gap() override {
    for (FeedListener* one : all) one->on_gap();
  }
};

class FeedThread final : public Feed {
 public:
  explicit FeedThread(const FeedParts& parts)
      : parts_(parts), post_(parts.errands, parts.producer), rooms_(parts.shards, nullptr),
        in_flight_(parts.shards, 0), in_flight_bytes_(parts.shards, 0),
        kept_(std::make_unique<Kept[]>(parts.shards)), counters_(parts.counters),
        source_(parts.scan.catalogs, parts.devices.ns(), parts.node),
        catch_up_(parts.scan, parts.devices.ns(), parts.node,
                  [this](CaughtUp chunk) {
                    post_.inbox().push(make_letter([this, chunk = std::move(chunk)] {
                      hub_.caught_up(chunk);
                    }));
                  }),
        hub_({parts.devices, parts.scan.catalogs.find(parts.devices.ns())}, parts.node,
             parts.shards, catch_up_, counters_),
        tracer_(post_, hub_, parts.devices, parts.scan.catalogs.find(parts.devices.ns()),
                parts.shards) {
    seen_.resize(parts.shards, 0);
  }
  ~FeedThread() override;

  void serve() override;
  void turn(MonoNs longest_ns) override;

  void add(FeedListener& listener) override;
  void remove(FeedListener& listener) override;
  void run(std::function<void()> work) override { letter(std::move(work)); }
  void consumers(std::function<void(std::vector<Consumer>)> then) override;

  void attach(ShardIndex shard, StreamRoom* room) override { rooms_[shard] = room; }
  bool admit() override;
  void discharge() override { open_.fetch_sub(1, std::memory_order_relaxed); }
  std::uint64_t kept_bytes(ShardIndex shard) const override {
    return kept_[shard].published.load(std::memory_order_relaxed);
  }
  void open(const ClientKey& key, ClientInfo info) override;
  void open_events(const ClientKey& key, ClientInfo info, std::string query,
                   std::string last_id) override;
  void open_trace(const ClientKey& key, ClientInfo info, std::string device) override;
  void said(const ClientKey& key, std::string message,
            std::shared_ptr<std::atomic<std::uint32_t>> waiting) override;
  void room(const ClientKey& key) override;
  void gone(const ClientKey& key, std::string_view why) override;

 protected:
  void wake_for_commit() override {
    if (sleep_.claim_wake()) post_.inbox().wake();
  }

 private:
  template <class Work>
  void letter(Work work) {
    post_.inbox().push(make_letter(std::move(work)));
  }
  MonoNs now() const { return parts_.scan.sys.mono_now(); }
  bool begin_reading();
  void stop_reading();
  void want();
  void look();
  void read_records();
  bool has_moved() const;
  bool is_stuck() const;
  void wait(MonoNs longest_ns);
  void deliver();
  void post_delivery(ShardIndex shard);
  void came_home(ShardIndex shard, const std::shared_ptr<Delivery>& delivery, bool ran);
  void publish_kept();

  // By shard.
  struct Kept {
    std::atomic<std::uint64_t> published{0};
    std::atomic<std::uint64_t> said{0};  // messages of clients that have not been read
  };

  FeedParts parts_;
  shard::ErrandPost post_;
  std::vector<StreamRoom*> rooms_;  // by shard; each touched only on its shard
  std::vector<std::uint32_t> in_flight_;  // deliveries, by shard
  std::vector<std::uint64_t> in_flight_bytes_;
  std::unique_ptr<Kept[]> kept_;
  std::vector<std::shared_ptr<Delivery>> spare_;
  StreamCounters counters_;
  EventSource source_;
  CatchUpThread catch_up_;
  StreamHub hub_;
  Tracer tracer_;
  Listeners listeners_;
  std::unique_ptr<query::Tail> tail_;
  std::vector<Position> seen_;  // committed by each shard when the tail last looked
  bool more_ = false;           // the last look did not reach the end
  bool reading_ = false;        // somebody needs it
  bool lost_it_ = false;        // the tail could not be read: it goes on where it was
  std::uint64_t lost_seen_ = 0;
  MonoNs next_look_ = 0;
  bool busy_ = false;           // a column was full
  shard::SleepFlag sleep_;
  std::atomic<std::uint32_t> open_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

FeedThread::~FeedThread() {
  stop_.store(true, std::memory_order_release);
  post_.inbox().wake();
  if (thread_.joinable()) thread_.join();
  for (FeedListener* listener : listeners_.all) listener->on_end();
  // What still comes home finds nobody to deliver to.
  while (post_.outstanding() > 0) post_.poll();
}

void FeedThread::serve() {
  catch_up_.serve();
  thread_ = std::thread([this] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    pthread_setname_np(pthread_self(), "stream");
    while (!stop_.load(std::memory_order_acquire)) turn(std::numeric_limits<MonoNs>::max());
  });
}

// Who is there ------------------------------------------------------------------------------------

void FeedThread::add(FeedListener& listener) {
  letter([this, &listener] {
    listeners_.all.push_back(&listener);
    want();
    listener.on_start();
  });
}

void FeedThread::remove(FeedListener& listener) {
  letter([this, &listener] {
    if (std::erase(listeners_.all, &listener) > 0) listener.on_end();
  });
}

void FeedThread::consumers(std::function<void(std::vector<Consumer>)> then) {
  letter([this, then = std::move(then)] {
    std::vector<Consumer> out;
    tracer_.list(out);
    for (Consumer& one : hub_.consumers(parts_.scan.sys.wall_now())) out.push_back(std::move(one));
    then(std::move(out));
  });
}

bool FeedThread::admit() {
  if (open_.fetch_add(1, std::memory_order_relaxed) < stream_limits::subscribers_max) return true;
  discharge();
  return false;
}

void FeedThread::open(const ClientKey& key, ClientInfo info) {
  letter([this, key, info = std::move(info)] {
    want();
    hub_.open(key, info, now());
  });
}

void FeedThread::open_events(const ClientKey& key, ClientInfo info, std::string query,
                             std::string last_id) {
  letter([this, key, info = std::move(info), query = std::move(query),
          last_id = std::move(last_id)] {
    want();
    hub_.open_events(key, info, query, last_id, now());
  });
}

void FeedThread::open_trace(const ClientKey& key, ClientInfo info, std::string device) {
  letter([this, key, info = std::move(info), device = std::move(device)] {
    tracer_.open(key, info, device);
  });
}

void FeedThread::said(const ClientKey& key, std::string message,
                      std::shared_ptr<std::atomic<std::uint32_t>> waiting) {
  kept_[key.shard].said.fetch_add(message.size(), std::memory_order_relaxed);
  letter([this, key, message = std::move(message), waiting = std::move(waiting)] {
    waiting->fetch_sub(1, std::memory_order_relaxed);
    kept_[key.shard].said.fetch_sub(message.size(), std::memory_order_relaxed);
    hub_.said(key, message);
  });
}

void FeedThread::room(const ClientKey& key) {
  letter([this, key] {
    hub_.room(key);
    tracer_.room(key);
  });
}

void FeedThread::gone(const ClientKey& key, std::string_view why) {
  letter([this, key, why = std::string(why)] {
    if (why == ended_slow) counters_.ended.add(StreamEnd::slow);
    if (why == ended_revoked) counters_.ended.add(StreamEnd::revoked);
    if (why == ended_rude) counters_.ended.add(StreamEnd::rude);
    hub_.gone(key, why, parts_.scan.sys.wall_now());
    tracer_.gone(key);
  });
}

// Reading -----------------------------------------------------------------------------------------

// Somebody needs the log: from here on it is read.
void FeedThread::want() {
  if (reading_) return;
  reading_ = true;
  lost_it_ = false;
  // From here on commits wake us; those before are behind the tail's place.
  wanted_.store(true, std::memory_order_seq_cst);
  begin_reading();
}

bool FeedThread::begin_reading() {
  query::TailStart start{query::TailStart::Where::end, {}};
  if (lost_it_) start = {query::TailStart::Where::cursor, cursor_of(hub_.place())};
  auto opened = query::Tail::open(parts_.scan, {}, start);
  if (!opened) {
    parts_.logs.error("the live stream can't read the log", {{"why", opened.error().message}});
    next_look_ = now() + retry_log;
    return false;
  }
  tail_ = std::move(*opened);
  lost_seen_ = 0;
  if (!lost_it_) hub_.begin_at(place_of(tail_->cursor()));
  more_ = true;
  return true;
}

void FeedThread::stop_reading() {
  reading_ = false;
  wanted_.store(false, std::memory_order_relaxed);
  tail_.reset();
  spare_.clear();
}

bool FeedThread::has_moved() const {
  const log::CommitBoard* const board = parts_.scan.board;
  for (std::size_t i = 0; i < seen_.size(); ++i) {
    if (board->committed({board->run(), static_cast<ShardIndex>(i)}) != seen_[i]) return true;
  }
  return false;
}

// A shard does not take what there is for it: the log waits, it is what does not forget.
bool FeedThread::is_stuck() const {
  return std::ranges::any_of(in_flight_, [](std::uint32_t count) {
    return count >= stream_limits::deliveries_max;
  });
}

void FeedThread::look() {
  next_look_ = now() + stream_limits::look_every;
  if (!tail_ && !begin_reading()) return;
  for (std::size_t i = 0; i < seen_.size(); ++i) {
    const log::CommitBoard& board = *parts_.scan.board;
    seen_[i] = board.committed({board.run(), static_cast<ShardIndex>(i)});
  }
  if (!tail_->refresh()) {
    lost_it_ = true;
    tail_.reset();
    next_look_ = now() + retry_log;
    return;
  }
  read_records();
}

void FeedThread::read_records() {
  FeedListener* const listener = listeners_.all.empty() ? nullptr : &listeners_;
  query::Found found;
  std::uint32_t count = 0;
  while (count < stream_limits::records_per_look && tail_->next(found)) {
    if (const std::uint64_t lost = tail_->lost_bytes(); lost > lost_seen_) {
      hub_.lost(lost - std::exchange(lost_seen_, lost));
      listeners_.on_gap();
    }
    hub_.begin_record(found.stream, found.record.end());
    source_.read(found, hub_, listener);
    hub_.record_done();
    ++count;
  }
  counters_.records.add(count);
  more_ = count == stream_limits::records_per_look;
}

// Delivering --------------------------------------------------------------------------------------

void FeedThread::deliver() {
  busy_ = false;
  for (ShardIndex shard = 0; shard < parts_.shards; ++shard) {
    if (!hub_.out()[shard].empty()) post_delivery(shard);
  }
}

void FeedThread::post_delivery(ShardIndex shard) {
  if (in_flight_[shard] >= stream_limits::deliveries_max) return;  // goes when one has come home
  std::shared_ptr<Delivery> delivery;
  if (spare_.empty()) {
    delivery = std::make_shared<Delivery>();
  } else {
    delivery = std::move(spare_.back());
    spare_.pop_back();
  }
  std::swap(*delivery, hub_.out()[shard]);
  delivery->sent_bytes = delivery->memory_bytes();
  auto errand = shard::make_errand(
      [this, shard, delivery](shard::ErrandHost&, shard::ErrandTicket ticket) {
        if (StreamRoom* const room = rooms_[shard]; room != nullptr) room->deliver(*delivery);
        ticket.done();
      },
      [this, shard, delivery](bool ran) { came_home(shard, delivery, ran); });
  switch (post_.send(shard, errand)) {
    case shard::Posted::ok:
      ++in_flight_[shard];
      in_flight_bytes_[shard] += delivery->sent_bytes;
      return;
    case shard::Posted::busy:
      std::swap(*delivery, hub_.out()[shard]);
      busy_ = true;
      return;
    case shard::Posted::stopped:
      return;
  }
}

void FeedThread::came_home(ShardIndex shard, const std::shared_ptr<Delivery>& delivery,
                           bool ran) {
  --in_flight_[shard];
  in_flight_bytes_[shard] -= delivery->sent_bytes;
  if (ran) {
    for (const Delivery::Slow& slow : delivery->slow) {
      hub_.slow({shard, slow.ref}, slow.queued_bytes);
      tracer_.slow({shard, slow.ref}, slow.queued_bytes);
    }
    hub_.arrived(delivery->jobs);
  }
  delivery->clear();
  if (spare_.size() < stream_limits::deliveries_max) spare_.push_back(delivery);
}

// So that the shards' memory levels see it; what no one client has is shared out.
void FeedThread::publish_kept() {
  std::uint64_t spare = 0;
  for (const auto& delivery : spare_) spare += delivery->memory_bytes();
  std::uint64_t all = 0;
  for (ShardIndex shard = 0; shard < parts_.shards; ++shard) {
    const std::uint64_t bytes = hub_.kept_bytes(shard) + in_flight_bytes_[shard] +
                                spare / parts_.shards +
                                kept_[shard].said.load(std::memory_order_relaxed);
    kept_[shard].published.store(bytes, std::memory_order_relaxed);
    all += bytes;
  }
  counters_.kept.set(static_cast<std::int64_t>(all));
}

// The loop ----------------------------------------------------------------------------------------

void FeedThread::wait(MonoNs longest_ns) {
  const MonoNs at = now();
  MonoNs until = std::min(hub_.next_ns(), at + stream_limits::idle_turn);
  bool announced = false;
  if (reading_ && !is_stuck()) {
    const MonoNs look_at = std::max(next_look_, at);
    if (more_ || !tail_ || has_moved()) {
      until = std::min(until, look_at);  // between two looks commits need not wake us
    } else {
      sleep_.announce();
      announced = true;
      if (has_moved()) until = std::min(until, look_at);
    }
  }
  if (busy_) until = std::min(until, at + retry_post);
  const MonoNs time = std::clamp<MonoNs>(until - at, 0, longest_ns);
  const timespec limit{time / ns_per_s, time % ns_per_s};
  pollfd one{.fd = post_.fd(), .events = POLLIN, .revents = 0};
  const int polled = ::ppoll(&one, 1, &limit, nullptr);
  RG_CHECK(polled >= 0 || errno == EINTR);
  if (announced) sleep_.clear();
}

void FeedThread::turn(MonoNs longest_ns) {
  wait(longest_ns);
  post_.poll();
  const MonoNs at = now();
  hub_.tick(at);
  if (reading_ && at >= next_look_ && !is_stuck() &&
      (more_ || !tail_ || has_moved() || at - next_look_ >= stream_limits::idle_turn)) {
    look();
    hub_.tick(now());
  }
  deliver();
  busy_ |= tracer_.retry();
  if (reading_ && hub_.clients() == 0 && listeners_.all.empty()) stop_reading();
  publish_kept();
}

}  // namespace

std::unique_ptr<Feed> Feed::make(const FeedParts& parts) {
  RG_CHECK(parts.scan.board != nullptr);
  return std::make_unique<FeedThread>(parts);
}

}  // namespace ringgate::api
