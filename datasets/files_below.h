#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"

namespace consilium::datasets {

// The regular files (and links to such) of a folder tree, by path; of a file, itself. What begins
// with a point is left out, and folders that may not be read. kNotFound: nothing is there;
// kInvalidArgument: it cannot be read.
absl::StatusOr<std::vector<fs::path>> FilesBelow(const fs::path& folder);

}  // namespace consilium::datasets
