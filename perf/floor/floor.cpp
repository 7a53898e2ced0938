// The floor: what the kernel asks for a durable acknowledgement, and nothing else. ringgate is
// measured against it (perf/run). FROZEN: its figures are the yardstick of every later run, so this
// file is not tuned, extended or brought into line with the engine. It shares no code with it.
//
// One thread, one io_uring. It splits what arrives at 7E, copies each frame as it came into a
// batch, writes the batch with one O_DIRECT|RWF_DSYNC write at a time over a file of written blocks
// (from the start again at its end), and when that write is done answers each of its frames with
// the shortest valid 0x8001 (JT/T 808-2013 8.2), one send per link. 0x0100 gets a 0x8100 with a
// fixed code, so that the same load tool drives both. It checks nothing, decodes no body, knows no
// device, keeps no record headers and can't read back what it wrote.
//
//   floor [--port N] [--file PATH] [--cpu N] [--file-mib N]
//
// Prints `ready jt808=127.0.0.1:PORT` and runs until SIGTERM or SIGINT. Needs Linux 6.1; newer ones
// (6.6: no index array, 6.10: receive bundles) are used as they are.
#include <arpa/inet.h>
#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr u32 setup_no_sqarray = 1U << 16;  // 6.6, not in older headers
constexpr u16 recvsend_bundle = 1U << 4;    // 6.10
constexpr u32 feature_bundle = 1U << 14;    // 6.10
constexpr u32 sq_entries = 8192;
constexpr u32 cq_entries = 65536;
constexpr u32 buffers = 4096;              // receive buffers, a power of two
constexpr u32 buffer_bytes = 2048;
constexpr u32 buffer_stride = 2048 + 64;   // so that the first lines do not share one cache set
constexpr u32 batch_bytes = 4U << 20;      // one write at most
constexpr u32 block_bytes = 4096;
constexpr u32 frame_bytes_max = 2092;      // JT/T 808: header, body and check, all escaped
constexpr u32 links_max = 1U << 17;        // by file descriptor

enum Tag : u64 { tag_accept = 1, tag_recv = 2, tag_send = 3, tag_write = 4 };
u64 user_data(Tag tag, u64 value) { return static_cast<u64>(tag) << 56 | value; }

[[noreturn]] void die(const char* what, int error) {
  std::fprintf(stderr, "floor: %s: %s\n", what, std::strerror(error));
  std::exit(1);
}

volatile sig_atomic_t stopping = 0;
void on_signal(int) { stopping = 1; }

// ---- the ring ----------------------------------------------------------------------------------

struct Ring {
  int fd = -1;
  int enter_fd = -1;
  u32 enter_flags = 0;
  u32 *sq_head, *sq_tail, sq_mask, *cq_head, *cq_tail, cq_mask;
  io_uring_sqe* sqes;
  io_uring_cqe* cqes;
  u32 tail = 0, submitted = 0;
  bool bundles = false;

