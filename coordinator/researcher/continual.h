#pragma once

// Plans that go on from what the last run of the same plan published: [model] initial =
// "published". What is signed and submitted names that model by its id, so that it never means
// another one.

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/ids.h"

namespace consilium::researcher {

// Whether the plan's table [model] says initial = "published" on a line of its own.
bool BeginsWithPublished(std::string_view plan_toml);
// The plan with the model's id in its place; every other byte stays.
std::string WithInitial(std::string_view plan_toml, const ModelId& model);

// Of the coordinator's list of models (ResearchChannel::ListModels) the newest that a run of the
// plan of this name published. kNotFound: there is none yet; kDataLoss: no such list.
absl::StatusOr<ModelId> NewestPublished(std::string_view models_json, std::string_view plan);

}  // namespace consilium::researcher
