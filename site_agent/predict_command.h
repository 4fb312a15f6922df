#pragma once

// consilium-site predict and listen.

#include <string>

#include "absl/status/status.h"
#include "common/base/file.h"
#include "datasets/pacs/archive_options.h"
#include "datasets/pacs/commands.h"
#include "site_agent/prediction.h"
#include "site_agent/published_model.h"

namespace CLI {
class App;
}

namespace consilium::site_agent {

struct PredictCommand {
  fs::path state, data;
  ModelChoice model;
  PredictionOptions options;
  datasets::pacs::PullArguments archive;  // for --pull, and its peer for --send
  bool personal = false;
  bool pull = false, send = false, watch = false;
  double poll_s = 5, settle_s = 30;
  int threads = 0;
  bool json = false;
};
void AddPredictOptions(CLI::App& command, PredictCommand& arguments);
// Prints what was scored, refused and sent to standard output. An archive that refuses results, or
// does not send what was asked for, is an error after everything else is done.
absl::Status Run(PredictCommand& command);

struct ListenCommand {
  fs::path state;
  datasets::pacs::ListenArguments arguments;  // out empty: STATE/incoming
};
void AddListenOptions(CLI::App& command, ListenCommand& arguments);
absl::Status Run(ListenCommand& command);

}  // namespace consilium::site_agent
