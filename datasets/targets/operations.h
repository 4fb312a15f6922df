#pragma once

#include "datasets/worker/operations.h"

namespace consilium::datasets::targets {

// What a sandboxed worker does for targets (sandboxed_targets.h): each of one file, but for the
// placed mask, of an image and what outlines it.
inline constexpr char kReadSegmentation[] = "segmentation", kReadSegment[] = "segment mask",
                      kReadStructureSet[] = "structure set", kReadRegion[] = "region mask",
                      kReadOutlines[] = "outlines", kReadOutline[] = "outline mask",
                      kReadReport[] = "report", kReadPlacedMask[] = "placed mask";

void AddOperations(worker::Operations& operations);

}  // namespace consilium::datasets::targets
