// Terminals: links with TLS. What a device says is enciphered when it is sent; a link has one send
// in flight, as without.
#include <cerrno>
#include <utility>

#include "tools/load/crowd/terminals.hpp"

namespace ringgate::load {

class Terminals::SecuredSink final : public net::FilterSink {
 public:
  explicit SecuredSink(Secured& secured) : secured_(secured) {}
  void plain(Bytes bytes) override {
    secured_.plain.insert(secured_.plain.end(), bytes.begin(), bytes.end());
  }
  void wire(Bytes bytes) override {
    secured_.next.insert(secured_.next.end(), bytes.begin(), bytes.end());
  }

 private:
  Secured& secured_;
};

void Terminals::begin_tls(std::uint32_t index) {
  if (tls_context_ == nullptr) {
    tls_context_.reset(SSL_CTX_new(TLS_client_method()));
    RG_CHECK(tls_context_ != nullptr);
    SSL_CTX_set_mode(tls_context_.get(), SSL_MODE_RELEASE_BUFFERS);
    secured_.resize(devices_.size());
  }
  secured_[index] = std::make_unique<Secured>();
  secured_[index]->filter = net::tls::make_client(tls_context_.get());
  feed_tls(index, {});
}

void Terminals::feed_tls(std::uint32_t index, Bytes wire) {
  Device& who = device(index);
  if (secured_[index] == nullptr || who.state == State::closing) return;
  Secured& secured = *secured_[index];
  SecuredSink sink(secured);
  const bool was_established = secured.filter->established();
  if (!secured.filter->received(wire, sink)) return lose(index, Failure::link_broken, EPROTO);
  if (secured.filter->established() && !was_established) register_device(index);
  // What answers come of it: the filter is not in the middle of anything any more.
  const std::vector<std::uint8_t> plain = std::exchange(secured.plain, {});
  if (!plain.empty()) feed(index, plain);
  flush_tls(index);
}

// The plain text may lie in the buffer that this gives back.
void Terminals::send_tls(std::uint32_t index, Bytes plain) {
  Secured& secured = *secured_[index];
  SecuredSink sink(secured);
  const bool sent = secured.filter->sending(plain, sink);
  free_buffer(device(index));
  if (!sent) return lose(index, Failure::link_broken, EPROTO);
  flush_tls(index);
}

void Terminals::flush_tls(std::uint32_t index) {
  Device& who = device(index);
  if (secured_[index] == nullptr || who.state == State::closing) return;
  Secured& secured = *secured_[index];
  if (secured.in_flight || secured.next.empty()) return;
  secured.in_flight = true;
  secured.sending.swap(secured.next);
  secured.next.clear();
  who.buffer = tls_buffer;
  who.send_at = 0;
  who.send_bytes = static_cast<std::uint16_t>(secured.sending.size());
  counts_.sent_bytes += secured.sending.size();
  submit_send(index);
}

}  // namespace ringgate::load
