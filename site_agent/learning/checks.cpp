#include "site_agent/learning/checks.h"

#include <algorithm>

#include "common/base/status.h"
#include "site_agent/learning/network.h"

namespace consilium::learning {

datasets::InputShape InputOf(const plan::Plan& plan) {
  if (plan.data.source == plan::Source::kTable) {
    return {.channels = 0, .columns = plan.table.Inputs()};
  }
  if (plan.data.source == plan::Source::kAudio) {
    return {.channels = 1, .height = plan.audio.bands, .width = plan.audio.Frames()};
  }
  const std::uint32_t size = plan.preprocessing.image_size;
  return {.channels = static_cast<std::uint32_t>(ChannelsOf(plan)),
          .depth = std::max(1u, plan.preprocessing.slices),
          .height = size,
          .width = size,
          .columns = plan.table.Inputs()};
}

absl::Status CheckInput(const datasets::Dataset& data, const plan::Plan& plan) {
  const datasets::InputShape found = data.input_shape(), needed = InputOf(plan);
  if (found == needed) return absl::OkStatus();
  if (needed.columns != found.columns) {
    return absl::InvalidArgumentError(
        StrCat("the rows have ", found.columns, " inputs, but the plan's [table] makes ",
               needed.columns, ": prepare the data again for this plan"));
  }
  if (found.width != needed.width) {
    return absl::InvalidArgumentError(
        StrCat("the images are ", found.width, " pixels wide, but the plan's image_size is ",
               needed.width, ": prepare the data again for this plan"));
  }
  if (found.depth != needed.depth || found.height != needed.height) {
    return absl::InvalidArgumentError(
        StrCat("the inputs have ", found.depth, " x ", found.height, " x ", found.width,
               " values, but the plan's network takes ", needed.depth, " x ", needed.height, " x ",
               needed.width, ": prepare the data again for this plan"));
  }
  return absl::InvalidArgumentError(
      StrCat("the images have ", found.channels, " channels, but the plan's network takes ",
             needed.channels, ": prepare the data again for this plan"));
}

absl::Status LoadInto(Network& network, const ModelState& model, const plan::Plan& plan) {
  const absl::Status loaded = network.Load(model);
  if (loaded.ok()) return loaded;
  return WithContext(loaded, StrCat("the model does not fit the plan's network (",
                                    plan::Name(plan.model.architecture), " with ",
                                    plan::Name(plan.model.norm), " norm)"));
}

}  // namespace consilium::learning
