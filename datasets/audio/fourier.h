#pragma once

#include <complex>
#include <span>
#include <vector>

namespace consilium::datasets::audio {

// The discrete Fourier transform of 2^k values, in place (Cooley and Tukey 1965, radix 2).
class FourierTransform {
 public:
  explicit FourierTransform(std::size_t size);  // a power of two, 2 or more
  std::size_t size() const { return size_; }
  void operator()(std::span<std::complex<double>> values) const;

 private:
  const std::size_t size_;
  std::vector<std::complex<double>> roots_;  // exp(-2 pi i k / size), half a turn of them
};

}  // namespace consilium::datasets::audio
