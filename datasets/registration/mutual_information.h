#pragma once

// How much the intensities of one volume tell of those of another, by where they lie: mutual
// information (Viola and Wells 1997; Maes et al. 1997), which needs no common scale of intensities.
// Estimated as Mattes et al. (2003) do: from samples of the fixed volume, with a joint histogram
// that is smooth in the moving volume's intensities by a cubic B-spline.

#include <cstdint>
#include <vector>

#include "datasets/registration/rigid_transform.h"
#include "datasets/volumes/volume.h"

namespace consilium::datasets::registration {

using volumes::Volume;

// Blocks of neighbours averaged, so that no spacing is much above `spacing_mm` unless it was
// before. Its voxels are finite: others are taken for the lowest.
Volume Averaged(const Volume& volume, double spacing_mm);

// Each voxel mixed with its neighbours (1, 2, 1) along the axes whose spacing is at most
// `spacing_mm`: less noise, and fewer local maxima.
Volume Smoothed(const Volume& volume, double spacing_mm);

// Where intensities go in a histogram. Between percentiles 0.5 and 99.5, so that metal and padding
// do not take it for themselves; there each intensity gets room by the root of how many voxels have
// it, so that the greys of a brain are told apart beside air and bone.
class IntensityScale {
 public:
  explicit IntensityScale(const Volume& volume);
  double low() const { return low_; }
  double high() const { return high_; }
  double Place(double value) const;  // 0 to 1, never falling with the value

 private:
  double low_ = 0, high_ = 1;
  std::vector<double> places_;  // at even steps from low_ to high_
};

struct Similarity {
  double mutual_information = 0;  // nats
  // The same as a share of the lesser of both entropies: 0 says nothing of each other, 1 all.
  double coefficient = 0;
  double overlap = 0;  // of the samples: those that lie in the moving volume
};

class MutualInformation {
 public:
  static constexpr int kBins = 32;

  // Samples the fixed volume at `samples` places, which fill it evenly but lie on no grid (the
  // additive sequence of Roberts 2018), from number `first` on, every `stride`-th: two of other
  // `first` share none. Both volumes are used while this lives. Thread-safe.
  MutualInformation(const Volume& fixed, const Volume& moving, std::uint32_t samples,
                    std::uint32_t first = 0, std::uint32_t stride = 1);

  // `transform` leads from the fixed patient's points to the moving one's.
  Similarity At(const RigidTransform& transform) const;

 private:
  struct Sample {
    Vec3 point;  // of the fixed patient
    int bin = 0;
  };

  const Volume& moving_;
  const volumes::PatientToIndex to_index_;
  const IntensityScale scale_;  // of the moving volume
  std::vector<Sample> samples_;
};

}  // namespace consilium::datasets::registration
