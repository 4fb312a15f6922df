#include "datasets/explain/volume_explanation.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "datasets/files_below.h"
#include "datasets/pipeline/pipeline.h"
#include "datasets/requirements.h"
#include "datasets/results/slice_picture.h"
#include "datasets/volumes/input.h"
#include "datasets/volumes/sandboxed_instances.h"
#include "datasets/worker/sandboxed_reader.h"

namespace consilium::datasets::explain {
namespace {

std::string SizeOf(const volumes::Grid& grid) {
  return absl::StrFormat("%d slices of %d x %d voxels of %.3g x %.3g x %.3g mm", grid.size[2],
                         grid.size[0], grid.size[1], grid.spacing_mm[0], grid.spacing_mm[1],
                         grid.spacing_mm[2]);
}

// A volume of brightness as a step that shows these slices.
Step StepOf(const std::string& name, const volumes::Volume& volume,
            std::span<const std::uint32_t> slices) {
  Image tiles = results::Tile(volume, slices);
  pipeline::Stage stage{.name = name, .rows = tiles.rows, .columns = tiles.columns};
  stage.what = StrCat(SizeOf(volume.grid), "; shown:");
  for (const std::uint32_t slice : slices) StrAppend(&stage.what, " ", slice + 1);
  stage.pixels = std::move(tiles.pixels);
  Step step = explain::StepOf(std::move(stage));
  const auto [least, most] = std::minmax_element(volume.voxels.begin(), volume.voxels.end());
  step.least = *least;
  step.most = *most;
  double sum = 0;
  for (const float value : volume.voxels) sum += double{value};
  step.mean = sum / static_cast<double>(volume.voxels.size());
  return step;
}

}  // namespace

absl::StatusOr<SeriesFiles> FindSeries(worker::WorkerPool& pool, const fs::path& path,
                                       const plan::Plan& plan) {
  ASSIGN_OR_RETURN(const std::vector<fs::path> files, FilesBelow(path));
  SandboxedReader reader(pool);
  const auto headers = reader.ReadHeaders(files);
  SeriesFiles found;
  std::set<std::string> series;
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (!headers[i].ok() || Unwanted(*headers[i], plan.data, plan.preprocessing)) continue;
    if (found.files.empty()) found.header = *headers[i];
    series.insert(headers[i]->series_instance_uid);
    found.files.push_back(files[i]);
  }
  if (series.empty()) {
    return absl::NotFoundError(
        StrCat("none of the ", files.size(), " files is an image that the plan wants"));
  }
  if (series.size() > 1) {
    return absl::InvalidArgumentError(StrCat(
        "there are ", series.size(), " series: name the folder that holds the files of one"));
  }
  return found;
}

VolumeExplanation ExplainVolume(worker::WorkerPool& pool, std::span<const fs::path> files,
                                std::span<const fs::path> outlines, const plan::Plan& plan) {
  VolumeExplanation out;
  const auto refuse = [&](const Refused& refused) {
    out.explanation.refused = refused;
    return out;
  };
  volumes::SandboxedInstances reader(pool);
  const auto placed = volumes::Place(reader, files, plan.preprocessing);
  if (!placed.ok()) return refuse(placed.refused());
  const auto brightness = volumes::LoadBrightness(*placed, plan.preprocessing);
  if (!brightness.ok()) return refuse(brightness.refused());
  auto values = volumes::MakeInput(*placed, *brightness);
  if (!values.ok()) return refuse(values.refused());
  std::vector<std::uint8_t> mask;
  std::optional<Refused> no_mask;
  if (!outlines.empty()) {
    auto read = SandboxedReader(pool).ReadVolumeMask(files, outlines, plan.target.classes,
                                                     plan.preprocessing);
    if (read.ok()) mask = std::move(read->structures);
    if (!read.ok()) no_mask = read.refused();
  }
  const volumes::Volume input{placed->input, *std::move(values), ""};
  out.explanation.steps.push_back(
      StepOf("brightness", *brightness, results::SlicesToShow(brightness->grid, {})));
  const auto slices = results::SlicesToShow(input.grid, mask);
  out.explanation.steps.push_back(StepOf("input", input, slices));
  if (!mask.empty()) out.structures = results::Tile(input.grid, mask, slices);
  out.explanation.refused = no_mask;
  return out;
}

}  // namespace consilium::datasets::explain
