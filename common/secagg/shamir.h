#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/random.h"
#include "common/crypto/secret.h"
#include "common/secagg/messages.h"

namespace consilium::secagg {

// Shamir's secret sharing (Shamir 1979) of 32 bytes, byte by byte over GF(2^8) with the polynomial
// x^8+x^4+x^3+x+1. Arithmetic without tables or branches on secret values: constant time.
//
// Shares of the points x = 1 .. n, in that order. 1 <= threshold <= n <= 255, else a bug of the
// caller's. The coefficients come from `random`; they are cleansed.
std::vector<Share> Split(const crypto::Secret& secret, std::uint32_t threshold, std::uint32_t n,
                         RandomSource& random);

struct Point {
  std::uint8_t x = 0;  // 1 .. 255
  Share y{};
};
// From exactly `threshold` points or more (the first `threshold` are used). kInvalidArgument: too
// few, x = 0 or twice the same x. A wrong share gives a wrong secret: the caller compares it with
// what was advertised.
absl::StatusOr<crypto::Secret> Combine(std::span<const Point> points, std::uint32_t threshold);

}  // namespace consilium::secagg
