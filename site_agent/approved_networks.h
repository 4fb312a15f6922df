#pragma once

// The TorchScript modules that a site's operator has approved: STATE/networks/SHA256.pt, each under
// the hash of its bytes. Only they run here; a plan names the one it wants by its hash
// (learning/modules.h).

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"

namespace consilium::site_agent {

struct ApprovedNetwork {
  std::string sha256;  // lower-case hexadecimal
  std::uint64_t bytes = 0;
};
absl::StatusOr<std::vector<ApprovedNetwork>> ApprovedNetworks(const fs::path& state);

// Keeps a copy of the file, and returns its hash. kInvalidArgument: learning::DescribeModule
// refuses it.
absl::StatusOr<std::string> ApproveNetwork(const fs::path& state, const fs::path& file);
// `sha256`: the hash or a unique beginning of it. kNotFound when there is none such.
absl::Status WithdrawNetwork(const fs::path& state, const std::string& sha256);

// Tells learning of all of them; what no longer has its name's hash is left out, and logged.
absl::Status LoadApprovedNetworks(const fs::path& state);

}  // namespace consilium::site_agent
