// Boxes are learned, and what teaches or says none is refused.

#include <cmath>
#include <limits>

#include "site_agent/learning/predictor.h"
#include "site_agent/learning/tasks/boxes.h"
#include "site_agent/learning/trainer.h"
#include "tests/catch.h"
#include "tests/site_agent/learning/made_dataset.h"

namespace consilium::learning {
namespace {

using metrics::Box;
using metrics::Finding;

NoProgress quiet;

absl::StatusOr<TrainResult> TryTraining(const plan::Plan& plan, const datasets::Dataset& data,
                                        std::uint32_t epochs = 1) {
  return Train(InitialModel(plan).value(), data, {.plan = plan, .seed = 7, .epochs = epochs},
               quiet);
}

// A mask with a structure's number wherever `rows` has a digit.
std::vector<float> MaskOf(std::initializer_list<std::string> rows) {
  std::vector<float> mask;
  for (const std::string& row : rows) {
    for (const char c : row) mask.push_back(c == '.' ? 0.0f : static_cast<float>(c - '0'));
  }
  return mask;
}

TEST_CASE(
    "findings are the connected parts of a mask, by edges and corners, of four pixels or more") {
  const std::vector<float> mask =
      MaskOf({"11......", "11..22..", "..1.22..", ".......1", "1......1"});
  const auto parts = FindingsIn(mask, 5, 8, 2, /*whole=*/false);
  REQUIRE(parts.size() == 2);
  CHECK(parts[0].box == Box{0, 0, 3, 3});
  CHECK(parts[0].kind == 0);
  CHECK(parts[1].box == Box{4, 1, 6, 3});
  CHECK(parts[1].kind == 1);
  const auto whole = FindingsIn(mask, 5, 8, 2, /*whole=*/true);
  REQUIRE(whole.size() == 2);
  CHECK(whole[0].box == Box{0, 0, 8, 5});
  CHECK(FindingsIn(MaskOf({"111", "..."}), 2, 3, 1, true).empty());
  CHECK(FindingsIn(MaskOf({"...", "..."}), 2, 3, 1, true).empty());
}

TEST_CASE("a finding is learned near its centre, at the stride that suits its size") {
  const std::vector<Place> places = PlacesOf(256, 256);
  REQUIRE(places.size() == 32 * 32 + 16 * 16 + 8 * 8);
  CHECK(places[1].x == 12);
  CHECK(places[1].y == 4);
  CHECK(places[32 * 32].stride == 16);
  const auto taught = [&](const std::vector<Finding>& findings) {
    std::vector<std::pair<Place, PlaceTarget>> found;
    const auto targets = Assign(places, findings);
    for (std::size_t i = 0; i < places.size(); ++i) {
      if (targets[i].kind >= 0) found.emplace_back(places[i], targets[i]);
    }
    return found;
  };
  const auto strides = [&](const Box& box) {
    std::vector<float> found;
    for (const auto& [place, target] : taught({{box}})) {
      CHECK(target.box == box);
      CHECK(target.centreness > 0);
      CHECK(target.centreness <= 1);
      CHECK(std::abs(place.x - (box.left + box.right) / 2) < 1.5f * place.stride);
      if (found.empty() || found.back() != place.stride) found.push_back(place.stride);
    }
    return found;
  };
  CHECK(strides({20, 20, 60, 60}) == std::vector<float>{8});
  CHECK(strides({20, 20, 180, 120}) == std::vector<float>{16});
  CHECK(strides({0, 0, 256, 256}) == std::vector<float>{32});
  // A 4 x 4 finding between places has the nearest; a place in two has the smaller one.
  const auto tiny = taught({{{6, 6, 10, 10}}});
  REQUIRE(tiny.size() == 1);
  CHECK(tiny[0].second.centreness == 1);
  for (const auto& [place, target] : taught({{{16, 16, 56, 56}, 0}, {{28, 28, 44, 44}, 1}})) {
    const bool in_small = place.x > 28 && place.x < 44 && place.y > 28 && place.y < 44;
    CHECK(target.kind == (in_small ? 1 : 0));
  }
  CHECK(taught({}).empty());
}

TEST_CASE("of boxes that overlap much the best is kept, of each kind for itself") {
  // Two kinds' scores, then the box.
  const std::vector<float> answers = {0.9f, 0.1f, 0,  0,  10, 10,   //
                                      0.8f, 0.7f, 1,  0,  11, 10,   // overlap 0.82
                                      0.6f, 0.0f, 5,  0,  15, 10,   // overlap 0.33
                                      0.5f, 0.0f, 20, 20, 20, 30};  // nothing
  const auto boxes = BoxesOf(answers, 2);
  REQUIRE(boxes.size() == 3);
  CHECK(boxes[0].score == 0.9f);
  CHECK(boxes[1].score == 0.7f);
  CHECK(boxes[1].kind == 1);
  CHECK(boxes[2].score == 0.6f);
}

TEST_CASE("boxes of a handful of images are learned, evaluated by patient, and predicted") {
  plan::Plan plan = BoxPlan();
  plan.training.learning_rate = 2e-3;
  const MadeDataset data = BoxData(16, 1);
  const TrainResult result = TryTraining(plan, data, 15).value();
  CHECK(result.last_epoch_loss < result.first_epoch_loss / 2);
  const metrics::TaskSums sums = Evaluate(result.trained, plan, data, quiet).value();
  CHECK(sums.patients() == 6);
  CHECK(sums.Count() == 16);
  const auto metrics = metrics::Compute(sums.As<metrics::DetectionSums>()).value();
  CAPTURE(metrics.average_precision, metrics.average_precision_75, metrics.froc_sensitivity);
  CHECK(metrics.average_precision > 0.8);
  CHECK(metrics.froc_sensitivity > 0.8);

  const auto predictor = Predictor::Create(result.trained, plan).value();
  std::vector<float> image(64 * 64), mask(64 * 64);
  data.Get(0, image);
  data.GetTarget(0, mask);
  const Prediction prediction = predictor->Predict(image).value();
  REQUIRE_FALSE(prediction.boxes.empty());
  const auto truth = FindingsIn(mask, 64, 64, 1, false);
  REQUIRE(truth.size() == 1);
  CHECK(metrics::Overlap(prediction.boxes[0].box, truth[0].box) > 0.5);
  CHECK(Predict(result.trained, plan, data, quiet)->size() == 16 * (64 + 16 + 4) * 5);
}

TEST_CASE("boxes train to the same weights under a seed, with masks that move along") {
  plan::Plan plan = BoxPlan();
  plan.training.augmentation = plan::Augmentation::kMirrored;
  const MadeDataset train = BoxData(10, 1);
  CHECK(std::ranges::equal(TryTraining(plan, train)->trained.values(),
                           TryTraining(plan, train)->trained.values()));
}

TEST_CASE(
    "a site without findings is refused with advice, and trains where classes are not weighted") {
  plan::Plan plan = BoxPlan();
  MadeDataset none = BoxData(6, 1);
  for (std::size_t i = 0; i < none.size(); ++i) {
    none[i].target.assign(none[i].target.size(), 0);
    std::fill_n(none[i].target.begin(), kFewestPixels - 1, 1.0f);  // too small to be one
  }
  const absl::Status refused = TryTraining(plan, none).status();
  CHECK(absl::IsInvalidArgument(refused));
  CHECK_THAT(std::string(refused.message()), ContainsText("none of the 6 training examples has a"));
  CHECK_THAT(std::string(refused.message()), ContainsText("class_weighting = false"));
  plan.training.class_weighting = false;
  const TrainResult trained = TryTraining(plan, none).value();
  CHECK(std::isfinite(trained.last_epoch_loss));
  const auto sums = Evaluate(trained.trained, plan, none, quiet).value();
  CHECK(sums.patients() == 2);
  CHECK_FALSE(metrics::Compute(sums, 0.9).ok());
}

TEST_CASE("masks of other values, images of NaN and weights that are no numbers are refused") {
  const plan::Plan plan = BoxPlan();
  MadeDataset data = BoxData(6, 1);
  data[2].target[0] = 2;
  const absl::Status foreign = TryTraining(plan, data).status();
  CHECK_THAT(std::string(foreign.message()), ContainsText("a mask holds the value 2; 0 to 1"));
  CHECK_THAT(
      std::string(Evaluate(InitialModel(plan).value(), plan, data, quiet).status().message()),
      ContainsText("a mask holds the value 2"));

  MadeDataset nan = BoxData(6, 1);
  nan[0].input[5] = std::numeric_limits<float>::quiet_NaN();
  CHECK(TryTraining(plan, nan).status().code() == absl::StatusCode::kInternal);
  CHECK(absl::IsInvalidArgument(Evaluate(InitialModel(plan).value(), plan, nan, quiet).status()));

  const ModelState first = InitialModel(plan).value();
  std::vector<float> values(first.values().begin(), first.values().end());
  std::size_t at = 0;
  for (const TensorSpec& tensor : first.layout()) {
    if (tensor.name.ends_with("bbox_reg.weight")) {
      std::fill_n(values.begin() + static_cast<std::ptrdiff_t>(at), tensor.Elements(), 3e38f);
    }
    at += tensor.Elements();
  }
  const ModelState far = ModelState::Create(first.layout(), std::move(values)).value();
  CHECK(absl::IsInvalidArgument(Evaluate(far, plan, BoxData(6, 1), quiet).status()));
}

}  // namespace
}  // namespace consilium::learning
