// All links of one shard: accepting, receiving on the provided buffer ring, credit and spills, held
// replies, moving to other shards, closing. Everything here runs on the shard's thread.
//
// Way of a reply: reply_room() / reply_done() write it into the link's chunk; when the chunk of
// input is handled (or with push()), one entry (position, reply bytes so far) joins the shard's
// list of held replies; on_commit releases entries up to the committed position, and each released
// link gets one send.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/limits.hpp"
#include "engine/flow/budget.hpp"
#include "engine/flow/watermark.hpp"
#include "engine/net/counters.hpp"
#include "engine/net/datagrams.hpp"
#include "engine/net/filter.hpp"
#include "engine/net/filter_counters.hpp"
#include "engine/net/held_replies.hpp"
#include "engine/net/link.hpp"
#include "engine/net/order_queue.hpp"
#include "engine/net/protocol.hpp"
#include "engine/net/proxied.hpp"
#include "engine/shard/mailbox.hpp"
#include "engine/shard/shard.hpp"

namespace ringgate::net {

// What accepted links of one listener get. Socket options are set on the listening socket, which
// accepted sockets inherit on Linux.
struct ListenerOptions {
  int fd = -1;                          // bound and listening; owned by Links from add_listener on
  int datagram_fd = -1;                 // bound to the same port, likewise; -1: no datagrams
  std::uint8_t protocol = 0;            // as add_protocol returned
  std::uint32_t idle_timeout_ms = 0;    // 0: never
  std::uint32_t frame_timeout_ms = 0;   // 0: never
  FilterFactory* filter = nullptr;      // null: bytes pass as they are; outlives the links
  std::shared_ptr<const AccessRules> rules = nullptr;  // null: everybody is taken
};

struct LinksOptions {
  std::uint32_t links_max = 10'000;
  std::uint64_t memory_limit_bytes = 0;  // this shard's share; 0: none
  bool datagrams = false;                // some listener has a datagram_fd
  // Links of listeners with a filter whose handshake is under way; others wait to be accepted.
  std::uint32_t handshakes_max = limits::tls_handshakes_default;
};

class Links final : public shard::CompletionHandler,
                    public shard::Hook,
                    public shard::MailHandler,
                    public shard::Shard::LinkTimerHandler,
                    public shard::TimerHandler,
                    public flow::CommitListener {
 public:
  static Result<std::unique_ptr<Links>> create(shard::Shard& shard, shard::MailRoom& mail,
                                               observe::CounterGroup& counters,
                                               const LinksOptions& options);
  ~Links() override;

  // Wiring, before the first turn; in the same order on every shard.
  std::uint8_t add_protocol(Protocol& protocol);
  void add_listener(const ListenerOptions& options);

  // The time-outs of a protocol's listeners, for links that open from now on.
  void set_timeouts(const Protocol& protocol, std::uint32_t idle_timeout_ms,
                    std::uint32_t frame_timeout_ms);
  // Likewise its lists; null: everybody is taken. Datagrams obey at once.
  void set_rules(const Protocol& protocol, std::shared_ptr<const AccessRules> rules);

  // For protocols -----------------------------------------------------------------------------

  Link* find(LinkId id) {
    Link* link = id.slot < slots_.size() * links_per_chunk ? &at(id.slot) : nullptr;
    return link != nullptr && link->generation == id.generation && link->state != LinkState::free
               ? link
               : nullptr;
  }

  // The frame being handled was appended up to `position`: its reply and all later ones wait for
  // it.
  void logged(Link& link, Position position) {
    RG_CHECK(position >= link.last_position);
    link.last_position = position;
  }
  // Room for a reply of at most `size_bytes` (<= 4,072); reply_done() says how much was written. On
  // a datagram link what leaves in one datagram is written by one such pair, or one reply().
  std::uint8_t* reply_room(Link& link, std::uint32_t size_bytes) {
    OutChunk* tail = link.out_tail;
    if (__builtin_expect(tail == nullptr || tail->capacity - tail->end < size_bytes, 0)) {
      tail = add_chunk(link, size_bytes);
    }
    return tail->data() + tail->end;
  }
  void reply_done(Link& link, std::uint32_t size_bytes) {
    link.out_tail->end += size_bytes;
    link.out_end += size_bytes;
  }
  void reply(Link& link, Bytes bytes);
  // What was written outside of on_bytes, on_adopted, on_ordered and on_close (a command, an answer
  // that a timer brought) goes on its way: behind all that was written before, and after the link's
  // last position is committed.
  void push(Link& link) { hold_replies(link, 0); }
  // Written, and not yet taken by the kernel. Who writes of its own accord asks, so that a peer
  // which does not read costs a bounded amount.
  static std::uint32_t unsent_bytes(const Link& link) { return link.out_end - link.out_sent; }

  // For answers that are larger than what may wait for a peer. Something must be unsent; the
  // protocol's on_writable follows once, when it is at most half of limits::link_out_bytes_max. A
  // peer that takes nothing for its idle time-out is closed meanwhile, also where the link is held.
  void ask_room(Link& link);
  // From the next byte on the link speaks another protocol of this shard (an upgrade). Called while
  // the old one handles its bytes; nobody is told, the session bytes stay.
  void become(Link& link, std::uint8_t protocol) {
    RG_CHECK(protocol < protocols_.size());
    link.protocol = protocol;
  }

  // Who is at the other end of an encrypted link; null where it is not encrypted. Until its
  // protocol sees bytes, nothing is known.
  const SecurePeer* secure_peer(const Link& link) const;

  // Appends what was written since link.out_end was `mark`, as far as it has not left: within one
  // frame's handling, all of it.
  static void written_since(const Link& link, std::uint32_t mark, std::vector<std::uint8_t>& out);

  // Replies in flow control: whether frames of other shards are under way on this link, so that own
  // frames must queue behind them.
  bool ordered(const Link& link) const { return link.order != nullptr; }
  // Ask before handling a frame while ordered(): false means stop consuming, it is shown again.
  bool order_room(Link& link);
  // Sends `frame` to `home`; protocol.on_ordered(link, cookie, taken) follows in frame order.
  // False: too many under way, or the column is full: stop consuming here, it is shown again.
  bool forward(Link& link, ShardIndex home, std::uint32_t cookie, Bytes frame);
  // The same order for a frame logged here up to `position` (0: not taken).
  void defer(Link& link, std::uint32_t cookie, Position position);

  // Stops reading; when nothing is outstanding the link goes to `target` with its unread bytes
  // (on_bytes must not consume the frame that asked for it, and return at once). Of a datagram link
  // only the rest of the datagram goes, and is handled there on a link of that shard.
  void request_move(Link& link, ShardIndex target);

  // The log takes nothing now (append said 0 while it is holding, or full): reads on when it does.
  // on_bytes must not consume the frame.
  void wait_for_log(Link& link);
  // Stops reading until release(): the protocol waits for something of its own. on_bytes must not
  // consume more. Time-outs rest meanwhile.
  void hold(Link& link);
  void release(Link& link) { resume(link, Pause::session); }
  // Ends a link: replies that are held still go out, then FIN. The protocol's on_close follows at
  // once.
  void close(Link& link, CloseReason reason);
  // The link's peer has proven who it is. Means something to datagram links only: they are
  // strangers until then.
  void trust(Link& link) {
    if (link.datagram && !link.trusted) datagrams_->trust(link);
  }
  // Time-out for silence from now on.
  void set_idle_timeout(Link& link, std::uint32_t idle_timeout_ms);

  // For tools and status ----------------------------------------------------------------------

  std::uint32_t live_count() const { return live_; }
  std::uint64_t memory_bytes() const { return budget_.used_bytes(); }
  // What stays when no link lives: slots, and what is kept for reuse.
  std::uint64_t idle_memory_bytes() const;
  flow::MemoryLevel memory_level() const { return budget_.level(); }
  flow::Budget& budget() { return budget_; }
  NetCounters& counters() { return counters_; }
  shard::Shard& shard() { return shard_; }

  // Called by the loop ------------------------------------------------------------------------

  void on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t flags) override;
  void on_link_timer(shard::TimerNode& node) override;
  void on_timer() override;  // accepting may go on
  void on_mail(shard::MailKind kind, std::uint32_t producer, Bytes bytes) override;
  void on_commit(Position committed) override;
  void on_log_state(flow::LogState state) override;
  void before_wait() override;
  bool has_work() const override;
  void start_drain() override;
  bool drained() const override {
    return live_ == 0 && moves_.empty() && forwarded_.empty() && unanswered_.empty();
  }
  void start_stop() override;
  bool stopped() const override;

