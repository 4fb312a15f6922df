#pragma once

// Private to this folder: the loops of fused_norm.h over flat memory. Rows are pixels, a row holds
// a value a channel. A unit is what shares statistics: an image of group norm, the batch of batch
// norm; its groups are runs of neighbouring channels (batch norm: each channel is one).

#include <cstdint>
#include <vector>

#include "site_agent/learning/networks/fused_norm.h"

namespace consilium::learning::kernels {

struct Extent {
  std::int64_t units, rows, channels, groups;  // rows of one unit
  std::int64_t Elements() const { return units * rows * channels; }
};

// Of each unit and group.
struct Statistics {
  std::vector<double> mean, variance;  // biased
};
Statistics Measure(const Extent& extent, const float* x);

// y = activation(scale * x + shift + residual), with a scale and shift for each unit and channel.
// `residual` may be null; y may be x.
void ScaleAddActivate(const Extent& extent, const float* x, const float* scale, const float* shift,
                      const float* residual, Activation activation, float* y);

// What goes back: `slope` becomes the gradient before the activation, which is the residual's. Of
// ReLU `y` says where it is 0; of SiLU scale * x + shift gives its place (without a residual).
// Returns for each unit and channel the sums of slope and of slope * (x - mean of the group).
struct Sums {
  std::vector<double> slope, product;
};
Sums SlopeBeforeActivation(const Extent& extent, const float* x, const float* y, const float* dy,
                           const float* scale, const float* shift, const float* mean,
                           Activation activation, float* slope);

// dx = p * slope + q * x + r, with p, q and r for each unit and channel; dx may be slope.
void CombineGradient(const Extent& extent, const float* x, const float* slope, const float* p,
                     const float* q, const float* r, float* dx);

}  // namespace consilium::learning::kernels
