#pragma once

#include <cstdint>
#include <future>
#include <vector>

#include "common/plan/plan.h"
#include "datasets/dataset.h"

namespace consilium::learning {

// Some examples as flat arrays.
struct Batch {
  std::size_t count = 0;
  std::vector<float> pixels;   // count x size x size
  std::vector<float> targets;  // 0 or 1
  std::vector<float> weights;  // of each example in the loss
};

// The loss weight of an example by its target: count / (2 x count of its class), so that both
// classes weigh the same and the mean weight is one. {1, 1} without class weighting.
struct ClassWeights {
  float negative = 1, positive = 1;
};

// Brings a data set's batches in order. The next batch is filled (and augmented) on another thread
// while the caller works on the last, so that reading never holds training up.
class BatchLoader {
 public:
  struct Options {
    std::uint32_t batch_size = 32;
    ClassWeights weights;
    plan::Augmentation augmentation = plan::Augmentation::kNone;
    std::uint64_t augmentation_seed = 0;
  };

  // `order` holds indices into `data`, which outlives this. A last batch of one example joins the
  // batch before it: batch norm has no variance of one.
  BatchLoader(const datasets::Dataset& data, std::vector<std::size_t> order, Options options);

  std::size_t batches() const { return starts_.size() - 1; }
  // Call batches() times.
  Batch Next();
  // Seconds that Next() has waited for a batch that was not ready.
  double waited_s() const { return waited_s_; }

 private:
  Batch Fill(std::size_t batch) const;
  void Prefetch();

  const datasets::Dataset& data_;
  const std::vector<std::size_t> order_;
  const Options options_;
  std::vector<std::size_t> starts_;  // of each batch in order_, and the end
  std::size_t prefetched_ = 0;
  double waited_s_ = 0;
  std::future<Batch> next_;
};

}  // namespace consilium::learning
