#pragma once

// consilium-site network: a consortium's own networks, which the site's operator approves.

#include <string>

#include "absl/status/status.h"
#include "common/base/file.h"

namespace CLI {
class App;
}

namespace consilium::site_agent {

struct NetworkCommand {
  fs::path state, file;
  std::string sha256;
  bool json = false;
  CLI::App *show = nullptr, *approve = nullptr, *list = nullptr, *withdraw = nullptr;
};
// Adds the subcommands to `app`; `command` outlives it.
void AddNetworkOptions(CLI::App& app, NetworkCommand& command);
absl::Status Run(const NetworkCommand& command);

}  // namespace consilium::site_agent
