#pragma once

// A study once for each site, which is held out: it is tested on without having trained. How well a
// federation's model does at a hospital that nobody has seen.
//
//   OUT/without-SITE/ as of a study (study_run.h)   OUT/leave-one-out.md   OUT/leave-one-out.html

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "experiments/study_run.h"

namespace consilium::experiments {

struct LeftOut {
  std::string site;
  StudyResults results;
};

// Each model's figure at a held-out site, over the seeds; of the sites' own models over all of
// them.
struct LeftOutRow {
  std::string site;
  Spread federated, pooled, alone;
};
LeftOutRow RowOf(const LeftOut& left_out, Figure figure);

// Prints what it does and the table at the end. Cut off, the same command goes on. Errors as
// RunStudy's.
absl::Status RunLeaveOneOut(const StudyOptions& options);

}  // namespace consilium::experiments
