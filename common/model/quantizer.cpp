#include "common/model/quantizer.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/status.h"

// This file is compiled with -ffp-contract=off: a fused multiply-add would round differently from
// one machine to the next.

namespace consilium {
namespace {

constexpr double kLargestClipNorm = 1e9;
constexpr std::uint32_t kLargestCohort = 255;

// Squares are added in so many lanes, in this order on every machine.
constexpr std::size_t kLanes = 16;

// Finite for finite values (FLT_MAX squared is 1e77), not for others.
double SumOfSquares(const float* values, std::size_t n) {
  std::array<double, kLanes> lanes{};
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const double value = values[i + lane];
      lanes[lane] += value * value;
    }
  }
  for (std::size_t lane = 0; i < n; ++i, ++lane) {
    const double value = values[i];
    lanes[lane] += value * value;
  }
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

// x + kToInteger rounds x to an integer, which stands in two's complement in the low bits of the
// result: an ulp there is 1.
constexpr double kToInteger = 1.5 * 4503599627370496.0;  // 1.5 * 2^52

constexpr std::size_t kChunk = 1024;

// q = floor(x + (k + 1/2) / 65536) for k = 16 random bits: up with the fraction's probability to
// 2^-17, never where x is an integer. As nearest integer of half a step less.
void RoundChunk(const float* __restrict values, double step, const std::uint16_t* __restrict random,
                std::uint32_t* __restrict q) {
  for (std::size_t i = 0; i < kChunk; ++i) {
    const double up = (random[i] + 0.5) * (1.0 / 65536) - 0.5;
    const double rounded = (static_cast<double>(values[i]) * step + up) + kToInteger;
    q[i] = static_cast<std::uint32_t>(std::bit_cast<std::uint64_t>(rounded));
  }
}

absl::Status NotFinite(std::span<const float> values) {
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  return absl::InvalidArgumentError(StrCat("the value at index ", bad - values.begin(), " is ",
                                           std::isnan(*bad) ? "not a number" : "infinite"));
}

}  // namespace

absl::StatusOr<Quantizer> Quantizer::Create(double clip_norm, std::uint32_t cohort, double share) {
  if (!(clip_norm > 0 && clip_norm <= kLargestClipNorm)) {
    return absl::InvalidArgumentError(
        StrCat("the clip norm ", clip_norm, " is not above 0 and at most ", kLargestClipNorm));
  }
  if (cohort < 1 || cohort > kLargestCohort) {
    return absl::InvalidArgumentError(
        StrCat("a cohort has 1 to ", kLargestCohort, " sites, not ", cohort));
  }
  if (!(share > 0 && share <= 1)) {
    return absl::InvalidArgumentError(
        StrCat("a site's share of the weight is above 0 and at most 1, not ", share));
  }
  Quantizer quantizer;
  quantizer.scale_ = (2147483647.0 - cohort) / clip_norm;
  if (!std::isfinite(quantizer.scale_)) {
    return absl::InvalidArgumentError(StrCat("the clip norm ", clip_norm, " is too small"));
  }
  quantizer.share_ = share;
  quantizer.clip_norm_ = clip_norm;
  return quantizer;
}

absl::StatusOr<double> Quantizer::SquaredNorm(std::span<const float> piece) {
  CONSILIUM_CHECK(piece.size() <= kNormPiece);
  const double squares = SumOfSquares(piece.data(), piece.size());
  if (!std::isfinite(squares)) return NotFinite(piece);
  return squares;
}

double Quantizer::FactorFor(double squared_norm) const {
  const double norm = std::sqrt(squared_norm);
  return norm <= clip_norm_ ? 1 : clip_norm_ / norm;
}

absl::StatusOr<double> Quantizer::ClipFactor(std::span<const float> delta, int threads) const {
  const std::size_t pieces = (delta.size() + kNormPiece - 1) / kNormPiece;
  std::vector<double> squares(pieces);
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < pieces; i = next++) {
      const std::span<const float> rest = delta.subspan(i * kNormPiece);
      squares[i] = SumOfSquares(rest.data(), std::min(rest.size(), kNormPiece));
    }
  };
  {
    std::vector<std::jthread> others;
    for (std::size_t i = 1; std::cmp_less(i, threads) && i < pieces; ++i) others.emplace_back(work);
    work();
  }
  // In the order of the pieces: the same sum whatever the threads.
  const double sum = std::accumulate(squares.begin(), squares.end(), 0.0);
  if (!std::isfinite(sum)) return NotFinite(delta);
  return FactorFor(sum);
}

void Quantizer::Quantize(std::span<const float> delta, double factor,
                         std::span<const std::uint8_t> random, std::span<std::uint32_t> q) const {
  CONSILIUM_CHECK(delta.size() == q.size() && random.size() == 2 * q.size());
  const double step = factor * share_ * scale_;
  // Copied chunk by chunk: q may lie over delta.
  std::array<float, kChunk> values{};
  std::array<std::uint16_t, kChunk> bits{};
  std::array<std::uint32_t, kChunk> rounded;
  for (std::size_t first = 0; first < q.size(); first += kChunk) {
    const std::size_t n = std::min(kChunk, q.size() - first);
    std::memcpy(values.data(), delta.data() + first, n * sizeof(float));
    std::memcpy(bits.data(), random.data() + 2 * first, n * sizeof(std::uint16_t));
    RoundChunk(values.data(), step, bits.data(), rounded.data());
    std::memcpy(q.data() + first, rounded.data(), n * sizeof(std::uint32_t));
  }
}

void Dequantize(std::span<const std::uint32_t> sum, double scale, double survivors_share,
                std::span<double> mean) {
  CONSILIUM_CHECK(sum.size() == mean.size());
  const double steps = scale * survivors_share;
  for (std::size_t i = 0; i < sum.size(); ++i) mean[i] = static_cast<std::int32_t>(sum[i]) / steps;
}

}  // namespace consilium
