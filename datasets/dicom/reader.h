#pragma once

// Reads one DICOM file (PS3.10) that holds one grey frame. The structure of the file is read by
// code of ours that allocates nothing on the word of a length field; DCMTK's decoders see only
// compressed pixels whose claimed size has been checked. No function here throws; all are
// thread-safe.

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/file.h"
#include "datasets/image.h"
#include "datasets/refusal.h"

namespace consilium::datasets::dicom {

// No image of more pixel bytes than this is decoded: 128 megapixels of 16 bits, above any grey
// single frame in clinical use.
inline constexpr std::uint64_t kMaxPixelBytes = 256ull << 20;

enum class TransferSyntax {  // PS3.5 section 10 and annex A
  kImplicitLittleEndian,     // 1.2.840.10008.1.2
  kExplicitLittleEndian,     // ...1.2.1
  kExplicitBigEndian,        // ...1.2.2
  kDeflated,                 // ...1.2.1.99
  kRle,                      // ...1.2.5
  kJpegBaseline,             // ...1.2.4.50
  kJpegExtended,             // ...1.2.4.51
  kJpegLossless,             // ...1.2.4.57
  kJpegLosslessSv1,          // ...1.2.4.70
  kJpegLsLossless,           // ...1.2.4.80
  kJpegLsNearLossless,       // ...1.2.4.81
};
std::string_view Uid(TransferSyntax syntax);
std::string_view Name(TransferSyntax syntax);  // "explicit VR little endian"

struct Header {
  TransferSyntax transfer_syntax = TransferSyntax::kExplicitLittleEndian;
  std::string sop_class_uid, sop_instance_uid, series_instance_uid, study_instance_uid;
  std::string patient_id;
  std::string modality;       // "DX", "CR", "MR" ...
  std::string view_position;  // "PA", "AP", "CC" ...; empty when not said
  std::string laterality;     // "L", "R"; image laterality before series laterality
  std::string manufacturer, model;
  std::uint32_t rows = 0, columns = 0;
  int bits_allocated = 0, bits_stored = 0, high_bit = 0;
  bool is_signed = false;
  bool monochrome1 = false;
  double row_spacing_mm = 0,
         column_spacing_mm = 0;  // pixel spacing, else imager or nominal spacing; 0: not said
};

// The header, after every check that can be made without decoding: identity, one grey frame of 8 to
// 16 bits, a transfer syntax that can be read, nothing burned in, and pixel data that is all there.
OrRefused<Header> ReadHeader(const fs::path& path);

// The decoded image in modality units: rescale slope and intercept or the modality LUT sequence
// applied.
OrRefused<Image> ReadImage(const fs::path& path);

// The stored values (PS3.3 C.7.6.3), sign-extended, before any LUT.
struct StoredPixels {
  Header header;
  std::vector<std::int32_t> values;
};
OrRefused<StoredPixels> ReadStoredPixels(const fs::path& path);

}  // namespace consilium::datasets::dicom
