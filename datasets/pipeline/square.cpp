#include "datasets/pipeline/square.h"

#include <algorithm>

namespace consilium::datasets::pipeline {
namespace {

// Which source pixels count how much for one output pixel.
struct Run {
  std::size_t first = 0;
  std::vector<float> weights;  // empty: outside the image
};

// The average over `step` pixels from `start` on; the part outside the image counts as 0.
Run Average(double length, double start, double step) {
  Run run;
  const double from = std::max(0.0, start), to = std::min(length, start + step);
  constexpr double kSliver = 1e-9;  // rounding must not add a pixel
  if (to - from <= kSliver) return run;
  run.first = static_cast<std::size_t>(from + kSliver);
  for (std::size_t j = run.first; static_cast<double>(j) < to - kSliver; ++j) {
    const double covered =
        std::min(to, static_cast<double>(j + 1)) - std::max(from, static_cast<double>(j));
    run.weights.push_back(static_cast<float>(covered / step));
  }
  return run;
}

// Between the two pixels around `centre`.
Run Between(std::size_t source, double centre) {
  Run run;
  const auto length = static_cast<double>(source);
  if (centre <= 0 || centre >= length) return run;
  const double position = std::clamp(centre - 0.5, 0.0, length - 1);
  run.first = std::min(static_cast<std::size_t>(position), source - 1);
  const auto share = static_cast<float>(position - static_cast<double>(run.first));
  run.weights = {1 - share};
  if (run.first + 1 < source) run.weights.push_back(share);
  return run;
}

std::vector<Run> RunsOf(const Axis& axis, std::size_t size) {
  std::vector<Run> runs;
  const double origin = axis.centre - static_cast<double>(size) / 2 * axis.step;
  for (std::size_t i = 0; i < size; ++i) {
    const double start = origin + static_cast<double>(i) * axis.step, end = start + axis.step;
    runs.push_back(axis.step >= 1 ? Average(static_cast<double>(axis.length), start, axis.step)
                                  : Between(axis.length, (start + end) / 2));
  }
  return runs;
}

}  // namespace

std::vector<float> OntoSquare(std::span<const float> pixels, const Axis& down, const Axis& across,
                              std::size_t size) {
  const std::vector<Run> rows_of = RunsOf(down, size), columns_of = RunsOf(across, size);
  std::vector<float> out(size * size, 0.0f), line(across.length);
  for (std::size_t y = 0; y < size; ++y) {
    const Run& rows = rows_of[y];
    if (rows.weights.empty()) continue;
    std::fill(line.begin(), line.end(), 0.0f);
    for (std::size_t j = 0; j < rows.weights.size(); ++j) {
      const float* row = pixels.data() + (rows.first + j) * across.length;
      for (std::size_t x = 0; x < line.size(); ++x) line[x] += rows.weights[j] * row[x];
    }
    for (std::size_t x = 0; x < size; ++x) {
      const Run& run = columns_of[x];
      float sum = 0;
      for (std::size_t j = 0; j < run.weights.size(); ++j)
        sum += run.weights[j] * line[run.first + j];
      out[y * size + x] = sum;
    }
  }
  return out;
}

}  // namespace consilium::datasets::pipeline
