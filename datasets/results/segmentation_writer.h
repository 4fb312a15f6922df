#pragma once

// DICOM segmentations (PS3.3 A.51, C.8.20) of what a model found: masks, or values from 0 to 255.

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "datasets/results/result_object.h"
#include "datasets/results/source_image.h"
#include "datasets/targets/mask.h"
#include "datasets/volumes/geometry.h"
#include "datasets/volumes/stack.h"

namespace consilium::datasets::results {

struct NewSegment {
  std::string label;             // "liver"; printable ASCII, as the description
  std::string description;       // what the values mean, and what not; empty: not said
  targets::Code category, type;  // ("123037004", "SCT", "Anatomical Structure"), ("10200004", ...)
  std::array<std::uint16_t, 3> display_colour = {0xc000, 0xb000,
                                                 0x9000};  // CIELab, PS3.3 C.10.7.1.1
  // Of all planes, one after the other: column fastest, then row, then plane. kBinary: 0 or 1; else
  // 0 to 255.
  std::vector<std::uint8_t> voxels;
};

// What was segmented, plane by plane.
struct SegmentedPlanes {
  std::uint32_t columns = 0, rows = 0, planes = 1;
  // Where the planes lie: slices of a grid in the source's frame of reference, which may be sheared
  // (a tilted gantry) and in either order. Nothing: of a projection, or an image that does not say;
  // then the mask lies on its source pixel by pixel, and both have the same size (A.51.5.1: the
  // frame of reference may be left out of a segmentation with derivation images).
  std::optional<volumes::Grid> grid;
  std::string frame_of_reference;  // with a grid; of the source
  // What each plane was made from; with a grid, planes without are allowed.
  std::vector<std::vector<FrameReference>> sources;
};

// Of one frame (from 0) of an image, with its geometry where it has one.
SegmentedPlanes PlanesOf(const SourceImage& image, std::uint32_t frame = 0);
// Of a whole stack, on its own grid, from instances of one SOP class.
SegmentedPlanes PlanesOf(const volumes::Stack& stack, const std::string& sop_class_uid);

enum class SegmentationKind {
  kBinary,
  kFractionalProbability,  // 255: certainly a part of it
  kFractionalOccupancy,    // 255: all of the voxel is
};

struct NewSegmentation {
  SegmentationKind kind = SegmentationKind::kBinary;
  SegmentedPlanes planes;
  std::vector<NewSegment> segments;  // numbered from 1
  // People drew it and the model is only the program that wrote it down: Segment Algorithm Type
  // MANUAL, no algorithm named.
  bool manual = false;
};

// Planes without any voxel of a segment are left out, but for one where there are no others.
// `source`: one of the source images, whose patient and study become the result's. Explicit little
// endian, written durably. kInvalidArgument when the segmentation contradicts itself.
absl::Status WriteSegmentation(const fs::path& path, const SourceImage& source,
                               const ModelDescription& model, const ResultName& name,
                               const NewSegmentation& segmentation, Time now);

}  // namespace consilium::datasets::results
