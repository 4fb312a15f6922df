#pragma once

// Changing stored pixels of DCMTK's data set. Internal to this folder.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "datasets/deidentification/pixel_risk.h"
#include "datasets/refusal.h"

class DcmDataset;

namespace consilium::datasets::deidentification {

// Blanks, in all frames, what lies in `blank`, and, where `keep` is not empty, what lies in none of
// its rectangles. Compressed pixels are decompressed for it and written as explicit VR little
// endian; the image is then not lossier than it was. A reason when they cannot be changed.
std::optional<Refused> BlankRectangles(DcmDataset& data_set, const std::vector<Rectangle>& blank,
                                       const std::vector<Rectangle>& keep);

// Blanks the pixels of the first frame where `mask` (rows * columns) is not 0.
std::optional<Refused> BlankMask(DcmDataset& data_set, std::span<const std::uint8_t> mask);

// What a single grey frame stores, sign-extended; nothing when there are several frames or samples,
// or they cannot be decompressed.
std::optional<std::vector<std::int32_t>> StoredValues(DcmDataset& data_set);

// Comments in compressed frames (code_stream.h), and bytes of native pixel data beyond the last
// pixel: both can hold text that no viewer shows.
void DropHiddenText(DcmDataset& data_set);

}  // namespace consilium::datasets::deidentification
