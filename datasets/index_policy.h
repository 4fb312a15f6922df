#pragma once

// What a site lets into its catalog beyond what training needs, and which pixels training may see:
// the table [deidentification] of a site's policy.toml.
//
//   [deidentification]
//   retain = ["patient_characteristics", "device_identity"]   # what plans may ask for; the default
//   burned_in = "refuse"    # images that declare text in their pixels; "accept" takes them
//   faces = "accept"        # CT, MR and PET of a head; "refuse" leaves them out
//
// "patient_characteristics": sex and age; "device_identity": manufacturer and model;
// "institution_identity": plans may ask for it, the catalog itself keeps nothing of it.
//
// Faces are accepted by default, for images do not leave the hospital: the network sees them, no
// person does. "clean", which `consilium-dataset deidentify` knows for files, is refused here: a
// face is found in a whole series, and training reads image by image. De-identify the folder with
// it and index what comes out.

#include <set>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/plan/plan.h"

namespace consilium::datasets {

enum class PixelRule { kRefuse, kAccept };

struct IndexPolicy {
  std::set<plan::Retain> retain = {plan::Retain::kPatientCharacteristics,
                                   plan::Retain::kDeviceIdentity};
  PixelRule burned_in = PixelRule::kRefuse;
  PixelRule faces = PixelRule::kAccept;

  bool operator==(const IndexPolicy&) const = default;
};

// The table of a whole policy.toml, whose other keys are passed over; the default without it.
// kInvalidArgument with the line.
absl::StatusOr<IndexPolicy> ParseIndexPolicy(std::string_view policy_toml);
// kNotFound when there is no such file.
absl::StatusOr<IndexPolicy> LoadIndexPolicy(const fs::path& policy_toml);

}  // namespace consilium::datasets