  void open() {
    io_uring_params params{};
    for (const u32 optional : {setup_no_sqarray, 0U}) {
      params = {};
      params.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
                     IORING_SETUP_DEFER_TASKRUN | optional;
      params.cq_entries = cq_entries;
      fd = static_cast<int>(syscall(__NR_io_uring_setup, sq_entries, &params));
      if (fd >= 0 || errno != EINVAL) break;
    }
    if (fd < 0) die("io_uring_setup", errno);
    bundles = (params.features & feature_bundle) != 0;
    const size_t cq_bytes = params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe);
    const size_t sq_bytes = params.sq_off.array + params.sq_entries * sizeof(u32);
    const size_t ring_bytes =
        params.flags & setup_no_sqarray ? cq_bytes : cq_bytes > sq_bytes ? cq_bytes : sq_bytes;
    u8* ring = map(ring_bytes, IORING_OFF_SQ_RING);
    sqes = reinterpret_cast<io_uring_sqe*>(
        map(params.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES));
    sq_head = at(ring, params.sq_off.head);
    sq_tail = at(ring, params.sq_off.tail);
    sq_mask = *at(ring, params.sq_off.ring_mask);
    cq_head = at(ring, params.cq_off.head);
    cq_tail = at(ring, params.cq_off.tail);
    cq_mask = *at(ring, params.cq_off.ring_mask);
    cqes = reinterpret_cast<io_uring_cqe*>(ring + params.cq_off.cqes);
    if ((params.flags & setup_no_sqarray) == 0)
      for (u32 i = 0; i < params.sq_entries; ++i) at(ring, params.sq_off.array)[i] = i;
    io_uring_rsrc_update own{};
    own.offset = ~0U;
    own.data = static_cast<u64>(fd);
    enter_fd = fd;
    if (call_register(IORING_REGISTER_RING_FDS, &own, 1) == 1) {
      enter_fd = static_cast<int>(own.offset);
      enter_flags = IORING_ENTER_REGISTERED_RING;
    }
  }
  u8* map(size_t bytes, off_t offset) {
    void* memory =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
    if (memory == MAP_FAILED) die("mmap of the ring", errno);
    return static_cast<u8*>(memory);
  }
  static u32* at(u8* base, u32 offset) { return reinterpret_cast<u32*>(base + offset); }
  int call_register(unsigned opcode, const void* argument, unsigned count) const {
    return static_cast<int>(syscall(__NR_io_uring_register, fd, opcode, argument, count));
  }
  io_uring_sqe* next() {
    if (tail - __atomic_load_n(sq_head, __ATOMIC_ACQUIRE) > sq_mask) enter(0);
    io_uring_sqe* sqe = &sqes[tail++ & sq_mask];
    std::memset(sqe, 0, sizeof *sqe);
    return sqe;
  }
  void enter(u32 wait_for) {
    __atomic_store_n(sq_tail, tail, __ATOMIC_RELEASE);
    const long done = syscall(__NR_io_uring_enter, enter_fd, tail - submitted, wait_for,
                              IORING_ENTER_GETEVENTS | enter_flags, nullptr, 0);
    if (done >= 0) submitted += static_cast<u32>(done);
    else if (errno != EINTR && errno != EBUSY && errno != EAGAIN) die("io_uring_enter", errno);
  }
};

// ---- receive buffers ---------------------------------------------------------------------------

// The kernel takes buffers in the order in which they lie in the ring, and we give them back in
// that order too, so entry i always holds buffer i and one index says what a bundle covers.
struct Buffers {
  io_uring_buf_ring* shared = nullptr;
  u8* memory = nullptr;
  u16 tail = 0;

