#include "site_agent/learning/networks/norm_kernels.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <bit>
#include <cmath>

// The same loop for several instruction sets, chosen when the program is loaded.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__)
#define CONSILIUM_VECTOR \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CONSILIUM_VECTOR
#endif

namespace consilium::learning::kernels {
namespace {

constexpr std::int64_t kTaskElements = 16384;  // a thread takes at least so many at once
constexpr std::int64_t kBlockRows = 64;        // summed as floats, then added as doubles

// e^x to 2e-7 of itself (Cephes), in a form that compilers make vectors of.
inline float Exp(float x) {
  x = std::min(88.0f, std::max(-87.0f, x));
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23
  const float rounded = x * 1.44269504f + kRound;
  const float n = rounded - kRound;
  const float f = x - n * 0.693359375f + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * f + 1.3981999507e-3f;
  p = p * f + 8.3334519073e-3f;
  p = p * f + 4.1665795894e-2f;
  p = p * f + 1.6666665459e-1f;
  p = p * f + 5.0000001201e-1f;
  p = p * f * f + f + 1;
  const auto power = std::bit_cast<std::int32_t>(rounded) << 23;
  return std::bit_cast<float>(std::bit_cast<std::int32_t>(p) + power);
}

inline float Sigmoid(float x) { return 1 / (1 + Exp(-x)); }

// Sums of x - offset and of its square; offset is near the mean, so that nothing cancels.
CONSILIUM_VECTOR void AddMoments(const float* x, std::int64_t rows, std::int64_t channels,
                                 const float* offset, float* sum, float* squares) {
  for (std::int64_t r = 0; r < rows; ++r, x += channels) {
    for (std::int64_t c = 0; c < channels; ++c) {
      const float d = x[c] - offset[c];
      sum[c] += d;
      squares[c] += d * d;
    }
  }
}

CONSILIUM_VECTOR void Apply(const float* x, std::int64_t rows, std::int64_t channels,
                            const float* scale, const float* shift, float* y) {
  for (std::int64_t r = 0; r < rows; ++r, x += channels, y += channels) {
    for (std::int64_t c = 0; c < channels; ++c) y[c] = x[c] * scale[c] + shift[c];
  }
}

CONSILIUM_VECTOR void ApplyRelu(const float* x, std::int64_t rows, std::int64_t channels,
                                const float* scale, const float* shift, float* y) {
  for (std::int64_t r = 0; r < rows; ++r, x += channels, y += channels) {
    for (std::int64_t c = 0; c < channels; ++c) {
      const float v = x[c] * scale[c] + shift[c];
      y[c] = v < 0 ? 0 : v;  // NaN stays
    }
  }
}

CONSILIUM_VECTOR void ApplySilu(const float* x, std::int64_t rows, std::int64_t channels,
                                const float* scale, const float* shift, float* y) {
  for (std::int64_t r = 0; r < rows; ++r, x += channels, y += channels) {
    for (std::int64_t c = 0; c < channels; ++c) {
      const float v = x[c] * scale[c] + shift[c];
      y[c] = v * Sigmoid(v);
    }
  }
}

CONSILIUM_VECTOR void ApplyAdd(const float* x, std::int64_t rows, std::int64_t channels,
                               const float* scale, const float* shift, const float* residual,
                               float* y) {
  for (std::int64_t r = 0; r < rows; ++r, x += channels, y += channels, residual += channels) {
    for (std::int64_t c = 0; c < channels; ++c) y[c] = x[c] * scale[c] + shift[c] + residual[c];
  }
}

CONSILIUM_VECTOR void ApplyAddRelu(const float* x, std::int64_t rows, std::int64_t channels,
                                   const float* scale, const float* shift, const float* residual,
                                   float* y) {
  for (std::int64_t r = 0; r < rows; ++r, x += channels, y += channels, residual += channels) {
    for (std::int64_t c = 0; c < channels; ++c) {
      const float v = x[c] * scale[c] + shift[c] + residual[c];
      y[c] = v < 0 ? 0 : v;
    }
  }
}

CONSILIUM_VECTOR void ReluSlope(const float* y, const float* dy, std::int64_t count, float* slope) {
  for (std::int64_t i = 0; i < count; ++i) slope[i] = y[i] > 0 ? dy[i] : 0;
}

CONSILIUM_VECTOR void SiluSlope(const float* x, const float* dy, std::int64_t rows,
                                std::int64_t channels, const float* scale, const float* shift,
                                float* slope) {
  for (std::int64_t r = 0; r < rows; ++r, x += channels, dy += channels, slope += channels) {
    for (std::int64_t c = 0; c < channels; ++c) {
      const float v = x[c] * scale[c] + shift[c], s = Sigmoid(v);
      slope[c] = dy[c] * (s * (1 + v * (1 - s)));
    }
  }
}

CONSILIUM_VECTOR void AddProducts(const float* x, const float* slope, std::int64_t rows,
                                  std::int64_t channels, const float* mean, float* sum,
                                  float* product) {
  for (std::int64_t r = 0; r < rows; ++r, x += channels, slope += channels) {
    for (std::int64_t c = 0; c < channels; ++c) {
      sum[c] += slope[c];
      product[c] += slope[c] * (x[c] - mean[c]);
    }
  }
}

CONSILIUM_VECTOR void Combine(const float* x, const float* slope, std::int64_t rows,
                              std::int64_t channels, const float* p, const float* q, const float* r,
                              float* dx) {
  for (std::int64_t row = 0; row < rows; ++row, x += channels, slope += channels, dx += channels) {
    for (std::int64_t c = 0; c < channels; ++c) dx[c] = p[c] * slope[c] + (q[c] * x[c] + r[c]);
  }
}

// How each unit's rows are cut into tasks: by the extent and the number of threads alone, so that
// the same sums are made in the same order at every run.
struct Tasks {
  explicit Tasks(const Extent& extent) : extent_(extent) {
    const std::int64_t by_size = extent.rows * extent.channels / kTaskElements;
    const std::int64_t by_threads = 4 * at::get_num_threads() / extent.units + 1;
    per_unit = std::clamp<std::int64_t>(std::min(by_size, by_threads), 1, extent.rows);
  }

