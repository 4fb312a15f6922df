#pragma once

// consilium-site drift: are the patients that come now like those before, or is a continual round
// due?

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/file.h"
#include "site_agent/drift.h"
#include "site_agent/published_model.h"

namespace CLI {
class App;
}

namespace consilium::site_agent {

struct DriftCommand {
  ModelChoice model;
  fs::path state, data;
  std::string since;  // 2026-11-01; empty: where the baseline ends
  int threads = 0;
  bool json = false;
};

void AddDriftOptions(CLI::App& command, DriftCommand& arguments);
absl::Status Run(const DriftCommand& command);

// Where the baseline of a model ends: its publication at a site that trained it, for there the
// training patients came before; elsewhere `now`.
std::int64_t BaselineEnd(const PublishedModel& model, bool trained_here, std::int64_t now);

std::int64_t SecondsNow();  // since 1970

// For people and for scripts.
std::string ToText(const DriftReport& report);
std::string ToJson(const DriftReport& report);

}  // namespace consilium::site_agent
