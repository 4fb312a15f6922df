#pragma once

// What of a header training may know, and which instances it has nothing to do with. Internal to
// this folder.

#include <optional>
#include <string_view>

#include "datasets/dicom/data_set.h"
#include "datasets/dicom/header.h"
#include "datasets/refusal.h"

namespace consilium::datasets::dicom {

// kNotForTraining with what it is, for SOP classes (PS3.4 B.5) that are no images of a patient:
// segmentations, parametric maps, dose, presentation states, reports, whole-slide images ...
std::optional<Refused> NotForTraining(std::string_view sop_class_uid);

// Whether a CT, MR or PET says that it shows a head: by body part, anatomic region, or a word of a
// description; not when it says that nobody can be recognised (0028,0302).
bool ShowsHead(const DataSet& data_set);

// Empties what must not be kept of a header: texts that hold a name, number, date of birth or
// institution that the data set names elsewhere, codes that are not in the form of a code string
// (PS3.5 6.2), a sex or a laterality that is none of the defined terms. The patient ID and the
// UIDs, from which pseudonyms are made, stay.
void ForgetIdentifiers(const DataSet& data_set, Header* header);

}  // namespace consilium::datasets::dicom
