#pragma once

// A hospital's folder of phantoms of one kind.

#include "datasets/synthetic/hospital.h"
#include "datasets/synthetic/phantom.h"

namespace consilium::datasets::synthetic {

struct PhantomHospital {
  PhantomKind kind = PhantomKind::kCt;
  std::string name;  // begins the patient IDs
  Machine machine;
  double positive_fraction = 0.35;  // of the patients: those with the finding
  bool burned_in = false;           // of ultrasound: the patient's ID stands in the pixels
};

// "north", "south" and "east" have a machine each, of other makers:
//   ct      straight; tilted by 12 degrees; wider pixels
//   mr      three scales, matrices and noises
//   us      colour; grey; colour as JPEG
//   mg      MONOCHROME2 and a window; MONOCHROME1 and a window; a VOI LUT and padding
//   op      RGB; JPEG; a disc that the image cuts off
//   pt      Bq/ml; Bq/ml on a finer grid; g/ml
// kInvalidArgument for other names.
absl::StatusOr<PhantomHospital> PhantomPreset(PhantomKind kind, std::string_view name);

// The patient with this number, from 0; seeded by hospital, seed and number.
PhantomPatient DrawPhantomPatient(const PhantomHospital& hospital, std::uint32_t index,
                                  bool finding, std::uint64_t seed);
std::vector<PhantomImage> DrawImagesOf(const PhantomHospital& hospital,
                                       const PhantomPatient& patient, std::uint64_t seed);

// Writes FOLDER/PATIENT/SERIES/NUMBER.dcm and FOLDER/labels.csv (sop_instance_uid and the finding:
// whether it is to be seen in that image), on several threads. Arguments, failures and sameness of
// bytes as Synthesize.
absl::StatusOr<SynthesisReport> SynthesizePhantoms(const PhantomHospital& hospital,
                                                   std::uint32_t patients, std::uint64_t seed,
                                                   const fs::path& folder, unsigned threads,
                                                   Progress& progress);

}  // namespace consilium::datasets::synthetic
