#pragma once

// De-identification of DICOM instances by PS3.15 Annex E, on files and in memory.
//
// Claim: of a written instance, every attribute is one that the chosen options of the profile keep,
// clean or replace, or one of the allow-list (kept_attributes.h) whose value has its VR's form and
// holds none of the identifiers found elsewhere in the instance. What is not claimed: that nothing
// is written into the pixels of an image whose header gives no reason to think so, and that free
// text which an option keeps "as it is" by the standard's own table says nothing.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/file.h"
#include "datasets/deidentification/pixel_risk.h"
#include "datasets/deidentification/profile.h"
#include "datasets/deidentification/pseudonymiser.h"
#include "datasets/refusal.h"

namespace consilium::datasets::dicom {
class DataSet;
}

namespace consilium::datasets::deidentification {

// What becomes of an instance whose pixels may identify the patient.
enum class OnRisk {
  kQuarantine,  // refused with its reason
  kClean,       // cleaned where we know how; else refused
  kAccept,      // taken as it is: somebody answers for it
};

struct PixelPolicy {
  // Text in the pixels: declared (0028,0301), or to be feared of secondary captures, screen saves,
  // ultrasound and endoscopy that do not declare that there is none. Cleaned by blanking `blank`
  // and, of ultrasound, everything outside the regions that the file names. Text within those
  // regions stays: look at what comes out.
  OnRisk burned_in = OnRisk::kQuarantine;
  std::vector<Rectangle> blank;
  // Heads in CT, MR and PET. Cleaned by defacing whole series (defacing.h).
  OnRisk faces = OnRisk::kQuarantine;
};

struct DeidentificationOptions {
  ProfileOptions profile;
  PixelPolicy pixels;
};

// Where an instance belongs, in names that identify nobody (original UIDs under retain_uids).
struct InstanceNames {
  std::string patient;  // pseudonym
  std::string study_instance_uid, series_instance_uid, sop_instance_uid;
};

// A cleaned instance in memory. Move-only.
class DeidentifiedInstance {
 public:
  DeidentifiedInstance(DeidentifiedInstance&&) noexcept;
  DeidentifiedInstance& operator=(DeidentifiedInstance&&) noexcept;
  ~DeidentifiedInstance();

  const InstanceNames& names() const;
  // In the transfer syntax it came in, or in explicit VR little endian when compressed pixels were
  // cleaned; with new file meta information and an empty preamble.
  absl::StatusOr<Bytes> ToBytes();

 private:
  friend class Deidentifier;
  struct Impl;
  explicit DeidentifiedInstance(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Thread-safe.
class Deidentifier {
 public:
  // kInvalidArgument: options that contradict each other. kFailedPrecondition: DCMTK does not find
  // its data dictionary, without which implicit VR cannot be understood.
  static absl::StatusOr<Deidentifier> Create(Pseudonymiser pseudonymiser,
                                             DeidentificationOptions options);

  OrRefused<DeidentifiedInstance> Apply(const fs::path& file) const;
  OrRefused<DeidentifiedInstance> Apply(Bytes file) const;

  // One slice of a defaced series: its pixels are blanked where `face` (rows * columns, of
  // FaceMask) is not 0.
  OrRefused<DeidentifiedInstance> ApplyToSlice(Bytes file,
                                               std::span<const std::uint8_t> face) const;

  // The names that Apply would give, from the header alone; quick.
  OrRefused<InstanceNames> NamesOf(const fs::path& file) const;
  OrRefused<InstanceNames> NamesOf(const OrRefused<dicom::DataSet>& data_set) const;

  const DeidentificationOptions& options() const { return options_; }
  const Pseudonymiser& pseudonymiser() const { return pseudonymiser_; }

 private:
  using Loaded = OrRefused<DeidentifiedInstance>;
  Deidentifier(Pseudonymiser pseudonymiser, DeidentificationOptions options)
      : pseudonymiser_(std::move(pseudonymiser)), options_(std::move(options)) {}
  Loaded Finish(std::unique_ptr<DeidentifiedInstance::Impl> impl,
                std::span<const std::uint8_t> face) const;
  std::string Mapped(std::string_view uid) const;

  Pseudonymiser pseudonymiser_;
  DeidentificationOptions options_;
};

}  // namespace consilium::datasets::deidentification
