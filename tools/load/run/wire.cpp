#include "tools/load/run/wire.hpp"

#include <fmt/core.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/base/check.hpp"
#include "engine/base/hex.hpp"

namespace ringgate::load::wire {
namespace {

using nlohmann::json;

constexpr char kind_json = 'J';
constexpr char kind_acked = 'A';
constexpr std::size_t head_bytes = 4;

json aim_json(const Aim& aim) {
  json classes = json::array();
  for (const ClassAim& one : aim.classes) {
    classes.push_back(one.users);
    classes.push_back(one.rate_factor);
  }
  return {{"at_ns", aim.at_ns}, {"stage", aim.stage}, {"over", aim.over}, {"classes", classes}};
}

json setup_json(const Setup& setup) {
  return {{"worker", setup.worker},     {"workers", setup.workers},
          {"scenario_name", setup.scenario_name}, {"scenario_text", setup.scenario_text},
          {"sets", setup.sets},         {"shorten", setup.shorten},
          {"seed", setup.seed},         {"target", setup.target},
          {"keep_acked", setup.keep_acked}, {"acked_file", setup.acked_file},
          {"tokens", setup.tokens}};
}

struct ToJson {
  json operator()(const Hello& m) const {
    return {{"is", "hello"}, {"version", m.version}, {"host", m.host}, {"pid", m.pid},
            {"cpus", m.cpus}, {"files_max", m.files_max}, {"nonce", m.nonce}};
  }
  json operator()(const Proof& m) const {
    return {{"is", "proof"}, {"proof", m.proof}, {"nonce", m.nonce}};
  }
  json operator()(const Setup& m) const {
    json out = setup_json(m);
    out["is"] = "setup";
    return out;
  }
  json operator()(const Ready&) const { return {{"is", "ready"}}; }
  json operator()(const Problem& m) const { return {{"is", "problem"}, {"message", m.message}}; }
  json operator()(const Start& m) const { return {{"is", "start"}, {"ago_ns", m.ago_ns}}; }
  json operator()(const Aim& m) const {
    json out = aim_json(m);
    out["is"] = "aim";
    return out;
  }
  json operator()(const Interval& m) const {
    json out = to_json(m);
    out["is"] = "interval";
    return out;
  }
  json operator()(const Stop& m) const { return {{"is", "stop"}, {"hard", m.hard}}; }
  json operator()(const End& m) const { return {{"is", "end"}, {"acked_bytes", m.acked_bytes}}; }
  json operator()(const Ping& m) const { return {{"is", "ping"}, {"number", m.number}}; }
  json operator()(const Pong& m) const {
    return {{"is", "pong"}, {"number", m.number}, {"mono_ns", m.mono_ns}};
  }
  json operator()(const AckedPiece&) const { return {}; }
};

std::string framed(char kind, std::string_view content) {
  const auto size = static_cast<std::uint32_t>(content.size() + 1);
  std::string frame;
  frame.reserve(head_bytes + size);
  for (unsigned shift = 0; shift < 32; shift += 8) {
    frame += static_cast<char>((size >> shift) & 0xff);
  }
  frame += kind;
  frame += content;
  return frame;
}

// Members of a message: the first that is missing or of another type is remembered.
class Members {
 public:
  explicit Members(const json& object) : object_(object) {}

  std::string text(const char* name) {
    const json* found = find(name);
    if (found == nullptr || !found->is_string()) return bad(name), std::string{};
    return found->get<std::string>();
  }
  template <class Number>
  Number integer(const char* name) {
    const json* found = find(name);
    if (found == nullptr || !found->is_number_integer()) return bad(name), Number{};
    return found->get<Number>();
  }
  double number(const char* name) {
    const json* found = find(name);
    if (found == nullptr || !found->is_number()) return bad(name), 0.0;
    return found->get<double>();
  }
  bool boolean(const char* name) {
    const json* found = find(name);
    if (found == nullptr || !found->is_boolean()) return bad(name), false;
    return found->get<bool>();
  }
  const json& list(const char* name) {
    static const json empty = json::array();
    const json* found = find(name);
    if (found == nullptr || !found->is_array()) return bad(name), empty;
    return *found;
  }
  void bad(const char* name) {
    if (bad_.empty()) bad_ = name;
  }
  const std::string& first_bad() const { return bad_; }

 private:
  const json* find(const char* name) const {
    const auto found = object_.find(name);
    return found == object_.end() ? nullptr : &*found;
  }

