#include "common/secagg/masking.h"

#include <algorithm>

#include "common/base/random.h"
#include "tests/catch.h"

namespace consilium::secagg {
namespace {

constexpr std::uint64_t kSeed = 22;

Mask RandomMask(SeededRandom& random, bool negative) {
  Mask mask{crypto::Secret(32), negative};
  random.Fill(mask.key.RevealForWriting());
  return mask;
}

std::vector<Mask> RandomMasks(SeededRandom& random, std::size_t count) {
  std::vector<Mask> masks;
  for (std::size_t i = 0; i < count; ++i) masks.push_back(RandomMask(random, random.Chance(0.5)));
  return masks;
}

struct Vector {
  std::vector<std::uint32_t> values;
  std::vector<std::uint64_t> sums;
  bool operator==(const Vector&) const = default;
};

Vector RandomVector(SeededRandom& random, std::size_t values, std::size_t sums) {
  Vector vector{std::vector<std::uint32_t>(values), std::vector<std::uint64_t>(sums)};
  for (auto& value : vector.values) value = static_cast<std::uint32_t>(random());
  for (auto& sum : vector.sums) sum = random();
  return vector;
}

void AddMasks(std::span<const Mask> masks, Vector& vector) {
  Masker masker = Masker::Create(masks, vector.values.size()).value();
  REQUIRE(masker.AddToValues(0, vector.values).ok());
  REQUIRE(masker.AddToSums(0, vector.sums).ok());
}

// The definition, number by number.
void AddMasksSlowly(std::span<const Mask> masks, Vector& vector) {
  for (const Mask& mask : masks) {
    auto keystream = crypto::Keystream::Create(mask.key).value();
    Bytes bytes(4 * vector.values.size() + 8 * vector.sums.size());
    REQUIRE(keystream.Generate(0, bytes).ok());
    for (std::size_t i = 0; i < vector.values.size(); ++i) {
      const std::uint32_t number = LoadLe32(&bytes[4 * i]);
      vector.values[i] += mask.negative ? 0u - number : number;
    }
    for (std::size_t j = 0; j < vector.sums.size(); ++j) {
      const std::uint64_t number = LoadLe64(&bytes[4 * vector.values.size() + 8 * j]);
      vector.sums[j] += mask.negative ? 0u - number : number;
    }
  }
}

TEST_CASE("A mask is the keystream's bytes as little-endian numbers, the sums after the values") {
  SeededRandom random(kSeed);
  for (const std::size_t masks : {0u, 1u, 2u, 3u, 4u, 5u, 9u, 10u}) {
    const std::size_t values = random.Below(5000), sums = random.Below(5);
    CAPTURE(kSeed, masks, values, sums);
    const std::vector<Mask> set = RandomMasks(random, masks);
    Vector fast = RandomVector(random, values, sums), slow = fast;
    AddMasks(set, fast);
    AddMasksSlowly(set, slow);
    CHECK(fast == slow);
  }
}

TEST_CASE("The masks of two sites cancel exactly") {
  SeededRandom random(kSeed);
  CAPTURE(kSeed);
  const Mask one = RandomMask(random, false);
  Vector first = RandomVector(random, 3001, 3), second = RandomVector(random, 3001, 3);
  Vector plain = first;
  Add(plain.values, second.values);
  Add(plain.sums, second.sums);
  const Vector unmasked = first;
  AddMasks(std::span(&one, 1), first);
  const Mask other = one.Negated();
  CHECK(other.negative);
  AddMasks(std::span(&other, 1), second);
  CHECK(first != unmasked);
  Add(first.values, second.values);
  Add(first.sums, second.sums);
  CHECK(first == plain);
}

TEST_CASE("Pieces in any order get the masks that the whole gets") {
  SeededRandom random(kSeed);
  CAPTURE(kSeed);
  const std::vector<Mask> masks = RandomMasks(random, 7);
  Vector whole = RandomVector(random, 20000, 9), pieces = whole;
  AddMasks(masks, whole);
  std::vector<std::size_t> bounds = {0, pieces.values.size()};
  for (int i = 0; i < 40; ++i) bounds.push_back(random.Below(pieces.values.size()));
  std::sort(bounds.begin(), bounds.end());
  std::vector<std::size_t> order(bounds.size() - 1);
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), random);
  Masker masker = Masker::Create(masks, pieces.values.size()).value();
  REQUIRE(masker.AddToSums(4, std::span(pieces.sums).subspan(4)).ok());
  for (const std::size_t i : order) {
    const auto piece = std::span(pieces.values).subspan(bounds[i], bounds[i + 1] - bounds[i]);
    REQUIRE(masker.AddToValues(bounds[i], piece).ok());
  }
  REQUIRE(masker.AddToSums(0, std::span(pieces.sums).first(4)).ok());
  CHECK(pieces == whole);
}

TEST_CASE("A sum wraps around its ring, and subtracting takes a piece out again") {
  std::vector<std::uint32_t> sum = {0xffffffffu, 5, 0};
  const std::vector<std::uint32_t> piece = {2, 0xffffffffu, 0x80000000u};
  Add(sum, piece);
  CHECK(sum == std::vector<std::uint32_t>{1, 4, 0x80000000u});
  Subtract(sum, piece);
  CHECK(sum == std::vector<std::uint32_t>{0xffffffffu, 5, 0});
  std::vector<std::uint64_t> long_sum = {~std::uint64_t{0}};
  Add(long_sum, std::vector<std::uint64_t>{3});
  CHECK(long_sum[0] == 2);
}

TEST_CASE("A mask whose key is not of 32 bytes is refused") {
  std::vector<Mask> masks;
  masks.push_back({crypto::Secret(31), false});
  CHECK(Masker::Create(masks, 10).status().code() == absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace consilium::secagg
