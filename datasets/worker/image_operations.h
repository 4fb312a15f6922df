#pragma once

#include "datasets/worker/operations.h"

namespace consilium::datasets::worker {

// What ImageReader asks for (sandboxed_reader.h).
inline constexpr char kReadHeader[] = "header";  // of one file: an encoded dicom::Header
// Of one file; arguments: encoded preprocessing. The result: the values (MessageWriter::Floats).
inline constexpr char kReadInput[] = "input";

void AddImageOperations(Operations& operations);

}  // namespace consilium::datasets::worker
