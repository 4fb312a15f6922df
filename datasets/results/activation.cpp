#include "datasets/results/activation.h"

#include <algorithm>
#include <cmath>

#include "common/base/status.h"

namespace consilium::datasets::results {
namespace {

// Between which two values of an axis a position lies; the outermost values hold beyond the ends.
struct Between {
  std::size_t low = 0, high = 0;
  float share = 0;  // of high
};

Between Locate(double position, const ActivationMap& map) {
  const double last = map.size - 1.0;
  const double at = std::clamp((position - map.first) / map.step, 0.0, last);
  Between between;
  between.low = static_cast<std::size_t>(at);
  between.high = std::min<std::size_t>(between.low + 1, map.size - 1);
  between.share = static_cast<float>(at - static_cast<double>(between.low));
  return between;
}

}  // namespace

std::vector<float> OnImage(const ActivationMap& map, const pipeline::Placement& placement) {
  CONSILIUM_CHECK(map.size > 0 && map.step > 0 &&
                  map.values.size() == std::size_t{map.size} * map.size);
  std::vector<float> out(std::size_t{placement.rows} * placement.columns, 0.0f);
  const float most = *std::max_element(map.values.begin(), map.values.end());
  if (!(most > 0) || !std::isfinite(most)) return out;
  std::vector<Between> across;
  for (std::uint32_t column = 0; column < placement.columns; ++column) {
    across.push_back(Locate(placement.InputColumn(column + 0.5), map));
  }
  const auto shown = [&](double input) { return input >= 0 && input < placement.size; };
  for (std::uint32_t row = 0; row < placement.rows; ++row) {
    const double input_row = placement.InputRow(row + 0.5);
    if (!shown(input_row)) continue;
    const Between down = Locate(input_row, map);
    const float* above = map.values.data() + down.low * map.size;
    const float* below = map.values.data() + down.high * map.size;
    for (std::uint32_t column = 0; column < placement.columns; ++column) {
      if (!placement.Shows(column + 0.5, row + 0.5) ||
          !shown(placement.InputColumn(column + 0.5))) {
        continue;
      }
      const Between& x = across[column];
      const float upper = above[x.low] + x.share * (above[x.high] - above[x.low]);
      const float lower = below[x.low] + x.share * (below[x.high] - below[x.low]);
      const float value = (upper + down.share * (lower - upper)) / most;
      out[std::size_t{row} * placement.columns + column] = std::clamp(value, 0.0f, 1.0f);
    }
  }
  return out;
}

std::vector<std::uint8_t> OnImage(std::span<const std::uint8_t> mask,
                                  const pipeline::Placement& placement) {
  CONSILIUM_CHECK(mask.size() == std::size_t{placement.size} * placement.size);
  std::vector<std::uint8_t> out(std::size_t{placement.rows} * placement.columns, 0);
  const auto shown = [&](double input) { return input >= 0 && input < placement.size; };
  for (std::uint32_t row = 0; row < placement.rows; ++row) {
    const double y = placement.InputRow(row + 0.5);
    for (std::uint32_t column = 0; column < placement.columns; ++column) {
      const double x = placement.InputColumn(column + 0.5);
      if (!shown(x) || !shown(y) || !placement.Shows(column + 0.5, row + 0.5)) continue;
      out[std::size_t{row} * placement.columns + column] =
          mask[static_cast<std::size_t>(y) * placement.size + static_cast<std::size_t>(x)];
    }
  }
  return out;
}

}  // namespace consilium::datasets::results
