#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/file.h"

namespace consilium::datasets {

// A folder of the shared test data; nothing, with a warning, when CONSILIUM_SHARED_DATA does not
// hold it.
std::optional<fs::path> SharedData(std::string_view name);

// dicom/manifest.csv by column names.
using ManifestRow = std::map<std::string, std::string>;
std::vector<ManifestRow> ReadManifest(const fs::path& dicom_folder);

}  // namespace consilium::datasets
