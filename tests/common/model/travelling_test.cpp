#include "common/model/travelling.h"

#include <numeric>

#include "common/base/random.h"
#include "common/model/adapters.h"
#include "tests/catch.h"
#include "tests/common/says.h"

namespace consilium {
namespace {

using Names = std::vector<std::string>;

const Layout kModel = {{"conv1.weight", {4, 1, 3, 3}},
                       {"bn1.weight", {4}},
                       {"bn1.bias", {4}},
                       {"bn1.running_mean", {4}},
                       {"bn1.running_var", {4}},
                       {"bn1.num_batches_tracked", {}},
                       {"layer1.conv1.weight", {6, 4, 1, 1}},
                       {"layer1.conv1.bias", {6}},
                       {"fc.weight", {2, 6}},
                       {"fc.bias", {2}}};

ModelState Counted(const Layout& layout) {
  std::vector<float> values(TotalElements(layout));
  std::iota(values.begin(), values.end(), 0.0f);
  return *ModelState::Create(layout, std::move(values));
}

Names NamesOf(const Layout& layout) {
  Names names;
  for (const TensorSpec& tensor : layout) names.push_back(tensor.name);
  return names;
}

}  // namespace

TEST_CASE("Without frozen tensors all of a model travels") {
  const Travelling travelling(kModel);
  CHECK(travelling.all());
  CHECK(travelling.size() == TotalElements(kModel));
  CHECK(travelling.frozen() == 0);
  const auto ranges = travelling.Within(5, 20);
  REQUIRE(ranges.size() == 1);
  CHECK(ranges[0].model == 5);
  CHECK(ranges[0].update == 5);
  CHECK(ranges[0].count == 20);
}

TEST_CASE("A frozen norm's running statistics stay with it") {
  const auto travelling = Travelling::Of(kModel, Names{"conv1.", "bn1."});
  REQUIRE(travelling.ok());
  CHECK(NamesOf(travelling->layout()) ==
        Names{"layer1.conv1.weight", "layer1.conv1.bias", "fc.weight", "fc.bias"});
  CHECK(travelling->frozen() == 36 + 4 * 4 + 1);
  // Statistics alone are not what a plan can freeze.
  const auto statistics = Travelling::Of(kModel, Names{"bn1.running"});
  CHECK(Says(statistics.status(), "bn1.running"));
}

TEST_CASE("A beginning that matches nothing, or everything, is refused with the names there are") {
  const auto nothing = Travelling::Of(kModel, Names{"fc.", "layer9."});
  CHECK(absl::IsInvalidArgument(nothing.status()));
  CHECK(Says(nothing.status(), "\"layer9.\""));
  CHECK(Says(nothing.status(), "conv1., bn1., layer1., fc."));
  const auto all = Travelling::Of(kModel, Names{"conv1", "bn1", "layer1", "fc"});
  CHECK(Says(all.status(), "nothing is left to train"));
}

TEST_CASE("The pieces of a model say which of their elements travel, and where in the update") {
  SeededRandom random(11);
  for (int trial = 0; trial < 200; ++trial) {
    Layout layout;
    Names frozen;
    for (int i = 0; i < 12; ++i) {
      layout.push_back({StrCat("t", i, ".weight"), {static_cast<std::int64_t>(random.Below(40))}});
      if (i > 0 && random.Chance(0.5)) frozen.push_back(StrCat("t", i, "."));
    }
    layout.push_back({"last.weight", {3}});
    INFO("seed 11, trial " << trial);
    const auto travelling = Travelling::Of(layout, frozen);
    REQUIRE(travelling.ok());
    const ModelState model = Counted(layout), part = *travelling->Part(model);
    CHECK(part.values().size() == travelling->size());
    std::vector<bool> seen(part.values().size(), false);
    const std::uint64_t piece = 1 + random.Below(30), total = model.values().size();
    for (std::uint64_t first = 0; first < total; first += piece) {
      for (const auto& range : travelling->Within(first, std::min(piece, total - first))) {
        CHECK(range.model >= first);
        CHECK(range.model + range.count <= first + piece);
        for (std::uint64_t i = 0; i < range.count; ++i) {
          CHECK(model.values()[range.model + i] == part.values()[range.update + i]);
          seen[range.update + i] = true;
        }
      }
    }
    CHECK(std::all_of(seen.begin(), seen.end(), [](bool s) { return s; }));
  }
}

TEST_CASE("Adapters stand behind the model, for every weight matrix but the last") {
  const auto with = WithAdapters(kModel, 2);
  REQUIRE(with.ok());
  REQUIRE(with->size() == kModel.size() + 4);
  CHECK(std::equal(kModel.begin(), kModel.end(), with->begin()));
  const auto at = with->begin() + kModel.size();
  CHECK(at[0] == TensorSpec{"conv1.lora_A", {2, 9}});
  CHECK(at[1] == TensorSpec{"conv1.lora_B", {4, 2}});
  CHECK(at[2] == TensorSpec{"layer1.conv1.lora_A", {2, 4}});
  CHECK(at[3] == TensorSpec{"layer1.conv1.lora_B", {6, 2}});
  CHECK(Says(WithAdapters(*with, 2).status(), "adapters already"));
  CHECK(Says(WithAdapters({{"linear.weight", {1, 4}}}, 2).status(), "no layer but its last"));
}

TEST_CASE("Of a model with adapters these, the norms and the last layer travel") {
  const auto travelling = Travelling::Of(*WithAdapters(kModel, 2), {});
  REQUIRE(travelling.ok());
  CHECK(NamesOf(travelling->layout()) ==
        Names{"bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var",
              "bn1.num_batches_tracked", "fc.weight", "fc.bias", "conv1.lora_A", "conv1.lora_B",
              "layer1.conv1.lora_A", "layer1.conv1.lora_B"});
}

TEST_CASE("Adapters begin as nothing, from the seed, and merge into their weights") {
  const ModelState model = Counted(kModel);
  const ModelState with = *WithAdapters(model, 2, 7);
  CHECK(with.values()[0] == WithAdapters(model, 2, 7)->values()[0]);
  CHECK(std::ranges::equal(with.values(), WithAdapters(model, 2, 7)->values()));
  CHECK_FALSE(std::ranges::equal(with.values(), WithAdapters(model, 2, 8)->values()));
  const ModelState same = *MergeAdapters(with);
  CHECK(same.layout() == model.layout());
  CHECK(std::ranges::equal(same.values(), model.values()));

  std::vector<float> values(with.values().begin(), with.values().end());
  const auto adapters = AdaptersOf(with.layout());
  REQUIRE(adapters->size() == 2);
  // layer1.conv1: B is its last tensor of 6 x 2, A the one before of 2 x 4.
  float* const b = values.data() + values.size() - 12;
  float* const a = b - 8;
  for (int i = 0; i < 8; ++i) a[i] = static_cast<float>(i);
  b[2 * 3 + 0] = 1, b[2 * 3 + 1] = 10;  // output 3
  const ModelState merged = *MergeAdapters(*ModelState::Create(with.layout(), values));
  const std::size_t weight = 36 + 4 * 4 + 1;
  for (int i = 0; i < 4; ++i) {
    const float before = model.values()[weight + 3 * 4 + i];
    CHECK(merged.values()[weight + 3 * 4 + i] == before + static_cast<float>(i + 10 * (4 + i)));
    CHECK(merged.values()[weight + 2 * 4 + i] == model.values()[weight + 2 * 4 + i]);
  }
}

TEST_CASE("Adapters that do not fit their weights are refused") {
  const auto merge = [](const Layout& layout) {
    const std::vector<float> values(TotalElements(layout));
    return MergeAdapters(*ModelState::Create(layout, values)).status();
  };
  CHECK(Says(merge(kModel), "no adapters"));
  CHECK(Says(merge({{"a.weight", {2, 3}}, {"a.lora_A", {1, 3}}}), "other half"));
  CHECK(Says(merge({{"a.lora_A", {1, 3}}, {"a.lora_B", {2, 1}}}), "of no weight"));
  CHECK(Says(merge({{"a.weight", {2, 3}}, {"a.lora_A", {1, 2}}, {"a.lora_B", {2, 1}}}), "shape"));
  CHECK(
      Says(merge({{"a.weight", {2}}, {"a.lora_A", {1, 2}}, {"a.lora_B", {2, 1}}}), "without rows"));
}

}  // namespace consilium
