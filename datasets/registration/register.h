#pragma once

// Rigid registration of two volumes of one patient: where a point of the one lies in the other.
//
// The six parameters are those of the greatest mutual information (mutual_information.h), found
// with a downhill simplex on volumes of 8, 4 and 2 mm, one after the other (Maes et al. 1997;
// Mattes et al. 2003). Rotations of up to about 20 degrees are found, and any shift by which the
// volumes still overlap: starts are tried all along the slices' normal. Soft tissue that moves for
// itself, such as the liver with the breath, no rigid motion describes.
//
// Our own, on the volumes' own grids, and not ITK's: Debian's libinsighttoolkit5-dev would bring
// 0.5 GB, VTK and a second DICOM library for what is 500 lines here.

#include "absl/status/statusor.h"
#include "datasets/registration/rigid_transform.h"
#include "datasets/volumes/volume.h"

namespace consilium::datasets::registration {

// Finer than this nothing is looked at: a volume may be averaged to it (mutual_information.h)
// before, to save memory.
inline constexpr double kFinestSpacing_mm = 2;

struct RegistrationLimits {
  double least_overlap = 0.25;      // of the fixed volume
  double least_coefficient = 0.08;  // Similarity::coefficient
  // Between two registrations that share no sample; nothing: the larger of 3 mm and a voxel.
  double most_disagreement_mm = 0;
};

struct Registration {
  RigidTransform transform;       // from the fixed patient's points to the moving one's
  double mutual_information = 0;  // nats
  double coefficient = 0;         // of 1, see Similarity
  double overlap = 0;             // of the fixed volume
  // How far two registrations with half of the samples each, none of them shared, move a point of
  // the fixed volume's inner half apart, at most: about twice the error by chance.
  double disagreement_mm = 0;
};

// Deterministic; thread-safe. kInvalidArgument for volumes that are not sound, or have fewer than 8
// voxels along two axes. kFailedPrecondition, with the figures in words, when there is no alignment
// that can be trusted: the volumes hardly overlap, say little of each other, or two halves of the
// samples disagree.
absl::StatusOr<Registration> Register(const volumes::Volume& fixed, const volumes::Volume& moving,
                                      const RegistrationLimits& limits = {});

}  // namespace consilium::datasets::registration
