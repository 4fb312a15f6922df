#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace consilium::datasets {

// DICOM PS3.3 C.11.2.1.2: what maps modality values to brightness.
struct VoiWindow {
  enum class Function { kLinear, kLinearExact, kSigmoid };
  double center = 0;
  double width = 1;  // at least 1 for kLinear, above 0 for the others
  Function function = Function::kLinear;
};

// One grey image in modality units: stored values after the modality LUT (PS3.3 C.11.1), before the
// VOI LUT.
struct Image {
  std::uint32_t rows = 0, columns = 0;
  std::vector<float> pixels;  // rows * columns, row by row from the top left
  // MONOCHROME1: larger values are darker. Whoever maps to brightness inverts after windowing.
  bool larger_is_darker = false;
  std::optional<VoiWindow> window;  // the file's first window, in the units of `pixels`
  // Distance between the centres of neighbouring pixels, down and across; 0: not known.
  double row_spacing_mm = 0, column_spacing_mm = 0;
};

}  // namespace consilium::datasets
