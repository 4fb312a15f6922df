#include "experiments/studies/splitting.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "common/base/status.h"
#include "common/base/text.h"
#include "common/crypto/sha256.h"

namespace consilium::experiments {
namespace {

// NumPy's RandomState(seed).
class NumpyRandom {
 public:
  explicit NumpyRandom(std::uint32_t seed) : generator_(seed) {}

  // permutation(n): Fisher-Yates from the end.
  std::vector<std::size_t> Permutation(std::size_t n) {
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (std::size_t i = n; i > 1; --i) std::swap(order[i - 1], order[Interval(i - 1)]);
    return order;
  }

 private:
  // random_interval: from 0 to `most`, by masked rejection.
  std::size_t Interval(std::size_t most) {
    std::uint32_t mask = static_cast<std::uint32_t>(most);
    for (int shift = 1; shift <= 16; shift *= 2) mask |= mask >> shift;
    std::uint32_t value = 0;
    do value = static_cast<std::uint32_t>(generator_()) & mask;
    while (value > most);
    return value;
  }

  std::mt19937 generator_;
};

// _approximate_mode: `draws` dealt to classes by their counts, remainders to the largest ones.
std::vector<std::size_t> Shares(const std::vector<std::size_t>& counts, std::size_t draws,
                                NumpyRandom& random) {
  const auto all =
      static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::size_t{0}));
  std::vector<std::size_t> shares;
  std::vector<double> remainders;
  for (const std::size_t count : counts) {
    const double share = static_cast<double>(count) / all * static_cast<double>(draws);
    shares.push_back(static_cast<std::size_t>(share));
    remainders.push_back(share - std::floor(share));
  }
  std::size_t missing = draws - std::accumulate(shares.begin(), shares.end(), std::size_t{0});
  const std::set<double, std::greater<>> values(remainders.begin(), remainders.end());
  for (const double value : values) {
    if (missing == 0) break;
    std::vector<std::size_t> equal;
    for (std::size_t i = 0; i < remainders.size(); ++i) {
      if (remainders[i] == value) equal.push_back(i);
    }
    const std::vector<std::size_t> order = random.Permutation(equal.size());
    const std::size_t now = std::min(missing, equal.size());
    for (std::size_t i = 0; i < now; ++i) ++shares[equal[order[i]]];
    missing -= now;
  }
  return shares;
}

}  // namespace

std::vector<bool> ScikitTestSplit(std::size_t count, double train_fraction, std::uint32_t seed,
                                  const std::vector<int>& strata) {
  const auto n = static_cast<double>(count);
  const auto tests = static_cast<std::size_t>(std::ceil((1.0 - train_fraction) * n));
  const auto trains = static_cast<std::size_t>(std::floor(train_fraction * n));
  std::vector<bool> test(count);
  NumpyRandom random(seed);
  if (strata.empty()) {
    const std::vector<std::size_t> order = random.Permutation(count);
    for (std::size_t i = 0; i < tests; ++i) test[order[i]] = true;
    return test;
  }
  CONSILIUM_CHECK(strata.size() == count);
  std::map<int, std::vector<std::size_t>> members;
  for (std::size_t i = 0; i < count; ++i) members[strata[i]].push_back(i);
  std::vector<std::size_t> counts, left;
  for (const auto& [stratum, indices] : members) counts.push_back(indices.size());
  const std::vector<std::size_t> train_shares = Shares(counts, trains, random);
  for (std::size_t i = 0; i < counts.size(); ++i) left.push_back(counts[i] - train_shares[i]);
  const std::vector<std::size_t> test_shares = Shares(left, tests, random);
  std::size_t which = 0;
  for (const auto& [stratum, indices] : members) {
    const std::vector<std::size_t> order = random.Permutation(indices.size());
    for (std::size_t i = 0; i < test_shares[which]; ++i) {
      test[indices[order[train_shares[which] + i]]] = true;
    }
    ++which;
  }
  return test;
}

double UniformOf(std::string_view key, std::uint64_t seed) {
  const Digest digest = crypto::Sha256(StrCat(seed, "/", key));
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | static_cast<std::uint8_t>(digest.bytes[i]);
  return static_cast<double>(value >> 11) * 0x1p-53;
}

std::vector<std::uint32_t> StratifiedFolds(const std::vector<std::string>& keys,
                                           const std::vector<int>& strata, std::uint32_t folds,
                                           std::uint64_t seed) {
  CONSILIUM_CHECK(keys.size() == strata.size() && folds > 0);
  std::vector<std::size_t> order(keys.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::vector<double> place;
  for (const std::string& key : keys) place.push_back(UniformOf(key, seed));
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::tie(strata[a], place[a], keys[a]) < std::tie(strata[b], place[b], keys[b]);
  });
  std::vector<std::uint32_t> fold(keys.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    fold[order[i]] = static_cast<std::uint32_t>(i % folds);
  }
  return fold;
}

}  // namespace consilium::experiments
