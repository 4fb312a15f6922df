#pragma once

// A study from files to its page: for each seed the sites' folders, a whole federation of real
// processes with masked updates, each site alone, all data pooled, and every model's test at every
// site.
//
//   OUT/seed-N/sites, /federation, /models, plan.toml   OUT/seed-N/results.json when it is done
//   OUT/results.json   OUT/results.md   OUT/results.html
//
// Cut off, the same command goes on after the last seed that was finished.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/plan/plan.h"
#include "experiments/study_results.h"

namespace consilium::experiments {

struct StudyOptions {
  std::string name;
  fs::path data, test;
  std::vector<std::string> held_out;
  bool leave_one_out = false;                    // once for each site, held out (leave_one_out.h)
  std::uint32_t seeds = 3;                       // 1 to N
  fs::path out;                                  // empty: study-NAME
  fs::path plan;                                 // empty: the study's own
  std::optional<std::uint32_t> rounds;           // instead of the plan's
  std::optional<plan::PersonalMethod> personal;  // likewise: a model of each site's own
  bool fresh = false;                            // remove what an earlier study left in OUT
  bool json = false;  // results to standard output, all else to standard error
  int cores = 0;      // 0: what this process may use
};

// Prints what it does. kFailedPrecondition: OUT holds another study, or one of other options.
absl::StatusOr<StudyResults> RunStudy(const StudyOptions& options);
fs::path OutOf(const StudyOptions& options);

// All seeds as one JSON document.
std::string ToJson(const StudyResults& results);

}  // namespace consilium::experiments
