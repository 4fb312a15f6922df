#pragma once

// What a file's header says of the image that its pixels alone do not.

#include <optional>
#include <string>

#include "datasets/dicom/data_set.h"
#include "datasets/dicom/header.h"
#include "datasets/pipeline/foreground.h"

namespace consilium::datasets::pipeline {

enum class Facing { kLeft, kRight };  // where most tissue lies

struct Hints {
  // Of an ultrasound image (PS3.3 C.8.5.5): its first region with two spatial dimensions and
  // tissue, and the distance of pixels there; 0: not said.
  std::optional<Box> scan_region;
  double region_row_mm = 0, region_column_mm = 0;
  // Of a mammogram, by Patient Orientation (0020,0020), else by the side that its laterality
  // usually lies on.
  std::optional<Facing> facing;
  std::string facing_source;  // "patient orientation A\\R"
};

Hints ReadHints(const dicom::DataSet& data_set, const dicom::Header& header);

}  // namespace consilium::datasets::pipeline
