#pragma once

// consilium-site model map: weights from elsewhere as the first model of a plan.

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/file.h"

namespace CLI {
class App;
}

namespace consilium::site_agent {

struct ModelMapCommand {
  fs::path file, plan, out;
  std::vector<std::string> renames;  // "old=new": beginnings of names
  bool skip_head = false;
  bool json = false;
};
void AddModelMapOptions(CLI::App& app, ModelMapCommand& command);
// Shows where each tensor of the plan's network comes from, and writes the model that
// `consilium model import` takes. kInvalidArgument, after all is shown: a tensor does not fit;
// nothing is written.
absl::Status Run(const ModelMapCommand& command);

}  // namespace consilium::site_agent
