#pragma once

// A folder tree of DICOM files, de-identified into another.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/progress.h"
#include "datasets/deidentification/deidentifier.h"
#include "datasets/deidentification/instance_cleaner.h"

namespace consilium::datasets::deidentification {

struct FolderReport {
  struct Quarantined {
    std::string file_name;  // for the operator at this machine; in no log and no JSON
    Refused reason;
  };

  std::uint64_t files = 0;          // found
  std::uint64_t written = 0;        // by this run
  std::uint64_t already_there = 0;  // by an earlier run, or another file of the same instance
  std::map<Refusal, std::uint64_t> quarantined;
  std::vector<Quarantined> list;   // by file name
  std::vector<std::string> codes;  // "113100" ..., what was chosen
  std::string key_name;
};
std::string ToText(const FolderReport& report, bool all);
std::string ToJson(const FolderReport& report);

// Writes to OUT/PATIENT/STUDY/SERIES/INSTANCE.dcm, all of them names that identify nobody, and
// OUT/deidentification.json, which says with which options and which key (by its name) that was
// done. `cleaner` cleans as `deidentifier` does. What is there is never overwritten: an interrupted
// run goes on when it is started again.
//
// kInvalidArgument: `in` holds `out`, or `out` was written with other options or another key.
// kAlreadyExists: `out` holds something else. kNotFound: no `in`. kCancelled: interrupted.
absl::StatusOr<FolderReport> DeidentifyFolder(const Deidentifier& deidentifier,
                                              InstanceCleaner& cleaner, const fs::path& in,
                                              const fs::path& out, unsigned threads,
                                              Progress& progress);
// With CleanInThisProcess.
absl::StatusOr<FolderReport> DeidentifyFolder(const Deidentifier& deidentifier, const fs::path& in,
                                              const fs::path& out, unsigned threads,
                                              Progress& progress);

}  // namespace consilium::datasets::deidentification
