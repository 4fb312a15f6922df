#include "datasets/targets/structure_set.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "common/base/text.h"
#include "datasets/targets/code.h"

namespace consilium::datasets::targets {
namespace {

using dicom::DataSet;
using dicom::Tag;

constexpr std::uint32_t kRois = Tag(0x3006, 0x0020), kRoiContours = Tag(0x3006, 0x0039),
                        kObservations = Tag(0x3006, 0x0080),
                        kReferencedRoiNumber = Tag(0x3006, 0x0084), kContours = Tag(0x3006, 0x0040),
                        kContourImages = Tag(0x3006, 0x0016), kFrames = Tag(0x3006, 0x0010),
                        kStudies = Tag(0x3006, 0x0012), kSeries = Tag(0x3006, 0x0014),
                        kInstanceUid = Tag(0x0008, 0x1155);

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

// The items that a path of sequences leads to.
OrRefused<std::vector<DataSet>> Nested(const DataSet& data_set,
                                       std::span<const std::uint32_t> path) {
  if (path.empty()) return std::vector<DataSet>{data_set};
  const OrRefused<std::vector<DataSet>> items = data_set.Sequence(path.front());
  if (!items.ok()) return items.refused();
  std::vector<DataSet> all;
  for (const DataSet& item : *items) {
    const OrRefused<std::vector<DataSet>> inner = Nested(item, path.subspan(1));
    if (!inner.ok()) return inner.refused();
    all.insert(all.end(), inner->begin(), inner->end());
  }
  return all;
}

}  // namespace

OrRefused<StructureSet> StructureSet::Open(const fs::path& path) { return Of(OpenTarget(path)); }

OrRefused<StructureSet> StructureSet::Open(File file) { return Of(OpenTarget(std::move(file))); }

bool StructureSet::Is(const DataSet& data_set) { return data_set.Has(kRois); }

OrRefused<StructureSet> StructureSet::Of(OrRefused<DataSet> data_set) {
  if (!data_set.ok()) return data_set.refused();
  if (!Is(*data_set)) {
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
        {*number, item.Text(Tag(0x3006, 0x0026)), "", item.Text(Tag(0x3006, 0x0024)), false});
  }
  const OrRefused<std::vector<DataSet>> drawn = data_set_.Sequence(kRoiContours);
  if (!drawn.ok()) return drawn.refused();
  for (const DataSet& item : *drawn) {
    for (Region& region : regions_) {
      const bool of_it = RoiNumber(item, kReferencedRoiNumber) == region.number;
      region.drawn = region.drawn || (of_it && item.Has(kContours));
    }
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
  const auto series = Nested(data_set_, std::array{kFrames, kStudies, kSeries});
  if (!series.ok()) return series.refused();
  for (const DataSet& item : *series) {
    referenced_series_.push_back(item.Text(Tag(0x0020, 0x000e)));
  }
  for (const auto& path : {std::vector{kFrames, kStudies, kSeries, kContourImages},
                           std::vector{kRoiContours, kContours, kContourImages}}) {
    const auto images = Nested(data_set_, path);
    if (!images.ok()) return images.refused();
    for (const DataSet& image : *images) referenced_instances_.push_back(image.Text(kInstanceUid));
  }
  KeepEachOnce(referenced_instances_);
  return std::nullopt;
}

OrRefused<std::vector<DataSet>> StructureSet::ContourItems(int region) const {
  const OrRefused<std::vector<DataSet>> rois = data_set_.Sequence(kRoiContours);
  if (!rois.ok()) return rois.refused();
  for (const DataSet& item : *rois) {
    if (RoiNumber(item, kReferencedRoiNumber) == region) return item.Sequence(kContours);
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

OrRefused<std::vector<Contour>> StructureSet::ContoursIn(
    int region, const std::string& frame_of_reference) const {
  OrRefused<std::vector<Contour>> contours = ReadContours(region);
  if (!contours.ok()) return contours.refused();
  for (const Region& candidate : regions_) {
    if (candidate.number == region && candidate.frame_of_reference != frame_of_reference) {
      return Refused{Refusal::kOtherFrameOfReference,
                     "the region of interest has another frame of reference than the volume"};
    }
  }
  return contours;
}

OrRefused<Mask> StructureSet::ReadMask(int region, const volumes::Grid& grid,
                                       const std::string& frame_of_reference) const {
  const auto contours = ContoursIn(region, frame_of_reference);
  if (!contours.ok()) return contours.refused();
  return FillContours(*contours, grid);
}

OrRefused<std::vector<std::uint8_t>> StructureSet::ReadPlane(int region,
                                                             const ImagePlane& image) const {
  if (!image.grid) {
    return Refused{Refusal::kNoGeometry,
                   "contours are drawn in the patient, and the image does not say where it lies"};
  }
  auto contours = ContoursIn(region, image.frame_of_reference);
  if (!contours.ok()) return contours.refused();
  const volumes::PatientToIndex to_index(*image.grid);
  std::erase_if(*contours, [&](const Contour& contour) {
    return std::any_of(contour.begin(), contour.end(), [&](const volumes::Vec3& point) {
      return !(std::abs(to_index(point)[2]) <= 0.5);
    });
  });
  if (contours->empty()) {
    return std::vector<std::uint8_t>(std::size_t{image.rows} * image.columns);
  }
  auto mask = FillContours(*contours, *image.grid);
  if (!mask.ok()) return mask.refused();
  return std::move(mask->voxels);
}

}  // namespace consilium::datasets::targets
