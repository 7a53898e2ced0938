// The live test of multishot receives and of bundles. Old kernels ignore unknown bits of ioprio
// without a word, and some deliver bundles out of order, so only received bytes prove anything.
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "engine/io/abi.hpp"
#include "engine/io/uring.hpp"

namespace ringgate::io {
namespace {

constexpr std::uint16_t probe_group = 1;
constexpr std::uint32_t probe_buffers = 16;
constexpr std::uint32_t probe_buffer_bytes = 64;
constexpr MonoNs probe_limit_ns = 2 * ns_per_s;
constexpr std::uint64_t recv_id = user_data(Tag::recv, 0, 0);

class SocketPair {
 public:
  explicit SocketPair(int type) {
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds_) != 0) fds_[0] = fds_[1] = -1;
  }
  ~SocketPair() {
    for (const int fd : fds_) {
      if (fd >= 0) close(fd);
    }
  }
  SocketPair(const SocketPair&) = delete;
  SocketPair& operator=(const SocketPair&) = delete;
  bool ok() const { return fds_[0] >= 0; }
  int near() const { return fds_[0]; }
  int far() const { return fds_[1]; }

 private:
  int fds_[2];
};

std::uint8_t pattern(std::size_t at) { return static_cast<std::uint8_t>(at * 7 + at / 251); }

// What one run over the socket pair showed.
struct Seen {
  std::vector<std::uint8_t> data;
  bool stayed_armed = false;  // some completion said that more will follow
  bool ended = false;         // the end of the stream arrived
  bool failed = false;
};

void take(const io_uring_cqe& cqe, BufferRing& buffers, Seen& seen) {
  if (cqe.user_data != recv_id || cqe.res < 0) {
    seen.failed = true;
    return;
  }
  const bool more = (cqe.flags & IORING_CQE_F_MORE) != 0;
  seen.stayed_armed = seen.stayed_armed || (more && cqe.res > 0);
  if (cqe.res == 0) {
    seen.ended = true;
    return;
  }
  if ((cqe.flags & IORING_CQE_F_BUFFER) == 0 ||
      static_cast<std::uint32_t>(cqe.res) > probe_buffers * probe_buffer_bytes) {
    seen.failed = true;
    return;
  }
  buffers.consume(static_cast<std::uint16_t>(cqe.flags >> abi::cqe_buffer_shift),
                  static_cast<std::uint32_t>(cqe.res), [&](std::uint16_t bid, Bytes bytes) {
                    seen.data.insert(seen.data.end(), bytes.begin(), bytes.end());
                    buffers.give_back(bid);
                  });
  buffers.publish();
  seen.failed = seen.failed || !more;
}

// Collects until `size_bytes` have come, or the end of the stream (size_bytes 0). False: it
// stopped.
bool collect(Ring& ring, BufferRing& buffers, std::size_t size_bytes, Seen& seen) {
  while (!seen.failed && !seen.ended && (size_bytes == 0 || seen.data.size() < size_bytes)) {
    if (ring.submit_and_wait(1, probe_limit_ns) != 0 || ring.completions_ready() == 0) return false;
    io_uring_cqe cqe;
    while (ring.drain(&cqe, 1) == 1) take(cqe, buffers, seen);
  }
  return !seen.failed;
}

