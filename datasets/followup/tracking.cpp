#include "datasets/followup/tracking.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace consilium::datasets::followup {
namespace {

constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

// Volume of `of` that lies within `in` after the motion from `of`'s time point to `in`'s.
double SharedVolume(const Lesion& of, const TrackedTimePoint& at, const Lesion& in,
                    const TrackedTimePoint& there) {
  const Grid &from = at.lesions->grid, &to = there.lesions->grid;
  const registration::RigidTransform back = at.from_first.Inverse();
  const volumes::PatientToIndex to_index(to);
  const std::size_t plane = from.PlaneCount();
  std::size_t shared = 0;
  for (const std::uint32_t voxel : of.voxels) {
    const Vec3 point = from.ToPatient({double{1} * (voxel % from.size[0]),
                                       double{1} * (voxel % plane / from.size[0]),
                                       static_cast<double>(voxel / plane)});
    const Vec3 index = to_index(there.from_first(back(point)));
    std::array<std::uint32_t, 3> nearest{};
    bool inside = true;
    for (std::size_t axis = 0; axis < 3 && inside; ++axis) {
      const double whole = std::round(index[axis]);
      inside = whole >= in.low[axis] && whole <= in.high[axis];
      if (inside) nearest[axis] = static_cast<std::uint32_t>(whole);
    }
    if (!inside) continue;
    shared += in.Holds((nearest[2] * to.size[1] + nearest[1]) * to.size[0] + nearest[0]);
  }
  return of.volume_ml * static_cast<double>(shared) / static_cast<double>(of.voxels.size());
}

class Tracker {
 public:
  Tracker(const std::vector<TrackedTimePoint>& points, const TrackingLimits& limits)
      : points_(points), limits_(limits) {}

  std::vector<Track> Run() {
    for (now_ = 0; now_ < points_.size(); ++now_) {
      for (Track& track : tracks_) track.points.emplace_back();
      if (points_[now_].lesions != nullptr) Advance();
      any_before_ = any_before_ || points_[now_].lesions != nullptr;
    }
    return std::move(tracks_);
  }

 private:
  const std::vector<Lesion>& Now() const { return points_[now_].lesions->lesions; }

  // The last time point before now at which the track had a lesion of its own.
  std::size_t LastSeen(const Track& track) const {
    for (std::size_t t = now_; t-- > 0;) {
      if (!track.points[t].lesions.empty()) return t;
    }
    return kNone;
  }

  struct Agreement {
    double shared_ml = 0, smaller_ml = 0, track_ml = 0, distance_mm = 0;
  };
  Agreement Compare(const Track& track, const Lesion& lesion) const {
    const std::size_t then = LastSeen(track);
    Agreement agreement;
    agreement.distance_mm = std::numeric_limits<double>::infinity();
    const TrackedTimePoint &at = points_[now_], &before = points_[then];
    const Vec3 centre = at.from_first.Inverse()(lesion.centre);
    for (const std::size_t part : track.points[then].lesions) {
      const Lesion& old = before.lesions->lesions[part];
      agreement.track_ml += old.volume_ml;
      agreement.shared_ml += SharedVolume(lesion, at, old, before);
      agreement.distance_mm =
          std::min(agreement.distance_mm, Norm(centre - before.from_first.Inverse()(old.centre)));
    }
    agreement.smaller_ml = std::min(lesion.volume_ml, agreement.track_ml);
    return agreement;
  }

  // Sharing volume counts for more than being near.
  double Gain(const Agreement& a) const {
    if (a.shared_ml > 0) return 1 + a.shared_ml / a.smaller_ml;
    return std::max(0.0, 1 - a.distance_mm / limits_.farthest_mm);
  }

  void Advance() {
    std::vector<std::vector<Agreement>> agreements(tracks_.size());
    std::vector<std::vector<double>> gains(tracks_.size());
    for (std::size_t t = 0; t < tracks_.size(); ++t) {
      for (const Lesion& lesion : Now()) {
        agreements[t].push_back(Compare(tracks_[t], lesion));
        gains[t].push_back(Gain(agreements[t].back()));
      }
    }
    std::vector<std::size_t> owner(Now().size(), kNone);
    const auto assigned = BestAssignment(gains);
    for (std::size_t t = 0; t < tracks_.size(); ++t) {
      if (!assigned[t]) continue;
      owner[*assigned[t]] = t;
      const bool was_there = State(t) != LesionState::kVanished;
      tracks_[t].points[now_] = {
          was_there ? LesionState::kPresent : LesionState::kReturned, {*assigned[t]}, std::nullopt};
    }
    AddFragments(agreements, &owner);
    EndOthers(agreements, owner);
    for (std::size_t lesion = 0; lesion < Now().size(); ++lesion) {
      if (owner[lesion] == kNone) Begin(lesion);
    }
  }

