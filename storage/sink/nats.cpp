#include "storage/sink/nats.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>

#include "storage/log/segment.hpp"

namespace ringgate::sink {

namespace {

using Clock = std::chrono::steady_clock;

constexpr char hex_digits[] = "0123456789ABCDEF";
// Room for the JSON of a record around its payload, in the server's max_payload.
constexpr std::size_t payload_margin_bytes = 512;

bool plain(char c) {
  return c > ' ' && c < 0x7f && c != '.' && c != '*' && c != '>' && c != '%';
}

void append_token(std::string& out, std::string_view text) {
  if (text.empty()) out.push_back('%');
  if (std::all_of(text.begin(), text.end(), plain)) {
    out += text;
    return;
  }
  for (const char c : text) {
    if (plain(c)) {
      out.push_back(c);
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out.append({'%', hex_digits[byte >> 4], hex_digits[byte & 15]});
  }
}

class NatsTarget final : public Target {
 public:
  explicit NatsTarget(const NatsOptions& options) : options_(options) {}

  Result<std::optional<log::Cursor>, Trouble> open() override {
    close();
    auto link = NatsLink::connect(options_.link, &stop_);
    if (!link) return link.error();
    {
      const std::lock_guard lock(link_mutex_);
      link_ = std::move(*link);
    }
    if (auto ready = prepare_stream(*link_, options_.stream, stop_); !ready) {
      close();
      return ready.error();
    }
    acked_by_ = fmt::format("\"stream\":\"{}\"", options_.stream.name);
    return std::optional<log::Cursor>();
  }

  Result<void, Trouble> write(const Batch& batch) override {
    if (link_ == nullptr) return Trouble{.message = "not connected"};
    ++epoch_;
    confirmed_.assign(batch.items.size(), 0);
    sizes_.assign(batch.items.size(), 0);
    outstanding_ = outstanding_bytes_ = 0;
    progress_ = Clock::now();
    const auto done = publish_all(batch);
    // Where a connection is of no use any more, open() makes another one.
    if (!done && (done.error().failure == Failure::unreachable || link_->closed())) close();
    return done;
  }

  // Pings are libnats' own; here they are read, and a break is noticed.
  Result<void, Trouble> idle() override {
    if (link_ == nullptr) return Trouble{.message = "not connected"};
    link_->turn(0, stop_);
    while (link_->next(NatsLink::inbox_subscription)) {
    }
    if (!link_->closed()) return {};
    const Trouble trouble = link_->trouble("idle");
    close();
    return trouble;
  }

  void close() override {
    const std::lock_guard lock(link_mutex_);
    link_.reset();
  }

  void stop() override {
    stop_.stop();
    const std::lock_guard lock(link_mutex_);
    if (link_ != nullptr) link_->shutdown();
  }

 private:
  Result<void, Trouble> publish_all(const Batch& batch) {
    for (std::size_t i = 0; i < batch.items.size(); ++i) {
      while (outstanding_ >= nats_limits::window_records_max ||
             outstanding_bytes_ >= nats_limits::window_bytes_max ||
             unsent_ >= nats_limits::unsent_bytes_max) {
        if (auto went = advance(true); !went) return went.error();
      }
      if (auto published = publish(batch, i); !published) return published.error();
      if (unsent_ < send_at_bytes) continue;
      if (auto went = advance(false); !went) return went.error();
    }
    while (outstanding_ > 0) {
      if (auto went = advance(true); !went) return went.error();
    }
    return {};
  }

  Result<void, Trouble> publish(const Batch& batch, std::size_t index) {
    const Item& item = batch.items[index];
    const std::string id = log::record_id(batch.node, item.stream, item.position);
    make_subject(batch.node_name, item);
    make_payload(id, batch.node_name, item);
    reply_.assign(link_->inbox());
    fmt::format_to(std::back_inserter(reply_), "{:x}-{:x}", epoch_, index);
    const NatsHeader header{"Nats-Msg-Id", id.c_str()};
    auto published = link_->publish(subject_.c_str(), reply_.c_str(), payload_, &header);
    if (!published) {
      Trouble trouble = published.error();
      trouble.item = index;
      return trouble;
    }
    sizes_[index] = static_cast<std::uint32_t>(payload_.size());
    ++outstanding_;
    outstanding_bytes_ += payload_.size();
    unsent_ += payload_.size() + subject_.size() + reply_.size();
    return {};
  }

  void make_subject(std::string_view node, const Item& item) {
    if (node != node_) {
      node_ = node;
      node_token_ = subject_token(node);
    }
    subject_.assign("ringgate.").append(node_token_).append(1, '.');
    subject_.append(event::RecordJson::protocol_name(item.view.ns, item.catalog)).append(1, '.');
    append_token(subject_, json_.title(item.view, item.catalog));
    append_token(subject_.append(1, '.'), item.view.device);
  }

  // A server has a largest message. What is larger goes without its longest parts and says so:
  // whoever needs them finds them in the log under the record's id.
  void make_payload(const std::string& id, std::string_view node, const Item& item) {
    const std::size_t most = link_->payload_max();
    const auto fits = [&] { return payload_.size() + payload_margin_bytes <= most; };
    payload_.clear();
    json_.write(id, node, item.view, item.catalog, options_.payload, payload_);
    if (fits()) return;
    event::RecordView view = item.view;
    event::RecordJsonOptions shorter{.frame = false, .body = false, .positions = false};
    view.payload = {};
    payload_.clear();
    json_.write(id, node, view, item.catalog, shorter, payload_);
    payload_.back() = ',';
    payload_ += fmt::format("\"omitted_bytes\":{}}}", item.view.payload.size());
  }

  // Writes and reads; waits for something to do where `wait` says so.
  Result<void, Trouble> advance(bool wait) {
    link_->write_some();
    unsent_ = link_->buffered_bytes();
    if (auto taken = take_acks(); !taken) return taken.error();
    if (outstanding_ == 0 || !wait) {
      link_->turn(0, stop_);
      return take_acks();
    }
    const auto waited = Clock::now() - progress_;
    const auto most = std::chrono::milliseconds(nats_limits::ack_timeout_ms);
    if (waited >= most) {
      return Trouble{.message = fmt::format("{}: {} records without acknowledgement for {} s",
                                            link_->server(), outstanding_,
                                            nats_limits::ack_timeout_ms / 1000)};
    }
    // Acknowledgements come one by one; many are taken with one read, and the server is left alone.
    if (outstanding_ >= nap_above && unsent_ == 0) stop_.wait(nap_ms);
    link_->turn(look_again_ms, stop_);
    unsent_ = link_->buffered_bytes();
    if (auto taken = take_acks(); !taken) return taken.error();
    if (stop_.stopped()) return Trouble{.message = "stopped"};
    if (outstanding_ > 0 && (link_->closed() || link_->forbidden())) {
      return link_->trouble("publishing");
    }
    return {};
  }

  Result<void, Trouble> take_acks() {
    while (NatsMessage ack = link_->next(NatsLink::inbox_subscription)) {
      auto taken = take_ack(ack);
      link_->discard(std::move(ack));
      if (!taken) return taken;
    }
    return {};
  }

  Result<void, Trouble> take_ack(const NatsMessage& ack) {
    std::string_view place = subject_of(ack);
    place.remove_prefix(std::min(place.size(), link_->inbox().size()));
    std::uint64_t epoch = 0;
    std::size_t index = 0;
    const char* const end = place.data() + place.size();
    const auto [dash, bad_epoch] = std::from_chars(place.data(), end, epoch, 16);
    if (bad_epoch != std::errc() || dash == end || *dash != '-' || epoch != epoch_) return {};
    const auto [rest, bad_index] = std::from_chars(dash + 1, end, index, 16);
    if (bad_index != std::errc() || rest != end || index >= confirmed_.size()) return {};
    if (confirmed_[index] != 0) return {};
    auto acked = judge(ack, index);
    if (!acked) return acked.error();
    if (!*acked) return {};
    confirmed_[index] = 1;
    --outstanding_;
    outstanding_bytes_ -= sizes_[index];
    progress_ = Clock::now();
    return {};
  }

  // True: our stream has it. False: somebody else answered; the stream's word is still to come.
  Result<bool, Trouble> judge(const NatsMessage& ack, std::size_t index) {
    const std::string_view text = data_of(ack);
    if (text.starts_with("{\"stream\":") && text.find(acked_by_) == 1 &&
        text.find("\"error\"") == std::string_view::npos) {
      return true;
    }
    if (is_no_responders(ack)) {
      return Trouble{.message = fmt::format("{}: the stream {} does not listen any more",
                                            link_->server(), options_.stream.name)};
    }
    const auto json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_object()) return false;
    const auto error = json.find("error");
    if (error != json.end() && error->is_object()) {
      const int code = error->value("err_code", error->value("code", 0));
      return Trouble{.failure = failure_of_stream(code),
                     .message = fmt::format("{}: stream {}: {} ({})", link_->server(),
                                            options_.stream.name,
                                            error->value("description", std::string()), code),
                     .item = index};
    }
    const auto stream = json.find("stream");
    if (stream == json.end() || !stream->is_string()) return false;
    if (stream->get_ref<const std::string&>() == options_.stream.name) return true;
    return Trouble{.failure = Failure::bad_config,
                   .message = fmt::format("{}: stream {} takes our subjects, and sink.nats.stream "
                                          "is {}", link_->server(),
                                          stream->get_ref<const std::string&>(),
                                          options_.stream.name)};
  }

  // One write for some 100 records.
  static constexpr std::size_t send_at_bytes = 64U << 10;
  static constexpr std::size_t nap_above = 256;
  static constexpr int nap_ms = 1;
  // Complaints of the server that end nothing are looked for this often.
  static constexpr int look_again_ms = 100;

  NatsOptions options_;
  StopSignal stop_;
  std::mutex link_mutex_;  // between stop() and a change of the link
  std::unique_ptr<NatsLink> link_;
  event::RecordJson json_;
  std::string node_, node_token_, subject_, reply_, payload_, acked_by_;
  // Of the batch under way. Acknowledgements of earlier ones carry their epoch and are dropped.
  std::uint64_t epoch_ = 0;
  std::vector<std::uint8_t> confirmed_;
  std::vector<std::uint32_t> sizes_;
  std::size_t outstanding_ = 0;
  std::size_t outstanding_bytes_ = 0;
  std::size_t unsent_ = 0;
  Clock::time_point progress_;
};

}  // namespace

std::string subject_token(std::string_view text) {
  std::string token;
  append_token(token, text);
  return token;
}

std::string from_subject_token(std::string_view token) {
  std::string text;
  for (std::size_t i = 0; i < token.size(); ++i) {
    if (token[i] != '%') {
      text.push_back(token[i]);
      continue;
    }
    unsigned byte = 0;
    if (i + 2 >= token.size()) return {};
    const auto [end, error] = std::from_chars(&token[i + 1], &token[i + 1] + 2, byte, 16);
    if (error != std::errc() || end != &token[i + 1] + 2) return {};
    text.push_back(static_cast<char>(byte));
    i += 2;
  }
  return text;
}

Result<void> check_nats_url(std::string_view text) {
  if (text.empty()) return {};  // off
  auto url = parse_nats_url(text);
  if (!url) return url.error();
  return {};
}

Result<void> check_stream_name(std::string_view text) {
  const bool good = std::all_of(text.begin(), text.end(), [](char c) {
    return plain(c) && c != '/' && c != '\\';
  });
  if (!good) return Error{0, "a stream's name has no blanks and none of . * > / \\ %"};
  return {};
}

NatsOptions nats_options(const config::Settings& settings, const std::string& url,
                         const std::string& node_name) {
  NatsOptions options;
  auto parsed = parse_nats_url(url);
  RG_CHECK(parsed.ok());  // the key's check has seen it
  options.link.url = std::move(*parsed);
  options.link.client_name = fmt::format("ringgate {}", node_name);
  options.link.credentials_file = settings.text("sink.nats.credentials");
  options.link.ca_file = settings.text("sink.nats.ca_file");
  options.link.certificate_file = settings.text("sink.nats.certificate_file");
  options.link.key_file = settings.text("sink.nats.key_file");
  options.stream.name = settings.text("sink.nats.stream");
  options.stream.bytes_max = static_cast<std::uint64_t>(
      settings.size_bytes("sink.nats.stream_max_bytes"));
  options.stream.replicas = static_cast<int>(settings.integer("sink.nats.replicas"));
  options.stream.duplicates_ns = settings.duration_ns("sink.nats.duplicate_window");
  options.stream.drop_oldest = settings.text("sink.nats.stream_full") == "drop-oldest";
  const std::string& payload = settings.text("sink.nats.payload");
  options.payload.frame = payload != "json";
  options.payload.body = payload != "frame";
  options.payload.positions = options.payload.body;
  return options;
}

std::unique_ptr<Target> make_nats_target(const NatsOptions& options) {
  return std::make_unique<NatsTarget>(options);
}

}  // namespace ringgate::sink
