#pragma once

// One small DICOM image and the cache file made of it.

#include <string>

#include "common/base/progress.h"
#include "datasets/pixel_cache.h"
#include "tests/fuzz/fuzz.h"

namespace consilium::fuzz {

class PixelCacheScene {
 public:
  PixelCacheScene();
  const datasets::CatalogImage& image() const { return image_; }
  // Its name in the scratch folder.
  const std::string& CacheFile() const { return cache_file_; }
  absl::StatusOr<datasets::PixelCache> Prepare() const;

  static Bytes WithTableChecksum(ByteView file);

 private:
  datasets::CatalogImage image_;
  plan::Preprocessing preprocessing_;
  std::string cache_file_;
};

}  // namespace consilium::fuzz
