#pragma once

// The card of a published model: one page that tells a clinician, a reviewer and an ethics board
// what it is, what it was trained on and by whom, how well it does and where less, and what is not
// known (after Mitchell et al. 2019, Model Cards for Model Reporting). Made offline of its signed
// record, its plan, and results that sites give away.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/report/document.h"

namespace consilium::researcher {

// What `consilium-site evaluate --json` printed at one place: {"model", "split", "metrics", and
// maybe "groups": [{"group": "sex", "value": "F", "metrics": {...}}], "comparison"}.
struct SiteResult {
  std::string name;  // "north", "north-external": shown as it is
  std::string json;
};

// `record_json`: a verified record (VerifyModel). `plan_toml`: the plan whose SHA-256 it names.
// kInvalidArgument: another plan, results of another model, or text that is no such JSON; says
// which.
absl::StatusOr<report::Document> ModelCard(std::string_view record_json,
                                           const std::optional<std::string>& plan_toml,
                                           const std::vector<SiteResult>& results);

}  // namespace consilium::researcher
