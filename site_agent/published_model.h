#pragma once

// A published model, proved again where it is used: from the federation's root key to the model's
// bytes and its plan (coordinator/researcher/verify_model.h).

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/model/model_state.h"
#include "common/plan/plan.h"
#include "datasets/results/report_writer.h"
#include "datasets/results/result_object.h"

namespace consilium::site_agent {

struct ModelChoice {
  // A model file; or the beginning of a model's id in STATE/published, where the agent keeps what
  // was published. Empty: the record says which.
  std::string model;
  fs::path record;   // empty: MODEL.record.json beside the model's file
  fs::path plan;     // empty: the plan as this site was invited with it
  std::string root;  // the federation's root key or a file of it; empty: STATE/keys/root.pub
};

struct PublishedModel {
  ModelState state;
  plan::Plan plan;
  datasets::results::ModelDescription description;
  // Where the record says one: the threshold at the plan's specificity on the sites' test sets.
  std::optional<datasets::results::OperatingPoint> operating_point;
  std::vector<std::string> trained_by;  // the sites whose updates it was made of
  std::string published;                // when, as 2026-03-01T12:00:00Z; empty: the record is older
};

// `state`: the site's folder. kUnauthenticated, with the link of the proof that broke: the model
// was not published by this federation, or it, its record or its plan is another. kNotFound: the
// model, its record, its plan or the root key is not there, with where it is to be had.
absl::StatusOr<PublishedModel> LoadPublishedModel(const fs::path& state, const ModelChoice& choice);

// Whether this site took part in that run, as its state folder knows.
bool TookPart(const fs::path& state, const std::string& run);

}  // namespace consilium::site_agent
