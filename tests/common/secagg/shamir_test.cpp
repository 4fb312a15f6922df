#include "common/secagg/shamir.h"

#include <algorithm>
#include <bit>
#include <set>

#include "common/base/status.h"
#include "tests/catch.h"

namespace consilium::secagg {
namespace {

using crypto::Secret;

// Gives the bytes it was made with, then no more.
class GivenBytes final : public RandomSource {
 public:
  explicit GivenBytes(Bytes bytes) : bytes_(std::move(bytes)) {}
  void Fill(std::span<std::uint8_t> out) override {
    REQUIRE(out.size() <= bytes_.size() - used_);
    std::copy_n(bytes_.begin() + used_, out.size(), out.begin());
    used_ += out.size();
  }

 private:
  Bytes bytes_;
  std::size_t used_ = 0;
};

Bytes Range(int first, int last) {
  Bytes bytes;
  for (int value = first; value <= last; ++value) bytes.push_back(static_cast<std::uint8_t>(value));
  return bytes;
}

Secret RandomSecret(RandomSource& random) {
  Secret secret(kShareBytes);
  random.Fill(secret.RevealForWriting());
  return secret;
}

std::vector<Point> PointsOf(const std::vector<Share>& shares, std::uint32_t subset) {
  std::vector<Point> points;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    if (subset >> i & 1) points.push_back({static_cast<std::uint8_t>(i + 1), shares[i]});
  }
  return points;
}

// Computed with a table of logarithms in another language.
TEST_CASE("Shares of a known secret with known coefficients have the known values") {
  Bytes coefficients = Range(0x20, 0x3f);
  const Bytes of_square = Range(0xe0, 0xff);
  coefficients.insert(coefficients.end(), of_square.begin(), of_square.end());
  GivenBytes random(coefficients);
  const std::vector<Share> shares = Split(Secret::CopyOf(Range(0, 31)), 3, 255, random);
  REQUIRE(shares.size() == 255);
  CHECK(ToHex(shares[0]) == "c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf");
  CHECK(ToHex(shares[1]) == "edeae3e4f1f6fff8d5d2dbdcc9cec7c09d9a939481868f88a5a2abacb9beb7b0");
  CHECK(ToHex(shares[4]) == "c2d7e8fd9683bca96a7f40553e2b1401899ca3b6ddc8f7e221340b1e75605f4a");
  CHECK(ToHex(shares[254]) == "6b86aa47f21f33de42af836edb361af739d4f815a04d618c10fdd13c896448a5");
}

TEST_CASE("Any threshold of the shares give the secret, whichever they are and in any order") {
  SeededRandom random(31);
  for (std::uint32_t n = 1; n <= 7; ++n) {
    for (std::uint32_t threshold = 1; threshold <= n; ++threshold) {
      const Secret secret = RandomSecret(random);
      const std::vector<Share> shares = Split(secret, threshold, n, random);
      for (std::uint32_t subset = 0; subset < 1u << n; ++subset) {
        std::vector<Point> points = PointsOf(shares, subset);
        std::reverse(points.begin(), points.end());
        const auto combined = Combine(points, threshold);
        INFO("n " << n << ", threshold " << threshold << ", subset " << subset);
        const bool enough = static_cast<std::uint32_t>(std::popcount(subset)) >= threshold;
        CHECK((combined.ok() && combined->Equals(secret.Reveal())) == enough);
      }
    }
  }
}

TEST_CASE("The largest cohort's shares give the secret from its last points") {
  SeededRandom random(32);
  const Secret secret = RandomSecret(random);
  const std::uint32_t threshold = Threshold(255);
  const std::vector<Share> shares = Split(secret, threshold, 255, random);
  std::vector<Point> points;
  for (std::size_t i = 255 - threshold; i < 255; ++i) {
    points.push_back({static_cast<std::uint8_t>(i + 1), shares[i]});
  }
  const auto combined = Combine(points, threshold);
  REQUIRE(combined.ok());
  CHECK(combined->Equals(secret.Reveal()));
}

TEST_CASE("One share less than the threshold leaves every secret equally possible") {
  // Over all coefficients of x and x^2, the shares of two points take each pair of values exactly
  // once, whatever the secret is: they are independent of it.
  for (const int secret_byte : {0x00, 0x01, 0x7f, 0xff}) {
    const Secret secret =
        Secret::CopyOf(Bytes(kShareBytes, static_cast<std::uint8_t>(secret_byte)));
    std::vector<bool> seen(1 << 16);
    for (int first = 0; first < 1 << 16; first += kShareBytes) {
      Bytes coefficients(2 * kShareBytes);
      for (std::size_t i = 0; i < kShareBytes; ++i) {
        coefficients[i] = static_cast<std::uint8_t>(first + i);
        coefficients[kShareBytes + i] = static_cast<std::uint8_t>((first + i) >> 8);
      }
      GivenBytes random(coefficients);
      const std::vector<Share> shares = Split(secret, 3, 5, random);
      for (std::size_t i = 0; i < kShareBytes; ++i) seen[shares[1][i] << 8 | shares[4][i]] = true;
    }
    CHECK(std::count(seen.begin(), seen.end(), true) == 1 << 16);
  }
}

TEST_CASE("A wrong share gives a wrong secret, in just the bytes where it is wrong") {
  SeededRandom random(33);
  const Secret secret = RandomSecret(random);
  std::vector<Point> points = PointsOf(Split(secret, 3, 5, random), 0b10101);
  points[1].y[7] ^= 1;
  const auto combined = Combine(points, 3);
  REQUIRE(combined.ok());
  for (std::size_t i = 0; i < kShareBytes; ++i) {
    CHECK((combined->Reveal()[i] == secret.Reveal()[i]) == (i != 7));
  }
}

TEST_CASE("Points beyond the threshold are not looked at") {
  SeededRandom random(34);
  const Secret secret = RandomSecret(random);
  std::vector<Point> points = PointsOf(Split(secret, 3, 5, random), 0b11111);
  points[3].y.fill(0);
  points[4].x = points[0].x;
  const auto combined = Combine(points, 3);
  REQUIRE(combined.ok());
  CHECK(combined->Equals(secret.Reveal()));
}

TEST_CASE("Combine says what is wrong with the points") {
  const Share y{};
  const auto refusal = [&](std::vector<Point> points) {
    const auto combined = Combine(points, 3);
    CHECK(combined.status().code() == absl::StatusCode::kInvalidArgument);
    return std::string(combined.status().message());
  };
  CHECK_THAT(refusal({{1, y}, {2, y}}), ContainsText("threshold 3 cannot be had from 2 shares"));
  CHECK_THAT(refusal({{1, y}, {0, y}, {2, y}}), ContainsText("x = 0"));
  CHECK_THAT(refusal({{1, y}, {2, y}, {1, y}}), ContainsText("same point x = 1"));
}

}  // namespace
}  // namespace consilium::secagg
