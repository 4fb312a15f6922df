#pragma once

// Low-rank adapters (LoRA, Hu et al. 2021) in a model's layout: beside a frozen weight NAME.weight
// of outputs x inputs (x kernel) stand NAME.lora_A, rank x (inputs * kernel), and NAME.lora_B,
// outputs x rank; the layer's weight is NAME.weight + lora_B lora_A. Adapters stand after all other
// tensors, in the order of their weights, so that a model without them is a beginning of the same
// model with them. Names as in Microsoft's loralib, whose scale is 1 here.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/model/model_state.h"

namespace consilium {

// A weight that has adapters, by the tensors' places in the layout.
struct Adapter {
  std::size_t weight, a, b;
  std::int64_t outputs, inputs, rank;  // inputs: of one output, times the kernel
};

// The adapters of a layout. kInvalidArgument: one is without its weight or its other half, or of
// another shape.
absl::StatusOr<std::vector<Adapter>> AdaptersOf(const Layout& layout);

// The weight and bias of each layer that has adapters; what is wrong with an adapter is not said.
std::vector<std::string> FrozenByAdapters(const Layout& layout);

// With adapters for every NAME.weight of two dimensions or more but the last, which is the
// network's last layer. kInvalidArgument: the layout has some already, has no such weight, or the
// rank is 0.
absl::StatusOr<Layout> WithAdapters(const Layout& layout, std::uint32_t rank);

// The same of a model, which computes what it did: A drawn from `seed` as a plan's first model is
// (uniform within one by the root of its inputs, as a linear layer begins), B zero. The same model,
// rank and seed give the same bytes everywhere.
absl::StatusOr<ModelState> WithAdapters(const ModelState& model, std::uint32_t rank,
                                        std::uint64_t seed);
// Within which A begins.
double AdapterStart(std::int64_t inputs);

// Each weight + B A, without the adapters: the model that plain networks load. kInvalidArgument:
// there are none, or they do not fit.
absl::StatusOr<ModelState> MergeAdapters(const ModelState& model);

}  // namespace consilium
