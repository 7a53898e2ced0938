// The registry as CSV and TOML: what is written is read again, and what is wrong is named.
#include "tools/ctl/registry_file.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace ringgate::ctl;

namespace {

std::string errors_of(std::string_view text, RegistryFormat format = RegistryFormat::csv) {
  std::string out;
  const RegistryFile file = read_registry(text, format);
  CHECK(file.errors_in_all >= file.errors.size());
  for (const std::string& error : file.errors) out += error + "|";
  return out;
}

}  // namespace

TEST_CASE("registry file: csv as spreadsheets write it") {
  const RegistryFile file = read_registry(
      "\xef\xbb\xbfplate,phone,enabled,note\r\n"
      "\"A,1\",13800138000,,\"he said \"\"no\"\"\nand left\"\r\n"
      "\r\n"
      "B2,13800138001,no,\r\n"
      "B3,13800138002,true,x",
      RegistryFormat::csv);
  CHECK(file.errors.empty());
  REQUIRE(file.entries.size() == 3);
  CHECK(file.entries[0].plate == "A,1");
  CHECK(file.entries[0].note == "he said \"no\"\nand left");
  CHECK(file.entries[0].enabled);
  CHECK_FALSE(file.entries[1].enabled);
  CHECK(file.entries[2].note == "x");
}

TEST_CASE("registry file: toml") {
  const RegistryFile file = read_registry(
      "[[device]]\nphone = \"1\"\nplate_colour = 2\n"
      "[[device]]\nphone = \"2\"\nenabled = false\nmaker = \"M\"\n",
      RegistryFormat::toml);
  CHECK(file.errors.empty());
  REQUIRE(file.entries.size() == 2);
  CHECK(file.entries[0].plate_colour == 2);
  CHECK(file.entries[1].maker == "M");
  CHECK_FALSE(file.entries[1].enabled);
}

TEST_CASE("registry file: errors name the line and the cure") {
  CHECK(errors_of("") == "1: the file is empty|");
  CHECK(errors_of("plate\nx\n").find("1: the first line names the columns") == 0);
  CHECK(errors_of("phone,plat\n") == "1: there is no 'plat'; is 'plate' meant?|");
  CHECK(errors_of("phone,enabled\n1,maybe\n") ==
        "2: enabled: true or false is expected, not 'maybe'|");
  CHECK(errors_of("phone,plate_colour\n1,256\n2,x\n") ==
        "2: plate_colour: a number from 0 to 255 is expected, not '256'|"
        "3: plate_colour: a number from 0 to 255 is expected, not 'x'|");
  CHECK(errors_of("phone,plate\n1\n") == "2: 1 columns where the first line has 2|");
  CHECK(errors_of("phone\n\"1\n").find("2: a quote is left open") == 0);
  CHECK(errors_of("phone\n\"1\"x\n").find("2: a quote") == 0);
  CHECK(errors_of("phone\n1\n2\n1\n") == "4: phone 1 stands in line 2 already|");
  CHECK(errors_of("phone,note\n,x\n") == "2: phone: it is missing|");
  CHECK(errors_of("phone,note\n1,\xff\n") == "2: note: no UTF-8|");
  CHECK(errors_of("[[device]\n", RegistryFormat::toml).find("1:") == 0);
  CHECK(errors_of("[[devices]]\nphone=\"1\"\n", RegistryFormat::toml) ==
        "1: 'devices' is not [[device]]|");
  CHECK(errors_of("[[device]]\nphone=[\"1\"]\n", RegistryFormat::toml) ==
        "2: phone: a plain value is expected|");
}

TEST_CASE("registry file: what the gateway would refuse is told before anything is sent") {
  CHECK(errors_of("phone,plate\n1,x\n13800abc,x\n123456789012345678901,x\n") ==
        "3: phone: 1 to 20 digits are expected, not '13800abc'|"
        "4: phone: 1 to 20 digits are expected, not '123456789012345678901'|");
  CHECK(errors_of("phone\n013800\n13800\n") == "3: phone 13800 stands in line 2 already|");
  CHECK(errors_of("phone\n\xef\xbc\x91\n").find("2: phone: 1 to 20 digits") == 0);
  const std::string long_text(65, 'x');
  CHECK(errors_of("phone,plate,note\n1," + long_text + "," + long_text + "\n") ==
        "2: plate: 65 bytes, 64 are allowed|");
  CHECK(errors_of("[[device]]\nphone = \"x\"\n", RegistryFormat::toml) ==
        "1: phone: 1 to 20 digits are expected, not 'x'|");
  const RegistryFile zeros = read_registry("phone\n000\n00071\n", RegistryFormat::csv);
  CHECK(zeros.errors.empty());
  REQUIRE(zeros.entries.size() == 2);
  CHECK(zeros.entries[0].phone == "0");
  CHECK(zeros.entries[1].phone == "71");
}

TEST_CASE("registry file: more errors than a person reads are counted") {
  std::string text = "phone,enabled\n";
  for (int i = 0; i < 100; ++i) text += std::to_string(i) + ",x\n";
  const RegistryFile file = read_registry(text, RegistryFormat::csv);
  CHECK(file.errors.size() == registry_errors_max);
  CHECK(file.errors_in_all == 100);
  CHECK(file.entries.empty());
}

TEST_CASE("registry file: whatever is written is read again") {
  std::mt19937 random(7);
  const std::string letters[] = {"a", "\"", ",", "\n", "\r", "\\", "\t", "沪", " ", "#", "'", "="};
  const auto text = [&] {
    std::string out;
    for (std::size_t i = random() % 8; i > 0; --i) out += letters[random() % std::size(letters)];
    return out;
  };
  for (const RegistryFormat format : {RegistryFormat::csv, RegistryFormat::toml}) {
    std::vector<RegistryEntry> entries;
    std::string written = registry_head(format);
    for (int i = 0; i < 2000; ++i) {
      RegistryEntry entry{.phone = std::to_string(13'800'000'000 + i),
                          .plate = text(),
                          .plate_colour = static_cast<std::uint8_t>(random()),
                          .terminal_id = text(),
                          .maker = text(),
                          .model = text(),
                          .note = text(),
                          .enabled = random() % 2 == 0};
      written += registry_text(entry, format);
      entries.push_back(std::move(entry));
    }
    const RegistryFile read = read_registry(written, format);
    CHECK(read.errors.empty());
    CHECK(read.entries == entries);
  }
}