  Datagrams* datagrams() { return datagrams_.get(); }  // null where no listener has them

 private:
  friend class Datagrams;
  friend class Proxied;
  static constexpr std::uint32_t links_per_chunk = 256;
  struct Listener {
    ListenerOptions options;
    bool armed = false;
    bool cancelled = false;
    bool waits = false;  // for the end of some handshake
  };
  struct PendingMove {
    ShardIndex target;
    std::vector<std::uint8_t> mail;
  };
  struct ForwardedFrame {
    Position position;
    LinkId origin;
    std::uint32_t ticket;
    bool taken;
  };

  Links(shard::Shard& shard, shard::MailRoom& mail, observe::CounterGroup& counters,
        const LinksOptions& options,
        std::unique_ptr<io::BufferRing> buffers);

  Link& at(std::uint32_t slot) { return slots_[slot / links_per_chunk][slot % links_per_chunk]; }
  Link* allocate();
  void free_link(Link& link);
  Protocol& protocol_of(const Link& link) { return *protocols_[link.protocol]; }

  // Accepting (accept.cpp)
  void on_accept(std::uint32_t listener, std::int32_t result, std::uint32_t flags);
  void arm_accept(std::uint32_t listener);
  void stop_accepting();
  bool may_accept() const;
  bool may_shake_hands(Listener& listener);
  void open_link(int fd, std::uint32_t listener);
  void close_unopened(int fd);
  void begin_protocol(Link& link, std::uint8_t protocol, FilterFactory* filter);
  void begin_proxied(Link& link, bool listed);

