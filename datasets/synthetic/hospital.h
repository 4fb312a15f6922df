#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/progress.h"
#include "datasets/dicom/reader.h"

namespace consilium::datasets::synthetic {

// How a hospital's X-ray machine turns attenuation into a DICOM file.
struct Scanner {
  std::string modality = "DX";  // DX or CR
  std::string manufacturer = "Consilium Phantoms", model = "Plain";
  std::uint32_t rows = 256, columns = 256;
  double spacing_mm = 1.4;
  int bits_stored = 12;    // 8 to 16
  bool is_signed = false;  // stored values centred on 0, with a rescale intercept that undoes it
  bool monochrome1 = false;
  dicom::TransferSyntax transfer_syntax = dicom::TransferSyntax::kExplicitLittleEndian;

  double gamma = 1.0;           // brightness = attenuation ^ gamma ...
  double contrast = 0.0;        // ... then an S-curve: 0 none, 1 strong
  double exposure = 1.0;        // spread of the brightness over the range of stored values
  double noise = 0.01;          // standard deviation, of the range
  double blur_mm = 0.0;         // standard deviation
  double collimation_mm = 0.0;  // width of the unexposed border, varies by half of it
};

struct Hospital {
  std::string name;  // begins the patient IDs
  Scanner scanner;
  double positive_fraction = 0.35;  // of the patients: those with an opacity
  // A lead letter beside the shoulder. Where its chances differ by class, a network may learn the
  // letter instead.
  double marker_chance_positive = 0.5, marker_chance_negative = 0.5;
};

// "north": DX, 12 bits, low noise. "south": CR, 10 bits, MONOCHROME1, JPEG lossless, noisy, and a
// marker that goes with the class. "east": DX, 16 bits signed, big endian, blurred, wide
// collimation. kInvalidArgument for other names.
absl::StatusOr<Hospital> Preset(std::string_view name);
std::vector<std::string> PresetNames();

struct SynthesisReport {
  std::uint64_t patients = 0, positives = 0, images = 0;
};

// Writes FOLDER/PATIENT/1.dcm (and 2.dcm for every third patient or so) and FOLDER/labels.csv
// (patient_id,opacity), on several threads. The same arguments give the same bytes. kAlreadyExists
// when the folder holds something already, kCancelled when interrupted.
absl::StatusOr<SynthesisReport> Synthesize(const Hospital& hospital, std::uint32_t patients,
                                           std::uint64_t seed, const fs::path& folder,
                                           unsigned threads, Progress& progress);

}  // namespace consilium::datasets::synthetic
