#pragma once

// Private to site_agent/learning: what an anchor-free detector learns at each place of an image,
// and what becomes of its answers (Tian et al. 2019). Positions are in pixels, of which pixel i
// reaches from i to i + 1.

#include <cstdint>
#include <span>
#include <vector>

#include "common/metrics/detection_metrics.h"

namespace consilium::learning {

// Where fcos looks (networks/networks.h), in the order of its answers.
struct Place {
  float x = 0, y = 0, stride = 0;
};
std::vector<Place> PlacesOf(std::uint32_t height, std::uint32_t width);

// The findings of a mask that holds 0 and the numbers of `kinds` kinds: the bounding box of each
// part of a kind that is connected by edges or corners, or with `whole` of all of a kind. What has
// fewer than kFewestPixels is none.
inline constexpr std::uint32_t kFewestPixels = 4;
std::vector<metrics::Finding> FindingsIn(std::span<const float> mask, std::uint32_t height,
                                         std::uint32_t width, std::uint32_t kinds, bool whole);

// What a place is to say. A finding is learned at the places in its box and within one and a half
// strides of its centre along both axes, of the stride at which its farthest edge is less than 64
// pixels off, less than 128, or more; of several findings at one place the smallest. One that has
// no such place (it is smaller than a stride) has the nearest, with a centre-ness of 1.
struct PlaceTarget {
  int kind = -1;  // none
  metrics::Box box;
  float centreness = 0;
};
std::vector<PlaceTarget> Assign(std::span<const Place> places,
                                std::span<const metrics::Finding> findings);

// The boxes of one image: from the highest score down, at most kMostBoxes, of which no two of one
// kind overlap by more than kMostOverlap. `answers`: of each place the score of each kind and a box
// (left, top, right, bottom); scores below kLeastScore and boxes without an area are left out, as
// is all but the kMostCandidates best.
inline constexpr float kLeastScore = 0.02f;
inline constexpr double kMostOverlap = 0.6;
inline constexpr std::size_t kMostBoxes = 100, kMostCandidates = 1000;
std::vector<metrics::ScoredBox> BoxesOf(std::span<const float> answers, std::uint32_t kinds);

}  // namespace consilium::learning
