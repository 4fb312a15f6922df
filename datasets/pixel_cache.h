#pragma once

// Preprocessed pixels in one memory-mapped file for each way of preprocessing, so that an epoch
// does not decode again.
//
// Pixels are kept as 16-bit fractions of 1: the images have at most 16 bits, the error of 7.6e-6 is
// far below a display step, and they take half the disk and page cache of floats. Standardisation
// is done on reading.
//
//   file  = "CNSLPIX1" settings(8) image_size(4) 0(4) slots(8) table checksum(8), table, pixels
//   table = slots * { key(8+8) pixel checksum(8) state(8) }       all integers little endian
//   state = 0: nothing there; 1: pixels; 256 + Refusal: the image could not be used (its pixels
//   stay zero) pixels start at a multiple of 4096; slot i at i * image_size^2 * 2 bytes after that

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/progress.h"
#include "common/plan/plan.h"
#include "datasets/catalog.h"
#include "datasets/image_reader.h"

namespace consilium::datasets {

struct UnusableImage {
  std::size_t index = 0;  // among the images that were asked for
  Refused refused;
};

// Immutable and thread-safe once it is made.
class PixelCache {
 public:
  // The cache file of `cache_folder` for `preprocessing` with all of `images` in it. Images that it
  // lacks are decoded by `reader` on several threads and a new file takes the place of the old one
  // (written aside, synced, renamed); the entries of a damaged file that fail their checksum are
  // decoded again. Images that cannot be used are told in `unusable`. kCancelled when interrupted
  // (the old file stays), kResourceExhausted when the disk is full.
  static absl::StatusOr<PixelCache> Prepare(const fs::path& cache_folder,
                                            const fs::path& image_folder,
                                            std::span<const CatalogImage> images,
                                            const plan::Preprocessing& preprocessing,
                                            ImageReader& reader, unsigned threads,
                                            Progress& progress,
                                            std::vector<UnusableImage>* unusable);

  std::uint32_t image_size() const { return image_size_; }
  // Where the image's pixels are; nothing when it could not be used.
  std::optional<std::size_t> Find(const CatalogImage& image) const;
  // `out` has image_size^2 elements; values in [0, 1].
  void Read(std::size_t slot, std::span<float> out) const;

 private:
  friend class PixelCacheWriter;
  struct Key {
    std::uint64_t high = 0, low = 0;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const { return key.high; }
  };
  static Key KeyOf(const CatalogImage& image);
  // Empty when there is no file, or none that can be trusted.
  static PixelCache Load(const fs::path& path, std::uint64_t settings, std::uint32_t image_size);
  ByteView Slot(std::size_t slot) const;

  MappedFile file_;
  std::uint32_t image_size_ = 0;
  std::uint64_t pixels_at_ = 0;
  std::unordered_map<Key, std::size_t, KeyHash> slots_;
  std::unordered_map<Key, Refusal, KeyHash> refused_;
};

}  // namespace consilium::datasets
