#pragma once

// What a plan asks of an image ([data] and [preprocessing]), as far as its header tells: the same
// for the catalog, which counts and trains, and for prediction, which must not score what the model
// was never shown.

#include <optional>

#include "common/plan/plan.h"
#include "datasets/dicom/header.h"
#include "datasets/refusal.h"

namespace consilium::datasets {

// Whole years of an age, as a catalog keeps them and plans ask for them: 17.9 is 17, and above 89
// all are 90 (HIPAA, 45 CFR 164.514(b)(2)(i)(C)).
int WholeYears(double age);

// Why a plan does not want the image; nothing when it does. Of the header it looks at modality,
// view_position, patient_age_years (in WholeYears), frames and the pixel spacing. The
// first of several reasons, in this order: modality, view, age, and but of volumes frames, spacing.
// An age that is not known fits no plan that asks for one. Pure; thread-safe.
std::optional<Refused> Unwanted(const dicom::Header& header, const plan::Data& data,
                                const plan::Preprocessing& preprocessing);

}  // namespace consilium::datasets
