#include "site_agent/learning/sliding_window.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <vector>

#include "common/base/status.h"

namespace consilium::learning {
namespace {

constexpr double kDeviation = 1.0 / 8;  // of the cube's side

// Where the cubes begin along an axis, evenly.
std::vector<std::int64_t> StartsOf(std::int64_t side, std::int64_t block) {
  if (side <= block) return {0};
  const std::int64_t step = std::max<std::int64_t>(1, block / 2);
  const std::int64_t last = (side - block + step - 1) / step;
  std::vector<std::int64_t> starts;
  for (std::int64_t i = 0; i <= last; ++i) starts.push_back(i * (side - block) / last);
  return starts;
}

at::Tensor GaussianAlong(std::int64_t side) {
  const at::Tensor from_middle =
      at::arange(side, at::kFloat).sub(static_cast<double>(side - 1) / 2);
  return from_middle.div(static_cast<double>(side) * kDeviation).square().mul(-0.5).exp();
}

at::Tensor GaussianOver(const at::Tensor& window) {
  return GaussianAlong(window.size(2))
      .view({-1, 1, 1})
      .mul(GaussianAlong(window.size(3)).view({-1, 1}))
      .mul(GaussianAlong(window.size(4)));
}

at::Tensor Window(const at::Tensor& volume, std::int64_t z, std::int64_t y, std::int64_t x,
                  std::int64_t block) {
  const auto along = [&](const at::Tensor& in, std::int64_t axis, std::int64_t start) {
    return in.narrow(axis, start, std::min(block, in.size(axis)));
  };
  return along(along(along(volume, 2, z), 3, y), 4, x);
}

}  // namespace

at::Tensor AnswerOf(Network& network, const at::Tensor& input, std::uint32_t block) {
  if (block == 0 || input.dim() != 5) return network.Forward(input, /*training=*/false);
  const std::int64_t side = block;
  at::Tensor answer, weights;
  for (const std::int64_t z : StartsOf(input.size(2), side)) {
    for (const std::int64_t y : StartsOf(input.size(3), side)) {
      for (const std::int64_t x : StartsOf(input.size(4), side)) {
        const at::Tensor part =
            network.Forward(Window(input, z, y, x, side).contiguous(), /*training=*/false);
        CONSILIUM_CHECK(part.dim() == 5);  // a block is of outlines (plan/read_training.cpp)
        if (!answer.defined()) {
          answer =
              at::zeros({input.size(0), part.size(1), input.size(2), input.size(3), input.size(4)},
                        part.options());
          weights = at::zeros({1, 1, input.size(2), input.size(3), input.size(4)}, part.options());
        }
        const at::Tensor gaussian = GaussianOver(part).to(part.device());
        Window(answer, z, y, x, side).add_(part.mul(gaussian));
        Window(weights, z, y, x, side).add_(gaussian);
      }
    }
  }
  return answer.div_(weights);
}

}  // namespace consilium::learning
