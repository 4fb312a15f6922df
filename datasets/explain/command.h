#pragma once

#include <memory>

#include "absl/status/status.h"

namespace CLI {
class App;
}

namespace consilium::datasets::explain {

// consilium-dataset explain.
class Command {
 public:
  Command();
  ~Command();
  // The command's arguments are kept here: it must outlive the app's parsing.
  void AddTo(CLI::App& app);
  // After parsing. Prints the steps and writes the contact sheet. kPermissionDenied, after all that
  // can be told, when the image is refused.
  absl::Status Run();

 private:
  struct Arguments;
  std::unique_ptr<Arguments> arguments_;
};

}  // namespace consilium::datasets::explain