  void open(const Ring& ring) {
    const size_t shared_bytes = buffers * sizeof(io_uring_buf);
    void* pages = mmap(nullptr, shared_bytes + size_t{buffers} * buffer_stride,
                       PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (pages == MAP_FAILED) die("mmap of receive buffers", errno);
    shared = static_cast<io_uring_buf_ring*>(pages);
    memory = static_cast<u8*>(pages) + shared_bytes;
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<u64>(shared);
    registration.ring_entries = buffers;
    if (ring.call_register(IORING_REGISTER_PBUF_RING, &registration, 1) < 0)
      die("IORING_REGISTER_PBUF_RING", errno);
    for (u32 i = 0; i < buffers; ++i) give_back();
    publish();
  }
  u8* at(u32 index) const { return memory + size_t{index & (buffers - 1)} * buffer_stride; }
  void give_back() {
    io_uring_buf* entry = &reinterpret_cast<io_uring_buf*>(shared)[tail & (buffers - 1)];
    entry->addr = reinterpret_cast<u64>(at(tail));
    entry->len = buffer_bytes;
    entry->bid = static_cast<u16>(tail & (buffers - 1));
    ++tail;
  }
  void publish() const { __atomic_store_n(&shared->tail, tail, __ATOMIC_RELEASE); }
};

// ---- links and batches -------------------------------------------------------------------------

// Answers of one link to frames of one batch, back to back.
struct Run {
  u32 link;
  u32 offset;
  u32 size_bytes;
  int next;  // further run of the same link in the batch, or -1
};

struct Batch {
  u8* frames = nullptr;  // what is written
  u32 frames_bytes = 0;
  std::vector<u8> answers;
  std::vector<Run> runs;
  std::vector<std::pair<u32, int>> firsts;  // link, its first run
  u32 unsent = 0;                           // links whose answers are not all sent
};
constexpr u32 batch_count = 8;  // one fills, one is written, the rest are being sent

struct Send {
  u32 batch = 0, offset = 0, size_bytes = 0;
};

struct Link {
  bool reading = false;        // its multishot recv is armed
  bool open = false;
  u32 sending = 0;             // sends in flight, 0 or 1
  u32 held = 0;                // batches that hold answers for it
  u64 batch_seen = 0;          // number of the batch that its last run is in
  int last_run = -1;
  Send now;
  std::vector<Send> later;     // committed, behind a send in flight
  std::vector<u8> rest;        // a frame that has not ended yet
};

struct Floor {
  Ring ring;
  Buffers receive;
  std::vector<Link> links{links_max};
  std::vector<u32> starved;    // links whose recv ended for want of buffers
  Batch batches[batch_count];
  u32 filling = 0;
  u64 filling_number = 1;
  int writing = -1;
  int file = -1;
  u64 file_bytes = 0, file_at = 0;
  int listener = -1;

  void open_file(const char* path, u64 bytes);
  u16 listen_on(u16 port);
  void run();

 private:
  void arm_accept();
  void arm_recv(u32 link);
  void on_recv(u32 link, int result, u32 flags);
  void feed(Link& link, u32 index, const u8* from, u32 count);
  void frame(u32 index, const u8* inside, u32 count);
  void answer(u32 index, const u8* inside, u32 count);
  void start_write();
  void on_write(int result);
  void start_send(u32 link);
  void on_send(u32 link, int result);
  void release(Batch& batch);
  void close_if_done(u32 link);
  bool next_batch();
};

void Floor::open_file(const char* path, u64 bytes) {
  file = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
  if (file < 0) die(path, errno);
  file_bytes = bytes;
  for (Batch& batch : batches) {
    void* pages = mmap(nullptr, batch_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (pages == MAP_FAILED) die("mmap of a batch", errno);
    batch.frames = static_cast<u8*>(pages);
    batch.answers.reserve(1U << 20);
    batch.runs.reserve(1U << 14);
    batch.firsts.reserve(1U << 14);
  }
  for (u64 at = 0; at < bytes; at += batch_bytes)
    if (pwrite(file, batches[0].frames, batch_bytes, static_cast<off_t>(at)) != batch_bytes)
      die("writing the file's blocks", errno);
  if (fsync(file) < 0) die("fsync", errno);
}

u16 Floor::listen_on(u16 port) {
  listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // inherited by what it accepts
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), size) < 0) die("bind", errno);
  if (listen(listener, 65535) < 0) die("listen", errno);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

void Floor::arm_accept() {
  io_uring_sqe* sqe = ring.next();
  io_uring_prep_multishot_accept(sqe, listener, nullptr, nullptr, SOCK_CLOEXEC);
  sqe->user_data = user_data(tag_accept, 0);
}

void Floor::arm_recv(u32 link) {
  io_uring_sqe* sqe = ring.next();
  io_uring_prep_recv(sqe, static_cast<int>(link), nullptr, 0, 0);
  sqe->ioprio = static_cast<u16>(IORING_RECV_MULTISHOT | (ring.bundles ? recvsend_bundle : 0));
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = 0;
  sqe->user_data = user_data(tag_recv, link);
  links[link].reading = true;
}

