#include "common/base/random.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numbers>

#include "common/base/status.h"

namespace consilium {
namespace {

std::uint64_t SplitMix64(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

SeededRandom::SeededRandom(std::uint64_t seed) {
  for (auto& word : state_) word = SplitMix64(seed);
}

SeededRandom::SeededRandom(std::uint64_t seed, std::string_view label)
    : SeededRandom(seed ^ StableHash(label)) {}

SeededRandom::result_type SeededRandom::operator()() {
  const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const std::uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

void SeededRandom::Fill(std::span<std::uint8_t> out) {
  while (!out.empty()) {
    const std::uint64_t word = (*this)();
    const std::size_t n = std::min<std::size_t>(out.size(), sizeof word);
    std::memcpy(out.data(), &word, n);
    out = out.subspan(n);
  }
}

std::uint64_t SeededRandom::Below(std::uint64_t bound) {
  CONSILIUM_CHECK(bound > 0);
  // Lemire's method would need 128-bit products; rejection keeps it exact and simple.
  const std::uint64_t limit = max() - max() % bound;
  std::uint64_t x;
  do {
    x = (*this)();
  } while (x >= limit);
  return x % bound;
}

double SeededRandom::Uniform() { return static_cast<double>((*this)() >> 11) * 0x1.0p-53; }

double SeededRandom::Uniform(double low, double high) { return low + (high - low) * Uniform(); }

double SeededRandom::Normal() {
  const double u = 1.0 - Uniform();
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * Uniform());
}

std::uint64_t StableHash(std::string_view text) {
  std::uint64_t h = 0xcbf29ce484222325;
  for (const char c : text) {
    h ^= static_cast<unsigned char>(c);
    h *= 0x100000001b3;
  }
  return h;
}

}  // namespace consilium
