#pragma once

// Writes grey images as DICOM files (PS3.10), for phantoms, for imported research sets and for
// tests.

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

// The modalities that WriteFile knows an image storage SOP class for: MR CT CR DX MG US OP.
bool HasSopClass(std::string_view modality);

struct NewInstance {
  std::string modality;
  std::string patient_id, study_instance_uid, series_instance_uid, sop_instance_uid;
  int instance_number = 1;
  std::string view_position, laterality,
      body_part;  // defined terms of the modality; empty: not said
  std::string manufacturer, model, description;

  std::uint32_t rows = 0, columns = 0;
  std::vector<std::int32_t> values;  // stored values, within bits_stored
  int bits_stored = 16;              // 8 to 16; 8 are stored in a byte
  bool is_signed = false;
  bool monochrome1 = false;
  double slope = 1, intercept = 0;
  std::optional<VoiWindow> window;
  double row_spacing_mm = 0, column_spacing_mm = 0;  // 0: not known
  bool burned_in_annotation = false;
  TransferSyntax transfer_syntax = TransferSyntax::kExplicitLittleEndian;
};

// Writes beside `path` and renames; does not sync. The same instance gives the same bytes.
// kInvalidArgument when the instance contradicts itself or its transfer syntax cannot hold it (the
// lossy ones are not written, except kJpegBaseline of 8 bits and kJpegExtended of 12 bits; of JPEG
// 2000, only kJpeg2000Lossless).
absl::Status WriteFile(const fs::path& path, const NewInstance& instance);

}  // namespace consilium::datasets::dicom
