#include "datasets/volumes/input.h"

#include <cmath>
#include <numbers>

#include "common/base/text.h"
#include "datasets/pipeline/brightness.h"

namespace consilium::datasets::volumes {
namespace {

constexpr double kSameSpacing = 1e-4;  // of the spacing: rounding in files is no resampling

// Where the input's first voxel lies, in voxels of the volume.
double FirstIndex(std::uint32_t voxels, std::uint32_t wanted, double ratio) {
  const double first = (voxels - 1.0) / 2 - ratio * (wanted - 1.0) / 2;
  return ratio == 1 ? std::floor(first) : first;
}

}  // namespace

double PlacedVolume::SpacingMm() const {
  return std::sqrt(input.spacing_mm[0] * input.spacing_mm[1]);
}

Grid InputGrid(const Grid& volume, const plan::Preprocessing& preprocessing) {
  Grid grid = volume;
  grid.size = {preprocessing.image_size, preprocessing.image_size, preprocessing.slices};
  const double across = preprocessing.spacing_mm;
  const double along = preprocessing.slice_spacing_mm > 0 ? preprocessing.slice_spacing_mm : across;
  const Vec3 wanted = {across, across, along};
  Vec3 first{};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const double own = volume.spacing_mm[axis];
    const bool same = wanted[axis] == 0 || std::abs(wanted[axis] / own - 1) < kSameSpacing;
    if (!same) grid.spacing_mm[axis] = wanted[axis];
    first[axis] = FirstIndex(volume.size[axis], grid.size[axis], same ? 1 : wanted[axis] / own);
  }
  if (volume.IsOrthogonal()) {
    grid.origin = volume.ToPatient(first);
    return grid;
  }
  // Straight, about the same middle.
  const double lean = std::cos(volume.TiltDegrees() * std::numbers::pi / 180);
  grid.directions[2] = volume.Normal();
  if (wanted[2] == 0) grid.spacing_mm[2] = volume.spacing_mm[2] * lean;
  const auto middle = [](const Grid& of) {
    return of.ToPatient({(of.size[0] - 1.0) / 2, (of.size[1] - 1.0) / 2, (of.size[2] - 1.0) / 2});
  };
  grid.origin = {0, 0, 0};
  grid.origin = middle(volume) - middle(grid);
  return grid;
}

OrRefused<PlacedVolume> Place(InstanceReader& reader, std::span<const fs::path> files,
                              const plan::Preprocessing& preprocessing) {
  auto series = GatherSeries(reader, files);
  if (!series.ok()) return series.refused();
  StackOptions options;
  options.split = false;
  options.tilt = StackOptions::Tilt::kKeep;
  auto stacks = FindStacks(*series, options);
  if (!stacks.ok()) return stacks.refused();
  if (stacks->size() != 1) {
    return Refused{Refusal::kNoGeometry, StrCat("a series of ", stacks->size(), " volumes")};
  }
  PlacedVolume placed{*std::move(series), std::move(stacks->front()), {}};
  placed.input = InputGrid(placed.stack.grid, preprocessing);
  return placed;
}

OrRefused<Volume> LoadBrightness(const PlacedVolume& placed,
                                 const plan::Preprocessing& preprocessing) {
  StackOptions options;
  options.tilt = StackOptions::Tilt::kKeep;
  auto volume = LoadVolume(placed.stack, options, 0);
  if (!volume.ok()) return volume.refused();
  if (preprocessing.units == plan::Units::kSuv) {
    if (auto refused = ToSuv(placed.series, &*volume)) return *std::move(refused);
  }
  // One tall image: the pipeline's brightness is that of all its pixels.
  Image image;
  image.columns = volume->grid.size[0];
  image.rows = volume->grid.size[1] * volume->grid.size[2];
  image.pixels = std::move(volume->voxels);
  volume->voxels = pipeline::ToBrightness(image, preprocessing);
  return volume;
}

OrRefused<std::vector<float>> MakeInput(const PlacedVolume& placed, const Volume& brightness) {
  auto input = Resample(brightness, placed.input, Interpolation::kLinear, 0);
  if (!input.ok()) return input.refused();
  return std::move(input->voxels);
}

OrRefused<std::vector<float>> MakeInput(const PlacedVolume& placed,
                                        const plan::Preprocessing& preprocessing) {
  const auto brightness = LoadBrightness(placed, preprocessing);
  if (!brightness.ok()) return brightness.refused();
  return MakeInput(placed, *brightness);
}

}  // namespace consilium::datasets::volumes
