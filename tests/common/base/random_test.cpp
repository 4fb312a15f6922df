#include "common/base/random.h"

#include <array>
#include <cmath>
#include <vector>

#include "common/base/bytes.h"
#include "tests/catch.h"

namespace consilium {
namespace {

// The first outputs of xoshiro256** 1.0 whose state is SplitMix64's first four outputs from seed 0.
TEST_CASE("seeded random numbers are those of xoshiro256**") {
  SeededRandom random(0);
  CHECK(random() == 0x99ec5f36cb75f2b4);
  CHECK(random() == 0xbf6e1f784956452a);
  CHECK(random() == 0x1a5f849d4933e6e0);
  CHECK(random() == 0x6aa594f1262d2d2c);
  CHECK(random() == 0xbba5ad4a1f842e59);
}

TEST_CASE("bytes are those of the numbers, lowest byte first") {
  SeededRandom random(0);
  Bytes bytes(11);
  random.Fill(bytes);
  CHECK(ToHex(bytes) == "b4f275cb365fec992a4556");
}

TEST_CASE("a label gives a stream of its own") {
  SeededRandom first(7, "augmentation"), again(7, "augmentation"), other(7, "split"), bare(7);
  const auto value = first();
  CHECK(value == again());
  CHECK(value != other());
  CHECK(value != bare());
}

// The published vectors of FNV-1a, 64 bits.
TEST_CASE("the stable hash is FNV-1a") {
  CHECK(StableHash("") == 0xcbf29ce484222325);
  CHECK(StableHash("a") == 0xaf63dc4c8601ec8c);
  CHECK(StableHash("foobar") == 0x85944171f73967e8);
}

TEST_CASE("numbers below a bound are uniform") {
  SeededRandom random(31);
  std::array<int, 7> counts{};
  for (int i = 0; i < 70'000; ++i) ++counts[random.Below(7)];
  double chi_squared = 0;
  for (const int count : counts) chi_squared += std::pow(count - 10'000, 2) / 10'000.0;
  CHECK(chi_squared < 22.5);  // 6 degrees of freedom, p = 0.001
  CHECK(random.Below(1) == 0);
  const std::uint64_t large = (1ull << 63) + 1;
  for (int i = 0; i < 100; ++i) REQUIRE(random.Below(large) < large);
}

TEST_CASE("uniform and normal numbers have the moments they should") {
  SeededRandom random(32);
  const int n = 100'000;
  double uniform = 0, normal = 0, squares = 0, fourths = 0;
  for (int i = 0; i < n; ++i) {
    const double u = random.Uniform();
    REQUIRE((u >= 0 && u < 1));
    uniform += u;
    const double x = random.Normal();
    normal += x;
    squares += x * x;
    fourths += x * x * x * x;
  }
  CHECK(uniform / n == Approx(0.5).margin(0.004));
  CHECK(normal / n == Approx(0).margin(0.013));
  CHECK(squares / n == Approx(1).margin(0.02));
  CHECK(fourths / n == Approx(3).margin(0.15));
  const double between = random.Uniform(-2, -1);
  CHECK((between >= -2 && between < -1));
}

TEST_CASE("the system's random bytes are not all the same") {
  SystemRandom random;
  Bytes first(32), second(32);
  random.Fill(first);
  random.Fill(second);
  CHECK(first != second);
  CHECK(first != Bytes(32));
}

}  // namespace
}  // namespace consilium
