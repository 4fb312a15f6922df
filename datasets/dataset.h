#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/progress.h"

namespace consilium::datasets {

enum class Split { kTrain, kValidation, kTest };

// A split of a site's examples. Immutable and thread-safe after it is made. Order is stable (by a
// stable hash of the SOP instance UID), so that a seed gives the same batches at every run.
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual std::size_t size() const = 0;
  virtual std::uint32_t image_size() const = 0;  // pixels of a side
  // Copies example `index`'s pixels into `out` (image_size^2 floats) and returns its target and
  // patient.
  struct Label {
    int target = 0;
    std::uint64_t patient = 0;
  };
  virtual Label Get(std::size_t index, std::span<float> out) const = 0;
  virtual Label GetLabel(std::size_t index) const = 0;
};

struct SplitCounts {
  std::uint64_t patients = 0, examples = 0, positives = 0;
};
SplitCounts Count(const Dataset& dataset);

}  // namespace consilium::datasets
