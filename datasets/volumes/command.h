#pragma once

#include <functional>

#include "absl/status/status.h"

namespace CLI {
class App;
}

namespace consilium::datasets::volumes {

// Adds `volumes FOLDER` to a program's subcommands; call what it returns to run it after parsing.
std::function<absl::Status()> AddVolumesCommand(CLI::App& app);

}  // namespace consilium::datasets::volumes
