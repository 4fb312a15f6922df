#include "common/metrics/preparation.h"

#include <algorithm>
#include <cmath>

#include "common/base/fixed_point.h"
#include "common/metrics/sum_checks.h"

namespace consilium::metrics {
namespace {

// Calls `whole` with each count and `real` with each real number, in the order of the ring.
template <class Sums, class Whole, class Real>
void ForEach(Sums& sums, const Whole& whole, const Real& real) {
  whole(sums.examples);
  whole(sums.patients);
  for (auto& column : sums.columns) {
    whole(column.present);
    whole(column.missing);
  }
  for (auto& column : sums.columns) {
    real(column.sum);
    real(column.squares);
  }
}

Scale ScaleOf(const ColumnSums& column, const Range& range) {
  const double width = range.maximum - range.minimum;
  if (column.present < kSmallCount) return {range.minimum + width / 2, width};
  const auto n = static_cast<double>(column.present);
  const double mean = std::clamp(column.sum / n, 0.0, 1.0);
  const double variance = column.squares / n - mean * mean;
  // Each site rounds its sums by half a unit: this is what 128 sites could come to.
  const bool spread = variance > 128 * kFixedPointUnit / n;
  return {range.minimum + mean * width, spread ? std::sqrt(variance) * width : width};
}

}  // namespace

void PreparationSums::Add(std::span<const float> numbers, std::span<const Range> ranges) {
  CONSILIUM_CHECK(numbers.size() == columns.size() && ranges.size() == columns.size());
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const double x = numbers[i];
    if (!(x >= ranges[i].minimum && x <= ranges[i].maximum)) {
      ++columns[i].missing;
      continue;
    }
    const double u = (x - ranges[i].minimum) / (ranges[i].maximum - ranges[i].minimum);
    ++columns[i].present;
    columns[i].sum += u;
    columns[i].squares += u * u;
  }
  ++examples;
}

PreparationSums& PreparationSums::operator+=(const PreparationSums& other) {
  CONSILIUM_CHECK(columns.size() == other.columns.size());
  for (std::size_t i = 0; i < columns.size(); ++i) {
    columns[i].present += other.columns[i].present;
    columns[i].missing += other.columns[i].missing;
    columns[i].sum += other.columns[i].sum;
    columns[i].squares += other.columns[i].squares;
  }
  examples += other.examples;
  patients += other.patients;
  return *this;
}

absl::Status Check(const PreparationSums& sums) {
  if (sums.examples > kMostExamples || sums.patients > sums.examples) {
    return Refused(StrCat(sums.patients, " patients with ", sums.examples, " examples"));
  }
  for (std::size_t i = 0; i < sums.columns.size(); ++i) {
    const ColumnSums& column = sums.columns[i];
    if (column.present > sums.examples || column.missing != sums.examples - column.present) {
      return Refused(StrCat("column ", i, " counts ", column.present, " values and ",
                            column.missing, " missing ones of ", sums.examples, " examples"));
    }
    const auto n = static_cast<double>(column.present);
    if (!Within(column.sum, 0, n) || !Within(column.squares, 0, column.sum) ||
        !Within(column.sum * column.sum, 0, n * column.squares)) {
      return Refused(StrCat("column ", i, ": ", column.present, " values from 0 to 1 cannot add ",
                            "up to ", column.sum, ", their squares to ", column.squares));
    }
  }
  return absl::OkStatus();
}

std::size_t PreparationRingSize(std::size_t numbers) { return 2 + 4 * numbers; }

std::vector<std::uint64_t> ToRing(const PreparationSums& sums) {
  std::vector<std::uint64_t> ring;
  ring.reserve(PreparationRingSize(sums.columns.size()));
  ForEach(
      sums, [&](std::uint64_t count) { ring.push_back(count); },
      [&](double value) { ring.push_back(ToFixedPoint(value)); });
  return ring;
}

absl::StatusOr<PreparationSums> PreparationFromRing(std::span<const std::uint64_t> ring,
                                                    std::size_t numbers) {
  if (ring.size() != PreparationRingSize(numbers)) {
    return absl::InvalidArgumentError(StrCat("a preparation of ", numbers, " columns has ",
                                             PreparationRingSize(numbers), " sums, not ",
                                             ring.size()));
  }
  PreparationSums sums(numbers);
  std::size_t i = 0;
  ForEach(
      sums, [&](std::uint64_t& count) { count = ring[i++]; },
      [&](double& value) { value = FromFixedPoint(ring[i++]); });
  RETURN_IF_ERROR(Check(sums));
  return sums;
}

std::vector<Scale> Scales(const PreparationSums& sums, std::span<const Range> ranges) {
  CONSILIUM_CHECK(ranges.size() == sums.columns.size());
  std::vector<Scale> scales;
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    scales.push_back(ScaleOf(sums.columns[i], ranges[i]));
  }
  return scales;
}

}  // namespace consilium::metrics
