#pragma once

// Lookup tables and windows of images (PS3.3 C.11.1, C.11.2, C.7.6.3.1.5).

#include <cstdint>
#include <optional>
#include <vector>

#include "datasets/dicom/data_set.h"
#include "datasets/dicom/header.h"
#include "datasets/image.h"
#include "datasets/refusal.h"

namespace consilium::datasets::dicom {

// A table of `entries` values of `bits` bits from stored value `first` on.
struct LookupTable {
  std::int32_t first = 0;
  int bits = 16;
  std::vector<std::uint16_t> entries;  // never empty
};
// The table of an item of a Modality or VOI LUT sequence. kDamaged when it is incomplete.
OrRefused<LookupTable> ReadLookupTable(const DataSet& item, bool is_signed);

// Stored values into modality units: slope and intercept, or a table.
struct ModalityLut {
  double slope = 1, intercept = 0;
  std::optional<LookupTable> table;  // then slope and intercept do not count
};
// Of `rescale`, which is the data set of the file or an item of a Pixel Value Transformation
// Sequence. kDamaged when it cannot be applied.
OrRefused<ModalityLut> ReadModalityLut(const DataSet& rescale, bool is_signed);

// Windows with a centre and a width that their function takes, in the file's order. `voi` is the
// data set of the file or an item of a Frame VOI LUT Sequence.
std::vector<VoiWindow> ReadWindows(const DataSet& voi);
// The first table of the VOI LUT Sequence; nothing when there is none that is sound.
std::optional<VoiLut> ReadVoiLut(const DataSet& voi, bool is_signed);

// The three tables of a PALETTE COLOR image, also segmented ones (C.7.9.2).
struct Palette {
  LookupTable red, green, blue;
};
OrRefused<Palette> ReadPalette(const DataSet& data_set, bool is_signed);

}  // namespace consilium::datasets::dicom
