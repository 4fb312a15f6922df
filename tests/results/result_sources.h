#pragma once

// Images that results are about, and a model that made them.

#include <string>

#include "common/base/file.h"
#include "datasets/results/result_object.h"

namespace consilium::datasets::results {

inline constexpr std::uint32_t kSourceRows = 40, kSourceColumns = 60;

// One image of the modality (of those that dicom::WriteFile writes), with a bright block in one
// corner.
void WriteSource(const fs::path& path, const std::string& modality);
SourceImage SourceOf(const fs::path& path);
ModelDescription TestModel();
Time TestTime();

}  // namespace consilium::datasets::results
