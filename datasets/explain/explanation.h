#pragma once

// What the pipeline does with one image, step by step, small enough to be shown and to be sent from
// the worker that read the file. Nothing here identifies a patient but the pixels themselves.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/plan/plan.h"
#include "datasets/dicom/image_file.h"
#include "datasets/refusal.h"

namespace consilium::datasets::pipeline {
struct Stage;
}

namespace consilium::datasets::explain {

inline constexpr std::uint32_t kLargestPicture = 320;  // pixels of its longer side
inline constexpr std::size_t kHistogramBins = 80;

// A stage of the pipeline (pipeline.h).
struct Step {
  std::string name, what;
  std::uint32_t rows = 0, columns = 0;  // of the stage
  double least = 0, most = 0, mean = 0;
  double low = 0, high = 1;      // shown as black and as white; low > high shows negative
  std::vector<float> histogram;  // shares of kHistogramBins equal parts between low and high
  std::uint32_t picture_rows = 0, picture_columns = 0;
  std::uint32_t channels = 1;  // 3: red, green and blue, one after the other
  std::vector<float> picture;  // the stage, made smaller by averaging where it is too large
};

Step StepOf(pipeline::Stage stage);

struct Explanation {
  std::vector<Step> steps;
  std::optional<Refused> refused;  // after these steps
};

Explanation Explain(dicom::ImageFile& file, const plan::Preprocessing& preprocessing);

// The preset that suits a modality: "MG" is mammography; generic for what has none.
plan::Preset PresetFor(std::string_view modality);

// As a worker's message; nothing where it is not sound.
Bytes Encode(const Explanation& explanation);
std::optional<Explanation> Decode(ByteView message);
inline constexpr std::uint64_t kLargestMessage = 16 << 20;

}  // namespace consilium::datasets::explain
