// Section `tls` of the configuration: what all listeners with TLS share.
#pragma once

#include "engine/config/schema.hpp"

namespace ringgate::net::tls {

inline constexpr std::string_view version_choices[] = {"1.2", "1.3"};

inline constexpr config::KeySpec keys[] = {
    {.name = "tls.certificates",
     .type = config::KeyType::text_list,
     .default_text = "",
     .doc = "PEM files, each a certificate and its chain; a client that names a host gets the one "
            "that has it, others the first. Changed files are taken at once.",
     .max = 64},
    {.name = "tls.keys",
     .type = config::KeyType::text_list,
     .default_text = "",
     .doc = "PEM files with their private keys, in the same order.",
     .max = 64},
    {.name = "tls.client_ca",
     .type = config::KeyType::text,
     .default_text = "",
     .doc = "PEM file with those who issue client certificates; taken at once when it changes.",
     .max = 3000},
    {.name = "tls.min_version",
     .type = config::KeyType::choice,
     .default_text = "1.2",
     .doc = "Oldest version of TLS that is spoken.",
     .choices = version_choices},
    {.name = "tls.ciphers",
     .type = config::KeyType::text,
     .default_text = "ECDHE+AESGCM:ECDHE+CHACHA20",
     .doc = "Ciphers of TLS 1.2, as OpenSSL writes them; TLS 1.3 has its own.",
     .min = 1,
     .max = 1000},
    {.name = "tls.handshakes_max",
     .type = config::KeyType::integer,
     .default_text = "512",  // limits::tls_handshakes_default
     .doc = "TLS handshakes that a shard has under way; further clients wait to be accepted, "
            "and silent ones give way.",
     .min = 1,
     .max = 65536},
};

}  // namespace ringgate::net::tls
