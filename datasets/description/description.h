#pragma once

// What a site's images are, counted from its catalog, and how bright they are, from a sample of
// them.

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/progress.h"
#include "common/metrics/description.h"
#include "datasets/catalog.h"
#include "datasets/image_reader.h"

namespace consilium::datasets::description {

struct Options {
  std::string target;  // of the labels; empty: none. Images without such a label count as missing.
  // Read for the histograms, at most one of each patient; 0: none is read.
  std::size_t images_per_modality = 100;
  unsigned threads = 0;  // 0: one for each processor
};

// The same catalog gives the same description: the sample is not drawn anew. Images that cannot be
// read are passed over. kCancelled as soon as progress.Cancelled().
absl::StatusOr<metrics::Description> Describe(Catalog& catalog, ImageReader& reader,
                                              const Options& options, Progress& progress);

}  // namespace consilium::datasets::description
