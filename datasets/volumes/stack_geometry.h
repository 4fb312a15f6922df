#pragma once

// One stack from slices that are to be one: the part of FindStacks that measures.

#include <vector>

#include "datasets/volumes/stack.h"

namespace consilium::datasets::volumes {

// Refuses with kNoGeometry, kTooFewSlices, kMixedSizes, kMixedOrientations, kOtherFrameOfReference,
// kDuplicatePosition, kMissingSlices, kUnevenSpacing, kGantryTilt or kTooLarge.
OrRefused<Stack> MakeStack(std::vector<Slice> slices, const StackOptions& options);

}  // namespace consilium::datasets::volumes
