#pragma once

// Fetches the studies that a query names from an archive into a folder.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/progress.h"
#include "datasets/pacs/archive.h"

namespace consilium::datasets::pacs {

// Of each list, one must fit; what is empty is not asked. The archive is asked for what it must
// support by the standard, and its answers are looked through again: some archives pass over keys.
struct Query {
  std::vector<std::string> patient_ids, accession_numbers, study_uids, series_uids, modalities;
  std::string since, until;  // of the study, YYYYMMDD, both inclusive
  // Case-insensitive, * for any characters, ? for one.
  std::string study_description, series_description;
  std::uint64_t limit = 0;  // studies; 0: all

  bool empty() const;  // of keys: it would name the whole archive
};
// kInvalidArgument: a date that is none, or UIDs.
absl::Status CheckQuery(const Query& query);

struct PullOptions {
  bool dry_run = false;  // asks, and fetches nothing
  int attempts = 4;      // at each study, when the archive or the network fails
  Duration backoff = std::chrono::seconds(1);  // before the second, then doubled
};

struct PulledStudy {
  std::string date;
  std::string modalities;  // of the series that fit, "CT, SEG"
  std::uint64_t series = 0, instances = 0;
  std::uint64_t present = 0;  // of the instances, before
};

struct PullReport {
  std::uint64_t patients = 0, series = 0, instances = 0;
  std::uint64_t present = 0;  // before: not fetched again
  std::uint64_t fetched = 0, bytes = 0;
  std::uint64_t missing = 0;   // that the archive did not send, or we did not take
  std::string missing_reason;  // the first, where one is known
  std::vector<PulledStudy> studies;
};

// `store` may be null for a dry run: then nothing counts as present. kNotFound: nothing matches.
// kCancelled: what has arrived stays, and the next pull goes on from there. Missing instances are
// no error here.
absl::StatusOr<PullReport> Pull(Archive& archive, InstanceStore* store, const Query& query,
                                const PullOptions& options, Progress& progress);

// Case-insensitive, * and ?.
bool Matches(std::string_view text, std::string_view pattern);

// Waits in small steps. kCancelled when the progress says so.
absl::Status WaitFor(Duration duration, const Progress& progress);
// Whether the same may work on another try.
bool IsWorthRetrying(const absl::Status& status);

}  // namespace consilium::datasets::pacs
