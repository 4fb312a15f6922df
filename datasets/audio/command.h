#pragma once

#include <functional>

#include "absl/status/status.h"

namespace CLI {
class App;
}

namespace consilium::datasets::audio {

// Adds `consilium-dataset audio`; what is returned runs it, after the arguments were parsed.
std::function<absl::Status()> AddAudioCommand(CLI::App& app);

}  // namespace consilium::datasets::audio
