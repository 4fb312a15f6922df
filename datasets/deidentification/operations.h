#pragma once

#include "datasets/worker/operations.h"

namespace consilium::datasets::deidentification {

// What a sandboxed worker does to de-identify (sandboxed_cleaner.h). The arguments of each begin
// with an encoded Task.
inline constexpr char kExamine[] = "examine";  // of one file: an encoded ExaminedInstance
// Of one file; arguments end with the face's mask, or nothing. The cleaned file.
inline constexpr char kClean[] = "clean";
inline constexpr char kFindFaces[] = "find faces";  // of a series' files: encoded masks

void AddOperations(worker::Operations& operations);

}  // namespace consilium::datasets::deidentification