  const json& object_;
  std::string bad_;
};

Setup read_setup(Members& from) {
  Setup out;
  out.worker = from.integer<std::uint32_t>("worker");
  out.workers = from.integer<std::uint32_t>("workers");
  if (out.workers == 0 || out.worker >= out.workers) from.bad("worker");
  out.scenario_name = from.text("scenario_name");
  out.scenario_text = from.text("scenario_text");
  for (const json& one : from.list("sets")) {
    if (!one.is_array() || one.size() != 2 || !one[0].is_string() || !one[1].is_string()) {
      from.bad("sets");
      continue;
    }
    out.sets.emplace_back(one[0].get<std::string>(), one[1].get<std::string>());
  }
  out.shorten = from.number("shorten");
  out.seed = from.integer<std::uint64_t>("seed");
  out.target = from.text("target");
  out.keep_acked = from.boolean("keep_acked");
  out.acked_file = from.text("acked_file");
  for (const json& one : from.list("tokens")) {
    if (one.is_string()) {
      out.tokens.push_back(one.get<std::string>());
    } else {
      from.bad("tokens");
    }
  }
  return out;
}

Aim read_aim(Members& from) {
  Aim out;
  out.at_ns = from.integer<MonoNs>("at_ns");
  out.stage = from.integer<std::uint32_t>("stage");
  out.over = from.boolean("over");
  const json& classes = from.list("classes");
  for (std::size_t i = 0; i + 1 < classes.size(); i += 2) {
    if (!classes[i].is_number_unsigned() || !classes[i + 1].is_number()) {
      from.bad("classes");
      break;
    }
    out.classes.push_back({classes[i].get<std::uint32_t>(), classes[i + 1].get<double>()});
  }
  return out;
}

Hello read_hello(Members& from) {
  Hello out;
  out.version = from.text("version");
  out.host = from.text("host");
  out.pid = from.integer<std::int64_t>("pid");
  out.cpus = from.integer<std::uint32_t>("cpus");
  out.files_max = from.integer<std::uint64_t>("files_max");
  out.nonce = from.text("nonce");
  return out;
}

std::optional<Message> read_message(std::string_view is, Members& from) {
  if (is == "hello") return read_hello(from);
  if (is == "proof") return Proof{from.text("proof"), from.text("nonce")};
  if (is == "setup") return read_setup(from);
  if (is == "ready") return Ready{};
  if (is == "problem") return Problem{from.text("message")};
  if (is == "start") return Start{from.integer<MonoNs>("ago_ns")};
  if (is == "aim") return read_aim(from);
  if (is == "stop") return Stop{from.boolean("hard")};
  if (is == "end") return End{from.integer<std::uint64_t>("acked_bytes")};
  if (is == "ping") return Ping{from.integer<std::int64_t>("number")};
  if (is == "pong") {
    return Pong{from.integer<std::int64_t>("number"), from.integer<MonoNs>("mono_ns")};
  }
  return std::nullopt;
}

Result<std::optional<Message>> parse(std::string_view content) {
  const json object = json::parse(content, nullptr, false);
  if (!object.is_object()) return Error{0, "a frame that is no JSON object"};
  const auto is = object.find("is");
  if (is == object.end() || !is->is_string()) return Error{0, "a message without a name"};
  const auto name = is->get<std::string>();
  if (name == "interval") {
    Result<Interval> interval = interval_from(object);
    if (!interval.ok()) return Error{0, fmt::format("interval: {}", interval.error().message)};
    return std::optional<Message>(std::move(*interval));
  }
  Members members(object);
  std::optional<Message> message = read_message(name, members);
  if (!message) return Error{0, fmt::format("a message \"{}\", which is none of ours", name)};
  if (!members.first_bad().empty()) {
    return Error{0, fmt::format("{}: a bad or missing \"{}\"", name, members.first_bad())};
  }
  return message;
}

}  // namespace

std::string encode(const Message& message) {
  if (const auto* piece = std::get_if<AckedPiece>(&message)) {
    return framed(kind_acked, piece->bytes);
  }
  // What is no UTF-8 in an error's text is replaced, not refused.
  return framed(kind_json, std::visit(ToJson{}, message)
                               .dump(-1, ' ', false, json::error_handler_t::replace));
}

Result<std::optional<Message>> Decoder::next() {
  if (bytes_.size() - at_ < head_bytes) return std::optional<Message>{};
  std::uint32_t size = 0;
  for (std::size_t i = 0; i < head_bytes; ++i) {
    size |= std::uint32_t{static_cast<std::uint8_t>(bytes_[at_ + i])} << (8 * i);
  }
  if (size == 0 || size > limit_bytes_) {
    return Error{0, fmt::format("a frame of {} bytes: this is no ringgate-load", size)};
  }
  if (bytes_.size() - at_ - head_bytes < size) return std::optional<Message>{};
  const std::string_view frame = std::string_view(bytes_).substr(at_ + head_bytes, size);
  Result<std::optional<Message>> out = std::optional<Message>{};
  if (frame.front() == kind_acked) {
    out = std::optional<Message>(AckedPiece{std::string(frame.substr(1))});
  } else if (frame.front() == kind_json) {
    out = parse(frame.substr(1));
  } else {
    out = Error{0, "a frame of an unknown kind: this is no ringgate-load"};
  }
  at_ += head_bytes + size;
  if (at_ == bytes_.size() || at_ > (1U << 20)) {
    bytes_.erase(0, at_);
    at_ = 0;
  }
  return out;
}

std::string prove(std::string_view secret, std::string_view role, std::string_view nonce) {
  const std::string text = fmt::format("ringgate-load {} {}", role, nonce);
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  RG_CHECK(HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
                reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(),
                &size) != nullptr);
  return to_hex(Bytes{digest.data(), size});
}

std::string make_nonce() {
  std::array<std::uint8_t, 16> bytes{};
  RG_CHECK(getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  return to_hex(bytes);
}

bool same_proof(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace ringgate::load::wire
