#pragma once

// Private to common/metrics. Which boxes of an image are right (detection_metrics.h has the rule).

#include "common/metrics/detection_metrics.h"

namespace consilium::metrics {

// One kind's findings, and its boxes from the highest score down, as they come where equal.
struct KindOfImage {
  KindOfImage(const ImageFindings& image, std::uint32_t kind);
  // Of each box, whether it gets a finding that it overlaps by `overlap` (above 0) or more.
  std::vector<bool> Matched(double overlap) const;

  std::vector<Box> findings;
  std::vector<ScoredBox> boxes;
};

}  // namespace consilium::metrics
