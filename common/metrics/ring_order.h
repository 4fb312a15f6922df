#pragma once

// Private to common/metrics. The numbers of each kind of sums in the order of the ring: first the
// counts, then the reals. `whole` is called with each count, `real` with each real and the unit
// that it travels in, so that sums of squares stay within the fixed point's range.

#include <type_traits>

#include "common/metrics/sum_checks.h"
#include "common/metrics/task_sums.h"

namespace consilium::metrics {

namespace ring {

template <class Kind, class Sums>
concept Is = std::is_same_v<std::remove_const_t<Kind>, Sums>;

template <class Sums, class Whole>
requires Is<Sums, BinarySums>
void Wholes(Sums& sums, const Whole& whole) {
  for (auto& count : sums.positives) whole(count);
  for (auto& count : sums.negatives) whole(count);
  for (auto& count : sums.calibration_count) whole(count);
  for (auto& count : sums.calibration_positives) whole(count);
  whole(sums.patients);
}
template <class Sums, class Real>
requires Is<Sums, BinarySums>
void Reals(Sums& sums, const Real& real) {
  real(sums.squared_error, 1);
  real(sums.log_loss, 1);
  for (auto& score : sums.calibration_score) real(score, 1);
}

template <class Sums, class Whole>
requires Is<Sums, MulticlassSums>
void Wholes(Sums& sums, const Whole& whole) {
  for (auto& scores : sums.scores) {
    for (auto& count : scores.positives) whole(count);
    for (auto& count : scores.negatives) whole(count);
  }
  for (auto& count : sums.confusion) whole(count);
  whole(sums.patients);
}
template <class Sums, class Real>
requires Is<Sums, MulticlassSums>
void Reals(Sums& sums, const Real& real) {
  real(sums.squared_error, 1);
  real(sums.log_loss, 1);
}

template <class Sums, class Whole>
requires Is<Sums, MultilabelSums>
void Wholes(Sums& sums, const Whole& whole) {
  for (auto& label : sums.labels) Wholes(label, whole);
  whole(sums.patients);
}
template <class Sums, class Real>
requires Is<Sums, MultilabelSums>
void Reals(Sums& sums, const Real& real) {
  for (auto& label : sums.labels) Reals(label, real);
}

template <class Sums, class Whole>
requires Is<Sums, SegmentationSums>
void Wholes(Sums& sums, const Whole& whole) {
  for (auto& s : sums.structures) {
    whole(s.patients);
    whole(s.both_empty);
    for (auto& count : s.dice_histogram) whole(count);
    whole(s.with_distance);
    whole(s.intersection);
    whole(s.predicted);
    whole(s.truth);
    whole(s.with_volume);
  }
  whole(sums.patients);
  whole(sums.images);
}
template <class Sums, class Real>
requires Is<Sums, SegmentationSums>
void Reals(Sums& sums, const Real& real) {
  for (auto& s : sums.structures) {
    real(s.dice, 1);
    real(s.dice_squared, 1);
    real(s.hd95, 1);
    real(s.hd95_squared, 1);
    real(s.truth_ml, kVolumeUnit);
    real(s.predicted_ml, kVolumeUnit);
    real(s.truth_squared, kVolumeUnit * kVolumeUnit);
    real(s.predicted_squared, kVolumeUnit * kVolumeUnit);
    real(s.product, kVolumeUnit * kVolumeUnit);
  }
}

template <class Sums, class Whole>
requires Is<Sums, SurvivalSums>
void Wholes(Sums& sums, const Whole& whole) {
  whole(sums.comparable);
  whole(sums.concordant_halves);
  whole(sums.halves_squared);
  whole(sums.halves_by_pairs);
  whole(sums.pairs_squared);
  for (auto& count : sums.events) whole(count);
  for (auto& count : sums.censored) whole(count);
  whole(sums.patients);
}
template <class Sums, class Real>
requires Is<Sums, SurvivalSums>
void Reals(Sums&, const Real&) {}

template <class Sums, class Whole>
requires Is<Sums, DetectionSums>
void Wholes(Sums& sums, const Whole& whole) {
  for (auto& kind : sums.kinds) {
    const auto all = [&](auto& counts) {
      for (auto& count : counts) whole(count);
    };
    for (auto& group : kind.boxes) all(group);
    for (auto& group : kind.found) all(group);
    all(kind.found_75);
    all(kind.hits);
    all(kind.false_alarms);
    all(kind.findings);
    whole(kind.patients);
  }
  for (auto& count : sums.group_patients) whole(count);
  whole(sums.patients);
  whole(sums.images);
}
template <class Sums, class Real>
requires Is<Sums, DetectionSums>
void Reals(Sums&, const Real&) {}

// Of a task: which of them it is, `sums` knows.
template <class Whole>
void Wholes(const TaskSums& sums, const Whole& whole) {
  sums.Visit([&](const auto& kind) { Wholes(kind, whole); });
}
template <class Whole>
void Wholes(TaskSums& sums, const Whole& whole) {
  sums.Visit([&](auto& kind) { Wholes(kind, whole); });
}
template <class Real>
void Reals(const TaskSums& sums, const Real& real) {
  sums.Visit([&](const auto& kind) { Reals(kind, real); });
}
template <class Real>
void Reals(TaskSums& sums, const Real& real) {
  sums.Visit([&](auto& kind) { Reals(kind, real); });
}

}  // namespace ring
}  // namespace consilium::metrics
