#include "datasets/audio/fourier.h"

#include <bit>
#include <numbers>
#include <utility>

#include "common/base/status.h"

namespace consilium::datasets::audio {

FourierTransform::FourierTransform(std::size_t size) : size_(size), roots_(size / 2) {
  CONSILIUM_CHECK(size >= 2 && std::has_single_bit(size));
  for (std::size_t k = 0; k < roots_.size(); ++k) {
    roots_[k] =
        std::polar(1.0, -2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(size));
  }
}

void FourierTransform::operator()(std::span<std::complex<double>> values) const {
  CONSILIUM_CHECK(values.size() == size_);
  for (std::size_t i = 1, j = 0; i < size_; ++i) {  // j: the bits of i, reversed
    std::size_t bit = size_ / 2;
    for (; (j & bit) != 0; bit /= 2) j ^= bit;
    j ^= bit;
    if (i < j) std::swap(values[i], values[j]);
  }
  for (std::size_t half = 1; half < size_; half *= 2) {
    const std::size_t stride = size_ / (2 * half);
    for (std::size_t begin = 0; begin < size_; begin += 2 * half) {
      for (std::size_t k = 0; k < half; ++k) {
        const std::complex<double> even = values[begin + k];
        const std::complex<double> odd = values[begin + k + half] * roots_[k * stride];
        values[begin + k] = even + odd;
        values[begin + k + half] = even - odd;
      }
    }
  }
}

}  // namespace consilium::datasets::audio
