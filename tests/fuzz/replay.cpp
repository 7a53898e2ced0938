// Runs a fuzzer without libFuzzer: every file of the folder given, then seeded mutations of them.
// replay-NAME FOLDER [MUTATIONS]. The same folder and number give the same inputs on every machine.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;

constexpr std::size_t longest_bytes = 8192;

void run(const Input& input) {
  // A copy of exactly this size on the heap, so that a read past the end is seen.
  const Input exact(input);
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

std::vector<Input> read_folder(const char* folder) {
  std::vector<std::filesystem::path> paths;
  std::error_code problem;
  for (const auto& entry : std::filesystem::directory_iterator(folder, problem)) {
    if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<Input> inputs;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return inputs;
}

Input mutate(const std::vector<Input>& seeds, std::mt19937_64& random) {
  Input input = seeds[random() % seeds.size()];
  for (std::uint64_t left = 1 + random() % 8; left > 0; --left) {
    const std::size_t at = input.empty() ? 0 : random() % input.size();
    const auto here = input.begin() + static_cast<std::ptrdiff_t>(at);
    const Input& other = seeds[random() % seeds.size()];
    switch (random() % 6) {
      case 0:
        if (!input.empty()) input[at] ^= static_cast<std::uint8_t>(1U << random() % 8);
        break;
      case 1:
        if (!input.empty()) input[at] = static_cast<std::uint8_t>(random());
        break;
      case 2: input.insert(here, static_cast<std::uint8_t>(random())); break;
      case 3: input.resize(at); break;
      case 4:
        if (!input.empty()) input.erase(here);
        break;
      default: input.insert(here, other.begin(), other.end()); break;
    }
  }
  input.resize(std::min(input.size(), longest_bytes));
  return input;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s FOLDER [MUTATIONS]\n", argv[0]);
    return 2;
  }
  const std::vector<Input> seeds = read_folder(argv[1]);
  if (seeds.empty()) {
    std::fprintf(stderr, "%s: no corpus there\n", argv[1]);
    return 1;
  }
  const std::uint64_t mutations = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 20000;
  run({});
  for (const Input& seed : seeds) run(seed);
  std::mt19937_64 random(808);
  for (std::uint64_t i = 0; i < mutations; ++i) run(mutate(seeds, random));
  std::printf("%zu files, %llu mutations\n", seeds.size(),
              static_cast<unsigned long long>(mutations));
}
