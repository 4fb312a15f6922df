#include "datasets/targets/segmentation.h"

#include <algorithm>
#include <cmath>

#include "common/base/text.h"
#include "datasets/targets/code.h"

namespace consilium::datasets::targets {
namespace {

using dicom::DataSet;
using dicom::FunctionalGroups;
using dicom::Tag;
using volumes::Grid;
using volumes::Vec3;

constexpr std::uint32_t kReferencedSeries = Tag(0x0008, 0x1115);
constexpr std::uint32_t kReferencedInstances = Tag(0x0008, 0x114a);
constexpr std::uint32_t kReferencedInstanceUid = Tag(0x0008, 0x1155);
constexpr std::uint32_t kReferencedFrames = Tag(0x0008, 0x1160);
constexpr std::uint32_t kSourceImages = Tag(0x0008, 0x2112);
constexpr std::uint32_t kDerivation = Tag(0x0008, 0x9124);

constexpr double kParallelDegrees = 0.1;
constexpr double kOnEdge = 1e-4;  // of an index: where half a voxel ends

std::optional<Grid> PlaneOf(const FunctionalGroups& groups, std::uint32_t frame,
                            const dicom::Header& header) {
  const auto position = groups.Macro(frame, Tag(0x0020, 0x9113)).Numbers(Tag(0x0020, 0x0032));
  const auto orientation = groups.Macro(frame, Tag(0x0020, 0x9116)).Numbers(Tag(0x0020, 0x0037));
  const auto spacing = groups.Macro(frame, Tag(0x0028, 0x9110)).Numbers(Tag(0x0028, 0x0030));
  if (position.size() != 3 || orientation.size() != 6 || spacing.size() != 2) return std::nullopt;
  const Vec3 row = {orientation[0], orientation[1], orientation[2]};
  const Vec3 column = {orientation[3], orientation[4], orientation[5]};
  if (std::abs(Norm(row) - 1) > 1e-2 || std::abs(Norm(column) - 1) > 1e-2 ||
      std::abs(Dot(row, column)) > 1e-2) {
    return std::nullopt;
  }
  Grid plane;
  plane.size = {header.columns, header.rows, 1};
  plane.spacing_mm = {spacing[1], spacing[0], 1};
  plane.origin = {position[0], position[1], position[2]};
  plane.directions[0] = row * (1 / Norm(row));
  const Vec3 across = column - plane.directions[0] * Dot(plane.directions[0], column);
  plane.directions[1] = across * (1 / Norm(across));
  plane.directions[2] = Cross(plane.directions[0], plane.directions[1]);
  if (!IsSound(plane)) return std::nullopt;
  return plane;
}

// The slice of `grid` that a frame lies on; nothing beside the volume or across its slices.
std::optional<std::uint32_t> SliceOf(const Grid& plane, const Grid& grid) {
  const double angle = AngleDegrees(plane.Normal(), grid.Normal());
  if (std::min(angle, 180 - angle) > kParallelDegrees) return std::nullopt;
  const Vec3 middle = plane.ToPatient({(plane.size[0] - 1.0) / 2, (plane.size[1] - 1.0) / 2, 0});
  const double at = volumes::PatientToIndex(grid)(middle)[2];
  if (!(at >= -0.5 - kOnEdge && at <= grid.size[2] - 0.5 + kOnEdge)) return std::nullopt;
  return static_cast<std::uint32_t>(std::clamp(std::round(at), 0.0, grid.size[2] - 1.0));
}

// Whether some pixel of the frame that is set lies on no voxel.
bool ReachesOutside(const std::vector<std::uint8_t>& pixels, const Grid& plane, const Grid& grid) {
  const volumes::PatientToIndex to_index(grid);
  for (std::uint32_t row = 0; row < plane.size[1]; ++row) {
    for (std::uint32_t column = 0; column < plane.size[0]; ++column) {
      if (pixels[std::size_t{row} * plane.size[0] + column] == 0) continue;
      const Vec3 index = to_index(plane.ToPatient({double{1} * column, double{1} * row, 0}));
      for (std::size_t axis = 0; axis < 2; ++axis) {
        if (index[axis] < -0.5 - kOnEdge || index[axis] > grid.size[axis] - 0.5 + kOnEdge) {
          return true;
        }
      }
    }
  }
  return false;
}

// Each voxel of the slice takes the frame's pixel at its place.
void Copy(const std::vector<std::uint8_t>& pixels, const Grid& plane, std::uint32_t slice,
          Mask* mask) {
  const volumes::PatientToIndex to_pixel(plane);
  const Grid& grid = mask->grid;
  std::uint8_t* voxel = mask->voxels.data() + slice * grid.PlaneCount();
  for (std::uint32_t row = 0; row < grid.size[1]; ++row) {
    for (std::uint32_t column = 0; column < grid.size[0]; ++column, ++voxel) {
      const Vec3 at =
          to_pixel(grid.ToPatient({double{1} * column, double{1} * row, double{1} * slice}));
      const double i = std::round(at[0] - kOnEdge), j = std::round(at[1] - kOnEdge);
      if (i < 0 || j < 0 || i >= plane.size[0] || j >= plane.size[1]) continue;
      *voxel |= pixels[static_cast<std::size_t>(j) * plane.size[0] + static_cast<std::size_t>(i)];
    }
  }
}

Segment ReadSegment(const DataSet& item) {
  Segment segment;
  segment.number = item.Unsigned16(Tag(0x0062, 0x0004)).value_or(0);
  segment.label = item.Text(Tag(0x0062, 0x0005));
  segment.category = ReadCode(item, Tag(0x0062, 0x0003));
  segment.type = ReadCode(item, Tag(0x0062, 0x000f));
  segment.algorithm = item.Text(Tag(0x0062, 0x0008));
  segment.tracking_identifier = item.Text(Tag(0x0062, 0x0020));
  segment.tracking_uid = item.Text(Tag(0x0062, 0x0021));
  return segment;
}

}  // namespace

OrRefused<Segmentation> Segmentation::Open(const fs::path& path) { return Of(OpenTarget(path)); }

OrRefused<Segmentation> Segmentation::Open(File file) { return Of(OpenTarget(std::move(file))); }

OrRefused<Segmentation> Segmentation::Of(OrRefused<DataSet> data_set) {
  if (!data_set.ok()) return data_set.refused();
  if (!data_set->Has(Tag(0x0062, 0x0002))) {
    return Refused{Refusal::kUnsupportedTarget, "no segmentation: it has no segments"};
  }
  OrRefused<dicom::ImageFile> file = dicom::ImageFile::Open(std::move(*data_set));
  if (!file.ok()) return file.refused();
  Segmentation segmentation(std::move(*file));
  if (auto refused = segmentation.ReadHeader()) return *refused;
  if (auto refused = segmentation.ReadFrames()) return *refused;
  return segmentation;
}

std::optional<Refused> Segmentation::ReadHeader() {
  const DataSet& data_set = file_.data_set();
  const std::string kind = data_set.Text(Tag(0x0062, 0x0001));
  if (kind == "BINARY") {
    kind_ = Kind::kBinary;
  } else if (kind == "FRACTIONAL") {
    kind_ = Kind::kFractional;
    maximum_ = data_set.Number(Tag(0x0062, 0x000e), 0, "US").value_or(255);
    if (!(maximum_ > 0)) {
      return Refused{Refusal::kDamaged, "a fractional segmentation with a maximum of 0"};
    }
  } else if (kind == "LABELMAP") {
    kind_ = Kind::kLabelMap;
  } else {
    return Refused{Refusal::kUnsupportedTarget,
                   "a segmentation that is none of BINARY, FRACTIONAL, LABELMAP"};
  }
  OrRefused<std::vector<DataSet>> items = data_set.Sequence(Tag(0x0062, 0x0002));
  if (!items.ok()) return items.refused();
  for (const DataSet& item : *items) segments_.push_back(ReadSegment(item));
  frame_of_reference_ = data_set.Text(Tag(0x0020, 0x0052));
  return ReadReferences();
}

std::optional<Refused> Segmentation::ReadReferences() {
  const DataSet& data_set = file_.data_set();
  OrRefused<std::vector<DataSet>> series = data_set.Sequence(kReferencedSeries);
  if (!series.ok()) return series.refused();
  for (const DataSet& item : *series) {
    referenced_series_.push_back(item.Text(Tag(0x0020, 0x000e)));
    OrRefused<std::vector<DataSet>> instances = item.Sequence(kReferencedInstances);
    if (!instances.ok()) return instances.refused();
    for (const DataSet& instance : *instances) {
      referenced_instances_.push_back(instance.Text(kReferencedInstanceUid));
    }
  }
  OrRefused<std::vector<DataSet>> sources = data_set.Sequence(kSourceImages);
  if (!sources.ok()) return sources.refused();
  for (const DataSet& source : *sources) {
    referenced_instances_.push_back(source.Text(kReferencedInstanceUid));
  }
  return std::nullopt;
}

std::optional<Refused> Segmentation::ReadFrames() {
  const auto groups = FunctionalGroups::Of(file_.data_set(), file_.frame_count());
  if (!groups.ok()) return groups.refused();
  for (std::uint32_t i = 0; i < file_.frame_count(); ++i) {
    Frame frame{0, PlaneOf(*groups, i, file_.header()), {}};
    const DataSet derivation = groups->Macro(i, kDerivation);
    const OrRefused<std::vector<DataSet>> sources = derivation.Sequence(kSourceImages);
    if (!sources.ok()) return sources.refused();
    for (const DataSet& item : *sources) {
      Source source{item.Text(kReferencedInstanceUid), {}};
      for (const double number : item.Numbers(kReferencedFrames, "IS")) {
        if (number >= 1 && number < 4e9) {
          source.frames.push_back(static_cast<std::uint32_t>(number));
        }
      }
      referenced_instances_.push_back(source.instance);
      frame.sources.push_back(std::move(source));
    }
    if (!frame.plane && frame.sources.empty()) {
      return Refused{Refusal::kNoGeometry,
                     StrCat("frame ", i + 1, " does not say where it lies in the patient")};
    }
    if (kind_ != Kind::kLabelMap) {
      frame.segment =
          groups->Macro(i, Tag(0x0062, 0x000a)).Unsigned16(Tag(0x0062, 0x000b)).value_or(0);
      if (frame.segment == 0) {
        return Refused{Refusal::kDamaged, StrCat("frame ", i + 1, " does not say its segment")};
      }
    }
    frames_.push_back(std::move(frame));
  }
  KeepEachOnce(referenced_instances_);
  return std::nullopt;
}

OrRefused<std::vector<std::uint8_t>> Segmentation::ReadFrame(std::uint32_t frame,
                                                             std::uint32_t segment,
                                                             double threshold) {
  const OrRefused<dicom::StoredFrame> stored = file_.ReadStored(frame);
  if (!stored.ok()) return stored.refused();
  const std::size_t count = std::size_t{file_.header().rows} * file_.header().columns;
  if (stored->samples != 1 || stored->size() != count) {
    return Refused{Refusal::kDamaged, "a frame of another size or kind than the header says"};
  }
  std::vector<std::uint8_t> pixels(count);
  const double least = std::max(threshold * maximum_, 1e-9);  // 0 is never a part of the segment
  stored->WithType([&](auto sample) {
    for (std::size_t i = 0; i < count; ++i) {
      const auto value = static_cast<double>(stored->At<decltype(sample)>(i));
      pixels[i] = kind_ == Kind::kLabelMap ? value == segment
                  : kind_ == Kind::kBinary ? value != 0
                                           : value >= least;
    }
  });
  return pixels;
}

OrRefused<Mask> Segmentation::ReadMask(std::uint32_t segment, const Grid& grid,
                                       const std::string& frame_of_reference, double threshold) {
  if (std::none_of(segments_.begin(), segments_.end(),
                   [&](const Segment& s) { return s.number == segment; })) {
    return Refused{Refusal::kNoReference, StrCat("there is no segment ", segment)};
  }
  if (frame_of_reference != frame_of_reference_) {
    return Refused{Refusal::kOtherFrameOfReference,
                   "the segmentation has another frame of reference than the volume"};
  }
  if (!IsSound(grid)) return Refused{Refusal::kNoGeometry, "the volume's grid is impossible"};
  Mask mask{grid, std::vector<std::uint8_t>(grid.VoxelCount())};
  for (std::uint32_t i = 0; i < frames_.size(); ++i) {
    const Frame& frame = frames_[i];
    if (frame.segment != 0 && frame.segment != segment) continue;
    if (!frame.plane) {
      return Refused{Refusal::kNoGeometry,
                     StrCat("frame ", i + 1, " does not say where it lies in the patient")};
    }
    const OrRefused<std::vector<std::uint8_t>> pixels = ReadFrame(i, segment, threshold);
    if (!pixels.ok()) return pixels.refused();
    if (std::find(pixels->begin(), pixels->end(), 1) == pixels->end()) continue;
    const auto slice = SliceOf(*frame.plane, grid);
    if (!slice) {
      return Refused{Refusal::kOutsideVolume,
                     StrCat("frame ", i + 1, " lies on no slice of the volume")};
    }
    if (ReachesOutside(*pixels, *frame.plane, grid)) {
      return Refused{Refusal::kOutsideVolume,
                     StrCat("a part of frame ", i + 1, " lies beside the volume")};
    }
    Copy(*pixels, *frame.plane, *slice, &mask);
  }
  return mask;
}

bool Segmentation::IsOf(const Frame& frame, const ImagePlane& image) const {
  if (!frame.sources.empty()) {
    return std::any_of(frame.sources.begin(), frame.sources.end(), [&](const Source& source) {
      return source.instance == image.sop_instance_uid &&
             (source.frames.empty() || std::find(source.frames.begin(), source.frames.end(),
                                                 image.frame + 1) != source.frames.end());
    });
  }
  return image.grid && image.frame_of_reference == frame_of_reference_ &&
         SliceOf(*frame.plane, *image.grid).has_value();
}

OrRefused<std::vector<std::uint8_t>> Segmentation::ReadPlane(std::uint32_t segment,
                                                             const ImagePlane& image,
                                                             double threshold) {
  if (std::none_of(segments_.begin(), segments_.end(),
                   [&](const Segment& s) { return s.number == segment; })) {
    return Refused{Refusal::kNoReference, StrCat("there is no segment ", segment)};
  }
  std::vector<std::uint8_t> mask(std::size_t{image.rows} * image.columns);
  for (std::uint32_t i = 0; i < frames_.size(); ++i) {
    const Frame& frame = frames_[i];
    if ((frame.segment != 0 && frame.segment != segment) || !IsOf(frame, image)) continue;
    const OrRefused<std::vector<std::uint8_t>> pixels = ReadFrame(i, segment, threshold);
    if (!pixels.ok()) return pixels.refused();
    const bool both = frame.plane && image.grid && image.frame_of_reference == frame_of_reference_;
    if (both) {
      // What was made from several slices lies on one of them.
      if (!SliceOf(*frame.plane, *image.grid)) continue;
      Mask on_slice{*image.grid, std::move(mask)};
      Copy(*pixels, *frame.plane, 0, &on_slice);
      mask = std::move(on_slice.voxels);
      continue;
    }
    if (file_.header().rows != image.rows || file_.header().columns != image.columns) {
      return Refused{
          Refusal::kOutsideVolume,
          StrCat("a segmentation of ", file_.header().columns, "x", file_.header().rows,
                 " pixels without geometry, of an image of ", image.columns, "x", image.rows)};
    }
    for (std::size_t at = 0; at < mask.size(); ++at) mask[at] |= (*pixels)[at];
  }
  return mask;
}

}  // namespace consilium::datasets::targets
