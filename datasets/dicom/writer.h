#pragma once

// Writes images as DICOM files (PS3.10), for phantoms, for imported research sets and for tests.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/base/file.h"
#include "datasets/dicom/reader.h"
#include "datasets/image.h"

namespace consilium::datasets::dicom {

// "2.25." and the decimal value of a version 8 UUID made of `name` (PS3.5 B.2): the same name gives
// the same UID.
std::string MakeUid(std::string_view name);

// The modalities that WriteFile knows an image storage SOP class for: MR CT CR DX MG US OP PT.
bool HasSopClass(std::string_view modality);

// An element that a NewInstance has no field for, or the place of one in sequences, as DCMTK's
// tools write paths: "PatientWeight" or
// "RadiopharmaceuticalInformationSequence[0].RadionuclideHalfLife"; the value of several values
// with backslashes between. An empty value is an empty element.
struct Attribute {
  std::string path, value;
};

struct NewInstance {
  std::string modality;
  std::string patient_id, study_instance_uid, series_instance_uid, sop_instance_uid;
  int instance_number = 1;
  std::string view_position, laterality,
      body_part;  // defined terms of the modality; empty: not said
  std::string manufacturer, model, description;

  std::uint32_t rows = 0, columns = 0;
  std::uint32_t frames = 1;  // more than one of US only
  // 3: red, green and blue of 8 bits; but of US and OP a Secondary Capture (PS3.3 A.8) of the
  // modality, without window, LUT and position.
  int samples = 1;
  // Stored values, within bits_stored: frame after frame, the samples of a pixel side by side.
  std::vector<std::int32_t> values;
  int bits_stored = 16;  // 8 to 16; 8 are stored in a byte
  bool is_signed = false;
  bool monochrome1 = false;
  double slope = 1, intercept = 0;
  std::optional<VoiWindow> window;
  std::optional<VoiLut> voi_lut;
  std::optional<std::int32_t> padding;  // the stored value that is no part of the image
  double row_spacing_mm = 0, column_spacing_mm = 0;  // 0: not known
  bool burned_in_annotation = false;
  // Written last: they replace what the fields above and the image class's defaults say.
  std::vector<Attribute> attributes;
  TransferSyntax transfer_syntax = TransferSyntax::kExplicitLittleEndian;
};

// Writes beside `path` and renames; does not sync. The same instance gives the same bytes.
// kInvalidArgument when the instance contradicts itself or its transfer syntax cannot hold it (the
// lossy ones are not written, except kJpegBaseline of 8 bits and kJpegExtended of 12 bits; of JPEG
// 2000, only kJpeg2000Lossless).
absl::Status WriteFile(const fs::path& path, const NewInstance& instance);

}  // namespace consilium::datasets::dicom
