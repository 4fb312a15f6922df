#include "site_agent/learning/checks.h"

#include "common/base/status.h"
#include "site_agent/learning/network.h"

namespace consilium::learning {

absl::Status CheckImageSize(const datasets::Dataset& data, const plan::Plan& plan) {
  if (data.image_size() == plan.preprocessing.image_size) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("the images are ", data.image_size(), " pixels wide, but the plan's image_size is ",
             plan.preprocessing.image_size, ": prepare the data again for this plan"));
}

absl::Status LoadInto(Network& network, const ModelState& model, const plan::Plan& plan) {
  const absl::Status loaded = network.Load(model);
  if (loaded.ok()) return loaded;
  return WithContext(loaded, StrCat("the model does not fit the plan's network (",
                                    plan::Name(plan.model.architecture), " with ",
                                    plan::Name(plan.model.norm), " norm)"));
}

}  // namespace consilium::learning
