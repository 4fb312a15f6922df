#pragma once

// An update as integers, so that masked sums are exact: clip, scale, round.
//
//   delta is scaled to L2 norm at most C (clip_norm); q_i = round(delta_i * share * S) mod 2^32 in
//   two's complement, share = the site's weight / W, W the weight of the whole cohort of n sites;
//   S = (2^31 - 1 - n) / C, so that |sum over the cohort of q_i| <= S C sum(share) + n < 2^31: the
//   sum never overflows.
//
// Rounding is stochastic (Alistarh et al. 2017, QSGD): up with the probability of the fraction,
// from 16 random bits, so that the expected value is off by less than 2^-16 of a step. A value that
// is a whole number of steps stays it.
//
// Bound: with survivors of total share P (their weights / W), the mean that the sum gives, sum / (S
// P), differs from the exact weighted mean of the clipped updates by less than n / (S P) in every
// parameter (one step a site). For n = 10 equal sites, all delivering, that is C 10 / 2^31: 27.7
// bits a site.

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace consilium {

class Quantizer {
 public:
  // kInvalidArgument: clip_norm not in (0, 1e9] or so small that S is infinite, cohort not 1 to
  // 255, share not in (0, 1].
  static absl::StatusOr<Quantizer> Create(double clip_norm, std::uint32_t cohort, double share);

  double scale() const { return scale_; }  // S

  // The factor that brings `delta` to norm C: 1, or C / norm. kInvalidArgument with the index when
  // a value is NaN or infinite. Threads > 1 share the work.
  absl::StatusOr<double> ClipFactor(std::span<const float> delta, int threads = 1) const;
  // The same for a delta that is nowhere as a whole: FactorFor of the sum of SquaredNorm of its
  // pieces, of kNormPiece values each but the last, added in their order.
  static constexpr std::size_t kNormPiece = 65536;
  static absl::StatusOr<double> SquaredNorm(std::span<const float> piece);
  double FactorFor(double squared_norm) const;

  // q[i] for delta[i] * factor. random: 2 bytes for each value. q may be the same memory as delta.
  void Quantize(std::span<const float> delta, double factor, std::span<const std::uint8_t> random,
                std::span<std::uint32_t> q) const;

 private:
  Quantizer() = default;
  double scale_ = 0, share_ = 0, clip_norm_ = 0;
};

// The coordinator's side: the mean of the survivors' clipped updates.
// mean[i] = int32(sum[i]) / (S survivors_share); survivors_share: their weights / W, in (0, 1].
void Dequantize(std::span<const std::uint32_t> sum, double scale, double survivors_share,
                std::span<double> mean);

}  // namespace consilium