  // The track's state at the last time point that says something.
  LesionState State(std::size_t track) const {
    for (std::size_t t = now_; t-- > 0;) {
      const LesionState state = tracks_[track].points[t].state;
      if (state != LesionState::kUnknown) return state;
    }
    return LesionState::kUnknown;
  }

  // Lesions without a track that lie within one that goes on.
  void AddFragments(const std::vector<std::vector<Agreement>>& agreements,
                    std::vector<std::size_t>* owner) {
    for (std::size_t lesion = 0; lesion < Now().size(); ++lesion) {
      if ((*owner)[lesion] != kNone) continue;
      std::size_t best = kNone;
      double most = limits_.least_share;
      for (std::size_t t = 0; t < agreements.size(); ++t) {
        if (tracks_[t].points[now_].lesions.empty()) continue;
        const double share = agreements[t][lesion].shared_ml / Now()[lesion].volume_ml;
        if (share < most) continue;
        most = share;
        best = t;
      }
      if (best == kNone) continue;
      (*owner)[lesion] = best;
      tracks_[best].points[now_].state = LesionState::kSplit;
      tracks_[best].points[now_].lesions.push_back(lesion);
    }
  }

  // Tracks without a lesion: grown into another's, or gone.
  void EndOthers(const std::vector<std::vector<Agreement>>& agreements,
                 const std::vector<std::size_t>& owner) {
    for (std::size_t t = 0; t < agreements.size(); ++t) {
      TrackPoint& point = tracks_[t].points[now_];
      if (!point.lesions.empty()) continue;
      point.state = LesionState::kVanished;
      if (State(t) == LesionState::kVanished) continue;  // what lies there now is another one
      double most = limits_.least_share;
      for (std::size_t lesion = 0; lesion < Now().size(); ++lesion) {
        const Agreement& agreement = agreements[t][lesion];
        if (owner[lesion] == kNone || agreement.shared_ml / agreement.track_ml < most) continue;
        most = agreement.shared_ml / agreement.track_ml;
        point.state = LesionState::kMerged;
        point.merged_into = owner[lesion];
      }
    }
  }

  void Begin(std::size_t lesion) {
    Track track;
    track.points.resize(now_ + 1);
    track.points[now_] = {
        any_before_ ? LesionState::kNew : LesionState::kPresent, {lesion}, std::nullopt};
    tracks_.push_back(std::move(track));
  }

  const std::vector<TrackedTimePoint>& points_;
  const TrackingLimits limits_;
  std::vector<Track> tracks_;
  std::size_t now_ = 0;
  bool any_before_ = false;
};

}  // namespace

// The Hungarian method with potentials, by rows, on costs in a square matrix.
std::vector<std::optional<std::size_t>> BestAssignment(
    const std::vector<std::vector<double>>& gains) {
  const std::size_t rows = gains.size(), columns = rows == 0 ? 0 : gains[0].size();
  const std::size_t n = rows + columns;  // with a way out for each row and column
  const auto cost = [&](std::size_t row, std::size_t column) {
    return row < rows && column < columns ? -std::max(0.0, gains[row][column]) : 0.0;
  };
  constexpr double kFar = std::numeric_limits<double>::infinity();
  std::vector<double> u(n + 1), v(n + 1);
  std::vector<std::size_t> row_of(n + 1), way(n + 1);  // from 1; 0 is none
  for (std::size_t row = 1; row <= n; ++row) {
    row_of[0] = row;
    std::size_t column = 0;
    std::vector<double> least(n + 1, kFar);
    std::vector<bool> used(n + 1);
    do {
      used[column] = true;
      const std::size_t from = row_of[column];
      double step = kFar;
      std::size_t next = 0;
      for (std::size_t j = 1; j <= n; ++j) {
        if (used[j]) continue;
        const double reduced = cost(from - 1, j - 1) - u[from] - v[j];
        if (reduced < least[j]) {
          least[j] = reduced;
          way[j] = column;
        }
        if (least[j] < step) {
          step = least[j];
          next = j;
        }
      }
      for (std::size_t j = 0; j <= n; ++j) {
        if (used[j]) {
          u[row_of[j]] += step;
          v[j] -= step;
        } else {
          least[j] -= step;
        }
      }
      column = next;
    } while (row_of[column] != 0);
    while (column != 0) {
      row_of[column] = row_of[way[column]];
      column = way[column];
    }
  }
  std::vector<std::optional<std::size_t>> assigned(rows);
  for (std::size_t column = 1; column <= columns; ++column) {
    const std::size_t row = row_of[column];
    if (row >= 1 && row <= rows && gains[row - 1][column - 1] > 0) {
      assigned[row - 1] = column - 1;
    }
  }
  return assigned;
}

std::vector<Track> TrackLesions(const std::vector<TrackedTimePoint>& time_points,
                                const TrackingLimits& limits) {
  return Tracker(time_points, limits).Run();
}

}  // namespace consilium::datasets::followup
