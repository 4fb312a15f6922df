#include "datasets/results/segmentation_writer.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "common/base/status.h"
#include "common/base/text.h"
#include "datasets/dicom/library.h"
#include "datasets/dicom/writer.h"
#include "datasets/results/object_writer.h"
// DCMTK's configuration comes before its other headers.
#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmdata/dctk.h"

namespace consilium::datasets::results {
namespace {

using volumes::Grid;
using volumes::Vec3;

// One frame of the object.
struct Frame {
  std::size_t segment = 0;  // index
  std::uint32_t plane = 0;
};

std::vector<double> ListOf(const Vec3& v) { return {v[0], v[1], v[2]}; }

absl::Status Check(const NewSegmentation& in, const SourceImage& source) {
  const SegmentedPlanes& planes = in.planes;
  const auto fits = [](std::uint32_t n) { return n > 0 && n <= 65535; };
  if (!fits(planes.columns) || !fits(planes.rows) || planes.planes == 0) {
    return absl::InvalidArgumentError(StrCat("a segmentation of ", planes.columns, "x", planes.rows,
                                             "x", planes.planes, " voxels cannot be written"));
  }
  if (in.segments.empty() || in.segments.size() > 65535) {
    return absl::InvalidArgumentError(
        StrCat("a segmentation of ", in.segments.size(), " segments"));
  }
  const std::size_t count = std::size_t{planes.columns} * planes.rows * planes.planes;
  for (const NewSegment& segment : in.segments) {
    const bool binary = in.kind == SegmentationKind::kBinary;
    if (segment.voxels.size() != count ||
        (binary && std::any_of(segment.voxels.begin(), segment.voxels.end(),
                               [](std::uint8_t v) { return v > 1; }))) {
      return absl::InvalidArgumentError(
          "a segment's voxels do not fit its planes or the kind of segmentation");
    }
    if (segment.label.empty() || segment.category.empty() || segment.type.empty()) {
      return absl::InvalidArgumentError("a segment has no label or no codes");
    }
  }
  if (planes.sources.size() != planes.planes) {
    return absl::InvalidArgumentError("the planes' sources are not as many as the planes");
  }
  if (planes.grid) {
    const Grid& grid = *planes.grid;
    const bool same = grid.size == std::array{planes.columns, planes.rows, planes.planes};
    if (!same || !IsSound(grid) || planes.frame_of_reference.empty()) {
      return absl::InvalidArgumentError(
          "the planes' grid has another size, or no frame of reference");
    }
  } else if (planes.columns != source.columns || planes.rows != source.rows ||
             std::any_of(planes.sources.begin(), planes.sources.end(),
                         [](const auto& of_plane) { return of_plane.size() != 1; })) {
    return absl::InvalidArgumentError(
        "a segmentation without geometry must have the size of its source image");
  }
  return absl::OkStatus();
}

std::vector<Frame> FramesOf(const NewSegmentation& in) {
  const std::size_t size = std::size_t{in.planes.columns} * in.planes.rows;
  std::vector<Frame> frames;
  for (std::size_t segment = 0; segment < in.segments.size(); ++segment) {
    const auto& voxels = in.segments[segment].voxels;
    const std::size_t before = frames.size();
    for (std::uint32_t plane = 0; plane < in.planes.planes; ++plane) {
      const auto first = voxels.begin() + static_cast<std::ptrdiff_t>(plane * size);
      if (std::any_of(first, first + static_cast<std::ptrdiff_t>(size),
                      [](std::uint8_t v) { return v != 0; })) {
        frames.push_back({segment, plane});
      }
    }
    if (frames.size() == before) frames.push_back({segment, 0});  // each segment has a frame
  }
  return frames;
}

// C.8.20.2: the segmentation image module.
void DescribeImage(Attributes& out, const NewSegmentation& in, const SourceImage& source,
                   const ModelDescription& model) {
  out.Text(DCM_ImageType, "DERIVED\\PRIMARY");
  out.Text(DCM_ContentLabel, "FOR_RESEARCH_USE");
  out.Text(DCM_ContentDescription, in.manual ? std::string(kResearchUse)
                                             : Plain(StrCat(std::string_view(kResearchUse),
                                                            ". Model ", NameAndVersion(model))));
  out.Text(DCM_ContentCreatorName, in.manual ? "" : "Consilium^Model");
  if (!in.planes.grid) out.Text(DCM_PatientOrientation, source.patient_orientation);
  const bool binary = in.kind == SegmentationKind::kBinary;
  out.Number(DCM_SamplesPerPixel, 1);
  out.Text(DCM_PhotometricInterpretation, "MONOCHROME2");
  out.Number(DCM_Rows, in.planes.rows);
  out.Number(DCM_Columns, in.planes.columns);
  out.Number(DCM_BitsAllocated, binary ? 1 : 8);
  out.Number(DCM_BitsStored, binary ? 1 : 8);
  out.Number(DCM_HighBit, binary ? 0 : 7);
  out.Number(DCM_PixelRepresentation, 0);
  DescribeLoss(out, source);
  out.Text(DCM_SegmentationType, binary ? "BINARY" : "FRACTIONAL");
  if (!binary) {
    out.Text(DCM_SegmentationFractionalType,
             in.kind == SegmentationKind::kFractionalOccupancy ? "OCCUPANCY" : "PROBABILITY");
    out.Number(DCM_MaximumFractionalValue, 255);
  }
}

void NameAlgorithm(Attributes& item, const ModelDescription& model) {
  item.Text(DCM_SegmentAlgorithmName, NameAndVersion(model));
  Attributes algorithm = item.Item(DCM_SegmentationAlgorithmIdentificationSequence);
  algorithm.PutCode(DCM_AlgorithmFamilyCodeSequence, {"123110", "DCM", "Artificial Intelligence"});
  algorithm.Text(DCM_AlgorithmName, Plain(AlgorithmName(model)));
  algorithm.Text(DCM_AlgorithmVersion, model.id.Hex());
  algorithm.Text(DCM_AlgorithmSource,
                 Plain(model.federation.empty() ? "Consilium" : model.federation));
}

void DescribeSegments(Attributes& out, const NewSegmentation& in, const ModelDescription& model,
                      const ResultName& name) {
  for (std::size_t i = 0; i < in.segments.size(); ++i) {
    const NewSegment& segment = in.segments[i];
    Attributes item = out.Item(DCM_SegmentSequence);
    item.Number(DCM_SegmentNumber, static_cast<unsigned>(i + 1));
    item.Text(DCM_SegmentLabel, Plain(segment.label));
    if (!segment.description.empty()) {
      item.Text(DCM_SegmentDescription, Plain(segment.description, 1024));
    }
    item.Text(DCM_SegmentAlgorithmType, in.manual ? "MANUAL" : "AUTOMATIC");
    if (!in.manual) NameAlgorithm(item, model);
    item.PutCode(DCM_SegmentedPropertyCategoryCodeSequence, segment.category);
    item.PutCode(DCM_SegmentedPropertyTypeCodeSequence, segment.type);
    item.Text(DCM_TrackingID, Plain(segment.label));
    item.Text(DCM_TrackingUID, dicom::MakeUid(StrCat(name.sop_instance_uid, " segment ", i + 1)));
    item.Numbers(DCM_RecommendedDisplayCIELabValue,
                 {segment.display_colour.begin(), segment.display_colour.end()});
  }
}

// C.7.6.17: frames are told apart by their segment and, with geometry, by where they lie.
void DescribeDimensions(Attributes& out, const ResultName& name, bool with_positions) {
  const std::string uid = dicom::MakeUid(StrCat(name.sop_instance_uid, " dimensions"));
  out.Item(DCM_DimensionOrganizationSequence).Text(DCM_DimensionOrganizationUID, uid);
  const auto add = [&](const DcmTagKey& pointer, const DcmTagKey& group, std::string_view label) {
    Attributes item = out.Item(DCM_DimensionIndexSequence);
    item.TagValue(DCM_DimensionIndexPointer, pointer);
    item.TagValue(DCM_FunctionalGroupPointer, group);
    item.Text(DCM_DimensionOrganizationUID, uid);
    item.Text(DCM_DimensionDescriptionLabel, label);
  };
  add(DCM_ReferencedSegmentNumber, DCM_SegmentIdentificationSequence, "Segment");
  if (with_positions) add(DCM_ImagePositionPatient, DCM_PlanePositionSequence, "Position");
}

void DescribeSharedGroups(Attributes& out, const SegmentedPlanes& planes,
                          double source_thickness_mm) {
  Attributes shared = out.Item(DCM_SharedFunctionalGroupsSequence);
  if (!planes.grid) return;
  const Grid& grid = *planes.grid;
  const auto& [row, column, stacked] = grid.directions;
  shared.Item(DCM_PlaneOrientationSequence)
      .Decimals(DCM_ImageOrientationPatient,
                {row[0], row[1], row[2], column[0], column[1], column[2]});
  Attributes measures = shared.Item(DCM_PixelMeasuresSequence);
  // Along the normal, also of a sheared grid.
  const double distance = grid.spacing_mm[2] * std::abs(Dot(stacked, grid.Normal()));
  measures.Decimals(DCM_SliceThickness, {source_thickness_mm > 0 ? source_thickness_mm : distance});
  if (planes.planes > 1) measures.Decimals(DCM_SpacingBetweenSlices, {distance});
  measures.Decimals(DCM_PixelSpacing, {grid.spacing_mm[1], grid.spacing_mm[0]});
}

void DescribeDerivation(Attributes& groups, const std::vector<FrameReference>& sources,
                        bool pixel_by_pixel) {
  Attributes derivation = groups.Item(DCM_DerivationImageSequence);
  derivation.PutCode(DCM_DerivationCodeSequence, {"113076", "DCM", "Segmentation"});
  for (const FrameReference& source : sources) {
    Attributes item = derivation.Reference(DCM_SourceImageSequence, source);
    item.PutCode(DCM_PurposeOfReferenceCodeSequence,
                 {"121322", "DCM", "Source image for image processing operation"});
    item.Text(DCM_SpatialLocationsPreserved, pixel_by_pixel ? "YES" : "NO");
  }
}

void DescribeFrames(Attributes& out, const NewSegmentation& in, const SourceImage& source,
                    const std::vector<Frame>& frames) {
  const SegmentedPlanes& planes = in.planes;
  const bool pixel_by_pixel = planes.columns == source.columns && planes.rows == source.rows;
  std::map<std::uint32_t, std::uint32_t> position_index;  // of the planes that are there, from 1
  for (const Frame& frame : frames) position_index[frame.plane] = 0;
  std::uint32_t next = 0;
  for (auto& [plane, index] : position_index) index = ++next;
  for (const Frame& frame : frames) {
    Attributes groups = out.Item(DCM_PerFrameFunctionalGroupsSequence);
    std::vector<std::uint32_t> indices = {static_cast<std::uint32_t>(frame.segment + 1)};
    if (planes.grid) indices.push_back(position_index[frame.plane]);
    groups.Item(DCM_FrameContentSequence).Indices(DCM_DimensionIndexValues, indices);
    if (planes.grid) {
      groups.Item(DCM_PlanePositionSequence)
          .Decimals(DCM_ImagePositionPatient,
                    ListOf(planes.grid->ToPatient({0, 0, double{1} * frame.plane})));
    }
    groups.Item(DCM_SegmentIdentificationSequence)
        .Number(DCM_ReferencedSegmentNumber, static_cast<unsigned>(frame.segment + 1));
    const auto& sources = planes.sources[frame.plane];
    if (!sources.empty()) DescribeDerivation(groups, sources, pixel_by_pixel);
  }
}

// C.12.2: the common instance reference module. All sources are of one series.
void DescribeReferences(Attributes& out, const SourceImage& source, const SegmentedPlanes& planes) {
  Attributes series = out.Item(DCM_ReferencedSeriesSequence);
  series.Text(DCM_SeriesInstanceUID, source.series_instance_uid);
  std::set<std::string> named;
  for (const auto& of_plane : planes.sources) {
    for (const FrameReference& reference : of_plane) {
      if (!named.insert(reference.sop_instance_uid).second) continue;
      series.Reference(DCM_ReferencedInstanceSequence,
                       {reference.sop_class_uid, reference.sop_instance_uid, 0});
    }
  }
}

// Bits follow each other without padding between frames, the first in the lowest bit (PS3.5 8.2).
std::vector<std::uint8_t> Pack(const NewSegmentation& in, const std::vector<Frame>& frames) {
  const std::size_t size = std::size_t{in.planes.columns} * in.planes.rows;
  const bool binary = in.kind == SegmentationKind::kBinary;
  std::vector<std::uint8_t> bytes(binary ? (frames.size() * size + 7) / 8 : frames.size() * size);
  std::size_t at = 0;
  for (const Frame& frame : frames) {
    const std::uint8_t* voxels = in.segments[frame.segment].voxels.data() + frame.plane * size;
    for (std::size_t i = 0; i < size; ++i, ++at) {
      if (!binary) {
        bytes[at] = voxels[i];
      } else if (voxels[i] != 0) {
        bytes[at / 8] = static_cast<std::uint8_t>(bytes[at / 8] | 1u << (at % 8));
      }
    }
  }
  return bytes;
}

}  // namespace

SegmentedPlanes PlanesOf(const SourceImage& image, std::uint32_t frame) {
  return {.columns = image.columns,
          .rows = image.rows,
          .planes = 1,
          .grid = image.plane,
          .frame_of_reference = image.plane ? image.frame_of_reference : std::string(),
          .sources = {{ReferenceTo(image, frame)}}};
}

SegmentedPlanes PlanesOf(const volumes::Stack& stack, const std::string& sop_class_uid) {
  SegmentedPlanes planes{.columns = stack.grid.size[0],
                         .rows = stack.grid.size[1],
                         .planes = stack.grid.size[2],
                         .grid = stack.grid,
                         .frame_of_reference = stack.frame_of_reference};
  std::set<std::string> instances;
  for (const volumes::Slice& slice : stack.slices) instances.insert(slice.instance);
  const bool one_frame_each = instances.size() == stack.slices.size();
  for (const volumes::Slice& slice : stack.slices) {
    planes.sources.push_back({{sop_class_uid, slice.instance, one_frame_each ? 0 : slice.frame}});
  }
  return planes;
}

absl::Status WriteSegmentation(const fs::path& path, const SourceImage& source,
                               const ModelDescription& model, const ResultName& name,
                               const NewSegmentation& in, Time now) {
  RETURN_IF_ERROR(Check(in, source));
  dicom::InitialiseLibrary();
  DcmFileFormat file;
  absl::Status status = absl::OkStatus();
  Attributes out(*file.getDataset(), status);
  DescribeResult(out, source, model, name, UID_SegmentationStorage, "SEG",
                 in.segments.front().label, now);
  if (in.planes.grid) {
    out.Text(DCM_FrameOfReferenceUID, in.planes.frame_of_reference);
    out.Text(DCM_PositionReferenceIndicator, source.position_reference_indicator);
  }
  DescribeImage(out, in, source, model);
  DescribeSegments(out, in, model, name);
  DescribeDimensions(out, name, in.planes.grid.has_value());
  const std::vector<Frame> frames = FramesOf(in);
  out.Text(DCM_NumberOfFrames, StrCat(frames.size()));
  DescribeSharedGroups(out, in.planes, source.slice_thickness_mm);
  DescribeFrames(out, in, source, frames);
  DescribeReferences(out, source, in.planes);
  out.Samples(Pack(in, frames));
  return WriteObject(path, file, status);
}

}  // namespace consilium::datasets::results
