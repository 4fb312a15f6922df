#pragma once

// What is said to and by a worker that reads targets (worker/message.h). Internal to this folder.
// Decoding gives nothing where a message is not sound.

#include <optional>

#include "common/plan/plan.h"
#include "datasets/placed_mask.h"
#include "datasets/targets/sandboxed_targets.h"

namespace consilium::datasets::targets {

Bytes Encode(const SegmentationSummary& summary);
std::optional<SegmentationSummary> DecodeSegmentation(ByteView message);

Bytes Encode(const StructureSetSummary& summary);
std::optional<StructureSetSummary> DecodeStructureSet(ByteView message);

Bytes Encode(const OutlinesSummary& summary);
std::optional<OutlinesSummary> DecodeOutlines(ByteView message);

Bytes Encode(const Report& report);
std::optional<Report> DecodeReport(ByteView message);

// Which mask is wanted: a segment's, a region's or an outlined structure's.
struct MaskRequest {
  std::uint32_t number = 0;
  volumes::Grid grid;
  std::string frame_of_reference;
  double threshold = 0.5;
};
Bytes Encode(const MaskRequest& request);
std::optional<MaskRequest> DecodeMaskRequest(ByteView message);

// What the pipeline makes of an image's masks (image_mask.h).
struct PlacedMaskRequest {
  std::vector<std::string> structures;
  plan::Preprocessing preprocessing;
};
Bytes Encode(const PlacedMaskRequest& request);
std::optional<PlacedMaskRequest> DecodePlacedMaskRequest(ByteView message);

Bytes Encode(const PlacedMask& mask);
// The answer to `request`.
std::optional<PlacedMask> DecodePlacedMask(ByteView message, const PlacedMaskRequest& request);

}  // namespace consilium::datasets::targets