// ---- frames in ---------------------------------------------------------------------------------

void Floor::on_recv(u32 index, int result, u32 flags) {
  Link& link = links[index];
  if (!(flags & IORING_CQE_F_MORE)) link.reading = false;
  if (result > 0) {
    u32 at = flags >> IORING_CQE_BUFFER_SHIFT;
    for (u32 left = static_cast<u32>(result); left > 0; ++at) {
      const u32 count = left < buffer_bytes ? left : buffer_bytes;
      feed(link, index, receive.at(at), count);
      receive.give_back();
      left -= count;
    }
    if (!link.reading) starved.push_back(index);
  } else if (result == -ENOBUFS) {
    starved.push_back(index);
  } else if (!link.reading) {
    link.open = false;
    close_if_done(index);
  }
}

void Floor::feed(Link& link, u32 index, const u8* from, u32 count) {
  const u8* end = from + count;
  if (!link.rest.empty()) {  // finish the frame that began in an earlier buffer
    const auto* stop = static_cast<const u8*>(std::memchr(from, 0x7e, count));
    const u8* until = stop ? stop : end;
    if (link.rest.size() + static_cast<size_t>(until - from) > frame_bytes_max) link.rest.clear();
    link.rest.insert(link.rest.end(), from, until);
    if (!stop) return;
    from = stop + 1;
    if (link.rest.size() > 1) {
      frame(index, link.rest.data() + 1, static_cast<u32>(link.rest.size() - 1));
      link.rest.clear();
    } else {
      from = stop;  // a doubled 7E: this one opens
      link.rest.clear();
    }
  }
  while (from < end) {
    const auto* start =
        static_cast<const u8*>(std::memchr(from, 0x7e, static_cast<size_t>(end - from)));
    if (!start) return;
    const u8* inside = start + 1;
    const auto* stop =
        static_cast<const u8*>(std::memchr(inside, 0x7e, static_cast<size_t>(end - inside)));
    if (!stop) {
      link.rest.assign(start, end);
      return;
    }
    if (stop == inside) {
      from = stop;
      continue;
    }
    frame(index, inside, static_cast<u32>(stop - inside));
    from = stop + 1;
  }
}

// One frame, as it came, without its delimiters.
void Floor::frame(u32 index, const u8* inside, u32 count) {
  if (count < 13 || count > frame_bytes_max) return;
  Batch& batch = batches[filling];
  if (batch.frames_bytes + count + 2 > batch_bytes) {
    std::fprintf(stderr, "floor: more than %u bytes in flight: lower the load\n", batch_bytes);
    std::exit(1);
  }
  std::memcpy(batch.frames + batch.frames_bytes, inside - 1, count + 2);
  batch.frames_bytes += count + 2;
  answer(index, inside, count);
}

u32 put_escaped(u8* out, const u8* from, u32 count) {
  u32 size = 0;
  out[size++] = 0x7e;
  for (u32 i = 0; i < count; ++i) {
    if (from[i] == 0x7e || from[i] == 0x7d) {
      out[size++] = 0x7d;
      out[size++] = from[i] == 0x7e ? 2 : 1;
    } else {
      out[size++] = from[i];
    }
  }
  out[size++] = 0x7e;
  return size;
}

