#pragma once

// Measurement reports (PS3.16 TID 1500): what was measured where, in codes.

#include <string>
#include <vector>

#include "common/base/file.h"
#include "datasets/refusal.h"
#include "datasets/targets/mask.h"

namespace consilium::datasets::targets {

// At most so many content items in one report.
inline constexpr std::size_t kMaxContentItems = 1u << 20;

struct Measurement {  // a NUM of TID 300 or 1419
  Code name;          // ("118565006", "SCT", "Volume")
  double value = 0;
  Code unit;  // UCUM: ("cm3", "UCUM", "cubic centimeter")
  Code finding_site, derivation, method;
};

struct Evaluation {  // a CODE that is no part of the group's own description
  Code name, value;
};

struct ImageReference {
  std::string purpose;  // the code value of its concept: 121191 referenced segment, 111030 region
  std::string sop_class_uid, sop_instance_uid;
  std::vector<std::uint32_t> frames, segments;
};

// A point, line or area on an image, in its pixels (SCOORD), or in the patient (SCOORD3D).
struct DrawnRegion {
  std::string graphic_type;  // POINT, POLYLINE, POLYGON, CIRCLE, ELLIPSE, MULTIPOINT, ELLIPSOID
  bool in_patient = false;
  std::vector<double> coordinates;     // x and y of each point in turn; x, y and z in the patient
  std::string frame_of_reference;      // of SCOORD3D
  std::vector<ImageReference> images;  // of SCOORD: what it is drawn on
};

struct MeasurementGroup {
  std::string tracking_identifier, tracking_uid;
  std::string activity_session;
  Code finding_category, finding, finding_site, laterality;
  std::vector<Measurement> measurements;
  std::vector<Evaluation> evaluations;
  std::vector<ImageReference> images;      // segments and images that the group is about
  std::vector<std::string> source_series;  // UIDs
  std::vector<DrawnRegion> regions;
};

struct Report {
  Code title;                            // ("126000", "DCM", "Imaging Measurement Report")
  std::string completion, verification;  // COMPLETE, PARTIAL; VERIFIED, UNVERIFIED
  std::vector<MeasurementGroup> groups;
  std::vector<Evaluation> evaluations;  // of the whole report
};

// kUnsupportedTarget when it is no structured report with the title of TID 1500; kDamaged for a
// measurement whose value is no number; kTooLarge. Thread-safe.
OrRefused<Report> ReadReport(const fs::path& path);
OrRefused<Report> ReadReport(File file);

}  // namespace consilium::datasets::targets
