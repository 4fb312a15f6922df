#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/progress.h"
#include "common/base/random.h"

namespace consilium::datasets {

enum class Split { kTrain, kValidation, kTest };

// What the input of an example is: an image or volume of `channels` (0: none), followed by columns
// of a table.
struct InputShape {
  std::uint32_t channels = 1, depth = 1, height = 0, width = 0;  // depth 1: a flat image
  std::uint32_t columns = 0;
  std::size_t ImageElements() const { return std::size_t{channels} * depth * height * width; }
  std::size_t Elements() const { return ImageElements() + columns; }
  bool operator==(const InputShape&) const = default;
};

// A split of a site's examples. Immutable and thread-safe after it is made. Order is stable (by a
// stable hash of the SOP instance UID, or of a row's patient and number), so that a seed gives the
// same batches at every run.
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual std::size_t size() const = 0;
  // Pixels of a side; 0 of a table.
  virtual std::uint32_t image_size() const = 0;
  virtual InputShape input_shape() const { return {1, 1, image_size(), image_size(), 0}; }

  // Copies example `index`'s input into `out` (input_shape().Elements() floats: channel by channel,
  // row by row, then the columns, in which NaN is a missing value) and returns what is known of it.
  struct Label {
    int target = 0;  // binary: 0 or 1; multiclass: the class; else 0
    std::uint64_t patient = 0;
  };
  virtual Label Get(std::size_t index, std::span<float> out) const = 0;
  virtual Label GetLabel(std::size_t index) const = 0;
  // Get for training: of an example that has more to show than one input holds (a long recording)
  // a part that `random` chooses, where Get gives always the same.
  virtual Label GetAnyPart(std::size_t index, SeededRandom& random, std::span<float> out) const {
    static_cast<void>(random);
    return Get(index, out);
  }

  // What the task teaches, as floats. binary, multiclass: Label::target. multilabel: 0, 1 or NaN
  // (not known) a label. segmentation and detection: for each pixel 0 (background) or the number of
  // its structure (1 is the plan's first), depth x height x width. survival: the time in days, then
  // 1 (the event happened then) or 0 (nothing is known after).
  virtual std::size_t target_elements() const { return 1; }
  virtual void GetTarget(std::size_t index, std::span<float> out) const {
    out[0] = static_cast<float>(GetLabel(index).target);
  }
  // Whether SplitCounts::positives counts it: binary targets that are 1, of survival the events, of
  // segmentation and detection any structure.
  virtual bool IsPositive(std::size_t index) const { return GetLabel(index).target == 1; }
  // Millimetres from pixel to pixel of the input, for surface distances; 0: not known.
  virtual float spacing_mm(std::size_t index) const { return static_cast<void>(index), 0; }
  // The same from slice to slice of a volume.
  virtual float slice_spacing_mm(std::size_t index) const { return spacing_mm(index); }
};

// `positives`: of binary targets those that are 1, of survival the events, of segmentation and
// detection the examples in which any structure is; 0 for other tasks.
struct SplitCounts {
  std::uint64_t patients = 0, examples = 0, positives = 0;
};
SplitCounts Count(const Dataset& dataset);

}  // namespace consilium::datasets
