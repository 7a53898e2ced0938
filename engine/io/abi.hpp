// Kernel constants that Debian 12's headers (liburing 2.3, Linux 6.1) do not have yet.
// Source: include/uapi/linux/io_uring.h of Linux 6.18. Values are ABI and never change.
#pragma once

#include <liburing.h>

#include <cstdint>

namespace ringgate::io::abi {

constexpr std::uint32_t setup_no_sqarray = 1U << 16;       // 6.6
constexpr std::uint16_t recvsend_bundle = 1U << 4;         // sqe->ioprio, 6.10
constexpr std::uint32_t feature_recvsend_bundle = 1U << 14;  // 6.10
constexpr std::uint32_t cqe_buffer_shift = 16;

}  // namespace ringgate::io::abi
