// Numbers and lists of CPUs as /proc and /sys write them, and as people read them.
#include "tools/doctor/text.hpp"

#include <doctest/doctest.h>

using namespace ringgate::doctor;

TEST_CASE("text: lists and masks of CPUs") {
  CHECK(*cpus_of_list("0-3,8\n") == std::vector<int>{0, 1, 2, 3, 8});
  CHECK(cpus_of_list("")->empty());
  for (const char* bad : {"x", "3-1", "-1", "1-", "99999999"}) CHECK_FALSE(cpus_of_list(bad));
  CHECK(*cpus_of_mask("00000001,0000000f\n") == std::vector<int>{0, 1, 2, 3, 32});
  CHECK(cpus_of_mask("0")->empty());
  CHECK_FALSE(cpus_of_mask(""));
  CHECK_FALSE(cpus_of_mask("xyz"));
  CHECK(list_of_cpus({0, 1, 2, 3, 8}) == "0-3,8");
  CHECK(list_of_cpus({}) == "");
  CHECK(mask_of_cpus({0, 1, 2, 3, 32}) == "1,0000000f");
  CHECK(mask_of_cpus({}) == "0");
  CHECK(*cpus_of_mask(mask_of_cpus({5, 63, 64})) == std::vector<int>{5, 63, 64});
}

TEST_CASE("text: numbers for people") {
  CHECK(grouped(0) == "0");
  CHECK(grouped(999) == "999");
  CHECK(grouped(1'048'576) == "1,048,576");
  CHECK(bytes_text(512) == "512 B");
  CHECK(bytes_text(1536) == "1.5 KiB");
  CHECK(time_text(110e3) == "110 us");
  CHECK(time_text(3 * 86400e9) == "3 days");
  CHECK(power_of_two_from(13'674) == 16'384);
  CHECK(power_of_two_from(0) == 1);
  CHECK_FALSE(number("12x"));
  CHECK_FALSE(number(""));
  CHECK(*number(" 12\n") == 12);
}

TEST_CASE("text: cures are commands for a shell") {
  CHECK(sysctl_cure("a.b", "1 2 3").command == "sysctl -w a.b='1 2 3'");
  CHECK(sysctl_cure("a.b", "7").keep ==
        "mkdir -p /etc/sysctl.d && echo 'a.b = 7' >> /etc/sysctl.d/90-ringgate.conf");
  CHECK(sysfs_cure("/sys/x*", "on").keep ==
        "mkdir -p /etc/tmpfiles.d && echo 'w /sys/x* - - - - on' >> "
        "/etc/tmpfiles.d/ringgate.conf");
}
