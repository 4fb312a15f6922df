#pragma once

// What segmentations, structure sets and reports say, as plain values. Identifiers in them (UIDs,
// tracking identifiers, labels that a person typed) are opaque: never shown, logged or sent.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "datasets/volumes/geometry.h"

namespace consilium::datasets::targets {

// A target's file may be this large, and its masks.
inline constexpr std::uint64_t kMaxTargetBytes = 256ull << 20;

// A coded entry (PS3.3 section 8): ("10200004", "SCT", "Liver").
struct Code {
  std::string value, scheme, meaning;

  bool empty() const { return value.empty(); }
  bool Is(std::string_view of_value, std::string_view of_scheme) const {
    return value == of_value && scheme == of_scheme;
  }
};

// Which voxels of a volume's grid belong to a segment or a region of interest.
struct Mask {
  volumes::Grid grid;
  std::vector<std::uint8_t> voxels;  // grid.VoxelCount(), 0 or 1, in the order of Volume::voxels
};

// One frame of an image that may have been outlined.
struct ImagePlane {
  std::string sop_instance_uid;
  std::uint32_t frame = 0;  // from 0
  std::uint32_t rows = 0, columns = 0;
  std::optional<volumes::Grid> grid;  // one slice; nothing: it does not say where it lies
  std::string frame_of_reference;
};

}  // namespace consilium::datasets::targets
