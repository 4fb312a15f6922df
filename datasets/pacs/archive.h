#pragma once

// A hospital archive (PACS) that can be searched and fetched from: by DIMSE (dimse_archive.h) or by
// DICOMweb (dicomweb_archive.h). Used by one thread.
//
// Errors of all of them: kUnavailable, kDeadlineExceeded, kAborted: it may work on another try;
// kPermissionDenied, kUnauthenticated: refused, with what to ask the archive's administrator;
// kCancelled. The message never holds a patient's data.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "datasets/pacs/instance_store.h"

namespace consilium::datasets::pacs {

// Matching keys at the study level (PS3.4 C.6.2.1). Empty: any.
struct StudyKeys {
  std::string patient_id, accession_number;
  std::string modality;  // one that the study has
  std::vector<std::string> study_uids;
  std::string since, until;  // YYYYMMDD, both inclusive
};

struct Study {
  std::string uid, patient_id, accession_number, date, description;
  std::vector<std::string> modalities;  // empty: the archive does not say
};

struct Series {
  std::string study_uid, uid, modality, description;
};

struct Instance {
  std::string sop_class_uid;  // empty: the archive does not say
  std::string sop_instance_uid;
};

class Archive {
 public:
  virtual ~Archive() = default;

  // Calls `take` for each match until it returns false. What an archive returns may match less
  // than the keys ask: it may not know one of them.
  virtual absl::Status FindStudies(const StudyKeys& keys,
                                   const std::function<bool(Study)>& take) = 0;
  virtual absl::StatusOr<std::vector<Series>> FindSeries(const std::string& study_uid) = 0;
  virtual absl::StatusOr<std::vector<Instance>> FindInstances(const Series& series) = 0;

  // Brings these instances of the series into the store; `whole`: they are all that it has. OK also
  // when the archive left some out: ask the store which have arrived.
  virtual absl::Status Fetch(const Series& series, const std::vector<Instance>& wanted, bool whole,
                             InstanceStore& store) = 0;

  // Lets go of the store that Fetch was given, which must live until then. Pull calls it.
  virtual void Finish() {}
};

// No answer of an archive may name more matches than this at one level.
inline constexpr std::size_t kMaxMatches = 1'000'000;

}  // namespace consilium::datasets::pacs
