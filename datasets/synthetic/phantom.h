#pragma once

// Phantoms of all modalities: what a hospital's archive would hold of one patient, with or without
// a finding. They teach a network nothing about people; they let the whole path be tried with files
// that look and behave like those of the modality.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/random.h"
#include "datasets/dicom/writer.h"

namespace consilium::datasets::synthetic {

// "ct", "mr", "us", "mg", "op", "pt", "pet-ct".
enum class PhantomKind { kCt, kMr, kUltrasound, kMammography, kRetina, kPet, kPetCt };
absl::StatusOr<PhantomKind> PhantomKindNamed(std::string_view name);
std::vector<std::string> PhantomKindNames();
// The finding, which is the name of the target: "liver_lesion", "white_matter_lesion", "cyst",
// "mass", "haemorrhage", "uptake".
std::string_view Finding(PhantomKind kind);

// How hospitals differ: each modality has three machines, whose files differ in what makers differ
// in (spacing, tilt, scale, inversion, colour, compression, units).
struct Machine {
  int variant = 0;  // 0 to 2
  std::string manufacturer = "Consilium Phantoms", model = "Plain";
};

struct PhantomPatient {
  std::string id;
  std::string origin;  // of its UIDs: the same origin gives the same UIDs
  std::string sex;     // "F", "M"
  int age_years = 50;
  double weight_kg = 70;
  std::string birth_date, study_date, study_time;  // as DICOM has them
  bool finding = false;
};

struct PhantomImage {
  dicom::NewInstance instance;
  std::string series;    // a word for its folder: "ct", "lcc"
  bool finding = false;  // to be seen in this image
  // Where: the middle and the radius in pixels of the image.
  double column = 0, row = 0, radius = 0;
};

// All images of one patient. `random` is the patient's own.
std::vector<PhantomImage> DrawPhantom(PhantomKind kind, const PhantomPatient& patient,
                                      const Machine& machine, bool burned_in, SeededRandom& random);

// Each kind's, for DrawPhantom.
std::vector<PhantomImage> DrawBodyCt(const PhantomPatient&, const Machine&, SeededRandom&);
std::vector<PhantomImage> DrawBodyPet(const PhantomPatient&, const Machine&, bool with_ct,
                                      SeededRandom&);
std::vector<PhantomImage> DrawHeadMr(const PhantomPatient&, const Machine&, SeededRandom&);
// `burned_in`: the patient's ID stands above the scan, and the file says so.
std::vector<PhantomImage> DrawUltrasound(const PhantomPatient&, const Machine&, bool burned_in,
                                         SeededRandom&);
std::vector<PhantomImage> DrawMammograms(const PhantomPatient&, const Machine&, SeededRandom&);
std::vector<PhantomImage> DrawFundus(const PhantomPatient&, const Machine&, SeededRandom&);

// What all files of a patient and a series have in common.
dicom::NewInstance NewPhantomInstance(std::string_view modality, const PhantomPatient& patient,
                                      const Machine& machine, std::string_view series,
                                      int instance_number);

}  // namespace consilium::datasets::synthetic
