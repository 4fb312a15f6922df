#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace consilium {

// Where randomness comes in. Keys, tokens and nonces take SystemRandom; everything that must be repeatable
// takes SeededRandom and prints its seed.
class RandomSource {
 public:
  virtual ~RandomSource() = default;
  virtual void Fill(std::span<std::uint8_t> out) = 0;
};

// The operating system's generator (getrandom(2)); ends the process if it fails. Thread-safe.
class SystemRandom final : public RandomSource {
 public:
  void Fill(std::span<std::uint8_t> out) override;
};

// xoshiro256** 1.0 (Blackman and Vigna 2021), seeded through SplitMix64: the same numbers on every machine.
// Not for secrets. Not thread-safe. Satisfies UniformRandomBitGenerator.
class SeededRandom final : public RandomSource {
 public:
  using result_type = std::uint64_t;

  explicit SeededRandom(std::uint64_t seed);
  // A stream of its own for each (seed, label), e.g. SeededRandom(7, "augmentation").
  SeededRandom(std::uint64_t seed, std::string_view label);

  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return ~result_type{0}; }
  result_type operator()();

  void Fill(std::span<std::uint8_t> out) override;
  std::uint64_t Below(std::uint64_t bound);  // uniform in [0, bound), bound > 0
  double Uniform();                          // [0, 1)
  double Uniform(double low, double high);
  double Normal();  // mean 0, deviation 1 (Box-Muller)
  bool Chance(double probability) { return Uniform() < probability; }

 private:
  std::uint64_t state_[4];
};

// FNV-1a, 64 bits: a stable hash for splitting and seeding, not for security.
std::uint64_t StableHash(std::string_view text);

}  // namespace consilium
