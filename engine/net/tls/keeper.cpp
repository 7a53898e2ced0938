#include "engine/net/tls/keeper.hpp"

#include <fmt/core.h>
#include <openssl/rand.h>

#include <utility>

#include "engine/base/check.hpp"
#include "engine/base/limits.hpp"
#include "engine/net/listener.hpp"

namespace ringgate::net::tls {

namespace {

constexpr observe::MetricSpec certificate_expiry{
    .name = "ringgate_tls_certificate_expiry_timestamp_seconds",
    .help = "When the certificate of this file expires, in seconds since 1970.",
    .kind = observe::MetricKind::gauge};

constexpr WallUs us_per_s = 1'000'000;

TicketKey new_ticket_key() {
  TicketKey key;
  const auto fill = [](auto& part) {
    // Without chance there is no TLS at all.
    RG_CHECK(RAND_bytes(part.data(), static_cast<int>(part.size())) == 1);
  };
  fill(key.name);
  fill(key.cipher);
  fill(key.mac);
  return key;
}

}  // namespace

Result<KeeperOptions> keeper_options(const config::Settings& settings) {
  KeeperOptions options;
  const std::vector<std::string>& certificates = settings.list("tls.certificates");
  const std::vector<std::string>& key_files = settings.list("tls.keys");
  if (certificates.empty()) {
    return Error{0, "a tls_listen is set, and tls.certificates names no certificate: set "
                    "tls.certificates and tls.keys to PEM files"};
  }
  if (certificates.size() != key_files.size()) {
    return Error{0, fmt::format("tls.certificates names {} files and tls.keys {}: each certificate "
                                "needs its key, in the same order",
                                certificates.size(), key_files.size())};
  }
  for (std::size_t i = 0; i < certificates.size(); ++i) {
    options.pairs.push_back({certificates[i], key_files[i]});
  }
  options.client_ca_file = settings.text("tls.client_ca");
  options.suite.min_version =
      settings.choice_index("tls.min_version") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
  options.suite.ciphers = settings.text("tls.ciphers");
  return options;
}

Policy policy_of(const config::Settings& settings, const std::string& section) {
  const std::size_t choice = settings.choice_index(section + ".client_certificates");
  return {section, static_cast<ClientCertificates>(choice), section == "http"};
}

Result<std::unique_ptr<Keeper>> Keeper::open(const KeeperOptions& options,
                                             std::vector<Policy> policies,
                                             observe::Registry& registry, observe::LogSource& logs,
                                             WallUs now) {
  for (const Policy& policy : policies) {
    if (policy.client_certificates == ClientCertificates::no) continue;
    if (!options.client_ca_file.empty()) continue;
    return Error{0, fmt::format("{}.client_certificates is \"{}\", and tls.client_ca is empty: "
                                "name the PEM file of those who issue client certificates",
                                policy.section,
                                client_certificates_choices[static_cast<std::size_t>(
                                    policy.client_certificates)])};
  }
  std::unique_ptr<Keeper> keeper(new Keeper(options, std::move(policies), registry, logs));
  keeper->tickets_ = {new_ticket_key()};
  keeper->tickets_since_ = now;
  keeper->taken_ = keeper->last_look_ = keeper->stamps();
  if (auto loaded = keeper->load(now, false); !loaded) return loaded.error();
  return keeper;
}

Keeper::Stamps Keeper::stamps() const {
  Stamps out;
  for (const PairFiles& files : options_.pairs) {
    out.push_back(stamp_of(files.certificate));
    out.push_back(stamp_of(files.key));
  }
  if (!options_.client_ca_file.empty()) out.push_back(stamp_of(options_.client_ca_file));
  return out;
}

// Reads all files; what they hold is in use when it returns without an error.
Result<void> Keeper::load(WallUs now, bool replaces) {
  Suite suite = options_.suite;
  if (!options_.client_ca_file.empty()) {
    auto text = read_pem(options_.client_ca_file);
    if (!text) return text.error();
    suite.client_ca = std::move(*text);
  }
  std::vector<Certificate> certificates;
  for (const PairFiles& files : options_.pairs) {
    auto one = load_certificate(files);
    if (!one) return one.error();
    const bool over = one->expires_s * us_per_s <= now;
    if (over && replaces && certificates_[certificates.size()].expires_s * us_per_s > now) {
      return Error{0, fmt::format("{}: this certificate has expired; the one before is valid yet",
                                  files.certificate)};
    }
    certificates.push_back(std::move(*one));
  }
  auto made = Contexts::make(certificates, suite, policies_, tickets_);
  if (!made) return made.error();
  contexts_ = std::move(*made);
  certificates_ = std::move(certificates);
  suite_ = std::move(suite);
  for (const Certificate& one : certificates_) note(one);
  warned_ = 0;
  warn_of_expiry(now);
  return {};
}

void Keeper::note(const Certificate& certificate) {
  const std::string& file = certificate.files.certificate;
  auto gauge = gauges_.find(file);
  if (gauge == gauges_.end()) {
    observe::CounterGroup& group = registry_.add_group("file", file);
    gauge = gauges_.emplace(file, group.gauge(certificate_expiry)).first;
  }
  gauge->second.set(certificate.expires_s);
  if (certificate.key_exposed) {
    logs_.warn("everybody on this machine may read the private key",
               {{"file", certificate.files.key}, {"cure", "chmod o-r"}});
  }
}

void Keeper::warn_of_expiry(WallUs now) {
  if (warned_ != 0 && now - warned_ < 24 * 3600 * us_per_s) return;
  warned_ = now;
  for (const Certificate& one : certificates_) {
    const std::string& file = one.files.certificate;
    const std::int64_t left_s = one.expires_s - now / us_per_s;
    if (one.begins_s > now / us_per_s) {
      logs_.warn("the certificate is not valid yet: clients will refuse it",
                 {{"file", file}, {"valid_in_s", one.begins_s - now / us_per_s}});
    } else if (left_s <= 0) {
      logs_.error("the certificate has expired: clients will refuse it",
                  {{"file", file}, {"days_ago", -left_s / (24 * 3600)},
                   {"cure", "renew it; the new files are taken when they are there"}});
    } else if (left_s < limits::tls_expiry_warning_s) {
      logs_.warn("the certificate expires soon",
                 {{"file", file}, {"days_left", left_s / (24 * 3600)}});
    }
  }
}

// A new key encrypts from now on, and the last one still decrypts.
bool Keeper::rotate_tickets(WallUs now) {
  if (now - tickets_since_ < limits::tls_session_s * us_per_s) return false;
  tickets_since_ = now;
  tickets_ = {new_ticket_key(), tickets_[0]};
  auto made = Contexts::make(certificates_, suite_, policies_, tickets_);
  RG_CHECK(made.ok());  // it was, with these certificates
  contexts_ = std::move(*made);
  return true;
}

Look Keeper::look(WallUs now, bool at_once) {
  warn_of_expiry(now);
  Stamps found = stamps();
  const bool settled = at_once || found == last_look_;
  last_look_ = found;
  const bool changed = found != taken_;
  if (!changed) refused_.clear();
  if (at_once && !changed) logs_.info("certificates have not changed");
  const Look rotated = rotate_tickets(now) ? Look::renewed : Look::same;
  if (!changed || !settled || (found == refused_ && !at_once)) return rotated;
  if (auto loaded = load(now, true); !loaded) {
    refused_ = std::move(found);
    logs_.error("new certificates refused; the old ones stay in use",
                {{"why", loaded.error().message}});
    return rotated == Look::renewed ? rotated : Look::kept_old;
  }
  logs_.info("certificates renewed", {{"files", options_.pairs.size()}});
  taken_ = std::move(found);
  refused_.clear();
  return Look::renewed;
}

}  // namespace ringgate::net::tls
