#include "site_agent/learning/mixed_precision.h"

#include <cmath>

#include "site_agent/learning/trainer.h"
#include "tests/catch.h"
#include "tests/site_agent/learning/square_dataset.h"

namespace consilium::learning {
namespace {

NoProgress no_progress;

std::vector<float> UpdateOf(const plan::Plan& plan, const datasets::Dataset& data) {
  const absl::StatusOr<ModelState> base = InitialModel(plan);
  REQUIRE(base.ok());
  const absl::StatusOr<TrainResult> result =
      Train(*base, data, {.plan = plan, .seed = 3, .epochs = 1}, no_progress);
  INFO(result.status());
  REQUIRE(result.ok());
  return MakeUpdate({}, *base, *result, plan::WeightRule::kExamples).value().delta;
}

double Cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double product = 0, of_a = 0, of_b = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    product += double{a[i]} * b[i];
    of_a += double{a[i]} * a[i];
    of_b += double{b[i]} * b[i];
  }
  return product / std::sqrt(of_a * of_b);
}

TEST_CASE("Mixed precision trains in nearly the direction of float32, and to the same bits twice") {
  const SquareDataset train(64, 24, 1);
  plan::Plan plan = SquarePlan();
  plan.training.optimizer = plan::Optimizer::kSgd;
  const std::vector<float> exact = UpdateOf(plan, train);
  plan.training.precision = plan::Precision::kMixed;
  const std::vector<float> mixed = UpdateOf(plan, train);
  CHECK(Cosine(exact, mixed) > 0.98);
  CHECK(mixed == UpdateOf(plan, train));
  CHECK((exact != mixed) == MixedPrecision::Available());
}

TEST_CASE("Where the processor has no bfloat16, or float32 is asked for, a scope changes nothing") {
  const SquareDataset train(32, 24, 1);
  const plan::Plan plan = SquarePlan();
  const std::vector<float> before = UpdateOf(plan, train);
  { const MixedPrecision mixed(plan::Precision::kMixed); }
  CHECK(before == UpdateOf(plan, train));
}

}  // namespace
}  // namespace consilium::learning
