#pragma once

// consilium-site personal show: is the site's own model better for its patients than the global
// one?

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "site_agent/model_comparison.h"
#include "site_agent/personal_model.h"
#include "site_agent/site_state.h"

namespace CLI {
class App;
}

namespace consilium::site_agent {

// The personal model against the global one that it was made of, on the test patients of `sites`.
// kNotFound: the global one is not kept any more; kFailedPrecondition: too few patients to say.
absl::StatusOr<ModelComparison> ComparePersonal(
    const SiteFolder& folder, const PersonalModel& personal, const plan::Plan& plan,
    const std::vector<std::unique_ptr<LocalData>>& sites, Progress& progress);
// "personal" or "global": that one is better, its interval of the difference without 0; else
// "undecided".
std::string_view Verdict(const ModelComparison& comparison);

struct PersonalCommand {
  fs::path state;
  std::vector<fs::path> data;
  std::string run;  // empty: all that have a personal model
  int threads = 0;
  bool json = false;
};
void AddPersonalShowOptions(CLI::App& app, PersonalCommand& command);
// Both models on the site's test patients, paired; nothing of it leaves the site. kNotFound: there
// is no personal model.
absl::Status Run(const PersonalCommand& command);

}  // namespace consilium::site_agent
