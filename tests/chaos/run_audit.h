#pragma once

// What must be true of a run after whatever happened to its processes, read from what they left on
// their disks: the coordinator's ledger and models, each site's site.db, and what the sites'
// learner noted of its trainings.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "coordinator/ledger.h"

namespace consilium::chaos {

struct SiteTraces {
  fs::path state;      // of the site, which runs no more
  fs::path trainings;  // consilium-chaos-site's file; empty: a real learner
};

struct AuditOrder {
  RunId run;
  std::map<std::string, SiteTraces> sites;
  std::uint64_t parameters = 0;  // of a chaos learner's models; 0: a real one's, not recomputed
  // Every site was back within its grace each time: nobody may be left out of a round, and no
  // attempt may be lost.
  bool nobody_was_away = true;
};

struct RunFindings {
  std::string outcome;
  std::string published;  // model, hexadecimal; empty: none
  int rounds = 0, counted = 0;
  int left_out = 0;        // contributions of a round's last attempt that it does not count
  int lost = 0;            // ... although the site had it from the coordinator that it is there
  int doubled = 0;         // counted twice, as far as the ledger and the sites tell
  int misinformed = 0;     // counted, while the site's own site.db says that they are not
  int attempts_lost = 0;   // above one a round
  int trained_again = 0;   // although site.db knew of a finished training
  int trained_unkept = 0;  // ended, but killed before it could be kept
  int models_checked = 0;  // recomputed from the seeds, bit by bit
  std::vector<std::string> violations;
};

// Errors: something that must be there cannot be read.
absl::StatusOr<RunFindings> Audit(coordinator::Ledger& ledger, const AuditOrder& order);

}  // namespace consilium::chaos
