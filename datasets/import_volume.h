#pragma once

// Private to the import (import.h): a NIfTI volume and its mask as a series and a SEG object.

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "datasets/import.h"
#include "datasets/results/segmentation_writer.h"

namespace consilium::datasets {

struct NewSeries {
  fs::path image, mask;  // mask: empty without one
  std::string modality, patient;
  std::string name;  // what UIDs are made of, the same for the same volume
  int number = 1;    // of the series within the patient
  SlicePlane plane = SlicePlane::kAsItLies;
  std::vector<std::string> segments;  // as ImportOptions::segments
  fs::path folder;                    // for FOLDER/NUMBER/0001.dcm ... and FOLDER/NUMBER-mask.dcm
};
std::string SeriesUid(const NewSeries& series);

// Writes it. kInvalidArgument for a volume that is none, whose axes are skew or lie between two of
// the patient's, or whose mask lies elsewhere.
absl::Status ImportVolume(const NewSeries& series);

// Values of a mask by segment: 0 or 1. One label: wherever the mask is not 0.
absl::StatusOr<std::vector<results::NewSegment>> SegmentsOf(const std::vector<std::string>& labels,
                                                            std::span<const float> mask);

}  // namespace consilium::datasets
