#pragma once

// Consistent replacements that need no table of originals: each is a keyed hash (HMAC-SHA-256,
// RFC 2104) of the original with a key that never leaves the site.
//
// Claim: without the key, a pseudonym, a mapped UID or a shift of dates says nothing of the
// original, and two sites' replacements cannot be linked. With the key anyone who guesses an
// original can confirm it: guard it as the patients' data are guarded. Whoever loses it can never
// map the same patients to the same pseudonyms again.

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/file.h"
#include "common/crypto/secret.h"

namespace consilium::datasets::deidentification {

// The site's key of 32 bytes, in a file of its own of mode 0600.
absl::StatusOr<crypto::Secret> LoadSiteKey(const fs::path& path);
// Loads it, or makes a new one when there is none; `made` says which.
absl::StatusOr<crypto::Secret> LoadOrMakeSiteKey(const fs::path& path, bool* made);

// Immutable; thread-safe. Originals are taken without the padding that DICOM allows (spaces and NUL
// at the end, spaces at the start).
class Pseudonymiser {
 public:
  // kInvalidArgument when the key does not have 32 bytes.
  static absl::StatusOr<Pseudonymiser> Create(const crypto::Secret& site_key);
  Pseudonymiser(Pseudonymiser&&) noexcept;
  Pseudonymiser& operator=(Pseudonymiser&&) noexcept;
  ~Pseudonymiser();

  // "P-" and 16 characters of base32 (80 bits), for Patient ID and Patient's Name.
  std::string PatientPseudonym(std::string_view patient_id) const;

  // "2.25." and a number of 128 bits (PS3.5 B.2, a UUID of version 8). UIDs that the standard
  // registered (1.2.840.10008...), which name classes and not instances, stay; empty stays empty.
  std::string MappedUid(std::string_view uid) const;

  // By how many days this patient's dates are moved: between one and eleven years back, the same
  // for all dates of the patient.
  int DateShiftDays(std::string_view patient_id) const;
  // A DA moved by DateShiftDays; empty when it is no date.
  std::string ShiftedDate(std::string_view patient_id, std::string_view date) const;
  // A DT, likewise.
  std::string ShiftedDateTime(std::string_view patient_id, std::string_view date_time) const;

  // A replacement for the name of a device (AE title ...): "AE" and 10 characters.
  std::string DevicePseudonym(std::string_view name) const;

  // Of anything else that is to be found again by who has the original: 16 bytes. What is made for
  // one purpose says nothing of another.
  Bytes KeyedHash(std::string_view purpose, std::string_view original) const;

  // Which key this is, to be written beside its results: 16 hexadecimal digits.
  std::string KeyName() const;

 private:
  struct Impl;
  explicit Pseudonymiser(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace consilium::datasets::deidentification
