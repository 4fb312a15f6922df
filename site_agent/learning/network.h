#pragma once

// Private to this folder: the one header that shows torch's tensors. See trainer.h for the
// networks' shapes and names; networks/ holds them, one file a family.

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/model/model_state.h"
#include "common/plan/plan.h"

namespace consilium::learning {

// What InitialModel fills a tensor with: the constant `value`, or numbers of our own generator,
// normal with deviation `value` or uniform within +-`value`.
struct Start {
  enum class Kind { kConstant, kNormal, kUniform };
  Kind kind = Kind::kConstant;
  double value = 0;
};

// One entry of a state dict. Convolution weights lie channels-last in memory.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;  // float32
  bool trained;       // false: a running statistic, a table's preparation, or frozen
  Start start;
};

// Where on the input the values of the last feature map are: continuous positions, pixel i reaching
// from i to i + 1, along both axes.
struct FeatureGrid {
  double first = 0, step = 1;  // the first value's centre, the distance between neighbours
};

// The logits of a plan's network: binary and survival 1 (of survival in intervals one each),
// multiclass and multilabel one a class (of grades one fewer),
// segmentation one for the background and one a structure, detection one a kind of finding, four
// of a box and one of its centre (networks.h).
std::int64_t OutputsOf(const plan::Plan& plan);
// Channels of its images: 3 of channel = "rgb", else 1.
std::int64_t ChannelsOf(const plan::Plan& plan);

class ImageClassifier;

// Not thread-safe: training moves running statistics.
class Network {
 public:
  // With the plan's adapters, and what it freezes frozen: norms of frozen layers take their running
  // statistics in training, too, and do not move them. Throws std::runtime_error where the plan's
  // frozen names or adapters do not fit the network.
  static std::unique_ptr<Network> Make(const plan::Plan& plan);
  virtual ~Network() = default;

  // Images: N x channels x size x size, float32, channels-last. Volumes: N x channels x depth x
  // height x width, contiguous. Tables: N x columns, as a Dataset
  // gives them (raw numbers, NaN missing, then one-hot categories and indicators). Images
  // with a table: N x (their values, channels last, then the columns). Returns the logits: N x
  // outputs (N where outputs is 1), of segmentation N x outputs x size x size, of detection N x
  // places x outputs.
  virtual at::Tensor Forward(const at::Tensor& input, bool training) = 0;

  // What chance decides in training (dropout) follows this seed from here on; the plan's, until it
  // is called. Give each round and site its own.
  virtual void Seed(std::uint64_t seed) { static_cast<void>(seed); }

  // This, when it is an ImageClassifier; else null.
  virtual ImageClassifier* AsImageClassifier() { return nullptr; }

  // In state-dict order, adapters last. Adapted weights are without what their adapters add.
  std::span<const NamedTensor> tensors() const { return tensors_; }
  std::vector<at::Tensor> TrainedTensors() const;
  Layout MakeLayout() const;

  // What the optimizer does about adapters (common/model/adapters.h): before a step, the gradients
  // of the layers' weights become those of A and B; after it the layers get weight + B A.
  void PassGradientsToAdapters();
  void ApplyAdapters();

  // kInvalidArgument when the layout is another; the values are copied.
  absl::Status Load(const ModelState& model);
  absl::StatusOr<ModelState> Save() const;

 protected:
  // Registers a tensor under `name`; the values are whatever memory held until Load.
  at::Tensor Add(std::string name, std::vector<std::int64_t> shape, Start start,
                 bool trained = true);

  // Registers a tensor that is there already, with the value it has.
  void Adopt(std::string name, at::Tensor tensor, bool trained);
  void Adopt(NamedTensor entry) { tensors_.push_back(std::move(entry)); }

  // Something of the network is frozen by the plan.
  bool freezes() const { return freezes_; }

  struct Norm;  // networks/layers.h
  struct Convolution;
  struct Linear;
  struct ResNetBody;       // networks/resnet_body.h
  struct PreparedColumns;  // networks/prepared_columns.h

 private:
  // A layer's own weight tensor, which holds weight + B A.
  struct AdaptedWeight {
    at::Tensor layers, weight, a, b;
  };
  static std::unique_ptr<Network> MakePlain(const plan::Plan& plan);
  absl::Status AddAdapters(std::uint32_t rank);
  absl::Status Freeze(std::span<const std::string> frozen);

  std::vector<NamedTensor> tensors_;
  std::vector<AdaptedWeight> adapted_;
  bool freezes_ = false;
};

// Images in, logits out: a feature map, its mean over the image, one linear layer.
class ImageClassifier : public Network {
 public:
  at::Tensor Forward(const at::Tensor& images, bool training) final {
    return Classify(Features(images, training));
  }
  ImageClassifier* AsImageClassifier() final { return this; }

  // The last feature map: N x channels x side x side.
  virtual at::Tensor Features(const at::Tensor& images, bool training) = 0;
  virtual FeatureGrid feature_grid() const = 0;
  // The logits of a feature map.
  at::Tensor Classify(const at::Tensor& features) const;
  // What each place of a feature map adds to each logit: N x outputs x side x side. Their mean and
  // the bias are the logit.
  at::Tensor Contributions(const at::Tensor& features) const;

 protected:
  // The linear layer, last in the state dict: `name`.weight, `name`.bias ("fc", "classifier" ...).
  void AddClassifier(const std::string& name, std::int64_t channels, std::int64_t outputs);

 private:
  at::Tensor classifier_weight_, classifier_bias_;
};

}  // namespace consilium::learning
