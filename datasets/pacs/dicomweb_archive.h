#pragma once

// An archive by DICOMweb: QIDO-RS and WADO-RS (PS3.18 chapters 10.4 and 10.6).

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "datasets/pacs/archive.h"
#include "datasets/pacs/http_client.h"

namespace consilium::datasets::pacs {

class DicomwebArchive final : public Archive {
 public:
  explicit DicomwebArchive(std::unique_ptr<HttpClient> client) : client_(std::move(client)) {}

  absl::Status FindStudies(const StudyKeys& keys, const std::function<bool(Study)>& take) override;
  absl::StatusOr<std::vector<Series>> FindSeries(const std::string& study_uid) override;
  absl::StatusOr<std::vector<Instance>> FindInstances(const Series& series) override;
  absl::Status Fetch(const Series& series, const std::vector<Instance>& wanted, bool whole,
                     InstanceStore& store) override;

 private:
  struct Match;  // one element of a QIDO answer
  // Asks page after page; `take` as in FindStudies. `identity`: the attribute that tells matches
  // apart.
  absl::Status Search(const std::string& path, const std::string& query, const char* identity,
                      const std::function<bool(const Match&)>& take);
  absl::Status Retrieve(const std::string& path, InstanceStore& store);

  std::unique_ptr<HttpClient> client_;
};

}  // namespace consilium::datasets::pacs
