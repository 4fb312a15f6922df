// An image and its patient's row of a table in one network.

#include <cmath>

#include "common/base/progress.h"
#include "common/model/prepared_model.h"
#include "site_agent/learning/trainer.h"
#include "tests/catch.h"
#include "tests/site_agent/learning/made_dataset.h"

namespace consilium::learning {
namespace {

constexpr std::uint32_t kSize = 16;

plan::Plan FusedPlan() {
  plan::Plan plan;
  plan.model.architecture = plan::Architecture::kSmallCnn;
  plan.preprocessing.image_size = kSize;
  plan.table.name = "patients";
  plan.table.columns = {{.name = "age", .minimum = 0, .maximum = 120}};
  plan.target.name = "ill";
  plan.training.augmentation = plan::Augmentation::kNone;
  plan.training.batch_size = 32;
  plan.training.learning_rate = 1e-2;
  return plan;
}

// Ill is who is brighter and older than others, the one weighed against the other: the image alone
// or the age alone tells three of four.
MadeDataset BothNeeded(std::size_t count, std::uint64_t seed) {
  MadeDataset data({.height = kSize, .width = kSize, .columns = 1}, 1);
  SeededRandom random(seed, "both");
  for (std::size_t i = 0; i < count; ++i) {
    const double brightness = random.Normal(), age = random.Normal();
    MadeDataset::Example example{.patient = i};
    for (std::uint32_t pixel = 0; pixel < kSize * kSize; ++pixel) {
      example.input.push_back(static_cast<float>(brightness + 0.5 * random.Normal()));
    }
    example.input.push_back(static_cast<float>(60 + 16 * age));
    example.target = {brightness + age > 0 ? 1.0f : 0.0f};
    data.Add(std::move(example));
  }
  return data;
}

TEST_CASE("A target that needs the image and the columns is learned from both, and half from one") {
  const plan::Plan plan = FusedPlan();
  NoProgress progress;
  auto first = InitialModel(plan);
  REQUIRE(first.ok());
  const double mean = 60, deviation = 16;
  first = WithPreparation(*first, std::span(&mean, 1), std::span(&deviation, 1));
  REQUIRE(first.ok());
  const MadeDataset train = BothNeeded(256, 1);
  const auto result = Train(*first, train, {.plan = plan, .seed = 3, .epochs = 6}, progress);
  INFO(result.status().ToString());
  REQUIRE(result.ok());
  MadeDataset test = BothNeeded(200, 2);
  const auto right = [&] {
    const auto scores = Predict(result->trained, plan, test, progress);
    REQUIRE(scores.ok());
    int count = 0;
    for (std::size_t i = 0; i < test.size(); ++i) {
      REQUIRE(std::isfinite((*scores)[i]));
      count += ((*scores)[i] > 0.5f) == (test[i].target[0] > 0.5f);
    }
    return count;
  };
  CHECK(right() > 180);
  // Without the age, which becomes the mean, only the image is left to tell.
  for (std::size_t i = 0; i < test.size(); ++i) test[i].input.back() = kUnknown;
  const int guessed = right();
  CHECK(guessed > 120);
  CHECK(guessed < 170);
}

TEST_CASE("Rows of another table than the plan's are refused before training") {
  plan::Plan plan = FusedPlan();
  const auto model = InitialModel(plan);
  REQUIRE(model.ok());
  NoProgress progress;
  MadeDataset without({.height = kSize, .width = kSize}, 1);
  without.Add({.input = std::vector<float>(kSize * kSize), .target = {1}});
  const auto result = Train(*model, without, {.plan = plan}, progress);
  CHECK(absl::IsInvalidArgument(result.status()));
  CHECK_THAT(std::string(result.status().message()), ContainsText("the rows have 0 inputs"));
}

}  // namespace
}  // namespace consilium::learning
