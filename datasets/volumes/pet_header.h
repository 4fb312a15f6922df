#pragma once

#include "datasets/dicom/data_set.h"
#include "datasets/volumes/suv.h"

namespace consilium::datasets::volumes {

// What the header of a PET image says of its units, the patient's weight and the injected dose;
// also behind the private elements of Philips. Thread-safe for different files.
PetHeader ReadPetHeader(const dicom::DataSet& data_set);

}  // namespace consilium::datasets::volumes