  // Links whose beginning is looked at (accept.cpp, for Proxied)
  void pass_on(Link& link);
  void refuse(Link& link, Refusal why);
  Refusal judge(const Link& link) const;
  void count_refusal(Refusal why) { counters_.refused.add(why); }

  // Receiving (receive.cpp)
  void on_receive(std::uint64_t user_data, std::int32_t result, std::uint32_t flags);
  void take_bytes(Link& link, Bytes bytes);
  void peer_ended(Link& link);
  void feed(Link& link, Bytes bytes);
  void feed_spill(Link& link);
  void filter_spill(Link& link, std::size_t used);
  void mark_partial(Link& link);
  void after_bytes(Link& link, std::size_t used);
  void stash(Link& link, Bytes bytes);
  void shrink_spill(Link& link, std::uint32_t used);
  void free_spill(Link& link);
  void want_receive(Link& link);
  void receive_again();
  void arm_receive(Link& link);
  void cancel_receive(Link& link);
  void pause(Link& link, Pause why);
  void pause_for_memory(Link& link);
  void resume(Link& link, Pause why);
  void arm_timer(Link& link);
  std::uint32_t credit_bytes() const;

  // Replies (reply.cpp)
  OutChunk* add_chunk(Link& link, std::uint32_t room);
  void hold_replies(Link& link, std::uint32_t credit);
  void release_replies(Link& link, std::uint32_t out_end);
  void queue_send(Link& link);
  void start_send(Link& link);
  void on_sent(Link& link, std::int32_t result);
  void drop_replies(Link& link);
  std::uint32_t sendable_bytes(const Link& link) const;
  void submit_send(Link& link, Bytes bytes);
  void take_sent(Link& link, std::uint32_t size_bytes);
  bool has_to_send(const Link& link) const {
    return link.out_released != link.out_sent || filter_pending(link);
  }
  bool replies_pending(const Link& link) const {
    return link.out_sent != link.out_end || filter_pending(link);
  }

