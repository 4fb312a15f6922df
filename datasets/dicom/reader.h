#pragma once

// Reads one DICOM file (PS3.10) as an image for training: of a known patient and instance, one
// frame, nothing burned in. image_file.h reads everything else. No function here throws; all are
// thread-safe.

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/file.h"
#include "datasets/dicom/header.h"
#include "datasets/image.h"
#include "datasets/refusal.h"

namespace consilium::datasets::dicom {

// The header, after every check that can be made without decoding: those of ImageFile::Open,
// identity, one frame, nothing burned in.
OrRefused<Header> ReadHeader(const fs::path& path);
OrRefused<Header> ReadHeader(File file);

// The decoded image in modality units: ImageFile::ReadModality of its only frame.
OrRefused<Image> ReadImage(const fs::path& path);

// The stored values (PS3.3 C.7.6.3), sign-extended, before any LUT; those of more than 31 bits wrap
// around, and fractions are cut off.
struct StoredPixels {
  Header header;
  std::vector<std::int32_t> values;  // rows * columns * samples
};
OrRefused<StoredPixels> ReadStoredPixels(const fs::path& path);

}  // namespace consilium::datasets::dicom
