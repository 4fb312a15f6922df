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

// PS3.3 C.11.2.1.1: the brightness of each modality value from `first` on; values beyond the ends
// take the end's.
struct VoiLut {
  std::int32_t first = 0;
  std::vector<float> brightness;  // 0 to 1
};

// One grey image in modality units: stored values after the modality LUT (PS3.3 C.11.1), before the
// VOI LUT.
struct Image {
  std::uint32_t rows = 0, columns = 0;
  std::vector<float> pixels;  // rows * columns, row by row from the top left
  // MONOCHROME1: larger values are darker. Whoever maps to brightness inverts after windowing.
  bool larger_is_darker = false;
  std::optional<VoiWindow> window;  // the file's first window, in the units of `pixels`
  std::optional<VoiLut> voi_lut;    // the file's first VOI LUT; the window comes before it
  // Whether a pixel is padding (PS3.3 C.7.5.1.1.2), which is no part of the image and of no
  // statistics; empty: none is.
  std::vector<bool> padding;
  // Distance between the centres of neighbouring pixels, down and across; 0: not known.
  double row_spacing_mm = 0, column_spacing_mm = 0;
};

}  // namespace consilium::datasets
