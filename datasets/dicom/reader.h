#pragma once

// Reads one DICOM file (PS3.10) as an image for training: of a known patient and instance.
// image_file.h reads everything else. No function here throws; all are
// thread-safe.

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/file.h"
#include "datasets/dicom/header.h"
#include "datasets/image.h"
#include "datasets/refusal.h"

namespace consilium::datasets::dicom {

// The header as training may know it, after every check that can be made without decoding: an image
// of a patient by its SOP class (kNotForTraining with what it is instead), the checks of
// ImageFile::Open, identity. Texts of it that hold another identifier of the file are empty.
// `burned_in` and `head` are set; whether such images, or those of several frames, are wanted is
// the caller's to judge.
OrRefused<Header> ReadHeader(const fs::path& path);
OrRefused<Header> ReadHeader(File file);

// Whether it was refused for being a segmentation (PS3.3 A.51) or a structure set (A.19), which
// targets are made of.
bool IsOutlines(const Refused& refused);

// The decoded image in modality units: ImageFile::ReadModality of its only frame; kSeveralFrames
// when it has more.
OrRefused<Image> ReadImage(const fs::path& path);

// The stored values (PS3.3 C.7.6.3), sign-extended, before any LUT; those of more than 31 bits wrap
// around, and fractions are cut off.
struct StoredPixels {
  Header header;
  std::vector<std::int32_t> values;  // rows * columns * samples
};
OrRefused<StoredPixels> ReadStoredPixels(const fs::path& path);

}  // namespace consilium::datasets::dicom
