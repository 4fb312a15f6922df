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

// A classifier: images in, one logit each out. Not thread-safe: training moves running statistics.
class Network {
 public:
  static std::unique_ptr<Network> Make(const plan::Model& model);
  virtual ~Network() = default;

  // images: N x 1 x size x size, float32. Returns N logits of target 1.
  virtual at::Tensor Forward(const at::Tensor& images, bool training) = 0;

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

  struct Norm;
  friend struct Norm;

 private:
  std::vector<NamedTensor> tensors_;
};

}  // namespace consilium::learning
