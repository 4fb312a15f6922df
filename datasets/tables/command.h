#pragma once

#include <functional>

#include "absl/status/status.h"

namespace CLI {
class App;
}

namespace consilium::datasets::tables {

// Adds `consilium-dataset table`; what is returned runs it, after the arguments were parsed.
std::function<absl::Status()> AddTableCommand(CLI::App& app);

}  // namespace consilium::datasets::tables
