#include <cmath>

#include "datasets/targets/report.h"
#include "tests/fuzz/fuzz.h"

// A DICOM file as a measurement report.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  using namespace consilium::datasets;
  const fs::path path = fuzz::Scratch("report.dcm", fuzz::Input(data, size));
  // A content item of a few bytes becomes a group or a measurement of four codes.
  const fuzz::AllocationLimit limit((1 << 20) + 256 * size);
  const auto report = targets::ReadReport(path);
  if (!report.ok()) return 0;
  for (const targets::MeasurementGroup& group : report->groups) {
    for (const targets::Measurement& measurement : group.measurements) {
      FUZZ_EXPECT(std::isfinite(measurement.value));
    }
    for (const targets::ImageReference& image : group.images) {
      for (const std::uint32_t frame : image.frames) FUZZ_EXPECT(frame >= 1);
    }
  }
  return 0;
}
