// A program of somebody else's: built with nothing but what `meson install` and pkg-config give.
// One shard on a real ring: a timer fires, hands a no-op to the kernel, and its completion ends it.
#include <cstdio>
#include <string>

#include "engine/base/json_writer.hpp"
#include "engine/io/ring.hpp"
#include "engine/io/sys.hpp"
#include "engine/shard/shard.hpp"

namespace {

class Once final : public ringgate::shard::TimerHandler, public ringgate::shard::CompletionHandler {
 public:
  explicit Once(ringgate::shard::Shard& shard) : shard_(shard), timer_(*this) {
    shard_.handle(tag, *this);
    shard_.arm(timer_, 1'000'000);
  }

  void on_timer() override {
    ++timers;
    io_uring_sqe* sqe = shard_.ring().next_sqe();
    io_uring_prep_nop(sqe);
    sqe->user_data = ringgate::io::user_data(tag, 1, 808);
  }

  void on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t) override {
    slot = ringgate::io::slot_of(user_data);
    failed = result < 0;
    shard_.request_stop();
  }

  unsigned timers = 0;
  std::uint32_t slot = 0;
  bool failed = true;

 private:
  static constexpr ringgate::io::Tag tag = ringgate::io::Tag::tool;
  ringgate::shard::Shard& shard_;
  ringgate::shard::Timer timer_;
};

}  // namespace

int main() {
  auto ring = ringgate::io::Ring::open(ringgate::io::make_uring_backend(), {});
  if (!ring) {
    std::fprintf(stderr, "%s\n", ring.error().message.c_str());
    return 1;
  }
  ringgate::shard::Shard shard({}, std::move(*ring), ringgate::io::real_sys());
  Once once(shard);
  shard.run();

  std::string out;
  ringgate::JsonWriter json(out);
  json.begin_object().key("timers").unsigned_integer(once.timers);
  json.key("slot").unsigned_integer(once.slot).key("failed").boolean(once.failed).end_object();
  std::puts(out.c_str());
}
