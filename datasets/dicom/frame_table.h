#pragma once

// Which fragments are which frame's (PS3.5 A.4).

#include <cstdint>
#include <vector>

#include "datasets/dicom/data_set.h"
#include "datasets/dicom/header.h"

namespace consilium::datasets::dicom {

class FrameTable {
 public:
  // By the number of fragments; else by the extended offset table (7FE0,0001), by the basic offset
  // table, or by which fragments start a stream; in this order, passing over tables that do not
  // point at fragments. kDamaged when none of them tells `header.frames` frames apart.
  static OrRefused<FrameTable> Of(DataSet& data_set, const Header& header);

  // The frame's fragments, joined. `frame` is below header.frames.
  OrRefused<Bytes> Read(DataSet& data_set, std::uint32_t frame) const;

 private:
  // Fragment numbers: frame i is from starts_[i] to before starts_[i + 1].
  explicit FrameTable(std::vector<std::uint32_t> starts) : starts_(std::move(starts)) {}
  std::vector<std::uint32_t> starts_;
};

}  // namespace consilium::datasets::dicom
