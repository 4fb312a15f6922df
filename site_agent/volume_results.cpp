#include "site_agent/volume_results.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_format.h"
#include "common/base/text.h"
#include "datasets/results/slice_picture.h"
#include "site_agent/prediction_results.h"

namespace consilium::site_agent {
namespace {

using datasets::OrRefused;
namespace results = datasets::results;

// All instances of the series, each once.
std::vector<results::FrameReference> InstancesOf(const results::SegmentedPlanes& planes) {
  std::vector<results::FrameReference> instances;
  std::set<std::string> named;
  for (const auto& of_plane : planes.sources) {
    for (const results::FrameReference& frame : of_plane) {
      if (!named.insert(frame.sop_instance_uid).second) continue;
      instances.push_back({frame.sop_class_uid, frame.sop_instance_uid, 0});
    }
  }
  return instances;
}

// Where the input shows only a part of the series.
std::string NoteOf(double share) {
  constexpr double kNearlyAll = 0.995;
  if (share >= kNearlyAll) return "";
  return absl::StrFormat("The model saw %.0f %% of the series, about its middle.", 100 * share);
}

void DrawSlices(const results::VolumeSubject& subject, const std::vector<std::uint8_t>& mask,
                const std::vector<std::string>& caption, ResultSet* set) {
  const auto& grid = subject.placed.stack.grid;
  const auto slices = results::SlicesToShow(grid, mask);
  std::vector<float> outlined;
  for (const std::uint8_t structure : results::Tile(grid, mask, slices)) {
    outlined.push_back(structure > 0 ? 1.0f : 0.0f);
  }
  const datasets::Image shown = results::Tile(subject.brightness, slices);
  set->picture = results::Draw(results::MakeBackdrop(shown), outlined, caption);
  for (const std::uint32_t slice : slices) {
    set->pictured.push_back(set->segmentation->planes.sources[slice].front());
  }
}

}  // namespace

OrRefused<VolumeResults> ResultsOf(const learning::Prediction& prediction,
                                   const results::VolumeSubject& subject, const Digest& instances,
                                   const PublishedModel& model, bool picture) {
  const auto mask = results::OnSeries(prediction.mask, subject.placed);
  if (!mask.ok()) return mask.refused();
  const auto shown = results::ShareShown(subject.placed);
  if (!shown.ok()) return shown.refused();
  const double voxel_ml = results::VoxelMl(subject.placed.stack.grid);
  VolumeResults out;
  out.set.source = subject.source;
  out.set.instances = instances;
  results::NewSegmentation segmentation{.planes = subject.Planes(),
                                        .segments = SegmentsOf(*mask, model.plan.target)};
  std::vector<std::string> caption = {CaptionBegin()};
  for (std::size_t i = 0; i < segmentation.segments.size(); ++i) {
    const results::NewSegment& segment = segmentation.segments[i];
    const auto voxels =
        static_cast<double>(std::count(segment.voxels.begin(), segment.voxels.end(), 1));
    const double ml = voxels * voxel_ml;
    out.scores.emplace_back(segment.label, voxels / static_cast<double>(mask->size()));
    out.volumes_ml.emplace_back(segment.label, ml);
    out.set.report.findings.push_back({.code = segment.type,
                                       .tracking = segment.label,
                                       .measurements = {results::VolumeInMl(ml)},
                                       .segment = static_cast<std::uint32_t>(i + 1)});
    caption.push_back(absl::StrFormat("%s %.2f mL", segment.label, ml));
  }
  out.set.report.images = InstancesOf(segmentation.planes);
  out.set.report.volume = true;
  out.set.report.note = NoteOf(*shown);
  out.set.segmentation = std::move(segmentation);
  caption.push_back(CaptionOf(model.description));
  caption.emplace_back("colour: what the model takes for it");
  if (!out.set.report.note.empty()) caption.push_back(out.set.report.note);
  if (picture) DrawSlices(subject, *mask, caption, &out.set);
  return out;
}

}  // namespace consilium::site_agent
