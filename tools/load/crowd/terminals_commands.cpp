// Terminals: those that the platform has told something, their uploads, and UDP.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tools/load/crowd/terminals.hpp"

namespace ringgate::load {
namespace {

// One send of queued frames: a few of the longest. Fits Device::send_bytes.
constexpr std::size_t side_send_bytes_max = 16'384;
// Lost frames that are remembered: a platform sends them again soon.
constexpr std::size_t skipped_max = 64;

}  // namespace

// ---- what the platform says --------------------------------------------------------------------

Terminals::Side& Terminals::side_of(std::uint32_t index) {
  devices_[index].has_side = true;
  return sides_[index];
}

// One that has nothing to say or to remember.
void Terminals::drop_idle_side(std::uint32_t index) {
  const auto at = sides_.find(index);
  const Side& side = at->second;
  if (side.terminal || !side.queue.empty() || side.away_ns >= 0 || !side.skipped.empty() ||
      devices_[index].buffer == side_buffer) {
    return;
  }
  devices_[index].has_side = false;
  sides_.erase(at);
}

Terminal& Terminals::terminal_of(std::uint32_t index) {
  Side& side = side_of(index);
  if (!side.terminal) {
    const TerminalOptions options{.version = options_.version, .udp = options_.udp,
                                  .loss = options_.loss, .seed = options_.seed,
                                  .has_events = options_.events};
    side.terminal = std::make_unique<Terminal>(options, number_of(index),
                                               shard_.wall_now());
  }
  return *side.terminal;
}

Moment Terminals::moment_of(std::uint32_t index) {
  Moment moment{.now = shard_.now(), .wall = shard_.wall_now(),
                .next_serial = &devices_[index].next_serial};
  if (options_.drive) moment.position = vehicles_[index].drive_to(shard_.now());
  const auto side = sides_.find(index);
  if (side != sides_.end() && side->second.terminal) {
    side->second.terminal->adjust(moment.position);
  }
  return moment;
}

void Terminals::on_command(std::uint32_t index, const Reply& reply) {
  if (devices_[index].state != State::ready) return;
  Terminal& terminal = terminal_of(index);
  Side& side = side_of(index);
  const Downlink frame = read_downlink(reply.raw, options_.version);
  if (options_.udp && loses(side, frame)) return;
  Outbox outbox;
  terminal.on_downlink(frame, moment_of(index), outbox);
  take_outbox(index, outbox);
}

// The way down loses as much as the way up, but no frame twice: platforms give up early.
bool Terminals::loses(Side& side, const Downlink& frame) {
  if (!chance_.hits(options_.loss)) return false;
  const std::uint64_t key = std::uint64_t{frame.message_id} << 32 |
                            std::uint64_t{frame.serial} << 16 | frame.number;
  if (std::find(side.skipped.begin(), side.skipped.end(), key) != side.skipped.end()) return false;
  if (side.skipped.size() == skipped_max) side.skipped.clear();
  side.skipped.push_back(key);
  return true;
}

// A 0x8001 to something else than a report or the authentication.
void Terminals::on_other_answer(std::uint32_t index, const Reply& reply) {
  const auto side = sides_.find(index);
  if (side != sides_.end() && side->second.terminal) {
    Outbox outbox;
    const bool is_expected = side->second.terminal->on_answer(
        reply.answered_id, reply.serial, reply.result, moment_of(index), outbox);
    take_outbox(index, outbox);
    if (is_expected) return;
  }
  if (!options_.udp) fail(Failure::stray_reply);  // what was sent twice is answered twice
}

void Terminals::on_upload_end(std::uint32_t index, const AttachmentUpload& upload,
                          std::string_view problem) {
  Outbox outbox;
  terminal_of(index).on_upload_end(upload, problem, moment_of(index), outbox);
  take_outbox(index, outbox);
}

void Terminals::take_outbox(std::uint32_t index, Outbox& outbox) {
  Side& side = side_of(index);
  for (Uplink& frame : outbox.frames) side.queue.push_back(std::move(frame.wire));
  for (std::unique_ptr<AttachmentUpload>& upload : outbox.uploads) {
    uploads_.start(index, std::move(upload));
  }
  for (const Outbox::File& file : outbox.files) keep_file(file);
  event_lines_ += outbox.events;
  if (outbox.away_ns >= 0) side.away_ns = outbox.away_ns;
  if (!side.queue.empty() || side.away_ns >= 0) mark(index);
  schedule_terminal(index);
}

void Terminals::keep_file(const Outbox::File& file) {
  if (options_.files_dir.empty()) return;
  std::string path = options_.files_dir;
  path += '/';
  for (const char c : file.name) path += c == '/' ? '_' : c;  // the platform has a say in names
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  std::size_t done = 0;
  int error = fd < 0 ? errno : 0;
  while (error == 0 && done < file.content.size()) {
    const ssize_t wrote = ::write(fd, file.content.data() + done, file.content.size() - done);
    if (wrote > 0) done += static_cast<std::size_t>(wrote);
    else if (errno != EINTR) error = errno;
  }
  if (fd >= 0) ::close(fd);
  if (error == 0) return;
  last_error_ = "--files: " + path + ": " + std::strerror(error);
  file_failed_ = true;
}

// ---- time --------------------------------------------------------------------------------------

void Terminals::schedule_terminal(std::uint32_t index) {
  Side& side = side_of(index);
  if (!side.terminal) return;
  const MonoNs due_ns = side.terminal->next_due();
  if (due_ns >= side.scheduled_ns) return;
  side.scheduled_ns = due_ns;
  terminal_due_.emplace(due_ns, index);
}

void Terminals::run_terminals() {
  const MonoNs now = shard_.now();
  if (options_.udp) retransmit();
  for (std::size_t left = terminal_due_.size(); left > 0; --left) {
    const auto [due_ns, index] = terminal_due_.top();
    if (due_ns > now) break;
    terminal_due_.pop();
    Side& side = side_of(index);
    if (side.scheduled_ns != due_ns) continue;
    side.scheduled_ns = INT64_MAX;
    Outbox outbox;
    side.terminal->on_time(moment_of(index), outbox);
    take_outbox(index, outbox);
  }
  uploads_.tick(now);
}

void Terminals::raise_alarm(std::uint32_t index) {
  if (devices_[index].state != State::ready || devices_[index].leaving) return;
  Outbox outbox;
  terminal_of(index).raise_alarm(moment_of(index), outbox);
  take_outbox(index, outbox);
}

// ---- sending -----------------------------------------------------------------------------------

// True: it has seen to this device, which reports nothing now.
bool Terminals::send_queued(std::uint32_t index) {
  Device& who = device(index);
  if (who.state < State::registering || who.state == State::closing) return true;
  Side& side = sides_[index];
  if (side.queue.empty()) {
    if (side.away_ns < 0 || who.state != State::ready) return false;
    if (who.outstanding == 0) hang_up(index);
    return true;
  }
  side.sending.clear();
  std::size_t taken = 0;
  do {
    const Body& next = side.queue[taken++];
    side.sending.insert(side.sending.end(), next.begin(), next.end());
  } while (!options_.udp && taken < side.queue.size() &&
           side.sending.size() + side.queue[taken].size() <= side_send_bytes_max);
  side.queue.erase(side.queue.begin(), side.queue.begin() + static_cast<std::ptrdiff_t>(taken));
  who.buffer = side_buffer;
  send(index, side.sending.size());
  return true;
}

// ---- coming and going --------------------------------------------------------------------------

bool Terminals::is_sent_away(std::uint32_t index) const {
  const auto side = sides_.find(index);
  return side != sides_.end() && side->second.away_ns >= 0;
}

void Terminals::on_side_down(std::uint32_t index) {
  Side& side = sides_[index];
  side.queue.clear();
  if (side.terminal) side.terminal->on_link_down();
}

void Terminals::come_back(std::uint32_t index) {
  Side& side = sides_[index];
  side.away_ns = -1;
  if (!side.terminal) return;
  Outbox outbox;
  side.terminal->on_online(moment_of(index), outbox);
  take_outbox(index, outbox);
}

// ---- UDP ---------------------------------------------------------------------------------------

void Terminals::queue_datagram(std::uint32_t index, std::uint16_t serial, Bytes wire) {
  retransmission_.sent(index, serial, wire, shard_.now());
  Side& side = side_of(index);
  if (!chance_.hits(options_.loss)) side.queue.emplace_back(wire.begin(), wire.end());
}

void Terminals::retransmit() {
  while (const Retransmission::Waiting* waiting = retransmission_.overdue(shard_.now())) {
    const std::uint32_t index = waiting->device;
    if (waiting->tries > Retransmission::tries_max) {
      if (devices_[index].leaving) hang_up(index);
      else lose(index, Failure::link_broken, ETIMEDOUT);
      continue;
    }
    side_of(index).queue.push_back(waiting->wire);
    mark(index);
  }
}

}  // namespace ringgate::load
