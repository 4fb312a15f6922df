#pragma once

// Who reads image files for the catalog and the cache: this process, or better, a sandboxed worker
// (worker/sandboxed_reader.h).

#include <memory>
#include <span>
#include <vector>

#include "common/base/file.h"
#include "common/plan/plan.h"
#include "datasets/dicom/header.h"
#include "datasets/refusal.h"

namespace consilium::datasets {

// Thread-safe.
class ImageReader {
 public:
  virtual ~ImageReader() = default;
  // dicom::ReadHeader of each path, in their order. A few hundred at a time is best.
  virtual std::vector<OrRefused<dicom::Header>> ReadHeaders(std::span<const fs::path> paths) = 0;
  // pipeline::MakeInput of the file.
  virtual OrRefused<std::vector<float>> ReadInput(const fs::path& path,
                                                  const plan::Preprocessing& preprocessing) = 0;
};

// Reads in this process, which a hostile file may crash: for tests and for one's own files.
std::unique_ptr<ImageReader> ReadInThisProcess();

}  // namespace consilium::datasets
