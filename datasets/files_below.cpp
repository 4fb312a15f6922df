#include "datasets/files_below.h"

#include <algorithm>

#include "common/base/text.h"

namespace consilium::datasets {

absl::StatusOr<std::vector<fs::path>> FilesBelow(const fs::path& folder) {
  std::error_code error;
  if (fs::is_regular_file(folder, error)) return std::vector<fs::path>{folder};
  std::vector<fs::path> files;
  auto entry = fs::recursive_directory_iterator(
      folder, fs::directory_options::skip_permission_denied, error);
  while (!error && entry != fs::recursive_directory_iterator()) {
    if (entry->path().filename().native().starts_with('.')) {
      entry.disable_recursion_pending();
    } else if (std::error_code ignored; entry->is_regular_file(ignored)) {
      files.push_back(entry->path());
    }
    entry.increment(error);
  }
  if (error) {
    const auto code = error == std::errc::no_such_file_or_directory
                          ? absl::StatusCode::kNotFound
                          : absl::StatusCode::kInvalidArgument;
    return absl::Status(code, StrCat("the folder \"", folder.filename().string(),
                                     "\" cannot be read: ", error.message()));
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace consilium::datasets
