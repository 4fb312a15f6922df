#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "common/base/ids.h"
#include "common/model/model_state.h"

namespace consilium::site_agent {

// What a site made in one attempt: the plan's initial model, or an update of the model `base_id`.
// An update is `model` minus `base`, which have the same layout, or, without a base at hand, what
// stands in `model` already. Of an update both are what travels of the models
// (common/model/travelling.h), and no more.
struct Contribution {
  AttemptKey key;
  std::optional<ModelState> base;
  ModelId base_id;  // zero: an initial model
  ModelState model;
  double weight = 0;  // > 0 for an update
  double loss = 0;    // mean of the last local epoch
  double train_seconds = 0;
  // Decides how a masked update is rounded, so that the same seed, images and sites give the same
  // model. Not a secret: what protects the update are the masks.
  std::uint64_t seed = 0;
};

inline bool IsUpdate(const Contribution& contribution) { return !contribution.base_id.IsZero(); }

// kInvalidArgument: there are no parameters, the layouts differ, or the weight is not above 0.
absl::Status CheckContribution(const Contribution& contribution);

// Parameters `first` on of the update, or of the initial model.
void CopyValues(const Contribution& contribution, std::size_t first, std::span<float> values);

// kInvalidArgument with the tensor: `values`, the parameters `first` on, hold one that is NaN or
// infinite.
absl::Status NotFinite(const Layout& layout, std::size_t first, std::span<const float> values);

}  // namespace consilium::site_agent
