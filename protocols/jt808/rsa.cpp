#include "protocols/jt808/rsa.hpp"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

namespace ringgate::jt808 {

namespace {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* what) const {
    Free(what);
  }
};
using Bio = std::unique_ptr<BIO, Freed<&BIO_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<&EVP_PKEY_free>>;
using Context = std::unique_ptr<EVP_PKEY_CTX, Freed<&EVP_PKEY_CTX_free>>;
using Number = std::unique_ptr<BIGNUM, Freed<&BN_free>>;

Number number(const EVP_PKEY* key, const char* name) {
  BIGNUM* out = nullptr;
  EVP_PKEY_get_bn_param(key, name, &out);
  return Number(out);
}

// A key that asks for a passphrase is none that a server can open.
int no_passphrase(char*, int, int, void*) { return 0; }

int padding_number(RsaPadding padding) {
  switch (padding) {
    case RsaPadding::oaep:
      return RSA_PKCS1_OAEP_PADDING;
    case RsaPadding::none:
      return RSA_NO_PADDING;
    case RsaPadding::pkcs1:
      break;
  }
  return RSA_PKCS1_PADDING;
}

}  // namespace

struct RsaKey::Impl {
  Key key;
};

RsaKey::RsaKey(std::unique_ptr<Impl> impl, RsaPadding padding)
    : impl_(std::move(impl)), padding_(padding) {}
RsaKey::~RsaKey() = default;

Result<std::unique_ptr<RsaKey>> RsaKey::open(const std::string& path, RsaPadding padding) {
  ERR_clear_error();
  const Bio file(BIO_new_file(path.c_str(), "r"));
  if (file == nullptr) return Error{0, "cannot open " + path};
  auto impl = std::make_unique<Impl>();
  impl->key.reset(PEM_read_bio_PrivateKey(file.get(), nullptr, &no_passphrase, nullptr));
  ERR_clear_error();
  if (impl->key == nullptr) return Error{0, path + ": no private key in PEM"};
  const EVP_PKEY* key = impl->key.get();
  if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || EVP_PKEY_get_bits(key) != 1024) {
    return Error{0, path + ": JT/T 808 wants an RSA key of 1024 bits (openssl genrsa 1024)"};
  }
  std::unique_ptr<RsaKey> out(new RsaKey(std::move(impl), padding));
  const Number modulus = number(key, OSSL_PKEY_PARAM_RSA_N);
  const Number exponent = number(key, OSSL_PKEY_PARAM_RSA_E);
  if (modulus == nullptr || exponent == nullptr || BN_num_bits(exponent.get()) > 32) {
    return Error{0, path + ": the key's exponent does not fit four bytes"};
  }
  BN_bn2binpad(modulus.get(), out->public_.modulus.data(), block_size);
  out->public_.exponent = static_cast<std::uint32_t>(BN_get_word(exponent.get()));
  return out;
}

std::optional<std::vector<std::uint8_t>> RsaKey::decrypt(Bytes body) const {
  if (body.empty() || body.size() % block_size != 0) return std::nullopt;
  ERR_clear_error();
  const Context context(EVP_PKEY_CTX_new(impl_->key.get(), nullptr));
  if (context == nullptr || EVP_PKEY_decrypt_init(context.get()) <= 0 ||
      EVP_PKEY_CTX_set_rsa_padding(context.get(), padding_number(padding_)) <= 0) {
    return std::nullopt;
  }
  if (padding_ == RsaPadding::pkcs1) {
    // Newer libraries give made-up bytes for a block that does not open; who asks wants to know.
    // Nobody learns from it: the answer to a frame does not say why its body was not read.
    EVP_PKEY_CTX_ctrl_str(context.get(), "rsa_pkcs1_implicit_rejection", "0");
  }
  std::vector<std::uint8_t> out;
  for (std::size_t at = 0; at < body.size(); at += block_size) {
    std::uint8_t plain[block_size];
    std::size_t size = sizeof plain;
    if (EVP_PKEY_decrypt(context.get(), plain, &size, body.data() + at, block_size) <= 0) {
      ERR_clear_error();
      return std::nullopt;
    }
    out.insert(out.end(), plain, plain + size);
  }
  ERR_clear_error();
  return out;
}

Result<void> check_rsa_key_file(std::string_view path) {
  if (path.empty()) return {};
  const auto key = RsaKey::open(std::string(path), RsaPadding::pkcs1);
  if (!key) return key.error();
  return {};
}

}  // namespace ringgate::jt808
