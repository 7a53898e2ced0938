// What only the kernel's backend has: probing, forced-off features, error texts, the known-bad
// table.
#include <doctest/doctest.h>

#include <vector>

#include "engine/io/feature_names.hpp"
#include "engine/io/ring.hpp"
#include "engine/io/sys.hpp"

using namespace ringgate;
using namespace ringgate::io;

TEST_CASE("bundles are known to be bad from 6.13.11 to 6.14.8 only") {
  CHECK_FALSE(bundles_known_bad("6.1.0-18-amd64"));
  CHECK_FALSE(bundles_known_bad("6.13.10"));
  CHECK(bundles_known_bad("6.13.11"));
  CHECK(bundles_known_bad("6.13.12-arch1"));
  CHECK(bundles_known_bad("6.14-rc1"));
  CHECK(bundles_known_bad("6.14.8"));
  CHECK_FALSE(bundles_known_bad("6.14.9"));
  CHECK_FALSE(bundles_known_bad("6.14.11-300.fc42.x86_64"));
  CHECK_FALSE(bundles_known_bad("7.14.2"));
  CHECK_FALSE(bundles_known_bad("no number"));
}

TEST_CASE("a ring opens with every feature forced off, one by one and all together") {
  RingOptions options;
  options.sq_entries = 64;
  options.cq_entries = 256;
  for (std::uint32_t i = 0; i <= 9; ++i) {
    options.without = i < 9 ? 1U << i : (1U << 9) - 1;
    Result<std::unique_ptr<Ring>> ring = Ring::open(make_uring_backend(), options);
    if (!ring) FAIL(ring.error().message);
    CHECK(((*ring)->features() & options.without) == 0);
    for (std::uint32_t n = 0; n < 1000; ++n) {
      io_uring_sqe* sqe = (*ring)->next_sqe();
      io_uring_prep_nop(sqe);
      sqe->user_data = user_data(Tag::first_test, 7, n);
      if (n % 50 == 49) {
        REQUIRE((*ring)->submit_and_wait(50, ns_per_s) == 0);
        const auto batch = std::make_unique<io_uring_cqe[]>(64);
        REQUIRE((*ring)->drain(batch.get(), 64) == 50);
        CHECK(slot_of(batch[49].user_data) == n);
      }
    }
  }
}

TEST_CASE("sizes that are no powers of two are refused with a reason") {
  RingOptions options;
  options.sq_entries = 100;
  Result<std::unique_ptr<Ring>> ring = Ring::open(make_uring_backend(), options);
  REQUIRE_FALSE(ring.ok());
  CHECK(ring.error().message.find("powers of two") != std::string::npos);
}

TEST_CASE("waiting without completions ends at the timeout") {
  Result<std::unique_ptr<Ring>> ring =
      Ring::open(make_uring_backend(), {.sq_entries = 8, .cq_entries = 16});
  REQUIRE(ring.ok());
  const MonoNs before = real_sys().mono_now();
  CHECK((*ring)->submit_and_wait(1, 2 * ns_per_ms) == 0);
  CHECK(real_sys().mono_now() - before >= 2 * ns_per_ms);
  CHECK((*ring)->completions_ready() == 0);
}

TEST_CASE("features have names, both ways") {
  const std::uint32_t some = bit(Feature::recv_bundle) | bit(Feature::no_sqarray);
  CHECK(feature_names(some) == "no_sqarray recv_bundle");
  REQUIRE(features_from_names("recv_bundle, no_sqarray").ok());
  CHECK(*features_from_names("recv_bundle, no_sqarray") == some);
  CHECK(*features_from_names("") == 0);
  CHECK(*features_from_names(feature_names(~0U)) == 0x3ff);
  const Result<std::uint32_t> wrong = features_from_names("recv_bundel");
  REQUIRE_FALSE(wrong.ok());
  CHECK(wrong.error().message.find("recv_bundel") != std::string::npos);
}
