#pragma once

// The site's own word on what it takes part in, from STATE/policy.toml. Without the file every plan
// with a cohort of three or more is allowed, as long as its updates are masked. It is read anew
// before every task, so that an operator's change needs no restart:
//
//   enabled = true                      # false: take part in nothing, send nothing
//   decide = "rules"                    # "ask": the operator approves each run that passes them
//   researchers = ["ada"]               # whose plans; absent: every researcher of the roster
//   plans = ["chest-opacity"]           # plan names allowed; absent: all
//   targets = ["opacity"]               # label columns used; absent: all
//   modalities = ["DX", "CR"]           # DICOM (0008,0060) values used; absent: all
//   tables = ["stays"]                  # tables read (NAME of NAME.csv); absent: all
//   columns = ["age", "sodium"]         # of tables, what may be an input; absent: all
//   recordings = true                   # false: no plan of recordings
//   architectures = ["resnet18"]        # absent: all
//   minimum_cohort = 3                  # refuse plans that would count a round on fewer sites; 2
//                                       # needs sealed_updates
//   sealed_updates = false              # true: also plans whose updates the coordinator sees
//   maximum_rounds = 50
//   describe = true                     # false: never tell what the images are, not even added up
//                                       # with those of other sites
//
//   [deidentification]                  # what enters the catalog (datasets/index_policy.h)
//   retain = ["patient_characteristics", "device_identity"]
//   burned_in = "refuse"
//   faces = "accept"
//
// The last table shapes the catalog when it is indexed: at the agent's next start.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/plan/plan.h"
#include "datasets/index_policy.h"

namespace consilium::site_agent {

enum class DecideBy { kRules, kAsk };  // "rules", "ask"

struct Policy {
  bool enabled = true;
  DecideBy decide = DecideBy::kRules;
  std::optional<std::vector<std::string>> researchers, plans, targets, modalities, tables, columns,
      architectures;
  std::uint32_t minimum_cohort = 3;
  bool sealed_updates = false;
  std::optional<std::uint32_t> maximum_rounds;
  bool describe = true, recordings = true;
  datasets::IndexPolicy deidentification;  // a plan may retain no more

  // kPermissionDenied with the rule that forbids it.
  absl::Status Check(const plan::Plan& plan, std::string_view researcher) const;

 private:
  absl::Status CheckData(const plan::Plan& plan) const;
  absl::Status CheckRounds(const plan::Plan& plan) const;
};

// Unknown keys, wrong types and values out of range are refused (kInvalidArgument with the line).
absl::StatusOr<Policy> ParsePolicy(std::string_view toml);
// The default when there is no such file.
absl::StatusOr<Policy> LoadPolicy(const fs::path& file);

}  // namespace consilium::site_agent
