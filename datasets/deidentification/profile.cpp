#include "datasets/deidentification/profile.h"

#include <algorithm>
#include <array>

namespace consilium::datasets::deidentification {
namespace {

constexpr TableRow kTable[] = {
#define CONSILIUM_ROW(tag, vr, basic, options, name) TableRow{tag, vr, basic, options, name},
#include "datasets/deidentification/confidentiality_table.inc"
#undef CONSILIUM_ROW
};

constexpr bool IsSound() {
  std::uint32_t last = 0;
  for (const TableRow& row : kTable) {
    if (row.tag <= last || row.options.size() != 10 || row.vr.size() != 2 || row.basic.empty()) {
      return false;
    }
    for (const char c : row.options) {
      if (c != '-' && c != 'K' && c != 'C') return false;
    }
    last = row.tag;
  }
  return true;
}
static_assert(IsSound(), "confidentiality_table.inc is not in order");

enum Column {  // of TableRow::options
  kSafePrivate,
  kUids,
  kDevice,
  kInstitution,
  kPatient,
  kFullDates,
  kModifiedDates,
  kDescriptors,
  kStructuredContent,
  kGraphics,
};

Action BasicAction(std::string_view code) {
  if (code == "X") return Action::kRemove;
  if (code == "Z" || code == "X/Z") return Action::kEmpty;
  if (code == "U" || code == "X/Z/U*") return Action::kMapUid;
  return Action::kDummy;  // D, and what D conforms to: Z/D, X/D, X/Z/D
}

}  // namespace

absl::Status Validate(const ProfileOptions& options) {
  if (options.retain_full_dates && options.retain_modified_dates) {
    return absl::InvalidArgumentError(
        "dates are either retained in full (113106) or modified (113107): choose one of the two");
  }
  return absl::OkStatus();
}

std::vector<MethodCode> MethodCodes(const ProfileOptions& options, bool pixels, bool faces) {
  std::vector<MethodCode> codes = {{"113100", "Basic Application Confidentiality Profile"}};
  const auto add = [&](bool chosen, std::string_view value, std::string_view meaning) {
    if (chosen) codes.push_back({value, meaning});
  };
  add(pixels, "113101", "Clean Pixel Data Option");
  add(faces, "113102", "Clean Recognizable Visual Features Option");
  add(options.clean_graphics, "113103", "Clean Graphics Option");
  add(options.clean_structured_content, "113104", "Clean Structured Content Option");
  add(options.clean_descriptors, "113105", "Clean Descriptors Option");
  add(options.retain_full_dates, "113106",
      "Retain Longitudinal Temporal Information Full Dates Option");
  add(options.retain_modified_dates, "113107",
      "Retain Longitudinal Temporal Information Modified Dates Option");
  add(options.retain_patient_characteristics, "113108", "Retain Patient Characteristics Option");
  add(options.retain_device_identity, "113109", "Retain Device Identity Option");
  add(options.retain_uids, "113110", "Retain UIDs Option");
  add(options.retain_safe_private, "113111", "Retain Safe Private Option");
  add(options.retain_institution_identity, "113112", "Retain Institution Identity Option");
  return codes;
}

std::span<const TableRow> ConfidentialityTable() { return kTable; }

const TableRow* FindRow(std::uint32_t tag) {
  const auto found =
      std::lower_bound(std::begin(kTable), std::end(kTable), tag,
                       [](const TableRow& row, std::uint32_t wanted) { return row.tag < wanted; });
  return found != std::end(kTable) && found->tag == tag ? found : nullptr;
}

Decision Decide(const TableRow& row, const ProfileOptions& options) {
  if (options.retain_modified_dates && row.options[kModifiedDates] == 'C') {
    return {Action::kClean, Cleaning::kDates};
  }
  struct Choice {
    bool chosen;
    Column column;
    Cleaning cleaning;
  };
  const std::array<Choice, 8> choices = {{
      {options.retain_uids, kUids, Cleaning::kNothing},
      {options.retain_device_identity, kDevice, Cleaning::kDevice},
      {options.retain_institution_identity, kInstitution, Cleaning::kNothing},
      {options.retain_patient_characteristics, kPatient, Cleaning::kText},
      {options.retain_full_dates, kFullDates, Cleaning::kNothing},
      {options.clean_descriptors, kDescriptors, Cleaning::kText},
      {options.clean_structured_content, kStructuredContent, Cleaning::kStructure},
      {options.clean_graphics, kGraphics, Cleaning::kGraphics},
  }};
  for (const Choice& choice : choices) {
    if (choice.chosen && row.options[choice.column] == 'K') return {Action::kKeep};
  }
  for (const Choice& choice : choices) {
    if (choice.chosen && row.options[choice.column] == 'C') {
      return {Action::kClean, choice.cleaning};
    }
  }
  return {BasicAction(row.basic)};
}

}  // namespace consilium::datasets::deidentification
