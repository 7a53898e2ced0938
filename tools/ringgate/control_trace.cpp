// The operation `trace`: the frames of one device as they come and go, decoded, one line each,
// until the client closes.
#include <fmt/core.h>

#include <atomic>

#include "tools/ringgate/control_client.hpp"
#include "tools/ringgate/control_fields.hpp"
#include "tools/ringgate/plugs.hpp"

namespace ringgate::server {

namespace {

class TraceOp;

// Hears the shard and writes letters home. Stays as long as the shard or a letter refers to it.
class Watch final : public event::TraceWatcher, public std::enable_shared_from_this<Watch> {
 public:
  explicit Watch(shard::Inbox& inbox) : inbox_(inbox) {}
  void on_frame(bool from_device, WallUs at, Bytes frame) override;  // on the shard

  std::weak_ptr<TraceOp> op;                // control thread
  std::atomic<std::uint32_t> waiting{0};    // letters on their way
  std::atomic<std::uint64_t> dropped{0};    // frames for which there was no place
  bool installed = false;                   // on the shard

 private:
  shard::Inbox& inbox_;
};

class FrameLetter final : public shard::Letter {
 public:
  FrameLetter(std::shared_ptr<Watch> watch, bool from_device, WallUs at, Bytes frame)
      : watch_(std::move(watch)), from_device_(from_device), at_(at),
        frame_(frame.begin(), frame.end()) {}
  void arrive() override;

 private:
  std::shared_ptr<Watch> watch_;
  bool from_device_;
  WallUs at_;
  std::vector<std::uint8_t> frame_;
};

class TraceOp final : public ControlOp {
 public:
  using ControlOp::ControlOp;

  ~TraceOp() override {
    if (watch_ == nullptr) return;
    // Until the shard has let go of the watch, somebody must hold it.
    control_.finish_later([&post = control_.post(), watch = watch_, key = device_,
                           shard = home_of(device_)] {
      auto errand = shard::make_errand(
          [watch, key](shard::ErrandHost& host, shard::ErrandTicket ticket) {
            event::DeviceGate* gate = event::DeviceGates::of(host).find(key.ns);
            if (gate != nullptr && watch->installed) gate->trace(key, nullptr);
            watch->installed = false;
            ticket.done();
          },
          [](bool) {});
      return post.send(shard, errand) != shard::Posted::busy;
    });
    control_.look_again();
  }

  void start(const Json& request) override {
    if (!read_device(request, device_)) return;
    auto watch = std::make_shared<Watch>(control_.post().inbox());
    watch->op = std::static_pointer_cast<TraceOp>(shared_from_this());
    const shard::Posted posted = ask(
        home_of(device_),
        [watch, key = device_](event::DeviceGate& gate, ShardAnswer& answer) {
          answer.done = watch->installed = gate.trace(key, watch.get());
        },
        [this](const ShardAnswer* answer) {
          if (answer == nullptr) return fail_posted(shard::Posted::stopped);
          if (answer->done) return line(R"({"tracing":true})");
          fail("watched", fmt::format("somebody else traces {} already, or too many are traced",
                                      device_.id()));
        });
    if (posted != shard::Posted::ok) return fail_posted(posted);
    watch_ = std::move(watch);
  }

  void frame(bool from_device, WallUs at, Bytes bytes) {
    if (ended()) return;
    const bool room = client_.has_room();
    if (!room) ++dropped_;
    const std::uint64_t dropped = dropped_ + watch_->dropped.load(std::memory_order_relaxed);
    if (!room) return;
    if (dropped != dropped_told_) {
      dropped_told_ = dropped;
      line(fmt::format(R"({{"dropped":{}}})", dropped));
    }
    const event::MessageCatalog& catalog = *device_plug().catalog;
    const std::vector<std::uint8_t> frame = catalog.redact(bytes);
    std::string text;
    JsonWriter json(text);
    json.begin_object().key("frame").begin_object();
    char time[observe::time_text_size];
    observe::format_time(time, at);
    json.key("time").text({time, sizeof time});
    json.key("time_us").integer(at);
    json.key("direction").text(from_device ? "up" : "down");
    json.key("device").text(device_.id());
    if (frame.size() >= 2) {
      json.key("message_id").text(catalog.message_id_text(load_be16(frame.data())));
    }
    json.key("frame").hex(frame);
    json.key("body");
    catalog.json(frame, json);
    json.end_object().end_object();
    line(text);
  }

 private:
  DeviceKey device_;
  std::shared_ptr<Watch> watch_;
  std::uint64_t dropped_ = 0;  // because the client does not read
  std::uint64_t dropped_told_ = 0;
};

void Watch::on_frame(bool from_device, WallUs at, Bytes frame) {
  if (waiting.load(std::memory_order_relaxed) >= control_limits::trace_frames_max) {
    dropped.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  waiting.fetch_add(1, std::memory_order_relaxed);
  inbox_.push(std::make_unique<FrameLetter>(shared_from_this(), from_device, at, frame));
}

void FrameLetter::arrive() {
  watch_->waiting.fetch_sub(1, std::memory_order_relaxed);
  if (const auto op = watch_->op.lock()) op->frame(from_device_, at_, frame_);
}

}  // namespace

std::shared_ptr<ControlOp> make_trace_op(Control& control, ControlClient& client) {
  return std::make_shared<TraceOp>(control, client);
}

}  // namespace ringgate::server
