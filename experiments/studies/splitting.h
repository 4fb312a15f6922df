#pragma once

// Splits that can be repeated: those of scikit-learn, which published benchmarks fix by a seed, and
// our own, by a hash.

#include <cstdint>
#include <random>
#include <string_view>
#include <vector>

namespace consilium::experiments {

// scikit-learn's train_test_split(range(n), test_size = 1 - train_fraction, train_size =
// train_fraction, random_state = seed, shuffle = True), bit for bit: NumPy's legacy generator
// (MT19937, masked rejection) and, with `strata`, StratifiedShuffleSplit. True: the element is
// tested on.
//
// strata: empty, or a small number an element, each of which comes twice or more.
std::vector<bool> ScikitTestSplit(std::size_t count, double train_fraction, std::uint32_t seed,
                                  const std::vector<int>& strata);

// A number from 0 to below 1 that `key` and `seed` decide alone, uniform over keys.
double UniformOf(std::string_view key, std::uint64_t seed);

// Which of `folds` each element belongs to: equally many of each stratum, in an order that its key
// and `seed` decide.
std::vector<std::uint32_t> StratifiedFolds(const std::vector<std::string>& keys,
                                           const std::vector<int>& strata, std::uint32_t folds,
                                           std::uint64_t seed);

}  // namespace consilium::experiments
