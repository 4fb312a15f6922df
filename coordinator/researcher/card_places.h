#pragma once

// Private to the model card: what places say of the model, each of its own patients.

#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/report/document.h"
#include "coordinator/researcher/card_values.h"
#include "coordinator/researcher/model_card.h"

namespace consilium::researcher {

struct CardModel {
  std::string id, task;           // of the record; task empty: it is older than the key
  CardMetrics test;               // of all sites together
  std::set<std::string> trained;  // the sites that trained it
};

// What the sections found, for the list of what is not known.
struct PlacesFound {
  bool any = false, external = false, groups = false, comparison = false;
};

// Adds the sections "Place by place", "External validation", "Groups of patients", "Against another
// model", "Is acting on it of use?" and "Drift baseline", as far as the results hold them.
// kInvalidArgument: results of another model, or what is no such JSON; says whose.
absl::StatusOr<PlacesFound> AddPlaces(const CardModel& model,
                                      const std::vector<SiteResult>& results,
                                      report::Document* card);

}  // namespace consilium::researcher
