#include "site_agent/approved_networks.h"

#include <algorithm>

#include "common/base/log.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "site_agent/learning/modules.h"

namespace consilium::site_agent {
namespace {

constexpr std::size_t kLargestModule = std::size_t{2} << 30;
constexpr std::string_view kEnding = ".pt";

fs::path FolderOf(const fs::path& state) { return state / "networks"; }

std::string HashOf(const std::string& file) { return crypto::Sha256(AsBytes(file)).Hex(); }

}  // namespace

absl::StatusOr<std::vector<ApprovedNetwork>> ApprovedNetworks(const fs::path& state) {
  std::vector<ApprovedNetwork> networks;
  if (!Exists(FolderOf(state))) return networks;
  ASSIGN_OR_RETURN(const std::vector<FolderEntry> entries, ListFolder(FolderOf(state)));
  for (const FolderEntry& entry : entries) {
    if (entry.folder || entry.path.extension() != kEnding) continue;
    ASSIGN_OR_RETURN(const std::uint64_t bytes, FileSize(entry.path));
    networks.push_back({entry.path.stem().string(), bytes});
  }
  std::sort(networks.begin(), networks.end(),
            [](const auto& a, const auto& b) { return a.sha256 < b.sha256; });
  return networks;
}

absl::StatusOr<std::string> ApproveNetwork(const fs::path& state, const fs::path& file) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadTextFile(file, kLargestModule));
  RETURN_IF_ERROR(learning::DescribeModule(bytes).status());
  const std::string sha256 = HashOf(bytes);
  RETURN_IF_ERROR(EnsureFolder(FolderOf(state)));
  RETURN_IF_ERROR(WriteFileDurably(FolderOf(state) / StrCat(sha256, kEnding), bytes));
  return sha256;
}

absl::Status WithdrawNetwork(const fs::path& state, const std::string& sha256) {
  ASSIGN_OR_RETURN(const std::vector<ApprovedNetwork> networks, ApprovedNetworks(state));
  std::vector<std::string> named;
  for (const ApprovedNetwork& network : networks) {
    if (!sha256.empty() && network.sha256.starts_with(sha256)) named.push_back(network.sha256);
  }
  if (named.size() != 1) {
    return absl::NotFoundError(
        StrCat(named.empty() ? "no approved network" : "several approved networks",
               " begin with \"", sha256, "\": see consilium-site network list"));
  }
  return Remove(FolderOf(state) / StrCat(named.front(), kEnding));
}

absl::Status LoadApprovedNetworks(const fs::path& state) {
  ASSIGN_OR_RETURN(const std::vector<ApprovedNetwork> networks, ApprovedNetworks(state));
  for (const ApprovedNetwork& network : networks) {
    ASSIGN_OR_RETURN(
        std::string bytes,
        ReadTextFile(FolderOf(state) / StrCat(network.sha256, kEnding), kLargestModule));
    if (HashOf(bytes) != network.sha256) {
      Log(LogLevel::kError, "network_left_out",
          {{"network", network.sha256.substr(0, 12)},
           {"reason", "its file is not what its name says: approve it again"}});
      continue;
    }
    learning::ApproveModule(network.sha256, std::move(bytes));
  }
  return absl::OkStatus();
}

}  // namespace consilium::site_agent
