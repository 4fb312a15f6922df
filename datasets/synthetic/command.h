#pragma once

#include <memory>

#include "absl/status/status.h"

namespace CLI {
class App;
}

namespace consilium::datasets::synthetic {

// consilium-dataset synthesize.
class Command {
 public:
  Command();
  ~Command();
  // The command's arguments are kept here: it must outlive the app's parsing.
  void AddTo(CLI::App& app);
  // After parsing. Prints the counts.
  absl::Status Run();

 private:
  struct Arguments;
  std::unique_ptr<Arguments> arguments_;
};

}  // namespace consilium::datasets::synthetic
