#pragma once

// From images to a published model in one go, on one machine: hospitals, a coordinator, agents, a
// run, what it compares with, and a report.
//
//   OUT/data/NAME   drawn images (unless --data)      OUT/plan.toml           the plan as submitted
//   OUT/federation  state and logs of all programs    OUT/models              the models it
//   compares with OUT/NAME.safetensors, .record.json                the published model and its
//   signed record OUT/results.json                                  all that was found
//   OUT/report.html                                             OUT/checkpoint.json   how far it
//   came
//
// Cut off at any moment, by kill -9 of all its processes too, the same request goes on with what is
// in OUT: drawn images, the federation and its members, the run in its round, trained models. One
// process at a time works in OUT.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/plan/plan.h"
#include "experiments/results.h"

namespace consilium::experiments {

struct QuickstartOptions {
  std::vector<fs::path> data;  // a folder a hospital; empty: three hospitals of drawn images
  fs::path out = "quickstart-run";
  fs::path plan;  // empty: the quickstart's own
  std::optional<std::uint32_t> rounds;
  std::optional<std::uint64_t> seed;
  std::optional<plan::Updates> updates;  // instead of the plan's
  std::uint32_t patients = 360;          // of each drawn hospital
  std::uint64_t images_seed = 7;
  bool fresh = false;           // remove what an earlier quickstart left in OUT, and begin anew
  bool keep_images = false;     // ... but take the drawn images that it left
  bool baselines = true;        // local-only and pooled-data models to compare with
  bool example_images = false;  // show images of --data in the report
  bool json = false;            // results to standard output, all else to standard error
  int cores = 0;                // 0: what this process may use
};

// Prints what it does, and what it goes on with. What was finished before is not done again.
// kFailedPrecondition: OUT holds another request's quickstart, saying what differs. Other errors
// say which step failed, with the end of the log that matters.
absl::StatusOr<Results> RunQuickstart(const QuickstartOptions& options);

// Writes OUT/report.html from OUT/results.json.
absl::Status RewriteReport(const fs::path& out);

// The end table, the verdict, where things are: for a terminal.
std::string Summary(const Results& results, const fs::path& out);

}  // namespace consilium::experiments
