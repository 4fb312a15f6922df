#include "datasets/synthetic/cohort.h"

#include <cmath>
#include <numeric>

#include "common/base/random.h"
#include "common/base/status.h"

namespace consilium::datasets::synthetic {

std::vector<bool> SpreadFindings(std::string_view hospital, std::uint32_t patients, double fraction,
                                 std::uint64_t seed) {
  std::vector<std::uint32_t> order(patients);
  std::iota(order.begin(), order.end(), 0u);
  SeededRandom random(seed, StrCat(hospital, "/classes"));
  for (std::uint32_t i = patients; i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
  const auto positives = static_cast<std::uint32_t>(std::lround(patients * fraction));
  std::vector<bool> found(patients);
  for (std::uint32_t i = 0; i < patients; ++i) found[i] = order[i] < positives;
  return found;
}

std::string PatientName(std::string_view hospital, std::uint32_t index) {
  return StrCat(hospital, "-", absl::Dec(index + 1, absl::kZeroPad5));
}

absl::Status MakeNewFolder(const fs::path& folder) {
  std::error_code error;
  if (fs::exists(folder, error) && !fs::is_empty(folder, error)) {
    return absl::AlreadyExistsError(StrCat("the folder \"", folder.filename().string(),
                                           "\" is not empty; name a new one or empty it"));
  }
  return EnsureFolder(folder);
}

}  // namespace consilium::datasets::synthetic
