#pragma once

// What all drawn hospitals have in common. Internal to this folder.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/base/file.h"

namespace consilium::datasets::synthetic {

// Which of the patients have the finding: exactly the wanted share, spread by the seed.
std::vector<bool> SpreadFindings(std::string_view hospital, std::uint32_t patients, double fraction,
                                 std::uint64_t seed);
// The ID of a hospital's patient, numbered from 0: "north-00001".
std::string PatientName(std::string_view hospital, std::uint32_t index);
// kAlreadyExists when the folder holds something already.
absl::Status MakeNewFolder(const fs::path& folder);

}  // namespace consilium::datasets::synthetic