// 0x8001 (or 0x8100 for 0x0100) to the frame, held until its batch is durable.
void Floor::answer(u32 index, const u8* inside, u32 count) {
  u8 header[21];
  u32 have = 0;
  for (u32 i = 0; i < count && have < 17; ++i) {  // unescape the header, no more
    u8 byte = inside[i];
    if (byte == 0x7d && i + 1 < count) byte = inside[++i] == 2 ? 0x7e : 0x7d;
    header[have++] = byte;
  }
  const u32 header_bytes = header[2] & 0x40 ? 17 : 12;
  if (have < header_bytes) return;
  const bool registers = header[0] == 0x01 && header[1] == 0x00;
  u8 reply[40];
  std::memcpy(reply, header, header_bytes);
  reply[0] = registers ? 0x81 : 0x80;
  reply[1] = registers ? 0x00 : 0x01;
  reply[2] = header[2] & 0x40;
  u8* body = reply + header_bytes;
  std::memcpy(body, reply + header_bytes - 2, 2);
  u32 body_bytes = 5;
  if (registers) {
    std::memcpy(body + 2, "\0floor", 6);
    body_bytes = 8;
  } else {
    body[2] = header[0];
    body[3] = header[1];
    body[4] = 0;
  }
  reply[3] = static_cast<u8>(body_bytes);
  u8 check = 0;
  for (u32 i = 0; i < header_bytes + body_bytes; ++i) check = static_cast<u8>(check ^ reply[i]);
  body[body_bytes] = check;

  Batch& batch = batches[filling];
  const u32 offset = static_cast<u32>(batch.answers.size());
  batch.answers.resize(offset + 80);
  const u32 size = put_escaped(batch.answers.data() + offset, reply, header_bytes + body_bytes + 1);
  batch.answers.resize(offset + size);

  Link& link = links[index];
  const int run = static_cast<int>(batch.runs.size());
  if (link.batch_seen != filling_number) {
    link.batch_seen = filling_number;
    ++link.held;
    batch.firsts.emplace_back(index, run);
  } else if (link.last_run == run - 1) {  // right behind the last answer: the same run
    batch.runs.back().size_bytes += size;
    return;
  } else {
    batch.runs[static_cast<u32>(link.last_run)].next = run;
  }
  batch.runs.push_back({index, offset, size, -1});
  link.last_run = run;
}

// ---- commit and answers out --------------------------------------------------------------------

bool Floor::next_batch() {
  for (u32 i = 0; i < batch_count; ++i) {
    const u32 at = (filling + 1 + i) % batch_count;
    if (static_cast<int>(at) != writing && at != filling && batches[at].frames_bytes == 0 &&
        batches[at].unsent == 0) {
      filling = at;
      ++filling_number;
      return true;
    }
  }
  return false;
}

void Floor::start_write() {
  const u32 which = filling;
  Batch& batch = batches[which];
  if (batch.frames_bytes == 0 || !next_batch()) return;
  const u32 size = (batch.frames_bytes + block_bytes - 1) & ~(block_bytes - 1);
  if (file_at + size > file_bytes) file_at = 0;
  io_uring_sqe* sqe = ring.next();
  io_uring_prep_write(sqe, file, batch.frames, size, file_at);
  sqe->rw_flags = RWF_DSYNC;
  sqe->user_data = user_data(tag_write, size);
  file_at += size;
  writing = static_cast<int>(which);
}

void Floor::on_write(int result) {
  Batch& batch = batches[writing];
  const u32 size = (batch.frames_bytes + block_bytes - 1) & ~(block_bytes - 1);
  if (result != static_cast<int>(size)) die("write", result < 0 ? -result : EIO);
  const u32 which = static_cast<u32>(writing);
  writing = -1;
  start_write();  // the disk first, then the links
  batch.unsent = static_cast<u32>(batch.firsts.size());
  for (const auto& [index, first] : batch.firsts) {
    const Run* run = &batch.runs[static_cast<u32>(first)];
    Send send{which, run->offset, run->size_bytes};
    if (run->next >= 0) {  // several runs: put them together, so that one send takes them
      send = {which, static_cast<u32>(batch.answers.size()), 0};
      for (; run; run = run->next < 0 ? nullptr : &batch.runs[static_cast<u32>(run->next)]) {
        batch.answers.resize(batch.answers.size() + run->size_bytes);
        std::memcpy(batch.answers.data() + send.offset + send.size_bytes,
                    batch.answers.data() + run->offset, run->size_bytes);
        send.size_bytes += run->size_bytes;
      }
    }
    links[index].later.push_back(send);
  }
  for (const auto& [index, first] : batch.firsts)
    if (links[index].sending == 0) start_send(index);
  if (batch.unsent == 0) release(batch);
}

