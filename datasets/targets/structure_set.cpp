#include "datasets/targets/structure_set.h"

#include <algorithm>
#include <cmath>

#include "common/base/text.h"
#include "datasets/targets/code.h"

namespace consilium::datasets::targets {
namespace {

using dicom::DataSet;
using dicom::Tag;

constexpr std::uint32_t kRois = Tag(0x3006, 0x0020), kRoiContours = Tag(0x3006, 0x0039),
                        kObservations = Tag(0x3006, 0x0080),
                        kReferencedRoiNumber = Tag(0x3006, 0x0084);

// A region's number; nothing that fits is no region.
std::optional<int> RoiNumber(const DataSet& item, std::uint32_t tag) {
  const auto number = item.Number(tag, 0, "IS");
  if (!number || !(std::abs(*number) < 1e9)) return std::nullopt;
  return static_cast<int>(*number);
}

OrRefused<Contour> ReadContour(const DataSet& item) {
  const std::string type = item.Text(Tag(0x3006, 0x0042));
  if (type != "CLOSED_PLANAR" && type != "CLOSEDPLANAR_XOR") {
    return Refused{Refusal::kUnsupportedTarget,
                   "a contour that is no closed planar one: points and open lines have no inside"};
  }
  const std::vector<double> numbers = item.Numbers(Tag(0x3006, 0x0050));
  if (numbers.empty() || numbers.size() % 3 != 0) {
    return Refused{Refusal::kDamaged, "a contour whose data is not points of three numbers"};
  }
  Contour contour(numbers.size() / 3);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (!std::isfinite(numbers[i])) return Refused{Refusal::kDamaged, "a contour without place"};
    contour[i / 3][i % 3] = numbers[i];
  }
  return contour;
}

}  // namespace

OrRefused<StructureSet> StructureSet::Open(const fs::path& path) { return Of(OpenTarget(path)); }

OrRefused<StructureSet> StructureSet::Open(File file) { return Of(OpenTarget(std::move(file))); }

OrRefused<StructureSet> StructureSet::Of(OrRefused<DataSet> data_set) {
  if (!data_set.ok()) return data_set.refused();
  if (!data_set->Has(kRois)) {
    return Refused{Refusal::kUnsupportedTarget, "no structure set: it has no regions of interest"};
  }
  StructureSet structures(std::move(*data_set));
  if (auto refused = structures.ReadRegions()) return *refused;
  if (auto refused = structures.ReadReferences()) return *refused;
  return structures;
}

std::optional<Refused> StructureSet::ReadRegions() {
  const OrRefused<std::vector<DataSet>> rois = data_set_.Sequence(kRois);
  if (!rois.ok()) return rois.refused();
  for (const DataSet& item : *rois) {
    const auto number = RoiNumber(item, Tag(0x3006, 0x0022));
    if (!number) return Refused{Refusal::kDamaged, "a region of interest without a number"};
    regions_.push_back(
        {*number, item.Text(Tag(0x3006, 0x0026)), "", item.Text(Tag(0x3006, 0x0024))});
  }
  const OrRefused<std::vector<DataSet>> observations = data_set_.Sequence(kObservations);
  if (!observations.ok()) return observations.refused();
  for (const DataSet& item : *observations) {
    for (Region& region : regions_) {
      if (RoiNumber(item, kReferencedRoiNumber) == region.number) {
        region.interpreted_type = item.Text(Tag(0x3006, 0x00a4));
      }
    }
  }
  return std::nullopt;
}

std::optional<Refused> StructureSet::ReadReferences() {
  const OrRefused<std::vector<DataSet>> frames = data_set_.Sequence(Tag(0x3006, 0x0010));
  if (!frames.ok()) return frames.refused();
  for (const DataSet& frame : *frames) {
    const OrRefused<std::vector<DataSet>> studies = frame.Sequence(Tag(0x3006, 0x0012));
    if (!studies.ok()) return studies.refused();
    for (const DataSet& study : *studies) {
      const OrRefused<std::vector<DataSet>> series = study.Sequence(Tag(0x3006, 0x0014));
      if (!series.ok()) return series.refused();
      for (const DataSet& item : *series) {
        referenced_series_.push_back(item.Text(Tag(0x0020, 0x000e)));
      }
    }
  }
  return std::nullopt;
}

OrRefused<std::vector<DataSet>> StructureSet::ContourItems(int region) const {
  const OrRefused<std::vector<DataSet>> rois = data_set_.Sequence(kRoiContours);
  if (!rois.ok()) return rois.refused();
  for (const DataSet& item : *rois) {
    if (RoiNumber(item, kReferencedRoiNumber) == region) return item.Sequence(Tag(0x3006, 0x0040));
  }
  return std::vector<DataSet>{};
}

OrRefused<std::vector<Contour>> StructureSet::ReadContours(int region) const {
  if (std::none_of(regions_.begin(), regions_.end(),
                   [&](const Region& r) { return r.number == region; })) {
    return Refused{Refusal::kNoReference, StrCat("there is no region of interest ", region)};
  }
  const OrRefused<std::vector<DataSet>> items = ContourItems(region);
  if (!items.ok()) return items.refused();
  if (items->empty()) {
    return Refused{Refusal::kUnsupportedTarget,
                   StrCat("region of interest ", region, " has no contours")};
  }
  std::vector<Contour> contours;
  std::size_t points = 0;
  for (const DataSet& item : *items) {
    OrRefused<Contour> contour = ReadContour(item);
    if (!contour.ok()) return contour.refused();
    points += contour->size();
    if (points > kMaxContourPoints) {
      return Refused{Refusal::kTooLarge, StrCat("more than ", kMaxContourPoints, " points")};
    }
    contours.push_back(std::move(*contour));
  }
  return contours;
}

OrRefused<Mask> StructureSet::ReadMask(int region, const volumes::Grid& grid,
                                       const std::string& frame_of_reference) const {
  const OrRefused<std::vector<Contour>> contours = ReadContours(region);
  if (!contours.ok()) return contours.refused();
  for (const Region& candidate : regions_) {
    if (candidate.number == region && candidate.frame_of_reference != frame_of_reference) {
      return Refused{Refusal::kOtherFrameOfReference,
                     "the region of interest has another frame of reference than the volume"};
    }
  }
  return FillContours(*contours, grid);
}

}  // namespace consilium::datasets::targets
