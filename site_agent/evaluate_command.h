#pragma once

// consilium-site evaluate: how well a model does at this site, by groups of patients, and against
// another one. A published model may be one that this site did not train: external validation.

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/file.h"
#include "site_agent/published_model.h"

namespace CLI {
class App;
}

namespace consilium::site_agent {

struct EvaluateCommand {
  // With a plan and without a record, a model's file of one's own: nothing is proved of it.
  ModelChoice model, against;  // against: the model empty, none
  fs::path state;
  std::vector<fs::path> data;
  std::string split;  // empty: "all" of a published model that this site did not train, else "test"
  std::vector<std::string> by;
  int threads = 0;
  bool json = false;
};

void AddEvaluateOptions(CLI::App& command, EvaluateCommand& arguments);
absl::Status Run(const EvaluateCommand& command);

}  // namespace consilium::site_agent
