#pragma once

#include <functional>

#include "absl/status/status.h"

namespace CLI {
class App;
}

namespace consilium::datasets::description {

// Adds `describe` to a program's subcommands; call what it returns to run it after parsing.
std::function<absl::Status()> AddDescribeCommand(CLI::App& app);

}  // namespace consilium::datasets::description
