#pragma once

// A series of single-frame head images as one volume, for defacing. Internal to this folder.

#include <cstddef>
#include <span>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/file.h"
#include "datasets/refusal.h"

namespace consilium::datasets::deidentification {

// No volume of more voxels is defaced: 512 x 512 x 1024.
inline constexpr std::size_t kMostVoxels = std::size_t{1} << 28;

// Whether a file is an image of a head that must be defaced, from its header alone; of its bytes.
bool IsHeadImage(Bytes& file);

// One mask a file, in their order: rows * columns bytes, 1 where the face is. A reason when the
// files are not one volume (positions, orientations or sizes that do not fit, too few) or the face
// cannot be found in it. Takes about five bytes a voxel.
OrRefused<std::vector<Bytes>> FaceMasks(std::span<const File> files);

}  // namespace consilium::datasets::deidentification
