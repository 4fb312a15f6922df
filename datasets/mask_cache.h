#pragma once

// The masks of a plan's structures, as the pipeline places the inputs, in one file (slot_cache.h)
// for each way of placing and list of structures: the target beside each input of a pixel cache.
//
// A slot is image_size^2 structure numbers (targets/image_mask.h), of volumes slices times, then
// the millimetres from pixel to pixel of the input and from slice to slice as 32-bit floats (0: not
// known; flat images have no slices).

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "datasets/catalog.h"
#include "datasets/image_reader.h"
#include "datasets/slot_cache.h"

namespace consilium::datasets {

// Immutable and thread-safe once it is made.
class MaskCache {
 public:
  // As PixelCache::Prepare, of images with segmentations (CatalogImage::masks). `structures`: the
  // plan's target.classes, at most 255.
  static absl::StatusOr<MaskCache> Prepare(
      const fs::path& cache_folder, const fs::path& image_folder,
      std::span<const CatalogImage> images, const plan::Preprocessing& preprocessing,
      const std::vector<std::string>& structures, ImageReader& reader, unsigned threads,
      Progress& progress, std::vector<UnusableImage>* unusable);

  // Where the image's mask is; nothing when it could not be read. Another set of segmentations, or
  // a changed one, is another mask.
  std::optional<std::size_t> Find(const CatalogImage& image) const;
  // slices * image_size^2 structure numbers; 0: background, i: the i-th structure, from 1.
  ByteView Mask(std::size_t slot) const;
  float spacing_mm(std::size_t slot) const;
  float slice_spacing_mm(std::size_t slot) const;  // 0 of flat images

 private:
  SlotCache slots_;
  std::size_t pixels_ = 0;
};

}  // namespace consilium::datasets
