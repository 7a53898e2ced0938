#include "engine/shard/errand.hpp"

#include "engine/base/check.hpp"

namespace ringgate::shard {

namespace {

struct ErrandMail {
  Errand* errand;  // owned by the mail
};

}  // namespace

void Errand::arrive() {
  post_->remove(*this);
  home(ran_);
}

void ErrandTicket::go_home(bool ran) {
  if (errand_ == nullptr) return;
  errand_->ran_ = ran;
  std::unique_ptr<Letter> letter(std::exchange(errand_, nullptr));
  static_cast<Errand&>(*letter).post_->inbox().push(std::move(letter));
}

ErrandHub::ErrandHub(MailHub& mail) : mail_(mail) {
  for (ShardIndex i = 0; i < mail.shards(); ++i) {
    closed_.push_back(std::make_unique<std::atomic<bool>>(false));
  }
  for (std::uint32_t i = mail.shards(); i < mail.producers(); ++i) {
    inboxes_.push_back(std::make_unique<std::atomic<Inbox*>>(nullptr));
  }
}

ErrandPost::ErrandPost(ErrandHub& hub, std::uint32_t producer)
    : hub_(hub), producer_(producer), out_(hub.mail_.shards(), nullptr) {
  RG_CHECK(producer >= hub.mail_.shards() && producer < hub.mail_.producers());
  Inbox* nobody = nullptr;
  RG_CHECK(hub.inboxes_[producer - hub.mail_.shards()]->compare_exchange_strong(nobody, &inbox_));
}

ErrandPost::~ErrandPost() {
  RG_CHECK(outstanding_ == 0);
  hub_.inboxes_[producer_ - hub_.mail_.shards()]->store(nullptr);
}

void ErrandPost::put(Errand& errand) {
  Errand*& first = out_[errand.shard_];
  errand.previous_ = nullptr;
  errand.following_ = first;
  if (first != nullptr) first->previous_ = &errand;
  first = &errand;
  ++outstanding_;
}

void ErrandPost::remove(Errand& errand) {
  if (errand.previous_ != nullptr) {
    errand.previous_->following_ = errand.following_;
  } else {
    out_[errand.shard_] = errand.following_;
  }
  if (errand.following_ != nullptr) errand.following_->previous_ = errand.previous_;
  --outstanding_;
}

Posted ErrandPost::send(ShardIndex to, std::unique_ptr<Errand>& errand) {
  RG_CHECK(to < shards());
  if (hub_.closed_[to]->load()) return Posted::stopped;
  if (outstanding_ >= limits::errands_max) return Posted::busy;
  errand->post_ = this;
  errand->shard_ = to;
  errand->ran_ = false;
  put(*errand);
  const ErrandMail mail{errand.get()};
  const Bytes bytes{reinterpret_cast<const std::uint8_t*>(&mail), sizeof mail};
  if (!hub_.mail_.post_from_control(producer_, to, MailKind::errand, bytes)) {
    remove(*errand);
    return Posted::busy;
  }
  // From here on the shard may have it, and we must not touch it.
  static_cast<void>(errand.release());
  // A room that closes between our first look and the push may have read its mail for the last
  // time; then poll() finds the errand, and must be called. Both sides' order is sequentially
  // consistent: either we see it closed, or its wake() comes after this.
  if (hub_.closed_[to]->load()) inbox_.wake();
  return Posted::ok;
}

std::size_t ErrandPost::poll() {
  std::size_t taken = 0;
  // Flags first: what a closed room sent home was pushed before its flag was set.
  std::vector<ShardIndex> closed;
  for (ShardIndex i = 0; i < out_.size(); ++i) {
    if (out_[i] != nullptr && hub_.closed_[i]->load()) closed.push_back(i);
  }
  taken += inbox_.take();
  for (const ShardIndex i : closed) {
    // Still in a mail that nobody will read.
    while (out_[i] != nullptr) {
      const std::unique_ptr<Errand> errand(out_[i]);
      errand->arrive();
      ++taken;
    }
  }
  return taken;
}

ErrandRoom::ErrandRoom(Shard& shard, MailRoom& mail, ErrandHub& hub, ErrandHost& host)
    : index_(shard.index()), hub_(hub), host_(host) {
  mail.handle(MailKind::errand, *this);
  shard.add_hook(*this);
}

// Nobody reads this shard's mail any more: what still lies there the posts take back (poll).
ErrandRoom::~ErrandRoom() {
  hub_.closed_[index_]->store(true);
  for (const auto& inbox : hub_.inboxes_) {
    Inbox* const who = inbox->load();
    if (who != nullptr) who->wake();
  }
}

void ErrandRoom::on_mail(MailKind, std::uint32_t, Bytes bytes) {
  Errand& errand = *load_native<ErrandMail>(bytes.data()).errand;
  ErrandTicket ticket(errand);
  if (stopping_) return;  // goes home
  errand.run(host_, std::move(ticket));
}

}  // namespace ringgate::shard
