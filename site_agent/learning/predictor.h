#pragma once

// One example at a time through a trained network: what it says, and of a binary classifier of
// images, where on the input it saw what it was asked for.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/metrics/detection_metrics.h"
#include "common/model/model_state.h"
#include "common/plan/plan.h"
#include "datasets/results/activation.h"

namespace consilium::learning {

class LearningTask;
class Network;

// What the plan's task fills in; the rest stays empty or 0.
struct Prediction {
  double score = 0;  // binary: the model's probability of target 1
  // Binary classifiers of images: what each place of the last feature map adds to the logit: the
  // logit is the mean of the values and the classifier's bias. Exact, as these networks end in a
  // mean over the image and one linear layer (Zhou et al. 2016). small_cnn: image_size / 8 to the
  // side; resnet18: image_size / 32.
  datasets::results::ActivationMap activation;
  // multiclass: one a class, adding up to 1; multilabel: one a label, each for itself.
  std::vector<float> probabilities;
  // segmentation: at each of image_size x image_size pixels (of volumes slice by slice), row by
  // row, the most probable of 0 (background) and the structures, of which 1 is the plan's first;
  // and its probability.
  std::vector<std::uint8_t> mask;
  std::vector<float> confidence;
  // detection: in pixels of the input, from the highest score down, at most 100 (tasks/boxes.h).
  std::vector<metrics::ScoredBox> boxes;
  double log_hazard = 0;  // survival: relative, larger is worse (tasks/hazards.cpp of intervals)
  // survival with the plan's target.intervals: the chance to live beyond the end of each.
  std::vector<float> survival;
};

// Not thread-safe.
class Predictor {
 public:
  // kInvalidArgument when the layout does not fit the plan's network.
  static absl::StatusOr<std::unique_ptr<Predictor>> Create(const ModelState& model,
                                                           const plan::Plan& plan);
  ~Predictor();

  // `input`: as a Dataset of the plan gives it. Images: image_size * image_size values a channel
  // (pipeline::MakeInput, then Standardize where the plan says so), row by row; tables: the
  // columns. kInvalidArgument: of another size, or a score is not a number, as the weights are out
  // of range.
  absl::StatusOr<Prediction> Predict(std::span<const float> input);

 private:
  Predictor(const plan::Plan& plan, std::unique_ptr<LearningTask> task,
            std::unique_ptr<Network> network);
  const plan::Plan plan_;
  std::unique_ptr<LearningTask> task_;
  std::unique_ptr<Network> network_;
};

}  // namespace consilium::learning