  // Filters (filtering.cpp)
  class LinkSink;
  void add_filter(Link& link, std::unique_ptr<Filter> filter);
  std::unique_ptr<Filter> remove_filter(Link& link);
  void begin_shaking(Link& link);
  void end_shaking(Link& link);
  void drop_ended_shakers();
  void give_up_stalled();
  void charge_filter(FilterState& state);
  void filter_received(Link& link, Bytes bytes);
  void watch_filter(Link& link, const Filter& filter);
  void start_filtered_send(Link& link);
  void make_wire(Link& link, FilterState& state);
  bool make_batch(Link& link, FilterState& state, std::uint32_t size_bytes, FilterSink& sink);
  void filtered_sent(Link& link, std::uint32_t size_bytes);
  bool end_filter(Link& link);
  void leave_filter(Link& link, CloseReason reason);
  void count_fault(FilterState& state, FilterFault why);
  bool filter_pending(const Link& link) const;

  // Order between shards (forward.cpp)
  void pump_order(Link& link);
  void on_forwarded_frame(Bytes mail);
  void on_frame_done(Bytes mail);
  void answer_forwarded(Position committed);
  void retry_answers();
  bool answer(const ForwardedFrame& frame);
  void take_order(Link& link);
  void free_order(Link& link);
  void drop_free_orders();

  // Ending (close.cpp)
  void progress(Link& link);
  void finish(Link& link);
  void leave_open(Link& link, CloseReason reason, LinkState next);
  void start_lingering(Link& link);
  void close_descriptor(Link& link);
  void send_move(Link& link);
  bool post_move(const PendingMove& move);
  void discard_move(const PendingMove& move);
  void adopt(Bytes mail);

  void operation_started(Link& link) { ++link.outstanding; }
  void operation_ended(Link& link) {
    RG_CHECK(link.outstanding > 0);
    --link.outstanding;
  }
  void update_memory_level();
  void wake_log_waiters();
  void start_sweep();
  void sweep();
  void stop_all();

  shard::Shard& shard_;
  shard::MailRoom& mail_;
  LinksOptions options_;
  flow::Budget budget_;
  OutChunkPool chunks_;
  observe::CounterGroup& group_;
  NetCounters counters_;
  std::unique_ptr<io::BufferRing> buffers_;
  std::unique_ptr<Datagrams> datagrams_;
  std::vector<Protocol*> protocols_;
  std::unique_ptr<Proxied> proxied_;  // null: no listener ever had proxies
  std::uint8_t proxied_number_ = 0;
  std::vector<Listener> listeners_;
  std::vector<std::unique_ptr<Link[]>> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::vector<std::unique_ptr<FilterState>> filters_;  // by slot; empty without filters
  std::unique_ptr<FilterCounters> filter_counters_;    // null without
  std::uint32_t live_ = 0;
  std::uint32_t shaking_ = 0;  // handshakes under way
  struct Shaker {
    LinkId link;
    MonoNs since_ns;
    MonoNs heard_ns;  // when it was heard last, as the last look found; -1: before the first
  };
  std::deque<Shaker> shakers_;  // those under way, in turns; some have ended
  HeldReplies held_;
  std::vector<std::uint32_t> send_list_;
  std::vector<std::uint32_t> recv_list_;
  std::vector<std::uint32_t> recv_list_next_;
  std::vector<PendingMove> moves_;
  std::vector<LinkId> log_waiters_;
  // Frames of links elsewhere that were logged here, in the order of their positions, and those
  // whose answer found its column full.
  std::vector<ForwardedFrame> forwarded_;
  std::size_t forwarded_done_ = 0;
  std::vector<ForwardedFrame> unanswered_;
  std::vector<std::unique_ptr<OrderQueue>> free_orders_;
  shard::Timer accept_timer_;
  std::uint32_t accept_operations_ = 0;
  bool accept_paused_ = false;
  bool draining_ = false;
  bool stopping_ = false;
  std::uint32_t sweep_ = 0;  // slot that a drain or a level change looks at next
  bool sweeping_ = false;
};

}  // namespace ringgate::net
