#pragma once

// Whether the patients that come now are still like those that a model was made on: how bright
// their images are (of a table, its numbers) and what the model says of them. Compared by patients,
// at the site; nothing of it leaves the site.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/progress.h"
#include "common/metrics/distribution_shift.h"
#include "site_agent/learner.h"
#include "site_agent/published_model.h"

namespace consilium::site_agent {

// One figure of each patient, the mean over his examples.
struct Feature {
  std::string name;     // "median brightness", "age", "score", "probability of class b"
  bool answer = false;  // the model's, else of its input
  std::vector<double> values;
};

// What a model met before, kept in STATE/drift/MODEL.json. The answers are of patients that were
// not trained on, for a model is surer of those that were.
struct DriftBaseline {
  ModelId model;
  std::int64_t until = 0;               // examples that came up to then, in seconds since 1970
  std::vector<std::uint64_t> patients;  // of the baseline, ascending: others are new
  std::vector<Feature> features;
};

// The site's baseline of the model, made when there is none: of the examples that came before
// `until` (rows and recordings, of which that is not known: of all). Durable.
absl::StatusOr<DriftBaseline> EnsureBaseline(const fs::path& state, const PublishedModel& model,
                                             LocalData& data, std::int64_t until,
                                             Progress& progress);
bool HasBaseline(const fs::path& state, const ModelId& model);

struct DriftReport {
  ModelId model;
  std::int64_t since = 0;
  std::uint64_t baseline_patients = 0, new_patients = 0;
  struct Line {
    Feature before, now;
    std::optional<metrics::Shift> shift;  // nothing: too few patients
    bool shifted = false;
  };
  std::vector<Line> lines;
  // Nothing: too few patients to tell.
  std::optional<bool> due;
  std::string why;  // a sentence
};

// The patients of whom all examples came after `since` (by default the baseline's end) and who are
// not in the baseline.
absl::StatusOr<DriftReport> LookForDrift(const DriftBaseline& baseline, const PublishedModel& model,
                                         LocalData& data, std::optional<std::int64_t> since,
                                         Progress& progress);

}  // namespace consilium::site_agent
