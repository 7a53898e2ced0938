#include "engine/net/tls/certificate.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "engine/base/limits.hpp"

namespace ringgate::net::tls {

namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  });
  return out;
}

BioPtr as_bio(const std::string& text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::int64_t seconds_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return 0;
  return static_cast<std::int64_t>(timegm(&parts));
}

// A question for a passphrase on the terminal would hang the server.
int no_passphrase(char*, int, int, void*) { return -1; }

void add_name(std::vector<std::string>& names, const ASN1_STRING* text) {
  const unsigned char* data = ASN1_STRING_get0_data(text);
  const std::string_view view(reinterpret_cast<const char*>(data),
                              static_cast<std::size_t>(ASN1_STRING_length(text)));
  if (view.empty() || view.find('\0') != std::string_view::npos) return;
  names.push_back(lower(view));
}

// Of the certificate's alternative names; its common name only where there are none (RFC 6125
// 6.4.4).
std::vector<std::string> names_of(X509* leaf) {
  std::vector<std::string> names;
  auto* list = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(leaf, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; list != nullptr && i < sk_GENERAL_NAME_num(list); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(list, i);
    if (name->type == GEN_DNS) add_name(names, name->d.dNSName);
  }
  const bool has_list = list != nullptr;
  GENERAL_NAMES_free(list);
  if (has_list) return names;
  X509_NAME* subject = X509_get_subject_name(leaf);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at >= 0) add_name(names, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  return names;
}

Error wrong(const std::string& file, std::string_view what) {
  return Error{0, fmt::format("{}: {}", file, what)};
}

}  // namespace

std::string take_error() {
  const char* text = nullptr;
  int flags = 0;
  const unsigned long code = ERR_get_error_all(nullptr, nullptr, nullptr, &text, &flags);
  std::string out;
  if (code != 0) {
    const char* reason = ERR_reason_error_string(code);
    out = reason != nullptr ? reason : fmt::format("OpenSSL error {:#x}", code);
    if ((flags & ERR_TXT_STRING) != 0 && text != nullptr && *text != '\0') {
      out += fmt::format(" ({})", text);
    }
  }
  ERR_clear_error();
  return out;
}

FileStamp stamp_of(const std::string& path) {
  struct stat found {};
  if (::stat(path.c_str(), &found) != 0) return {};
  return {found.st_dev, found.st_ino,
          std::int64_t{found.st_mtim.tv_sec} * 1'000'000'000 + found.st_mtim.tv_nsec,
          found.st_size};
}

Result<std::string> read_pem(const std::string& path, bool* exposed) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const int code = errno;
    Error error = errno_error(code, fmt::format("cannot read {}", path));
    if (code == EACCES) error.message += " (give the user that runs ringgate the right to read it)";
    if (code == ENOENT) error.message += " (there is no such file; write its whole path)";
    return error;
  }
  struct stat found {};
  std::string text;
  int code = ::fstat(fd, &found) == 0 ? 0 : errno;
  if (code == 0 && !S_ISREG(found.st_mode)) code = EINVAL;
  if (code == 0 && found.st_size > limits::pem_bytes_max) code = EFBIG;
  if (code == 0) {
    text.resize(static_cast<std::size_t>(found.st_size));
    std::size_t size = 0;
    while (size < text.size()) {
      const ssize_t got = ::read(fd, text.data() + size, text.size() - size);
      if (got < 0) code = errno;
      if (got <= 0) break;
      size += static_cast<std::size_t>(got);
    }
    text.resize(size);
  }
  ::close(fd);
  if (code != 0) return errno_error(code, fmt::format("cannot read {}", path));
  if (exposed != nullptr) *exposed = (found.st_mode & S_IROTH) != 0;
  return text;
}

Result<Certificate> load_certificate(const PairFiles& files) {
  auto text = read_pem(files.certificate);
  if (!text) return text.error();
  Certificate out;
  out.files = files;
  ERR_clear_error();
  const BioPtr bio = as_bio(*text);
  while (X509* one = PEM_read_bio_X509(bio.get(), nullptr, &no_passphrase, nullptr)) {
    if (out.leaf == nullptr) {
      out.leaf.reset(one);
    } else {
      out.chain.emplace_back(one);
    }
  }
  const unsigned long why = ERR_peek_last_error();
  const bool at_end = ERR_GET_LIB(why) == ERR_LIB_PEM && ERR_GET_REASON(why) == PEM_R_NO_START_LINE;
  const std::string reason = take_error();
  if (out.leaf == nullptr && at_end) {
    return wrong(files.certificate, "there is no certificate in it; a PEM file that begins with "
                                    "\"-----BEGIN CERTIFICATE-----\" is expected");
  }
  if (!at_end) {
    return wrong(files.certificate, fmt::format("a certificate in it cannot be read: {}; copy it "
                                                "again from who issued it", reason));
  }
  auto key_text = read_pem(files.key, &out.key_exposed);
  if (!key_text) return key_text.error();
  out.key.reset(PEM_read_bio_PrivateKey(as_bio(*key_text).get(), nullptr, &no_passphrase, nullptr));
  if (out.key == nullptr) {
    const bool locked = key_text->find("ENCRYPTED") != std::string::npos;
    const std::string detail = take_error();
    return wrong(files.key,
                 locked ? "the key is protected by a passphrase; write it without one: openssl "
                          "pkey -in KEY -out KEY.plain"
                        : fmt::format("there is no private key in it that can be read ({}); a PEM "
                                      "file with \"BEGIN PRIVATE KEY\" is expected", detail));
  }
  if (X509_check_private_key(out.leaf.get(), out.key.get()) != 1) {
    ERR_clear_error();
    return wrong(files.key, fmt::format("the key is not that of the first certificate in {}; "
                                        "tls.keys must name keys in the order of tls.certificates,"
                                        " and a chain begins with the server's own certificate",
                                        files.certificate));
  }
  out.names = names_of(out.leaf.get());
  out.begins_s = seconds_of(X509_get0_notBefore(out.leaf.get()));
  out.expires_s = seconds_of(X509_get0_notAfter(out.leaf.get()));
  return out;
}

bool names_host(std::string_view name, std::string_view host) {
  if (name == host) return true;
  if (!name.starts_with("*.")) return false;
  const std::size_t dot = host.find('.');
  return dot != std::string_view::npos && dot > 0 && host.substr(dot) == name.substr(1) &&
         name.find('.', 2) != std::string_view::npos;  // no star for a whole top-level domain
}

}  // namespace ringgate::net::tls
