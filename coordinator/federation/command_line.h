#pragma once

#include <memory>

#include "absl/status/status.h"

namespace CLI {
class App;
}

namespace consilium::federation {

// The `federation` subcommand with its own subcommands and options.
class CommandLine {
 public:
  // Adds them to `app`. `json` is read when the command runs; both must outlive this.
  CommandLine(CLI::App& app, const bool& json);
  ~CommandLine();
  bool chosen() const;  // after parsing
  absl::Status Run() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace consilium::federation
