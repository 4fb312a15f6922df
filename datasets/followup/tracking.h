#pragma once

// The same lesion at several time points.

#include <optional>
#include <vector>

#include "datasets/followup/lesions.h"
#include "datasets/registration/rigid_transform.h"

namespace consilium::datasets::followup {

// What tracking needs of a time point. A view.
struct TrackedTimePoint {
  // Null: it says nothing of lesions, as its masks could not be read or it was not registered.
  const Lesions* lesions = nullptr;
  registration::RigidTransform from_first;  // from the first time point's patient to this one's
};

enum class LesionState {
  kUnknown,   // the time point says nothing, or comes before the lesion was first seen
  kPresent,   // one lesion
  kNew,       // seen for the first time, after the first time point
  kSplit,     // in several parts, that were one
  kMerged,    // grown into one with another track's lesion, which stands for both
  kVanished,  // not there any more
  kReturned,  // there again, after it had vanished
};

struct TrackPoint {
  LesionState state = LesionState::kUnknown;
  std::vector<std::size_t> lesions;        // numbers in the time point's; the main part first
  std::optional<std::size_t> merged_into;  // another track; of kMerged
};

struct Track {
  std::vector<TrackPoint> points;  // one for each time point
};

struct TrackingLimits {
  // Without a shared voxel, lesions are the same when their centres lie no further apart.
  double farthest_mm = 12;
  // Of the smaller one: from this share on they are parts of each other.
  double least_share = 0.3;
};

// Assigns lesions to tracks one to one, from time point to time point, so that the sum of their
// agreement is the greatest (Kuhn 1955): the share of the smaller one's volume that both have after
// registration, else their distance. What is left over and lies within another is a split or a
// merge; else it is new, or has vanished. Tracks are in the order of appearance, the largest first.
std::vector<Track> TrackLesions(const std::vector<TrackedTimePoint>& time_points,
                                const TrackingLimits& limits = {});

// For each row a column, or none, of a matrix of gains, rows as long as each other: the assignment
// of the greatest sum, leaving out gains that are not above 0.
std::vector<std::optional<std::size_t>> BestAssignment(
    const std::vector<std::vector<double>>& gains);

}  // namespace consilium::datasets::followup
