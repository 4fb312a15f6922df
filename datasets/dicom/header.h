#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace consilium::datasets::dicom {

// No frame of more than this is decoded: 64 Mi samples (its values as 32-bit numbers are 256 MiB),
// above any single frame in clinical use.
inline constexpr std::uint64_t kMaxFrameSamples = 64ull << 20;
inline constexpr std::uint64_t kMaxFrameBytes = 256ull << 20;

// PS3.5 section 10 and annex A. Append only: the order is that of the table in syntaxes.cpp.
enum class TransferSyntax {
  kImplicitLittleEndian,      // 1.2.840.10008.1.2
  kExplicitLittleEndian,      // ...1.2.1
  kExplicitBigEndian,         // ...1.2.2
  kDeflated,                  // ...1.2.1.99
  kRle,                       // ...1.2.5
  kJpegBaseline,              // ...1.2.4.50
  kJpegExtended,              // ...1.2.4.51
  kJpegLossless,              // ...1.2.4.57
  kJpegLosslessSv1,           // ...1.2.4.70
  kJpegLsLossless,            // ...1.2.4.80
  kJpegLsNearLossless,        // ...1.2.4.81
  kJpegSpectralSelection,     // ...1.2.4.53, retired
  kJpegFullProgression,       // ...1.2.4.55, retired
  kJpeg2000Lossless,          // ...1.2.4.90
  kJpeg2000,                  // ...1.2.4.91
  kJpeg2000Part2Lossless,     // ...1.2.4.92: only of what part 1 can also say
  kJpeg2000Part2,             // ...1.2.4.93: the same
  kHtj2kLossless,             // ...1.2.4.201
  kHtj2kLosslessRpcl,         // ...1.2.4.202
  kHtj2k,                     // ...1.2.4.203
  kEncapsulatedUncompressed,  // ...1.2.1.98
  kDeflatedFrames,            // ...1.2.8.1
};
std::string_view Uid(TransferSyntax syntax);
std::string_view Name(TransferSyntax syntax);  // "explicit VR little endian"
// Whether frames lie in fragments (PS3.5 A.4).
bool IsEncapsulated(TransferSyntax syntax);

// PS3.3 C.7.6.3.1.2.
enum class Photometric {
  kMonochrome1,
  kMonochrome2,
  kPalette,
  kRgb,
  kYbrFull,
  kYbrFull422,
  kYbrPartial422,
  kYbrPartial420,
  kYbrIct,
  kYbrRct,
};
std::string_view Name(Photometric photometric);  // "PALETTE COLOR"

enum class SampleKind {
  kInteger,
  kFloat,   // (7FE0,0008)
  kDouble,  // (7FE0,0009)
};

struct Header {
  TransferSyntax transfer_syntax = TransferSyntax::kExplicitLittleEndian;
  std::string sop_class_uid, sop_instance_uid, series_instance_uid, study_instance_uid;
  std::string patient_id;
  std::string modality;       // "DX", "CR", "MR" ...
  std::string view_position;  // "PA", "AP", "CC" ...; empty when not said
  std::string laterality;     // "L", "R"; image laterality before series laterality
  std::string manufacturer, model;
  std::string patient_sex;  // "M", "F", "O"; empty when not said
  // At the study: Patient's Age (0010,1010), else by the dates of birth and study; nothing when
  // neither says it, or it is not between 0 and 150.
  std::optional<double> patient_age_years;
  std::string body_part;          // (0018,0015); empty when not said
  double slice_thickness_mm = 0;  // 0: not said
  // Of ReadHeader only: (0028,0301) says that text is burned into the pixels; a CT, MR or PET that
  // says it shows a head.
  bool burned_in = false, head = false;
  std::uint32_t rows = 0, columns = 0;
  std::uint32_t frames = 1;
  int samples = 1;  // a pixel: 1, or 3 in colour
  SampleKind kind = SampleKind::kInteger;
  int bits_allocated = 0;  // 1, 8, 16 or 32; 64 of kDouble
  int bits_stored = 0, high_bit = 0;
  bool is_signed = false;
  Photometric photometric = Photometric::kMonochrome2;
  bool monochrome1 = false;
  bool planar = false;  // native samples lie plane by plane (PS3.3 C.7.6.3.1.3)
  double row_spacing_mm = 0,
         column_spacing_mm = 0;  // pixel spacing, else imager or nominal spacing; 0: not said

  bool colour() const { return samples > 1 || photometric == Photometric::kPalette; }
};

}  // namespace consilium::datasets::dicom
