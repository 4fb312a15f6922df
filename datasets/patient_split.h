#pragma once

#include <cstdint>
#include <string_view>

#include "datasets/dataset.h"

namespace consilium::datasets {

// The split that a patient belongs to, from a hash of the pseudonym alone: all images of a patient
// are in one split, and data that is added never moves a patient. A larger test fraction only ever
// adds patients to the test split. Fractions as in plan::Data: each in [0, 1), together below 1.
Split SplitOf(std::string_view patient, double validation_fraction, double test_fraction);

// The number that stands for a patient in Dataset::Label. Not secret: whoever knows the pseudonym
// can compute it.
std::uint64_t PatientNumber(std::string_view patient);

std::string_view Name(Split split);  // "train", "validation", "test"

}  // namespace consilium::datasets
