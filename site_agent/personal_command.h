#pragma once

// consilium-site personal show: is the site's own model better for its patients than the global
// one?

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/file.h"

namespace CLI {
class App;
}

namespace consilium::site_agent {

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
