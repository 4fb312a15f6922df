#include "site_agent/approvals.h"

#include "common/base/status.h"

namespace consilium::site_agent {
namespace {

constexpr std::string_view kApproved = "approved ", kRefused = "refused ";

// A run's name comes from the coordinator: it must name a file in this folder and no other.
absl::StatusOr<fs::path> FileOf(const fs::path& folder, const RunId& run) {
  constexpr std::size_t kLongest = 100;
  constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyz0123456789-";
  const bool fits = !run.empty() && run.value.size() <= kLongest &&
                    run.value.find_first_not_of(kAllowed) == std::string::npos;
  if (!fits) return absl::InvalidArgumentError("a run's name is made of a-z, 0-9 and -");
  return folder / run.value;
}

}  // namespace

absl::Status WriteApproval(const fs::path& folder, const RunId& run, const PlanHash& plan,
                           bool approved) {
  ASSIGN_OR_RETURN(const fs::path file, FileOf(folder, run));
  RETURN_IF_ERROR(EnsureFolder(folder));
  return WriteFileDurably(file, StrCat(approved ? kApproved : kRefused, plan.Hex(), "\n"));
}

absl::StatusOr<Approval> ReadApproval(const fs::path& folder, const RunId& run,
                                      const PlanHash& plan) {
  ASSIGN_OR_RETURN(const fs::path file, FileOf(folder, run));
  const auto text = ReadTextFile(file, 4096);
  if (absl::IsNotFound(text.status())) return Approval::kNone;
  RETURN_IF_ERROR(text.status());
  std::string_view rest = *text;
  const bool approved = rest.starts_with(kApproved);
  if (!approved && !rest.starts_with(kRefused)) {
    return absl::DataLossError(
        StrCat("the operator's word on run ", run.value, " cannot be read; give it again"));
  }
  rest.remove_prefix(approved ? kApproved.size() : kRefused.size());
  const std::size_t end = rest.find('\n');
  const auto of = Digest::FromHex(rest.substr(0, end));
  if (!of.ok() || *of != plan) return Approval::kNone;
  return approved ? Approval::kApproved : Approval::kRefused;
}

}  // namespace consilium::site_agent