void Floor::start_send(u32 index) {
  Link& link = links[index];
  link.now = link.later.front();
  link.later.erase(link.later.begin());
  io_uring_sqe* sqe = ring.next();
  const u8* from = batches[link.now.batch].answers.data() + link.now.offset;
  io_uring_prep_send(sqe, static_cast<int>(index), from, link.now.size_bytes,
                     MSG_NOSIGNAL | MSG_WAITALL);
  sqe->user_data = user_data(tag_send, index);
  link.sending = 1;
}

void Floor::on_send(u32 index, int result) {
  Link& link = links[index];
  if (result < 0) link.open = false;
  Batch& batch = batches[link.now.batch];
  link.sending = 0;
  --link.held;
  if (--batch.unsent == 0) release(batch);
  if (!link.later.empty()) start_send(index);
  else close_if_done(index);
}

void Floor::release(Batch& batch) {
  batch.frames_bytes = 0;
  batch.answers.clear();
  batch.runs.clear();
  batch.firsts.clear();
}

void Floor::close_if_done(u32 index) {
  Link& link = links[index];
  if (link.open || link.reading || link.held > 0 || link.sending) return;
  close(static_cast<int>(index));
}

void Floor::run() {
  arm_accept();
  while (!stopping) {
    ring.enter(1);
    const u32 head = *ring.cq_head;
    const u32 ready = __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE) - head;
    for (u32 i = 0; i < ready; ++i) {
      const io_uring_cqe cqe = ring.cqes[(head + i) & ring.cq_mask];
      const u32 value = static_cast<u32>(cqe.user_data);
      switch (cqe.user_data >> 56) {
        case tag_accept:
          if (cqe.res >= 0 && static_cast<u32>(cqe.res) < links_max) {
            links[static_cast<u32>(cqe.res)] = Link{};
            links[static_cast<u32>(cqe.res)].open = true;
            arm_recv(static_cast<u32>(cqe.res));
          }
          if (!(cqe.flags & IORING_CQE_F_MORE)) arm_accept();
          break;
        case tag_recv: on_recv(value, cqe.res, cqe.flags); break;
        case tag_send: on_send(value, cqe.res); break;
        case tag_write: on_write(cqe.res); break;
        default: break;
      }
    }
    __atomic_store_n(ring.cq_head, head + ready, __ATOMIC_RELEASE);
    receive.publish();
    if (writing < 0) start_write();
    for (const u32 link : starved)
      if (links[link].open && !links[link].reading) arm_recv(link);
    starved.clear();
  }
}

}  // namespace

int main(int argc, char** argv) {
  u16 port = 0;
  const char* path = "floor.data";
  u64 file_mib = 64;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--port") port = static_cast<u16>(std::atoi(argv[i + 1]));
    else if (flag == "--file") path = argv[i + 1];
    else if (flag == "--file-mib") file_mib = static_cast<u64>(std::atoi(argv[i + 1]));
    else if (flag == "--cpu") {
      cpu_set_t set;
      CPU_ZERO(&set);
      CPU_SET(static_cast<unsigned>(std::atoi(argv[i + 1])), &set);
      if (sched_setaffinity(0, sizeof set, &set) < 0) die("--cpu", errno);
    } else {
      std::fprintf(stderr, "floor: unknown option %s\n", argv[i]);
      return 2;
    }
  }
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  struct sigaction action{};
  action.sa_handler = on_signal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  static Floor floor;
  floor.open_file(path, file_mib << 20);
  floor.ring.open();
  floor.receive.open(floor.ring);
  const u16 bound = floor.listen_on(port);
  std::printf("ready jt808=127.0.0.1:%u\n", bound);
  std::fflush(stdout);
  floor.run();
  return 0;
}
