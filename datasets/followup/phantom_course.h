#pragma once

// A drawn patient whose head is scanned (CT) at several times, with lesions that shrink, grow,
// appear and vanish, while the head lies otherwise each time. It teaches nothing about people; it
// lets following be tried with files as a hospital has them, and with the truth known.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/file.h"
#include "datasets/registration/rigid_transform.h"

namespace consilium::datasets::followup {

struct PhantomLesion {
  int number = 1;               // the same lesion at all times
  registration::Vec3 centre{};  // in the head, millimetres from its middle
  double diameter_mm = 10;
};

struct PhantomScan {
  int day = 0;
  registration::RigidTransform motion;  // from the head's coordinates to the scanner's
  registration::Vec3 spacing_mm = {1.5, 1.5, 3};
  std::vector<PhantomLesion> lesions;
};

struct PhantomCourse {
  std::string patient_id;
  std::string first_date;  // "YYYYMMDD"
  std::vector<PhantomScan> scans;
};

// Three scans, on days 0, 58 and 121: the sum of target diameters falls by more than 30 %, then a
// new lesion appears while one that was too small for a target grows and one has gone.
PhantomCourse ThreeScans(std::string patient_id);

// Writes FOLDER/day-N/ct/NUMBER.dcm and FOLDER/day-N/seg.dcm, outlined by hand as far as the file
// says, with one segment for all lesions. The same course and seed give the same images.
// kAlreadyExists when the folder holds something.
absl::Status WriteCourse(const PhantomCourse& course, std::uint64_t seed, const fs::path& folder);

}  // namespace consilium::datasets::followup
