// The 95th percentile of the distance between two surfaces, by exact distance transforms of the box
// around both (Felzenszwalb and Huttenlocher 2012).

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "common/base/status.h"
#include "common/metrics/segmentation_metrics.h"

namespace consilium::metrics {
namespace {

constexpr float kFar = 1e18f;  // larger than any square of a distance, and still adds up

struct Grid {
  std::uint32_t depth = 0, height = 0, width = 0;
  std::size_t Size() const { return std::size_t{depth} * height * width; }
  std::size_t At(std::uint32_t z, std::uint32_t y, std::uint32_t x) const {
    return (std::size_t{z} * height + y) * width + x;
  }
};

struct Box {
  std::array<std::uint32_t, 3> low, high;  // z, y, x; `high` is the last one within
};

void Extend(Box& box, std::span<const std::uint8_t> mask, const Grid& grid) {
  for (std::uint32_t z = 0; z < grid.depth; ++z) {
    for (std::uint32_t y = 0; y < grid.height; ++y) {
      const auto row = mask.subspan(grid.At(z, y, 0), grid.width);
      const auto first = std::find_if(row.begin(), row.end(), [](auto v) { return v != 0; });
      if (first == row.end()) continue;
      const auto last = std::find_if(row.rbegin(), row.rend(), [](auto v) { return v != 0; });
      const auto left = static_cast<std::uint32_t>(first - row.begin());
      const auto right = static_cast<std::uint32_t>(row.rend() - last - 1);
      box.low = {std::min(box.low[0], z), std::min(box.low[1], y), std::min(box.low[2], left)};
      box.high = {std::max(box.high[0], z), std::max(box.high[1], y), std::max(box.high[2], right)};
    }
  }
}

bool Empty(std::span<const std::uint8_t> mask) {
  return std::all_of(mask.begin(), mask.end(), [](std::uint8_t value) { return value == 0; });
}

// Indices in `box` of the surface's pixels.
std::vector<std::size_t> Surface(std::span<const std::uint8_t> mask, const Grid& grid,
                                 const Box& box, const Grid& inner) {
  const auto outside = [&](std::uint32_t z, std::uint32_t y, std::uint32_t x) {
    // A coordinate below 0 has wrapped around.
    return z >= grid.depth || y >= grid.height || x >= grid.width || mask[grid.At(z, y, x)] == 0;
  };
  std::vector<std::size_t> surface;
  for (std::uint32_t z = box.low[0]; z <= box.high[0]; ++z) {
    for (std::uint32_t y = box.low[1]; y <= box.high[1]; ++y) {
      for (std::uint32_t x = box.low[2]; x <= box.high[2]; ++x) {
        if (mask[grid.At(z, y, x)] == 0) continue;
        const bool across = outside(z, y - 1, x) || outside(z, y + 1, x) || outside(z, y, x - 1) ||
                            outside(z, y, x + 1);
        const bool along = grid.depth > 1 && (outside(z - 1, y, x) || outside(z + 1, y, x));
        if (across || along) {
          surface.push_back(inner.At(z - box.low[0], y - box.low[1], x - box.low[2]));
        }
      }
    }
  }
  return surface;
}

// The squared distances along one line become the lower envelope of parabolas.
class LineTransform {
 public:
  explicit LineTransform(std::size_t longest)
      : values_(longest), roots_(longest), borders_(longest + 1) {}

  void operator()(float* line, std::size_t length, std::size_t stride, double spacing) {
    for (std::size_t i = 0; i < length; ++i) values_[i] = line[i * stride];
    const double unit = spacing * spacing;
    std::size_t last = 0;
    roots_[0] = 0;
    borders_[0] = -std::numeric_limits<double>::infinity();
    borders_[1] = std::numeric_limits<double>::infinity();
    for (std::size_t i = 1; i < length; ++i) {
      double meets = Meeting(roots_[last], i, unit);
      while (meets <= borders_[last]) meets = Meeting(roots_[--last], i, unit);
      roots_[++last] = i;
      borders_[last] = meets;
      borders_[last + 1] = std::numeric_limits<double>::infinity();
    }
    std::size_t at = 0;
    for (std::size_t i = 0; i < length; ++i) {
      while (borders_[at + 1] < static_cast<double>(i)) ++at;
      const double away = static_cast<double>(i) - static_cast<double>(roots_[at]);
      line[i * stride] = static_cast<float>(values_[roots_[at]] + unit * away * away);
    }
  }

