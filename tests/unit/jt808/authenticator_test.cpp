// Authentication codes and the file of their keys.
#include "protocols/jt808/authenticator.hpp"

#include <sys/stat.h>

#include <fstream>
#include <iterator>

#include "tests/unit/log/log_rig.hpp"

namespace {

using namespace ringgate;
using jt808::Authenticator;

constexpr std::string_view phone = "13800138000";
const std::string key_a(64, 'a');
const std::string key_b(64, 'b');

struct KeyFile {
  log::ScratchDir dir;
  std::string path = dir.path() + "/jt808.key";

  std::string text() const {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void put(std::string_view text) const {
    std::ofstream(path, std::ios::binary) << text;
  }
  auto open() const { return Authenticator::open(io::real_sys(), dir.path()); }
  std::string error() const {
    const auto opened = open();
    return opened.ok() ? std::string() : opened.error().message;
  }
};

std::string code(const Authenticator& authenticator, std::string_view of,
                 std::uint32_t generation = 0) {
  const auto made = authenticator.make_code(of, generation);
  return {made.data(), made.size()};
}

TEST_CASE("the first start makes a key that only its owner reads; later starts keep it") {
  const KeyFile file;
  const auto first = file.open();
  REQUIRE(first.ok());
  struct stat state {};
  REQUIRE(::stat(file.path.c_str(), &state) == 0);
  CHECK((state.st_mode & 0777) == 0600);
  CHECK(::stat((file.path + ".new").c_str(), &state) != 0);
  const std::string text = file.text();
  CHECK(text.size() == 67);
  CHECK(text.starts_with("1 "));
  const auto second = file.open();
  REQUIRE(second.ok());
  CHECK(file.text() == text);
  CHECK(code(**first, phone) == code(**second, phone));
  const KeyFile other;
  REQUIRE(other.open().ok());
  CHECK(other.text() != text);
}

TEST_CASE("the code's layout, against HMAC-SHA256 computed elsewhere") {
  const KeyFile file;
  file.put("1 " + key_a + "\n");
  const auto authenticator = file.open();
  REQUIRE(authenticator.ok());
  CHECK(code(**authenticator, phone) == "1000uA-PSBmgsZ-A2jwU");
  CHECK(code(**authenticator, phone, 0x5c) == "105cDiH5-YEykjKFsa-D");
  CHECK(code(**authenticator, "1") != code(**authenticator, "2"));
}

TEST_CASE("a new key signs, an old one still verifies, a removed one does not") {
  const KeyFile file;
  file.put("1 " + key_a + "\n");
  const std::string old = code(**file.open(), phone);
  file.put("# rotated\n1 " + key_a + "\n\n2 " + key_b + "\n");
  const auto both = file.open();
  REQUIRE(both.ok());
  const std::string fresh = code(**both, phone);
  CHECK(fresh[0] == '2');
  CHECK((*both)->check(as_bytes(old), phone, 0));
  CHECK((*both)->check(as_bytes(fresh), phone, 0));
  std::string renamed = old;
  renamed[0] = '2';
  CHECK_FALSE((*both)->check(as_bytes(renamed), phone, 0));
  file.put("2 " + key_b);  // without a line end
  const auto only = file.open();
  REQUIRE(only.ok());
  CHECK_FALSE((*only)->check(as_bytes(old), phone, 0));
  CHECK((*only)->check(as_bytes(fresh), phone, 0));
}

TEST_CASE("a code is good for its phone, its generation and its size only") {
  const KeyFile file;
  const auto authenticator = file.open();
  REQUIRE(authenticator.ok());
  const Authenticator& codes = **authenticator;
  const std::string good = code(codes, phone, 3);
  CHECK(codes.check(as_bytes(good), phone, 3));
  CHECK_FALSE(codes.check(as_bytes(good), phone, 4));
  CHECK_FALSE(codes.check(as_bytes(good), phone, 2));
  CHECK_FALSE(codes.check(as_bytes(good), "13800138001", 3));
  CHECK_FALSE(codes.check(as_bytes(good + "A"), phone, 3));
  CHECK_FALSE(codes.check(as_bytes(good.substr(1)), phone, 3));
  CHECK_FALSE(codes.check({}, phone, 3));
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string wrong = good;
    wrong[i] = wrong[i] == 'A' ? 'B' : 'A';
    CHECK_FALSE(codes.check(as_bytes(wrong), phone, 3));
  }
}

TEST_CASE("a malformed key file is an error that names file and line") {
  const std::string bad[] = {
      std::string("1 ").append(key_a, 1),       // short
      "1 " + key_a + "a",            // long
      "g " + key_a,                  // no hex digit
      "A " + key_a,                  // codes are written in lower case
      "1\t" + key_a,
      "12 " + key_a,
      std::string("1 x").append(key_a, 1),
      "key",
  };
  for (const std::string& line : bad) {
    CAPTURE(line);
    const KeyFile file;
    file.put("# ours\n2 " + key_b + "\n" + line + "\n");
    CHECK(file.error().starts_with(file.path + ":3: "));
  }
  const KeyFile twice;
  twice.put("1 " + key_a + "\n2 " + key_b + "\n1 " + key_b + "\n");
  CHECK(twice.error() == twice.path + ":3: key id 1 is used twice");
}

TEST_CASE("a key file without a key, too large or unreadable is an error, not a new key") {
  const KeyFile empty;
  empty.put("# nothing\n\n");
  CHECK(empty.error().starts_with(empty.path + ": holds no key"));
  CHECK(empty.text() == "# nothing\n\n");
  const KeyFile large;
  large.put("1 " + key_a + "\n" + std::string(5000, '#'));
  CHECK(large.error() == large.path + ": is larger than 4096 bytes, no key file");
  const KeyFile folder;
  REQUIRE(::mkdir(folder.path.c_str(), 0700) == 0);
  CHECK(folder.error().find(folder.path) != std::string::npos);
}

}  // namespace
