#include "datasets/results/volume_subject.h"

#include <algorithm>
#include <cmath>

#include "datasets/results/subject.h"
#include "datasets/volumes/sandboxed_instances.h"
#include "datasets/volumes/volume.h"

namespace consilium::datasets::results {
namespace {

// What a segmentation needs of a series to refer to it.
std::optional<Refused> Unreferable(const volumes::PlacedVolume& placed) {
  if (placed.series.sop_class_uids.size() != 1) {
    return Refused{Refusal::kNoGeometry, "its instances are objects of several kinds"};
  }
  if (placed.stack.frame_of_reference.empty()) {
    return Refused{Refusal::kNoGeometry, "it names no frame of reference"};
  }
  return std::nullopt;
}

}  // namespace

SegmentedPlanes VolumeSubject::Planes() const {
  return PlanesOf(placed.stack, placed.series.sop_class_uids.front());
}

OrRefused<VolumeSubject> ReadVolumeSubject(worker::WorkerPool& pool,
                                           std::span<const fs::path> files,
                                           const plan::Preprocessing& preprocessing) {
  volumes::SandboxedInstances reader(pool);
  auto placed = volumes::Place(reader, files, preprocessing);
  if (!placed.ok()) return placed.refused();
  if (auto refused = Unreferable(*placed)) return *std::move(refused);
  auto source = ReadSourceImage(pool, files.front());
  if (!source.ok()) return source.refused();
  auto brightness = volumes::LoadBrightness(*placed, preprocessing);
  if (!brightness.ok()) return brightness.refused();
  auto input = volumes::MakeInput(*placed, *brightness);
  if (!input.ok()) return input.refused();
  // The loaders end with the reader.
  for (volumes::Slice& slice : placed->stack.slices) slice.load = nullptr;
  for (volumes::Slice& slice : placed->series.slices) slice.load = nullptr;
  return VolumeSubject{*std::move(source), *std::move(placed), *std::move(brightness),
                       *std::move(input)};
}

OrRefused<std::vector<std::uint8_t>> OnSeries(const std::vector<std::uint8_t>& mask,
                                              const volumes::PlacedVolume& placed) {
  return volumes::ResampleMask(mask, placed.input, placed.stack.grid);
}

OrRefused<double> ShareShown(const volumes::PlacedVolume& placed) {
  const auto shown = OnSeries(std::vector<std::uint8_t>(placed.input.VoxelCount(), 1), placed);
  if (!shown.ok()) return shown.refused();
  const auto count = std::count(shown->begin(), shown->end(), 1);
  return static_cast<double>(count) / static_cast<double>(shown->size());
}

double VoxelMl(const volumes::Grid& grid) {
  const double distance =
      grid.spacing_mm[2] * std::abs(volumes::Dot(grid.directions[2], grid.Normal()));
  constexpr double kCubicMillimetres = 1000;
  return grid.spacing_mm[0] * grid.spacing_mm[1] * distance / kCubicMillimetres;
}

}  // namespace consilium::datasets::results
