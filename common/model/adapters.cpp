#include "common/model/adapters.h"

#include <cmath>
#include <map>
#include <span>
#include <string_view>

#include "common/base/random.h"
#include "common/base/status.h"

namespace consilium {
namespace {

constexpr std::string_view kWeight = ".weight", kBias = ".bias", kA = ".lora_A", kB = ".lora_B";

std::string_view Without(std::string_view name, std::string_view ending) {
  return name.substr(0, name.size() - ending.size());
}

std::vector<std::size_t> OffsetsOf(const Layout& layout) {
  std::vector<std::size_t> offsets;
  std::size_t offset = 0;
  for (const TensorSpec& tensor : layout) {
    offsets.push_back(offset);
    offset += tensor.Elements();
  }
  return offsets;
}

absl::Status Unfit(std::string_view name, std::string_view why) {
  return absl::InvalidArgumentError(StrCat("adapter tensor ", name, " ", why));
}

std::int64_t InputsOf(const TensorSpec& weight) {
  std::int64_t inputs = 1;
  for (std::size_t i = 1; i < weight.shape.size(); ++i) inputs *= weight.shape[i];
  return inputs;
}

}  // namespace

double AdapterStart(std::int64_t inputs) { return 1 / std::sqrt(static_cast<double>(inputs)); }

absl::StatusOr<std::vector<Adapter>> AdaptersOf(const Layout& layout) {
  RETURN_IF_ERROR(CheckLayout(layout));
  std::map<std::string_view, std::size_t> places;
  for (std::size_t i = 0; i < layout.size(); ++i) places[layout[i].name] = i;
  std::vector<Adapter> adapters;
  for (std::size_t i = 0; i < layout.size(); ++i) {
    const std::string_view name = layout[i].name;
    const bool is_a = name.ends_with(kA);
    if (!is_a && !name.ends_with(kB)) continue;
    const std::string_view layer = Without(name, is_a ? kA : kB);
    const auto other = places.find(StrCat(layer, is_a ? kB : kA));
    const auto weight = places.find(StrCat(layer, kWeight));
    if (other == places.end()) return Unfit(name, "is without its other half");
    if (weight == places.end()) return Unfit(name, "is of no weight");
    if (!is_a) continue;
    const TensorSpec& of = layout[weight->second];
    if (of.shape.size() < 2 || of.Elements() == 0)
      return Unfit(name, "is of a weight without rows");
    const Adapter adapter{weight->second, i,
                          other->second,  of.shape[0],
                          InputsOf(of),   layout[i].shape.empty() ? 0 : layout[i].shape[0]};
    const bool fits = adapter.rank > 0 &&
                      layout[i].shape == std::vector{adapter.rank, adapter.inputs} &&
                      layout[adapter.b].shape == std::vector{adapter.outputs, adapter.rank};
    if (!fits) return Unfit(name, "or its other half has a shape that does not fit its weight");
    adapters.push_back(adapter);
  }
  return adapters;
}

std::vector<std::string> FrozenByAdapters(const Layout& layout) {
  std::vector<std::string> frozen;
  for (const TensorSpec& tensor : layout) {
    if (!tensor.name.ends_with(kA)) continue;
    const std::string_view layer = Without(tensor.name, kA);
    frozen.push_back(StrCat(layer, kWeight));
    frozen.push_back(StrCat(layer, kBias));
  }
  return frozen;
}

absl::StatusOr<Layout> WithAdapters(const Layout& layout, std::uint32_t rank) {
  RETURN_IF_ERROR(CheckLayout(layout));
  if (rank == 0) return absl::InvalidArgumentError("adapters need a rank above 0");
  if (!FrozenByAdapters(layout).empty()) {
    return absl::InvalidArgumentError(
        "the model has adapters already: merge them (consilium model merge) before it gets others");
  }
  std::vector<const TensorSpec*> weights;
  for (const TensorSpec& tensor : layout) {
    const bool is_weight =
        tensor.name.ends_with(kWeight) && tensor.shape.size() >= 2 && tensor.Elements() > 0;
    if (is_weight) weights.push_back(&tensor);
  }
  if (weights.size() < 2) {
    return absl::InvalidArgumentError(
        "the network has no layer but its last: adapters do not suit");
  }
  weights.pop_back();
  Layout with = layout;
  for (const TensorSpec* weight : weights) {
    const std::string_view layer = Without(weight->name, kWeight);
    with.push_back({StrCat(layer, kA), {std::int64_t{rank}, InputsOf(*weight)}});
    with.push_back({StrCat(layer, kB), {weight->shape[0], std::int64_t{rank}}});
  }
  RETURN_IF_ERROR(CheckLayout(with));
  return with;
}

absl::StatusOr<ModelState> WithAdapters(const ModelState& model, std::uint32_t rank,
                                        std::uint64_t seed) {
  ASSIGN_OR_RETURN(Layout with, WithAdapters(model.layout(), rank));
  std::vector<float> values(model.values().begin(), model.values().end());
  values.reserve(TotalElements(with));
  for (std::size_t i = model.layout().size(); i < with.size(); ++i) {
    const std::size_t count = with[i].Elements();
    if (with[i].name.ends_with(kB)) {
      values.insert(values.end(), count, 0.0f);
      continue;
    }
    const double bound = AdapterStart(with[i].shape[1]);
    SeededRandom random(seed, StrCat("initial model/", with[i].name));
    for (std::size_t n = 0; n < count; ++n) {
      values.push_back(static_cast<float>(random.Uniform(-bound, bound)));
    }
  }
  return ModelState::Create(std::move(with), std::move(values));
}

absl::StatusOr<ModelState> MergeAdapters(const ModelState& model) {
  const Layout& layout = model.layout();
  ASSIGN_OR_RETURN(const std::vector<Adapter> adapters, AdaptersOf(layout));
  if (adapters.empty()) return absl::InvalidArgumentError("the model has no adapters to merge");
  const std::vector<std::size_t> offsets = OffsetsOf(layout);
  std::vector<float> values(model.values().begin(), model.values().end());
  for (const Adapter& adapter : adapters) {
    const float* const a = model.values().data() + offsets[adapter.a];
    const float* const b = model.values().data() + offsets[adapter.b];
    std::vector<double> row(static_cast<std::size_t>(adapter.inputs));
    for (std::int64_t o = 0; o < adapter.outputs; ++o) {
      float* const weights = values.data() + offsets[adapter.weight] + o * adapter.inputs;
      row.assign(weights, weights + adapter.inputs);
      for (std::int64_t r = 0; r < adapter.rank; ++r) {
        const double scale = static_cast<double>(b[o * adapter.rank + r]);
        for (std::int64_t i = 0; i < adapter.inputs; ++i) {
          row[i] += scale * static_cast<double>(a[r * adapter.inputs + i]);
        }
      }
      for (std::int64_t i = 0; i < adapter.inputs; ++i) weights[i] = static_cast<float>(row[i]);
    }
  }
  Layout merged;
  std::vector<float> kept;
  for (std::size_t i = 0; i < layout.size(); ++i) {
    if (layout[i].name.ends_with(kA) || layout[i].name.ends_with(kB)) continue;
    merged.push_back(layout[i]);
    const auto part = std::span(values).subspan(offsets[i], layout[i].Elements());
    kept.insert(kept.end(), part.begin(), part.end());
  }
  return ModelState::Create(std::move(merged), std::move(kept));
}

}  // namespace consilium