  // Calls work(task, unit, first row, rows), tasks side by side.
  template <class Work>
  void Run(const Work& work) const {
    at::parallel_for(0, extent_.units * per_unit, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) {
        const std::int64_t unit = task / per_unit, part = task % per_unit;
        const std::int64_t from = extent_.rows * part / per_unit;
        const std::int64_t to = extent_.rows * (part + 1) / per_unit;
        work(task, unit, from, to - from);
      }
    });
  }

  std::int64_t per_unit = 1;

 private:
  const Extent& extent_;
};

// Two sums a channel: `add(first row, rows, sums a, sums b)` in blocks of floats, added as doubles.
template <class Add>
void SumInBlocks(std::int64_t first, std::int64_t rows, std::int64_t channels, double* a, double* b,
                 const Add& add) {
  std::vector<float> block(static_cast<std::size_t>(2 * channels));
  float* const block_a = block.data();
  float* const block_b = block_a + channels;
  for (std::int64_t row = first; row < first + rows; row += kBlockRows) {
    std::fill(block.begin(), block.end(), 0.0f);
    add(row, std::min(kBlockRows, first + rows - row), block_a, block_b);
    for (std::int64_t c = 0; c < channels; ++c) {
      a[c] += static_cast<double>(block_a[c]);
      b[c] += static_cast<double>(block_b[c]);
    }
  }
}

// The tasks' sums of a unit, added in their order.
std::vector<double> AddTasks(const Extent& extent, std::int64_t per_unit,
                             const std::vector<double>& of_tasks) {
  std::vector<double> sums(static_cast<std::size_t>(extent.units * extent.channels));
  for (std::int64_t task = 0; task < extent.units * per_unit; ++task) {
    const double* from = of_tasks.data() + task * extent.channels;
    double* to = sums.data() + task / per_unit * extent.channels;
    for (std::int64_t c = 0; c < extent.channels; ++c) to[c] += from[c];
  }
  return sums;
}

}  // namespace

