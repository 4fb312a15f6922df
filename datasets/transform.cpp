#include "datasets/transform.h"

#include <algorithm>
#include <cmath>

#include "datasets/pipeline/pipeline.h"

namespace consilium::datasets {

constexpr double kSmallestDeviation = 1e-3;

OrRefused<std::vector<float>> Preprocess(const Image& image,
                                         const plan::Preprocessing& preprocessing) {
  return pipeline::MakeInput(image, preprocessing, pipeline::Hints{});
}

void Standardize(std::span<float> pixels) {
  double sum = 0, squares = 0;
  for (const float x : pixels) {
    sum += x;
    squares += double{x} * x;
  }
  const double count = static_cast<double>(pixels.size());
  const double mean = sum / count;
  const double deviation = std::sqrt(std::max(0.0, squares / count - mean * mean));
  const auto shift = static_cast<float>(mean);
  const auto scale = static_cast<float>(1 / std::max(kSmallestDeviation, deviation));
  for (float& x : pixels) x = (x - shift) * scale;
}

}  // namespace consilium::datasets
