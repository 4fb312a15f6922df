#pragma once

// Private to this folder: the one header that shows torch's tensors. See trainer.h for the
// networks' shapes and names.

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/model/model_state.h"
#include "common/plan/plan.h"

namespace consilium::learning {

// One entry of a state dict. Convolution weights lie channels-last in memory.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;  // float32
  bool trained;       // false: a running statistic
};

// Where on the input the values of the last feature map are: continuous positions, pixel i reaching
// from i to i + 1, along both axes.
struct FeatureGrid {
  double first = 0, step = 1;  // the first value's centre, the distance between neighbours
};

// A classifier: images in, one logit each out: a feature map, its mean over the image, one linear
// layer. Not thread-safe: training moves running statistics.
class Network {
 public:
  static std::unique_ptr<Network> Make(const plan::Model& model);
  virtual ~Network() = default;

  // images: N x 1 x size x size, float32. Returns N logits of target 1.
  at::Tensor Forward(const at::Tensor& images, bool training) {
    return Classify(Features(images, training));
  }

  // The last feature map: N x channels x side x side.
  virtual at::Tensor Features(const at::Tensor& images, bool training) = 0;
  virtual FeatureGrid feature_grid() const = 0;
  // N logits of a feature map.
  at::Tensor Classify(const at::Tensor& features) const;
  // What each place of a feature map adds to the logit: N x 1 x side x side. Their mean and the
  // bias are the logit.
  at::Tensor Contributions(const at::Tensor& features) const;

  // In state-dict order.
  std::span<const NamedTensor> tensors() const { return tensors_; }
  std::vector<at::Tensor> TrainedTensors() const;
  Layout MakeLayout() const;

  // kInvalidArgument when the layout is another; the values are copied.
  absl::Status Load(const ModelState& model);
  absl::StatusOr<ModelState> Save() const;

 protected:
  // Registers a tensor under `name`; the values are whatever memory held until Load.
  at::Tensor Add(std::string name, std::vector<std::int64_t> shape, bool trained = true);

  // The linear layer, last in the state dict.
  void AddClassifier(std::int64_t channels);

  struct Norm;
  friend struct Norm;

 private:
  at::Tensor fc_weight_, fc_bias_;
  std::vector<NamedTensor> tensors_;
};

}  // namespace consilium::learning
