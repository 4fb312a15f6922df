#pragma once

// A drawn patient followed through a real archive, on one machine and on loopback: three scans of a
// head with outlined lesions are pushed into Orthanc, pulled again by query, followed, and the
// report is sent back and listed there.
//
//   OUT/drawn      drawn scans and segmentations     OUT/orthanc     the archive
//   OUT/pulled     what came back by query           OUT/follow-ups  report and pages, as sent
//   OUT/follow-up.html, follow-up.md, follow-up.json, follow-up.txt

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "experiments/orthanc.h"

namespace consilium::experiments {

struct FollowUpOptions {
  fs::path out = "follow-up-run";
  std::uint64_t seed = 7;  // of the drawn head
  bool fresh = false;      // replace what an earlier one left in OUT
};

struct FollowUpSession {
  std::uint64_t pushed = 0;              // instances
  std::string table;                     // what consilium-site follow printed
  double largest_diameter_error_mm = 0;  // against the lesions that were drawn
  double seconds_registering = 0;        // of both later scans
  std::vector<ArchivedSeries> reports;   // in the archive at the end
};

// Prints what it does. kNotFound when Orthanc is not installed; kDataLoss when what was found is
// not what was drawn, or the archive does not hold one report.
absl::StatusOr<FollowUpSession> RunFollowUp(const FollowUpOptions& options);

std::string Summary(const FollowUpSession& session, const fs::path& out);

}  // namespace consilium::experiments
