// Replays what the fuzz targets have kept, without libFuzzer: every file of CORPUS/NAME, and the
// same number of mutated inputs in every run.
//
//   fuzz_replay_test CORPUS [TARGET...]
//
// CONSILIUM_SEED is the mutations' seed (1), CONSILIUM_INPUTS their number for each target (in
// place of the target's own). An input that ends the process is written to crash-NAME in the
// working folder: the target built with libFuzzer takes it as its argument, and so does this
// program in a folder of the target's name.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "tests/fuzz/fuzz.h"

#define FUZZ_TARGET(name, mutations) extern "C" int Fuzz_##name(const std::uint8_t*, std::size_t);
#include "targets.inc"
#undef FUZZ_TARGET

namespace consilium::fuzz {
namespace {

struct Target {
  int (*run)(const std::uint8_t*, std::size_t);
  std::uint64_t mutations;
};

const std::map<std::string, Target> kTargets = {
#define FUZZ_TARGET(name, mutations) {#name, {Fuzz_##name, mutations}},
#include "targets.inc"
#undef FUZZ_TARGET
};

// Where the input that is running lies, for KeepCrash.
struct Running {
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;
  std::string file, message;
} running;

void KeepCrash(int signal) {
  const int fd = open(running.file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ssize_t written = write(fd, running.data, running.size);
  written = write(STDERR_FILENO, running.message.data(), running.message.size());
  static_cast<void>(written);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void Run(const Target& target, const Bytes& input) {
  running.data = input.data();
  running.size = input.size();
  target.run(input.data(), input.size());
}

// Where parsers break: ends of ranges, and what a length field should never say.
std::uint64_t Interesting(SeededRandom& random) {
  constexpr std::array<std::uint64_t, 14> kValues = {
      0,      1,         2,          0x7f,       0x80,       0xff,
      0x7fff, 0xffff,    0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff,
      ~0ull,  1ull << 40};
  return kValues[random.Below(kValues.size())];
}

void OverwriteNumber(Bytes& input, SeededRandom& random) {
  const std::size_t width = std::size_t{1} << random.Below(4);
  if (input.size() < width) return;
  const std::size_t at = random.Below(input.size() - width + 1);
  const std::uint64_t value = Interesting(random);
  for (std::size_t i = 0; i < width; ++i) {
    input[at + i] =
        static_cast<std::uint8_t>(value >> 8 * (random.Chance(0.1) ? width - 1 - i : i));
  }
}

void MutateOnce(Bytes& input, const Bytes& other, SeededRandom& random) {
  const auto place = [&](std::size_t past) { return random.Below(past + 1); };
  const auto at = [&](std::size_t i) { return input.begin() + static_cast<std::ptrdiff_t>(i); };
  const std::size_t size = input.size();
  if (size == 0) return input.push_back(static_cast<std::uint8_t>(random()));
  switch (random.Below(8)) {
    case 0:
      input[random.Below(size)] ^= static_cast<std::uint8_t>(1u << random.Below(8));
      break;
    case 1:
      input[random.Below(size)] = static_cast<std::uint8_t>(random());
      break;
    case 2:
      OverwriteNumber(input, random);
      break;
    case 3:
      input.insert(at(place(size)), static_cast<std::uint8_t>(random()));
      break;
    case 4: {  // cut a piece out
      const std::size_t first = random.Below(size);
      input.erase(at(first), at(first + 1 + random.Below(std::min<std::size_t>(size - first, 64))));
      break;
    }
    case 5:
      input.resize(place(size));
      break;
    case 6: {  // a piece twice
      const std::size_t first = random.Below(size);
      const Bytes piece(at(first),
                        at(first + 1 + random.Below(std::min<std::size_t>(size - first, 64))));
      input.insert(at(place(size)), piece.begin(), piece.end());
      break;
    }
    default: {  // the end of another
      const std::size_t keep = place(size);
      input.resize(keep);
      if (keep < other.size()) {
        input.insert(input.end(), other.begin() + static_cast<std::ptrdiff_t>(keep), other.end());
      }
    }
  }
}

std::vector<Bytes> ReadCorpus(const fs::path& folder) {
  const auto entries = ListFolder(folder);
  if (!entries.ok() || entries->empty()) {
    std::fprintf(stderr, "error: no corpus in %s\n", folder.c_str());
    std::exit(2);
  }
  std::vector<Bytes> corpus;
  for (const FolderEntry& entry : *entries) corpus.push_back(ReadFile(entry.path).value());
  return corpus;
}

void Replay(const std::string& name, const Target& target, const fs::path& corpus_folder,
            std::uint64_t seed, std::uint64_t mutations) {
  const auto begin = std::chrono::steady_clock::now();
  running.file = "crash-" + name;
  running.message = "target " + name + ", seed " + std::to_string(seed) +
                    ": the input is in the file " + running.file + "\n";
  const std::vector<Bytes> corpus = ReadCorpus(corpus_folder / name);
  Run(target, {});
  for (const Bytes& input : corpus) Run(target, input);
  SeededRandom random(seed, name);
  for (std::uint64_t i = 0; i < mutations; ++i) {
    Bytes input = corpus[i % corpus.size()];
    const Bytes& other = corpus[random.Below(corpus.size())];
    for (std::uint64_t step = 0; step <= random.Below(4); ++step) MutateOnce(input, other, random);
    Run(target, input);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf("%-24s %4zu kept, %6llu mutated, %.2f s\n", name.c_str(), corpus.size(),
              static_cast<unsigned long long>(mutations), took.count());
}

std::uint64_t NumberFrom(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

int Main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: fuzz_replay_test CORPUS [TARGET...]\n");
    return 2;
  }
  const std::set<std::string> chosen(argv + 2, argv + argc);
  for (const std::string& name : chosen) {
    if (!kTargets.contains(name)) {
      std::fprintf(stderr, "error: no target %s\n", name.c_str());
      return 2;
    }
  }
  for (const int signal : {SIGABRT, SIGSEGV, SIGFPE, SIGBUS, SIGILL})
    std::signal(signal, KeepCrash);
  const std::uint64_t seed = NumberFrom("CONSILIUM_SEED", 1);
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  for (const auto& [name, target] : kTargets) {
    if (!chosen.empty() && !chosen.contains(name)) continue;
    Replay(name, target, argv[1], seed, NumberFrom("CONSILIUM_INPUTS", target.mutations));
  }
  return 0;
}

}  // namespace
}  // namespace consilium::fuzz

int main(int argc, char** argv) { return consilium::fuzz::Main(argc, argv); }
