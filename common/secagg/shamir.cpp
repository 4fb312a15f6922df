#include "common/secagg/shamir.h"

#include <bitset>

#include "common/base/status.h"

namespace consilium::secagg {
namespace {

// Product in GF(2^8) mod x^8+x^4+x^3+x+1: the same eight steps whatever the values are.
std::uint8_t Multiply(std::uint8_t a, std::uint8_t b) {
  std::uint8_t product = 0;
  for (int bit = 0; bit < 8; ++bit) {
    product ^= static_cast<std::uint8_t>(a & -(b & 1));
    b = static_cast<std::uint8_t>(b >> 1);
    a = static_cast<std::uint8_t>((a << 1) ^ (0x1b & -(a >> 7)));
  }
  return product;
}

// a^254, which is 1/a (and 0 for 0).
std::uint8_t Invert(std::uint8_t a) {
  std::uint8_t power = a, inverse = 1;
  for (int bit = 1; bit < 8; ++bit) {
    power = Multiply(power, power);
    inverse = Multiply(inverse, power);
  }
  return inverse;
}

// What point i of `points` counts at x = 0 (Lagrange): the product of x_j / (x_i - x_j) over the
// other points j.
std::uint8_t WeightAtZero(std::span<const Point> points, std::size_t i) {
  std::uint8_t numerator = 1, denominator = 1;
  for (std::size_t j = 0; j < points.size(); ++j) {
    if (j == i) continue;
    numerator = Multiply(numerator, points[j].x);
    denominator = Multiply(denominator, points[i].x ^ points[j].x);
  }
  return Multiply(numerator, Invert(denominator));
}

}  // namespace

std::vector<Share> Split(const crypto::Secret& secret, std::uint32_t threshold, std::uint32_t n,
                         RandomSource& random) {
  CONSILIUM_CHECK(secret.size() == kShareBytes);
  CONSILIUM_CHECK(threshold >= 1 && threshold <= n && n <= kMostSites);
  // Of x^1 to x^(threshold-1), 32 bytes each.
  crypto::Secret coefficients((threshold - 1) * kShareBytes);
  random.Fill(coefficients.RevealForWriting());

  std::vector<Share> shares(n);
  for (std::uint32_t k = 0; k < n; ++k) {
    const auto x = static_cast<std::uint8_t>(k + 1);
    Share& y = shares[k];
    for (std::uint32_t power = threshold - 1; power > 0; --power) {  // Horner
      const std::uint8_t* coefficient = coefficients.Reveal().data() + (power - 1) * kShareBytes;
      for (std::size_t i = 0; i < kShareBytes; ++i) y[i] = Multiply(y[i] ^ coefficient[i], x);
    }
    for (std::size_t i = 0; i < kShareBytes; ++i) y[i] ^= secret.Reveal()[i];
  }
  return shares;
}

absl::StatusOr<crypto::Secret> Combine(std::span<const Point> points, std::uint32_t threshold) {
  CONSILIUM_CHECK(threshold >= 1);
  if (points.size() < threshold) {
    return absl::InvalidArgumentError(StrCat("a secret that was split with threshold ", threshold,
                                             " cannot be had from ", points.size(), " shares"));
  }
  points = points.first(threshold);
  std::bitset<256> seen;
  for (const Point& point : points) {
    if (point.x == 0) return absl::InvalidArgumentError("a share of the point x = 0");
    if (seen.test(point.x)) {
      return absl::InvalidArgumentError(StrCat("two shares of the same point x = ", point.x));
    }
    seen.set(point.x);
  }
  crypto::Secret secret(kShareBytes);
  const std::span<std::uint8_t> sum = secret.RevealForWriting();
  for (std::size_t i = 0; i < points.size(); ++i) {
    const std::uint8_t weight = WeightAtZero(points, i);
    for (std::size_t b = 0; b < kShareBytes; ++b) sum[b] ^= Multiply(points[i].y[b], weight);
  }
  return secret;
}

}  // namespace consilium::secagg