 private:
  // Where the parabola of b begins to be below that of a, a < b.
  double Meeting(std::size_t a, std::size_t b, double unit) const {
    const auto x = static_cast<double>(a), y = static_cast<double>(b);
    return (values_[b] - values_[a]) / (2 * unit * (y - x)) + (x + y) / 2;
  }

  std::vector<double> values_;
  std::vector<std::size_t> roots_;
  std::vector<double> borders_;
};

// Of each pixel of the box the squared distance to the nearest of the surface.
std::vector<float> SquaredDistances(const std::vector<std::size_t>& surface, const Grid& box,
                                    double spacing_mm, double slice_spacing_mm) {
  std::vector<float> squares(box.Size(), kFar);
  for (const std::size_t pixel : surface) squares[pixel] = 0;
  LineTransform transform(std::max({box.depth, box.height, box.width}));
  for (std::uint32_t z = 0; z < box.depth; ++z) {
    for (std::uint32_t y = 0; y < box.height; ++y) {
      transform(&squares[box.At(z, y, 0)], box.width, 1, spacing_mm);
    }
    for (std::uint32_t x = 0; x < box.width; ++x) {
      transform(&squares[box.At(z, 0, x)], box.height, box.width, spacing_mm);
    }
  }
  for (std::size_t i = 0; box.depth > 1 && i < std::size_t{box.height} * box.width; ++i) {
    transform(&squares[i], box.depth, std::size_t{box.height} * box.width, slice_spacing_mm);
  }
  return squares;
}

double Percentile95(std::vector<float> values) {
  const double rank = 0.95 * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(rank);
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(below),
                   values.end());
  const double low = values[below];
  if (below + 1 == values.size()) return low;
  const double high =
      *std::min_element(values.begin() + static_cast<std::ptrdiff_t>(below) + 1, values.end());
  return low + (rank - static_cast<double>(below)) * (high - low);
}

double Directed(const std::vector<std::size_t>& from, const std::vector<float>& squares) {
  std::vector<float> distances;
  distances.reserve(from.size());
  for (const std::size_t pixel : from) distances.push_back(std::sqrt(squares[pixel]));
  return Percentile95(std::move(distances));
}

}  // namespace

std::optional<double> Hd95(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b,
                           std::uint32_t depth, std::uint32_t height, std::uint32_t width,
                           double spacing_mm, double slice_spacing_mm) {
  const Grid grid{depth, height, width};
  CONSILIUM_CHECK(a.size() == grid.Size() && b.size() == grid.Size());
  CONSILIUM_CHECK(spacing_mm > 0 && (depth <= 1 || slice_spacing_mm > 0));
  if (Empty(a) || Empty(b)) return std::nullopt;
  Box box{{depth, height, width}, {0, 0, 0}};
  Extend(box, a, grid);
  Extend(box, b, grid);
  const Grid inner{box.high[0] - box.low[0] + 1, box.high[1] - box.low[1] + 1,
                   box.high[2] - box.low[2] + 1};
  const auto surface_a = Surface(a, grid, box, inner);
  const auto surface_b = Surface(b, grid, box, inner);
  const double there =
      Directed(surface_a, SquaredDistances(surface_b, inner, spacing_mm, slice_spacing_mm));
  const double back =
      Directed(surface_b, SquaredDistances(surface_a, inner, spacing_mm, slice_spacing_mm));
  return std::max(there, back);
}

}  // namespace consilium::metrics
