#pragma once

#include <cstdint>
#include <future>
#include <span>
#include <vector>

#include "common/plan/plan.h"
#include "datasets/dataset.h"

namespace consilium::learning {

// Some examples as flat arrays.
struct Batch {
  std::size_t count = 0;
  datasets::InputShape shape;
  // count x shape.Elements(). An image's pixels are channels-last: row by row, and at each pixel
  // its channels; a volume's voxels are channel by channel.
  std::vector<float> inputs;
  std::vector<float> targets;  // count x the data set's target_elements; of blocks, block^3
};

// An image's planes (channel by channel, as a Dataset gives them) to channels-last. `in` and `out`
// are shape.ImageElements() and do not overlap.
void ToChannelsLast(std::span<const float> in, const datasets::InputShape& shape,
                    std::span<float> out);

// Brings a data set's batches in order. The next batch is filled (and augmented) on another thread
// while the caller works on the last, so that reading never holds training up.
class BatchLoader {
 public:
  struct Options {
    std::uint32_t batch_size = 32;
    std::uint32_t smallest_batch = 2;
    plan::Augmentation augmentation = plan::Augmentation::kNone;  // of images; tables never are
    std::uint64_t augmentation_seed = 0;
    bool targets_are_masks = false;  // that move with their images
    // Of volumes, above 0: a random cube of this side of each, after augmentation; where targets
    // are masks, one in three is about a voxel of a structure, if there is one. At most the least
    // side.
    std::uint32_t block = 0;
  };

  // `order` holds indices into `data`, which outlives this. A last batch of fewer than
  // `smallest_batch` examples joins the batch before it: batch norm has no variance of one.
  BatchLoader(const datasets::Dataset& data, std::vector<std::size_t> order, Options options);

  std::size_t batches() const { return starts_.size() - 1; }
  // Call batches() times.
  Batch Next();
  // Seconds that Next() has waited for a batch that was not ready.
  double waited_s() const { return waited_s_; }

 private:
  Batch Fill(std::size_t batch) const;
  Batch FillBlocks(std::size_t batch) const;
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
