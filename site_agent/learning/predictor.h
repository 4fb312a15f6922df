#pragma once

// One image at a time through a trained classifier: its score, and where on the input it saw what
// it was asked for.

#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "common/model/model_state.h"
#include "common/plan/plan.h"
#include "datasets/results/activation.h"

namespace consilium::learning {

class Network;

struct Prediction {
  double score = 0;  // the model's probability of target 1
  // What each place of the last feature map adds to the logit: the logit is the mean of the values
  // and the classifier's bias. Exact, as both networks end in a mean over the image and one linear
  // layer (Zhou et al. 2016). small_cnn: image_size / 8 to the side; resnet18: image_size / 32.
  datasets::results::ActivationMap activation;
};

// Not thread-safe.
class Predictor {
 public:
  // kInvalidArgument when the layout does not fit the plan's network.
  static absl::StatusOr<std::unique_ptr<Predictor>> Create(const ModelState& model,
                                                           const plan::Plan& plan);
  ~Predictor();

  // `input`: image_size * image_size values as a Dataset gives them (pipeline::MakeInput, then
  // Standardize where the plan says so), row by row. kInvalidArgument: of another size, or the
  // score is not a number, as the weights are out of range.
  absl::StatusOr<Prediction> Predict(std::span<const float> input);

 private:
  Predictor(std::unique_ptr<Network> network, std::uint32_t image_size);
  std::unique_ptr<Network> network_;
  const std::uint32_t image_size_;
};

}  // namespace consilium::learning
