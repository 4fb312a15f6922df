#pragma once

// Which structure each pixel of an image belongs to, by what outlines it; and the same as the
// pipeline places the image. Where structures overlap, the later one of the list counts.

#include <span>
#include <string>
#include <vector>

#include "common/plan/plan.h"
#include "datasets/dicom/image_file.h"
#include "datasets/pipeline/placement.h"
#include "datasets/placed_mask.h"
#include "datasets/targets/outlines.h"

namespace consilium::datasets::targets {

inline constexpr std::size_t kMostStructures = 255;

// Labels of segments and names of regions are compared without case and blanks around them.
std::string FoldedLabel(std::string_view label);

// rows * columns structure numbers of one frame: 0 background, i for the i-th of `structures`, from
// 1. A frame of a segmentation counts when it names the image (PS3.3 C.7.6.16.2.6) or, naming none,
// lies on its plane. Where both say where they lie, it goes where its geometry says; else pixel by
// pixel, and must be of the image's size: kOutsideVolume. Of a structure set the contours on the
// image's plane count.
OrRefused<Bytes> ReadImageMask(dicom::ImageFile& image, std::uint32_t frame,
                               std::span<Outlines> outlines,
                               const std::vector<std::string>& structures);

// What each pixel of the input shows, by its centre; beside the image, background.
Bytes Placed(ByteView mask, const pipeline::Placement& placement);

// Both, of the frame and with the placement that pipeline::MakeInput chooses.
OrRefused<PlacedMask> ReadPlacedMask(dicom::ImageFile& image, std::span<Outlines> outlines,
                                     const std::vector<std::string>& structures,
                                     const plan::Preprocessing& preprocessing);

}  // namespace consilium::datasets::targets
