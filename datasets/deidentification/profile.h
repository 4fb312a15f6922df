#pragma once

// DICOM PS3.15 Annex E as a table: what the Basic Application Level Confidentiality Profile and its
// options ask for each attribute. Pure; thread-safe.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace consilium::datasets::deidentification {

// The edition of PS3.15 whose Table E.1-1 is compiled in.
inline constexpr std::string_view kProfileEdition = "PS3.15 2024";

// Which options are applied beside the basic profile (PS3.15 E.3). Cleaning pixels and faces
// (113101, 113102) are of the pixels and stand in PixelPolicy (deidentifier.h).
struct ProfileOptions {
  bool clean_graphics = false;                  // 113103
  bool clean_structured_content = false;        // 113104
  bool clean_descriptors = false;               // 113105
  bool retain_full_dates = false;               // 113106; not with the next
  bool retain_modified_dates = false;           // 113107
  bool retain_patient_characteristics = false;  // 113108
  bool retain_device_identity = false;          // 113109
  bool retain_uids = false;                     // 113110
  bool retain_safe_private = false;             // 113111
  bool retain_institution_identity = false;     // 113112
  // Retained ages above 89 years become 90 (HIPAA, 45 CFR 164.514(b)(2)(i)(C)), which the profile
  // leaves open.
  bool cap_ages = true;
};
// kInvalidArgument when two options contradict each other.
absl::Status Validate(const ProfileOptions& options);

// CID 7050 (PS3.16): the profile and its options, for De-identification Method Code Sequence.
struct MethodCode {
  std::string_view value, meaning;  // coding scheme DCM
};
// 113100 first, then what is chosen, by number. `pixels` and `faces`: 113101 and 113102 were done.
std::vector<MethodCode> MethodCodes(const ProfileOptions& options, bool pixels, bool faces);

// One row of Table E.1-1.
struct TableRow {
  std::uint32_t tag = 0;
  std::string_view vr;
  std::string_view basic;    // "Z", "X/Z/D" ...
  std::string_view options;  // ten columns in the order of the table, '-' where it says nothing
  std::string_view name;
};
// Ordered by tag. The rows of group ranges (curves, overlays, private) are not among them: curves
// and overlays are always removed, private attributes are up to safe_private.h.
std::span<const TableRow> ConfidentialityTable();
// nullptr: the table says nothing of the attribute.
const TableRow* FindRow(std::uint32_t tag);

// Table E.1-1a, with the combined codes decided: where the profile leaves a choice that depends on
// whether the object needs the attribute, the one that conforms in each case is taken (X/Z: Z;
// Z/D, X/D, X/Z/D: D; X/Z/U*: U).
enum class Action { kRemove, kEmpty, kDummy, kMapUid, kKeep, kClean };
enum class Cleaning {  // what kClean means here, by the column that asks for it
  kNothing,
  kDates,
  kText,
  kDevice,
  kStructure,
  kGraphics,
};
struct Decision {
  Action action = Action::kRemove;
  Cleaning cleaning = Cleaning::kNothing;
  bool operator==(const Decision&) const = default;
};
// Of several chosen options, one that shifts dates goes before one that keeps them, and one that
// keeps before one that cleans.
Decision Decide(const TableRow& row, const ProfileOptions& options);

}  // namespace consilium::datasets::deidentification
