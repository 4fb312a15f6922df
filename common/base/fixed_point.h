#pragma once

#include <cmath>
#include <cstdint>

namespace consilium {

// Reals as numbers of the 64-bit ring, so that they can be added masked: multiples of 2^-24 in
// two's complement. The error is at most 2^-25; |value| must stay below 2^38 (so must the sum).
inline constexpr double kFixedPointUnit = 1.0 / (1 << 24);

inline std::uint64_t ToFixedPoint(double value) {
  return static_cast<std::uint64_t>(std::llrint(value / kFixedPointUnit));
}
inline double FromFixedPoint(std::uint64_t number) {
  return static_cast<double>(static_cast<std::int64_t>(number)) * kFixedPointUnit;
}

}  // namespace consilium
