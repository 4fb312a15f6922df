#include "datasets/volumes/stack_geometry.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>

#include "common/base/text.h"

namespace consilium::datasets::volumes {
namespace {

constexpr double kFarthestMm = 1e6;           // a kilometre from the origin is no patient
constexpr double kSamePlaceMm = 1e-3;         // and a hundredth of the distance between slices
constexpr double kSidewaysPixels = 0.25;      // a slice off the line of the others
constexpr double kStraightDriftPixels = 0.1;  // over the whole stack: no tilt worth resampling for

std::string Rounded(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

std::optional<Refused> CheckSlice(const Slice& slice) {
  const auto impossible = [](std::string_view what) {
    return Refused{Refusal::kNoGeometry, std::string(what)};
  };
  if (slice.rows == 0 || slice.columns == 0) return impossible("a slice without rows or columns");
  if (!IsFinite(slice.position) || Norm(slice.position) > kFarthestMm) {
    return impossible("no position of a slice, or an impossible one");
  }
  for (const double spacing : {slice.row_spacing_mm, slice.column_spacing_mm}) {
    if (!(spacing > 1e-6 && spacing < 1e4)) {
      return impossible(StrCat("a pixel spacing of ", Rounded(spacing), " mm"));
    }
  }
  const Vec3 &row = slice.row_direction, &column = slice.column_direction;
  if (!IsFinite(row) || !IsFinite(column) || std::abs(Norm(row) - 1) > 1e-2 ||
      std::abs(Norm(column) - 1) > 1e-2 || std::abs(Dot(row, column)) > 1e-2) {
    return impossible("no row and column directions, or not perpendicular ones of length 1");
  }
  return std::nullopt;
}

bool Near(double a, double b) { return std::abs(a - b) <= 1e-3 * std::max(a, b); }

std::optional<Refused> CheckAlike(const std::vector<Slice>& slices, const StackOptions& options) {
  const Slice& first = slices.front();
  double largest_angle = 0;
  for (const Slice& slice : slices) {
    largest_angle = std::max({largest_angle, AngleDegrees(first.row_direction, slice.row_direction),
                              AngleDegrees(first.column_direction, slice.column_direction)});
  }
  const auto localisers =
      std::count_if(slices.begin(), slices.end(), [](const Slice& s) { return s.localiser; });
  if (largest_angle > options.angle_tolerance_degrees) {
    return Refused{Refusal::kMixedOrientations,
                   StrCat("up to ", Rounded(largest_angle), " degrees apart",
                          localisers > 0 ? StrCat("; ", localisers, " localisers") : "")};
  }
  if (localisers > 0) {
    return Refused{Refusal::kMixedOrientations,
                   StrCat(localisers, " of ", slices.size(), " slices are localisers")};
  }
  for (const Slice& slice : slices) {
    if (slice.rows != first.rows || slice.columns != first.columns) {
      return Refused{Refusal::kMixedSizes, StrCat(first.columns, "x", first.rows, " and ",
                                                  slice.columns, "x", slice.rows, " pixels")};
    }
    if (!Near(slice.row_spacing_mm, first.row_spacing_mm) ||
        !Near(slice.column_spacing_mm, first.column_spacing_mm)) {
      return Refused{Refusal::kMixedSizes,
                     StrCat("pixel spacings of ", Rounded(first.row_spacing_mm), " and ",
                            Rounded(slice.row_spacing_mm), " mm")};
    }
    if (slice.frame_of_reference != first.frame_of_reference) {
      return Refused{Refusal::kOtherFrameOfReference, "slices of different frames of reference"};
    }
  }
  return std::nullopt;
}

// The directions of the first slice, made exactly perpendicular: files round them.
std::array<Vec3, 2> PlaneDirections(const Slice& slice) {
  const Vec3 row = slice.row_direction * (1 / Norm(slice.row_direction));
  const Vec3 across = slice.column_direction - row * Dot(row, slice.column_direction);
  return {row, across * (1 / Norm(across))};
}

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Slices missing from otherwise even gaps; 0: none, or the gaps are not even otherwise.
std::size_t MissingSlices(const std::vector<double>& gaps, double spacing, double tolerance) {
  std::size_t missing = 0;
  for (const double gap : gaps) {
    const double slices = std::round(gap / spacing);
    if (slices < 1 || std::abs(gap - slices * spacing) > std::max(tolerance, 0.1 * spacing)) {
      return 0;
    }
    missing += static_cast<std::size_t>(slices) - 1;
  }
  return missing;
}

// `along` are the ascending positions on the normal.
std::optional<Refused> CheckSpacing(const std::vector<double>& along, const StackOptions& options) {
  std::vector<double> gaps;
  for (std::size_t k = 1; k < along.size(); ++k) gaps.push_back(along[k] - along[k - 1]);
  if (gaps.empty()) return std::nullopt;
  std::vector<double> apart;
  std::copy_if(gaps.begin(), gaps.end(), std::back_inserter(apart),
               [](double gap) { return gap > kSamePlaceMm; });
  const double spacing = apart.empty() ? 0 : Median(apart);
  const double same_place = std::max(kSamePlaceMm, 0.01 * spacing);
  const auto duplicates =
      std::count_if(gaps.begin(), gaps.end(), [&](double gap) { return gap <= same_place; });
  if (duplicates > 0) {
    return Refused{Refusal::kDuplicatePosition,
                   StrCat(duplicates, " of ", along.size(), " slices lie where another one does")};
  }
  const double tolerance =
      std::max(options.spacing_tolerance_mm, options.spacing_tolerance_fraction * spacing);
  const auto uneven = std::find_if(gaps.begin(), gaps.end(),
                                   [&](double gap) { return std::abs(gap - spacing) > tolerance; });
  if (uneven == gaps.end()) return std::nullopt;
  const auto where = static_cast<std::size_t>(uneven - gaps.begin()) + 1;
  if (const std::size_t missing = MissingSlices(gaps, spacing, tolerance); missing > 0) {
    return Refused{
        Refusal::kMissingSlices,
        StrCat(missing, " missing, the first after slice ", where, " of ", along.size(), " (",
               Rounded(*uneven), " mm where others are ", Rounded(spacing), " mm apart)")};
  }
  const auto [least, most] = std::minmax_element(gaps.begin(), gaps.end());
  return Refused{Refusal::kUnevenSpacing,
                 StrCat("between ", Rounded(*least), " and ", Rounded(*most), " mm")};
}

// The step from slice to slice; refuses slices that lie beside the line of the others.
OrRefused<Vec3> Step(const std::vector<Slice>& slices, const Vec3& normal) {
  const Vec3 first = slices.front().position;
  const Vec3 step = (slices.back().position - first) * (1.0 / (double{1} * slices.size() - 1));
  const double pixel = std::min(slices[0].row_spacing_mm, slices[0].column_spacing_mm);
  for (std::size_t k = 0; k < slices.size(); ++k) {
    const Vec3 off = slices[k].position - (first + step * double(k));
    const double sideways = Norm(off - normal * Dot(off, normal));
    if (sideways > kSidewaysPixels * pixel) {
      return Refused{Refusal::kUnevenSpacing,
                     StrCat("slice ", k + 1, " of ", slices.size(), " is shifted sideways by ",
                            Rounded(sideways), " mm")};
    }
  }
  return step;
}

// A header that speaks of a tilt must fit to the geometry: a tilt that the positions show, or
// slices that lie tilted in the patient and are stacked straight (reformatted so).
std::optional<Refused> CheckTilt(const Stack& stack, const StackOptions& options) {
  const double shown = stack.tilted ? stack.grid.TiltDegrees() : 0;
  if (stack.tilted && options.tilt == StackOptions::Tilt::kRefuse) {
    return Refused{Refusal::kGantryTilt,
                   StrCat("the stack is tilted by ", Rounded(shown), " degrees")};
  }
  const double said = std::abs(stack.slices.front().gantry_tilt_degrees.value_or(0));
  if (!(said > 1) || std::abs(said - shown) <= 1) return std::nullopt;
  const Vec3 feet_to_head = {0, 0, 1};
  const double angle = AngleDegrees(stack.grid.Normal(), feet_to_head);
  if (!stack.tilted && std::abs(std::min(angle, 180 - angle) - said) <= 1) return std::nullopt;
  return Refused{Refusal::kGantryTilt,
                 StrCat("the header says ", Rounded(said), " degrees and the positions ",
                        Rounded(shown), ": the true geometry is not known")};
}

}  // namespace

OrRefused<Stack> MakeStack(std::vector<Slice> slices, const StackOptions& options) {
  if (slices.empty() || slices.size() < options.fewest_slices) {
    return Refused{Refusal::kTooFewSlices,
                   StrCat(slices.size(), "; at least ", options.fewest_slices)};
  }
  for (const Slice& slice : slices) {
    if (auto refused = CheckSlice(slice)) return *refused;
  }
  if (auto refused = CheckAlike(slices, options)) return *refused;
  const auto [row, column] = PlaneDirections(slices.front());
  const Vec3 normal = Cross(row, column);
  std::stable_sort(slices.begin(), slices.end(), [&](const Slice& a, const Slice& b) {
    return Dot(a.position, normal) < Dot(b.position, normal);
  });
  std::vector<double> along;
  for (const Slice& slice : slices) along.push_back(Dot(slice.position, normal));
  if (auto refused = CheckSpacing(along, options)) return *refused;

  Stack stack;
  const Slice& first = slices.front();
  stack.grid.size = {first.columns, first.rows, static_cast<std::uint32_t>(slices.size())};
  stack.grid.origin = first.position;
  stack.grid.directions = {row, column, normal};
  stack.grid.spacing_mm = {first.column_spacing_mm, first.row_spacing_mm, 1};
  if (slices.size() > 1) {
    const OrRefused<Vec3> step = Step(slices, normal);
    if (!step.ok()) return step.refused();
    const double drift =
        Norm(*step - normal * Dot(*step, normal)) * (double{1} * slices.size() - 1);
    stack.tilted =
        drift > kStraightDriftPixels * std::min(first.row_spacing_mm, first.column_spacing_mm);
    stack.grid.spacing_mm[2] = stack.tilted ? Norm(*step) : Dot(*step, normal);
    if (stack.tilted) stack.grid.directions[2] = *step * (1 / Norm(*step));
  }
  stack.frame_of_reference = first.frame_of_reference;
  stack.slices = std::move(slices);
  if (auto refused = CheckTilt(stack, options)) return *refused;
  if (!IsSound(stack.grid)) {
    return Refused{Refusal::kTooLarge, StrCat("more than ", kMaxVoxels >> 20,
                                              " Mi voxels, or too "
                                              "oblique a stack")};
  }
  return stack;
}

}  // namespace consilium::datasets::volumes
