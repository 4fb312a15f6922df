#pragma once

// What a model says of an image as a Comprehensive 3D SR (PS3.3 A.35.13), by PS3.16 TID 1500:
// complete, but verified by nobody.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "datasets/results/result_object.h"
#include "datasets/results/source_image.h"
#include "datasets/targets/mask.h"

namespace consilium::datasets::results {

// One number that was measured, such as a volume.
struct NewMeasurement {
  targets::Code name;  // ("118565006", "SCT", "Volume")
  double value = 0;
  targets::Code unit;  // UCUM: ("ml", "UCUM", "milliliter")
};

// From which score on the model calls its target present.
struct OperatingPoint {
  double threshold = 0;     // of the score
  std::string established;  // on what, in words: "specificity 0.90 on 5 sites' validation sets"
};

// The answer of a classifier.
struct Classification {
  double score = 0;  // 0 to 1
  // Nothing: none was established. Then the report gives the score and calls nothing present or
  // absent.
  std::optional<OperatingPoint> operating_point;
};

// A box about a finding, in continuous positions of the image (pipeline/placement.h).
struct Box {
  float left = 0, top = 0, right = 0, bottom = 0;
};

struct NewFinding {
  // What was looked for. ("opacity", kOurScheme, "opacity") when no scheme of the standard has it.
  targets::Code code;
  std::string tracking;  // tells findings of one code apart: "box 2"; empty: the only one
  std::optional<Classification> classification;
  std::vector<NewMeasurement> measurements;
  // The segment of the report's segmentation that shows it, from 1; 0: none.
  std::uint32_t segment = 0;
  std::optional<Box> box;
};

struct NewReport {
  std::vector<NewFinding> findings;            // a measurement group each; one or more
  std::vector<FrameReference> images;          // that it is about; at least one
  std::optional<FrameReference> segmentation;  // that goes with it
  // The images are slices of one volume, and findings are of all of it: each group names the series
  // (TID 1411) and not every image (TID 1501).
  bool volume = false;
  std::string note;  // what who reads it must know besides, a sentence; empty: nothing
};

// Measurements that the standard has codes for.
NewMeasurement Area(double mm2);
NewMeasurement VolumeInMl(double ml);

// The code of a plan's target: SNOMED CT where its name is one of the findings that are known here,
// else of our own scheme.
targets::Code FindingNamed(std::string_view target);

// `source`: the image whose patient and study become the report's. Errors as WriteSegmentation.
absl::Status WriteReport(const fs::path& path, const SourceImage& source,
                         const ModelDescription& model, const ResultName& name,
                         const NewReport& report, Time now);

}  // namespace consilium::datasets::results
