#pragma once

// The commands of consilium-site. Each prints its result to standard output and its progress to
// standard error.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/file.h"

namespace consilium::site_agent {

struct EnrolCommand {
  std::string coordinator, token;
  fs::path state;
};
absl::Status Run(const EnrolCommand& command);

struct RunCommand {
  fs::path state, data, labels;
  int threads = 0;
  bool once = false;
};
absl::Status Run(const RunCommand& command);

struct TrainCommand {
  fs::path plan, state, out;
  std::vector<fs::path> data;
  std::uint32_t epochs = 0;
  std::optional<std::uint64_t> seed;  // default: the plan's
  int threads = 0;
  bool json = false;
};
absl::Status Run(const TrainCommand& command);

struct EvaluateCommand {
  fs::path model, plan, state;
  std::vector<fs::path> data;
  std::string split = "test";
  int threads = 0;
  bool json = false;
};
absl::Status Run(const EvaluateCommand& command);

struct LookCommand {
  fs::path state;
  bool json = false;
};
absl::Status ShowStatus(const LookCommand& command);
absl::Status ShowOutbox(const LookCommand& command);

}  // namespace consilium::site_agent