// Sends short and long pieces, so that buffers are left partly filled and a bundle covers several.
bool receives_in_order(Ring& ring, bool bundle) {
  SocketPair pair(SOCK_STREAM);
  Result<std::unique_ptr<BufferRing>> opened =
      BufferRing::open(ring, probe_group, probe_buffers, probe_buffer_bytes);
  if (!pair.ok() || !opened) return false;
  BufferRing& buffers = **opened;

  io_uring_sqe* sqe = ring.next_sqe();
  io_uring_prep_recv_multishot(sqe, pair.near(), nullptr, 0, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = probe_group;
  sqe->user_data = recv_id;
  if (bundle) sqe->ioprio |= abi::recvsend_bundle;

  Seen seen;
  std::size_t sent = 0;
  for (const std::size_t piece : {40U, 200U, 64U, 1U, 500U, 129U, 300U}) {
    std::uint8_t bytes[512];
    for (std::size_t i = 0; i < piece; ++i) bytes[i] = pattern(sent + i);
    if (send(pair.far(), bytes, piece, MSG_NOSIGNAL) != static_cast<ssize_t>(piece)) return false;
    sent += piece;
    if (!collect(ring, buffers, sent, seen)) return false;
  }
  shutdown(pair.far(), SHUT_WR);
  if (!collect(ring, buffers, 0, seen) || !seen.ended) return false;
  if (!seen.stayed_armed || seen.data.size() != sent) return false;
  for (std::size_t i = 0; i < sent; ++i) {
    if (seen.data[i] != pattern(i)) return false;
  }
  return true;
}

// Two datagrams, each in a buffer of its own behind its io_uring_recvmsg_out.
bool receives_datagrams(Ring& ring, bool) {
  SocketPair pair(SOCK_DGRAM);
  Result<std::unique_ptr<BufferRing>> opened =
      BufferRing::open(ring, probe_group, probe_buffers, probe_buffer_bytes);
  if (!pair.ok() || !opened) return false;
  msghdr message{};
  message.msg_namelen = 8;
  io_uring_sqe* sqe = ring.next_sqe();
  io_uring_prep_recvmsg_multishot(sqe, pair.near(), &message, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = probe_group;
  sqe->user_data = recv_id;
  for (std::uint32_t i = 0; i < 2; ++i) {
    const std::uint8_t byte = pattern(100 + i);
    if (send(pair.far(), &byte, 1, MSG_NOSIGNAL) != 1) return false;
    if (ring.submit_and_wait(1, probe_limit_ns) != 0 || ring.completions_ready() == 0) return false;
    io_uring_cqe cqe;
    constexpr std::uint32_t before = sizeof(io_uring_recvmsg_out) + 8;
    constexpr std::uint32_t wanted = IORING_CQE_F_BUFFER | IORING_CQE_F_MORE;
    if (ring.drain(&cqe, 1) != 1 || cqe.user_data != recv_id) return false;
    if (cqe.res != static_cast<int>(before + 1) || (cqe.flags & wanted) != wanted) return false;
    const std::uint8_t* data =
        (*opened)->data(static_cast<std::uint16_t>(cqe.flags >> abi::cqe_buffer_shift));
    if (load_native<io_uring_recvmsg_out>(data).payloadlen != 1 || data[before] != byte) {
      return false;
    }
  }
  return true;
}

// A ring of its own for each try: whatever is left over dies with it.
Result<bool> try_receive(std::uint32_t without, bool (*works)(Ring& ring, bool bundle),
                         bool bundle) {
  RingOptions options;
  options.sq_entries = 8;
  options.cq_entries = 64;
  options.without = without | bit(Feature::registered_ring);
  Result<std::unique_ptr<Ring>> ring = Ring::open(std::make_unique<UringBackend>(false), options);
  if (!ring) return ring.error();
  return works(**ring, bundle);
}

}  // namespace

namespace {

Result<std::uint32_t> probe_streams(std::uint32_t without, std::uint32_t kernel_features) {
  std::uint32_t found = 0;
  if ((without & bit(Feature::multishot_recv)) != 0) return found;
  utsname name{};
  const bool known_bad = uname(&name) == 0 && bundles_known_bad(name.release);
  if ((kernel_features & abi::feature_recvsend_bundle) != 0 && !known_bad &&
      (without & bit(Feature::recv_bundle)) == 0) {
    Result<bool> bundle = try_receive(without, &receives_in_order, true);
    if (!bundle) return bundle.error();
    if (*bundle) return bit(Feature::multishot_recv) | bit(Feature::recv_bundle);
  }
  Result<bool> plain = try_receive(without, &receives_in_order, false);
  if (!plain) return plain.error();
  if (*plain) found |= bit(Feature::multishot_recv);
  return found;
}

}  // namespace

Result<std::uint32_t> probe_receive(std::uint32_t without, std::uint32_t kernel_features) {
  Result<std::uint32_t> found = probe_streams(without, kernel_features);
  if (!found || (without & bit(Feature::multishot_recvmsg)) != 0) return found;
  Result<bool> datagrams = try_receive(without, &receives_datagrams, false);
  if (!datagrams) return datagrams.error();
  return *found | (*datagrams ? bit(Feature::multishot_recvmsg) : 0U);
}

}  // namespace ringgate::io
