#pragma once

// The inputs that the pipeline makes, in one file (slot_cache.h) for each way of preprocessing.
//
// Pixels are kept as 16-bit fractions of 1: the images have at most 16 bits, the error of 7.6e-6 is
// far below a display step, and they take half the disk and page cache of floats. Standardisation
// is done on reading. A slot is channels * slices * image_size^2 fractions, little endian; the
// file's variant is 0 of one channel, else their number.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/progress.h"
#include "common/plan/plan.h"
#include "datasets/catalog.h"
#include "datasets/image_reader.h"
#include "datasets/slot_cache.h"

namespace consilium::datasets {

// Immutable and thread-safe once it is made.
class PixelCache {
 public:
  // The cache of `cache_folder` for `preprocessing` with all of `images` in it; those that it lacks
  // are decoded by `reader`. Errors, interruption and `unusable` as SlotCache::Prepare.
  static absl::StatusOr<PixelCache> Prepare(const fs::path& cache_folder,
                                            const fs::path& image_folder,
                                            std::span<const CatalogImage> images,
                                            const plan::Preprocessing& preprocessing,
                                            ImageReader& reader, unsigned threads,
                                            Progress& progress,
                                            std::vector<UnusableImage>* unusable);

  std::uint32_t image_size() const { return image_size_; }
  std::uint32_t channels() const { return channels_; }
  std::uint32_t slices() const { return slices_; }  // 1 of flat images
  // Where the image's pixels are; nothing when it could not be used.
  std::optional<std::size_t> Find(const CatalogImage& image) const;
  // `out` has channels * slices * image_size^2 elements; values in [0, 1].
  void Read(std::size_t slot, std::span<float> out) const;

 private:
  SlotCache slots_;
  std::uint32_t image_size_ = 0, channels_ = 1, slices_ = 1;
};

}  // namespace consilium::datasets
