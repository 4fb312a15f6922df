#pragma once

#include "datasets/worker/operations.h"

namespace consilium::datasets::volumes {

// What a sandboxed worker does for volumes (sandboxed_instances.h).
inline constexpr char kReadInstance[] = "instance";  // of one file: an encoded instance
// Of one file; arguments: the first frame, counted from 0, and how many, both U32. The modality
// values of one frame after the other, up to the first that cannot be read.
inline constexpr char kReadFrames[] = "frames";

void AddOperations(worker::Operations& operations);

}  // namespace consilium::datasets::volumes
