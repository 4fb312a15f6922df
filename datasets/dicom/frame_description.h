#pragma once

// What a file says of one of its frames: in the per-frame functional groups, else in the shared
// ones (PS3.3 C.7.6.16), else for the whole image.

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "datasets/dicom/data_set.h"
#include "datasets/dicom/header.h"
#include "datasets/dicom/lookup.h"

namespace consilium::datasets::dicom {

// Stored values of [first, last] in the units of a measurement (PS3.3 C.7.6.16.2.11).
struct RealWorldMapping {
  double first = 0, last = 0;
  double slope = 1, intercept = 0;
  std::vector<double> table;  // from `first` on; when not empty, slope and intercept do not count
  std::string unit;           // the code value of the units (UCUM): "mm2/s"

  // Nothing for a value that is not mapped.
  std::optional<double> operator()(double stored) const;
};

struct FrameDescription {
  double row_spacing_mm = 0, column_spacing_mm = 0;  // 0: not said
  double slice_thickness_mm = 0;
  std::optional<std::array<double, 3>> position;     // of the first pixel's centre, in mm
  std::optional<std::array<double, 6>> orientation;  // of a row, then of a column
  ModalityLut modality;
  std::string rescale_type;  // "HU", "US" ...; empty when not said
  std::vector<VoiWindow> windows;
  std::optional<VoiLut> voi_lut;
  std::vector<RealWorldMapping> real_world;
};

// Pixel spacing, else imager, else nominal scanned pixel spacing, of the top level.
void ReadSpacing(const DataSet& data_set, double* row_spacing_mm, double* column_spacing_mm);

class FunctionalGroups {
 public:
  // kDamaged when the groups' structure contradicts itself or they are fewer than the frames.
  static OrRefused<FunctionalGroups> Of(const DataSet& data_set, std::uint32_t frames);
  // kDamaged when the frame's modality LUT cannot be applied.
  OrRefused<FrameDescription> Describe(const DataSet& data_set, std::uint32_t frame,
                                       bool is_signed) const;
  // The first item of the frame's functional group macro `sequence`; without elements when neither
  // the frame nor the shared groups have it.
  DataSet Macro(std::uint32_t frame, std::uint32_t sequence) const;

 private:
  explicit FunctionalGroups(DataSet shared) : shared_(std::move(shared)) {}
  DataSet shared_;
  std::vector<DataSet> per_frame_;
};

}  // namespace consilium::datasets::dicom