Statistics Measure(const Extent& extent, const float* x) {
  const std::int64_t channels = extent.channels, unit_size = extent.rows * channels;
  const Tasks tasks(extent);
  const auto sums = static_cast<std::size_t>(extent.units * tasks.per_unit * channels);
  std::vector<double> first(sums), second(sums);
  tasks.Run([&](std::int64_t task, std::int64_t unit, std::int64_t row, std::int64_t rows) {
    const float* const values = x + unit * unit_size;  // whose first row is the offset
    SumInBlocks(row, rows, channels, first.data() + task * channels,
                second.data() + task * channels,
                [&](std::int64_t from, std::int64_t count, float* a, float* b) {
                  AddMoments(values + from * channels, count, channels, values, a, b);
                });
  });
  const std::vector<double> sum = AddTasks(extent, tasks.per_unit, first);
  const std::vector<double> squares = AddTasks(extent, tasks.per_unit, second);

  const std::int64_t width = channels / extent.groups;
  const auto rows = static_cast<double>(extent.rows);
  Statistics statistics;
  for (std::int64_t i = 0; i < extent.units * extent.groups; ++i) {
    const std::int64_t unit = i / extent.groups, begin = i * width;
    const float* const offset = x + unit * unit_size - unit * channels;
    // Chan et al. 1983: the group's spread is its channels' and that of their means.
    double mean = 0, spread = 0;
    for (std::int64_t c = begin; c < begin + width; ++c) {
      mean += (static_cast<double>(offset[c]) + sum[c] / rows) / static_cast<double>(width);
    }
    for (std::int64_t c = begin; c < begin + width; ++c) {
      const double shift = sum[c] / rows, of_channel = static_cast<double>(offset[c]) + shift;
      spread += std::max(0.0, squares[c] - rows * shift * shift);
      spread += rows * (of_channel - mean) * (of_channel - mean);
    }
    statistics.mean.push_back(mean);
    statistics.variance.push_back(spread / (rows * static_cast<double>(width)));
  }
  return statistics;
}

void ScaleAddActivate(const Extent& extent, const float* x, const float* scale, const float* shift,
                      const float* residual, Activation activation, float* y) {
  const std::int64_t channels = extent.channels;
  Tasks(extent).Run([&](std::int64_t, std::int64_t unit, std::int64_t row, std::int64_t rows) {
    const std::int64_t at = (unit * extent.rows + row) * channels;
    const float* const a = scale + unit * channels;
    const float* const b = shift + unit * channels;
    if (residual != nullptr) {
      const auto apply = activation == Activation::kRelu ? ApplyAddRelu : ApplyAdd;
      apply(x + at, rows, channels, a, b, residual + at, y + at);
    } else if (activation == Activation::kRelu) {
      ApplyRelu(x + at, rows, channels, a, b, y + at);
    } else if (activation == Activation::kSilu) {
      ApplySilu(x + at, rows, channels, a, b, y + at);
    } else {
      Apply(x + at, rows, channels, a, b, y + at);
    }
  });
}

Sums SlopeBeforeActivation(const Extent& extent, const float* x, const float* y, const float* dy,
                           const float* scale, const float* shift, const float* mean,
                           Activation activation, float* slope) {
  const std::int64_t channels = extent.channels;
  const Tasks tasks(extent);
  const auto count = static_cast<std::size_t>(extent.units * tasks.per_unit * channels);
  std::vector<double> first(count), second(count);
  tasks.Run([&](std::int64_t task, std::int64_t unit, std::int64_t row, std::int64_t rows) {
    const std::int64_t of_unit = unit * channels;
    const auto add = [&](std::int64_t from, std::int64_t block, float* a, float* b) {
      const std::int64_t at = (unit * extent.rows + from) * channels;
      if (activation == Activation::kRelu) {
        ReluSlope(y + at, dy + at, block * channels, slope + at);
      } else if (activation == Activation::kSilu) {
        SiluSlope(x + at, dy + at, block, channels, scale + of_unit, shift + of_unit, slope + at);
      } else if (slope != dy) {
        std::copy_n(dy + at, block * channels, slope + at);
      }
      AddProducts(x + at, slope + at, block, channels, mean + of_unit, a, b);
    };
    SumInBlocks(row, rows, channels, first.data() + task * channels,
                second.data() + task * channels, add);
  });
  return {AddTasks(extent, tasks.per_unit, first), AddTasks(extent, tasks.per_unit, second)};
}

void CombineGradient(const Extent& extent, const float* x, const float* slope, const float* p,
                     const float* q, const float* r, float* dx) {
  const std::int64_t channels = extent.channels;
  Tasks(extent).Run([&](std::int64_t, std::int64_t unit, std::int64_t row, std::int64_t rows) {
    const std::int64_t at = (unit * extent.rows + row) * channels, c = unit * channels;
    Combine(x + at, slope + at, rows, channels, p + c, q + c, r + c, dx + at);
  });
}

}  // namespace consilium::learning::kernels
