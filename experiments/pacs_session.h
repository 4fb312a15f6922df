#pragma once

// A hospital's day with its archive, on one machine and on loopback: a real Orthanc with phantoms
// of three hospitals, from which each site pulls its own by query; a federation that trains and
// publishes a model; that model on new studies pulled from the archive; and its results sent back
// and listed there.
//
//   OUT/drawn/NAME      drawn studies             OUT/sites/NAME     pulled ones, with labels.csv
//   OUT/federation      as in federation.h        OUT/orthanc        the archive
//   OUT/new             new studies, pulled       OUT/results        what is sent back

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "experiments/orthanc.h"

namespace consilium::experiments {

struct PacsSessionOptions {
  fs::path out = "pacs-session-run";
  std::uint32_t patients = 360;     // of each of three hospitals, to train on
  std::uint32_t new_patients = 12;  // to predict; and a few with mammograms, which do not fit
  std::uint32_t rounds = 14;
  bool small = false;  // smaller images and no gate: for a test
  bool fresh = false;  // replace what an earlier session left in OUT
};

struct PacsSession {
  std::string model_id;
  std::uint64_t pushed = 0;  // instances, before any result
  std::uint64_t scored = 0, refused = 0, sent = 0;
  std::uint64_t sent_again = 0;         // by the same command, a second time
  std::vector<ArchivedSeries> results;  // in the archive at the end: by us, not the studies
};

// Prints what it does. kNotFound when Orthanc is not installed. The results that the archive holds
// have been counted against what was scored: kDataLoss when some are missing.
absl::StatusOr<PacsSession> RunPacsSession(const PacsSessionOptions& options);

// The archive's list of results, and the end in words.
std::string Summary(const PacsSession& session, const fs::path& out);

}  // namespace consilium::experiments
