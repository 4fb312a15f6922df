#include "coordinator/exact_sum.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <new>

#include "common/base/status.h"

// This file is compiled with -ffp-contract=off: a fused multiply-add would round p differently
// from one machine to the next.

namespace consilium::coordinator {
namespace {

// x + kGrid has an ulp of 2^-36 for |x| < 2^15, so that (x + kGrid) - kGrid is x on the grid.
constexpr double kGrid = 1.5 * 65536.0;

inline double OnGrid(float delta, double weight) {
  return (static_cast<double>(delta) * weight + kGrid) - kGrid;
}

void AddTo(double* __restrict sum, const float* __restrict delta, std::size_t n, double weight) {
  for (std::size_t i = 0; i < n; ++i) sum[i] += OnGrid(delta[i], weight);
}

void SubtractFrom(double* __restrict sum, const float* __restrict delta, std::size_t n,
                  double weight) {
  for (std::size_t i = 0; i < n; ++i) sum[i] -= OnGrid(delta[i], weight);
}

// The bits of the largest magnitude that is taken. The bits of floats without their sign are in
// the order of their values, and those of infinities and NaN lie above all numbers.
std::uint32_t LargestBits(double scaled_weight) {
  const double largest = kLargestContribution / scaled_weight;
  if (largest >= std::numeric_limits<float>::max()) {
    return std::bit_cast<std::uint32_t>(std::numeric_limits<float>::max());
  }
  float value = static_cast<float>(largest);
  if (static_cast<double>(value) > largest) value = std::nextafter(value, 0.0f);
  return std::bit_cast<std::uint32_t>(value);
}

constexpr std::uint32_t kMagnitude = 0x7fffffffu;

}  // namespace

ExactSum::ExactSum(std::uint64_t parameters) : size_(parameters) {
  if (parameters == 0) return;
  // From mmap rather than new: zero pages come when they are first written and go back whole.
  const std::uint64_t bytes = parameters * sizeof(double);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  sum_ = std::unique_ptr<double[], Unmap>(static_cast<double*>(memory), Unmap{bytes});
}

void ExactSum::Unmap::operator()(double* values) const { munmap(values, size); }

std::size_t ExactSum::FirstRefused(std::span<const float> delta, double scaled_weight) {
  const std::uint32_t largest = LargestBits(scaled_weight);
  std::uint32_t highest = 0;
  for (const float value : delta) {
    highest = std::max(highest, std::bit_cast<std::uint32_t>(value) & kMagnitude);
  }
  if (highest <= largest) return delta.size();
  const auto refused = [largest](float value) {
    return (std::bit_cast<std::uint32_t>(value) & kMagnitude) > largest;
  };
  return static_cast<std::size_t>(std::find_if(delta.begin(), delta.end(), refused) -
                                  delta.begin());
}

absl::Status ExactSum::Add(std::uint64_t offset, std::span<const float> delta,
                           double scaled_weight) {
  CONSILIUM_CHECK(offset <= size_ && delta.size() <= size_ - offset);
  CONSILIUM_CHECK(scaled_weight > 0 && scaled_weight <= 1e30);
  if (const std::size_t i = FirstRefused(delta, scaled_weight); i < delta.size()) {
    return absl::InvalidArgumentError(StrCat("the value at index ", offset + i, " is ",
                                             std::isfinite(delta[i])
                                                 ? StrCat(delta[i], ", too large for an update")
                                                 : std::string("not a finite number")));
  }
  AddTo(sum_.get() + offset, delta.data(), delta.size(), scaled_weight);
  return absl::OkStatus();
}

void ExactSum::Subtract(std::uint64_t offset, std::span<const float> delta, double scaled_weight) {
  CONSILIUM_CHECK(offset <= size_ && delta.size() <= size_ - offset);
  SubtractFrom(sum_.get() + offset, delta.data(), delta.size(), scaled_weight);
}

void ExactSum::Mean(std::uint64_t offset, double total_scaled_weight,
                    std::span<double> mean) const {
  CONSILIUM_CHECK(offset <= size_ && mean.size() <= size_ - offset);
  CONSILIUM_CHECK(total_scaled_weight > 0);
  const double* sum = sum_.get() + offset;
  for (std::size_t i = 0; i < mean.size(); ++i) mean[i] = sum[i] / total_scaled_weight;
}

}  // namespace consilium::coordinator
