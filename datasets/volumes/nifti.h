#pragma once

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "datasets/volumes/volume.h"

namespace consilium::datasets::volumes {

// A NIfTI-1 volume (.nii, .nii.gz) with its geometry: the sform where its code is set, else the
// qform, from NIfTI's RAS to the patient's LPS; voxels after scl_slope and scl_inter, in the file's
// own order, so that the grid may be left-handed. A fourth axis must have length 1.
// kInvalidArgument for what is damaged, too large (kMaxVoxels), has no geometry or values that are
// not numbers.
absl::StatusOr<Volume> ReadNifti(const fs::path& path);

}  // namespace consilium::datasets::volumes
