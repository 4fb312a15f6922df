#pragma once

// What a prediction writes of one image or one series, in a folder of its own:
//   OUT/ab/abcdef.../report.dcm, picture.dcm, segmentation.dcm (of structures) or activation.dcm
// named by the SHA-256 of the model and of what it was asked about.

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "datasets/results/picture.h"
#include "datasets/results/report_writer.h"
#include "datasets/results/segmentation_writer.h"
#include "datasets/results/source_image.h"

namespace consilium::site_agent {

struct ResultSet {
  datasets::results::SourceImage source;
  // Of a whole series: which instances it has (results::NameOf); nothing: of the source alone.
  std::optional<Digest> instances;
  // The report's findings, images, note and whether it is of a volume; its segmentation is the
  // one below.
  datasets::results::NewReport report;
  std::optional<datasets::results::NewSegmentation> segmentation;
  std::optional<datasets::results::Picture> picture;
  std::vector<datasets::results::FrameReference> pictured;  // the frames that the picture shows
};

struct WrittenResults {
  fs::path folder;
  std::uint64_t files = 0;
};

// Durable when OK: the report last, so that where it is, the others are. The same prediction again
// makes the same objects. Errors as the writers of datasets/results.
absl::StatusOr<WrittenResults> WriteResults(const fs::path& out,
                                            const datasets::results::ModelDescription& model,
                                            ResultSet results, Time now);

}  // namespace consilium::site_agent
