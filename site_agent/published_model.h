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

namespace CLI {
class App;
}

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
  bool trained_here = false;            // this site took part in the run, as its state folder knows
};

// `state`: the site's folder. kUnauthenticated, with the link of the proof that broke: the model
// was not published by this federation, or it, its record or its plan is another. kNotFound: the
// model, its record, its plan or the root key is not there, with where it is to be had.
absl::StatusOr<PublishedModel> LoadPublishedModel(const fs::path& state, const ModelChoice& choice);

// This site's own model of the published model's run instead of it (personal_model.h), by the same
// plan. The record's operating point is not the own model's, so that there is none. kNotFound: the
// site has none of that run; other errors as PersonalModels::Find and Load.
absl::StatusOr<PublishedModel> PersonalInsteadOf(const fs::path& state, PublishedModel published);

// What every command that opens a published model asks for: model (its own argument as well as
// --model where it is required), --record, --plan and --root.
void AddModelOptions(CLI::App& command, ModelChoice& choice, bool required);

}  // namespace consilium::site_agent
