#include "site_agent/learning/tasks/boxes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace consilium::learning {
namespace {

using metrics::Box;
using metrics::Finding;
using metrics::ScoredBox;

constexpr std::uint32_t kStrides[] = {8, 16, 32};
constexpr float kCentreStrides = 1.5f;
constexpr float kReachStrides = 8;  // of a stride's farthest edge; the last one's has no end

// A part of a mask while it is walked through.
struct Part {
  std::uint32_t left = std::numeric_limits<std::uint32_t>::max(), top = left, right = 0, bottom = 0;
  std::uint64_t pixels = 0;

  void Add(std::uint32_t x, std::uint32_t y) {
    left = std::min(left, x);
    top = std::min(top, y);
    right = std::max(right, x + 1);
    bottom = std::max(bottom, y + 1);
    ++pixels;
  }
  Box ToBox() const {
    return {static_cast<float>(left), static_cast<float>(top), static_cast<float>(right),
            static_cast<float>(bottom)};
  }
};

// Takes the part that holds the pixel `start` out of `of_kind`.
Part TakePart(std::vector<bool>& of_kind, std::uint32_t height, std::uint32_t width,
              std::size_t start) {
  Part part;
  std::vector<std::size_t> open = {start};
  of_kind[start] = false;
  while (!open.empty()) {
    const std::size_t at = open.back();
    open.pop_back();
    const auto x = static_cast<std::uint32_t>(at % width);
    const auto y = static_cast<std::uint32_t>(at / width);
    part.Add(x, y);
    for (std::uint32_t ny = y - (y > 0); ny <= std::min(y + 1, height - 1); ++ny) {
      for (std::uint32_t nx = x - (x > 0); nx <= std::min(x + 1, width - 1); ++nx) {
        const std::size_t next = std::size_t{ny} * width + nx;
        if (!of_kind[next]) continue;
        of_kind[next] = false;
        open.push_back(next);
      }
    }
  }
  return part;
}

std::vector<Part> PartsOf(std::vector<bool> of_kind, std::uint32_t height, std::uint32_t width,
                          bool whole) {
  std::vector<Part> parts;
  if (whole) parts.emplace_back();
  for (std::size_t i = 0; i < of_kind.size(); ++i) {
    if (!of_kind[i]) continue;
    if (whole) {
      parts[0].Add(static_cast<std::uint32_t>(i % width), static_cast<std::uint32_t>(i / width));
    } else {
      parts.push_back(TakePart(of_kind, height, width, i));
    }
  }
  return parts;
}

// From a place to the edges of a box; negative outside of it.
struct Distances {
  Distances(const Place& place, const Box& box)
      : left(place.x - box.left),
        top(place.y - box.top),
        right(box.right - place.x),
        bottom(box.bottom - place.y) {}
  float Least() const { return std::min({left, top, right, bottom}); }
  float Most() const { return std::max({left, top, right, bottom}); }
  float Centreness() const {
    return std::sqrt(std::min(left, right) / std::max(left, right) * std::min(top, bottom) /
                     std::max(top, bottom));
  }
  float left, top, right, bottom;
};

bool SuitsStride(float farthest, float stride) {
  const float first = static_cast<float>(kStrides[0]);
  const float last = static_cast<float>(kStrides[std::size(kStrides) - 1]);
  const bool far_enough = stride == first || farthest >= kReachStrides / 2 * stride;
  return far_enough && (stride == last || farthest < kReachStrides * stride);
}

bool Teaches(const Place& place, const Box& box) {
  const Distances distances(place, box);
  const float off_centre = std::max(std::abs(distances.right - distances.left),
                                    std::abs(distances.bottom - distances.top)) /
                           2;
  return distances.Least() > 0 && off_centre < kCentreStrides * place.stride &&
         SuitsStride(distances.Most(), place.stride);
}

std::size_t Nearest(std::span<const Place> places, const Box& box) {
  const float x = (box.left + box.right) / 2, y = (box.top + box.bottom) / 2;
  const float half = std::max(box.right - box.left, box.bottom - box.top) / 2;
  std::size_t nearest = 0;
  float least = std::numeric_limits<float>::max();
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (!SuitsStride(half, places[i].stride)) continue;
    const float distance = std::hypot(places[i].x - x, places[i].y - y);
    if (distance >= least) continue;
    least = distance;
    nearest = i;
  }
  return nearest;
}

}  // namespace

std::vector<Place> PlacesOf(std::uint32_t height, std::uint32_t width) {
  std::vector<Place> places;
  for (const std::uint32_t stride : kStrides) {
    const auto step = static_cast<float>(stride);
    for (std::uint32_t row = 0; row < height / stride; ++row) {
      for (std::uint32_t column = 0; column < width / stride; ++column) {
        places.push_back({(static_cast<float>(column) + 0.5f) * step,
                          (static_cast<float>(row) + 0.5f) * step, step});
      }
    }
  }
  return places;
}

std::vector<Finding> FindingsIn(std::span<const float> mask, std::uint32_t height,
                                std::uint32_t width, std::uint32_t kinds, bool whole) {
  std::vector<Finding> findings;
  for (std::uint32_t kind = 0; kind < kinds; ++kind) {
    std::vector<bool> of_kind(mask.size());
    for (std::size_t i = 0; i < mask.size(); ++i) {
      of_kind[i] = mask[i] == static_cast<float>(kind + 1);
    }
    for (const Part& part : PartsOf(std::move(of_kind), height, width, whole)) {
      if (part.pixels >= kFewestPixels) findings.push_back({part.ToBox(), kind});
    }
  }
  return findings;
}

std::vector<PlaceTarget> Assign(std::span<const Place> places, std::span<const Finding> findings) {
  std::vector<PlaceTarget> targets(places.size());
  std::vector<bool> has_place(findings.size());
  for (std::size_t i = 0; i < places.size(); ++i) {
    std::optional<std::size_t> smallest;
    for (std::size_t f = 0; f < findings.size(); ++f) {
      if (!Teaches(places[i], findings[f].box)) continue;
      if (!smallest || findings[f].box.Area() < findings[*smallest].box.Area()) smallest = f;
    }
    if (!smallest) continue;
    const Finding& finding = findings[*smallest];
    has_place[*smallest] = true;
    targets[i] = {static_cast<int>(finding.kind), finding.box,
                  Distances(places[i], finding.box).Centreness()};
  }
  for (std::size_t f = 0; f < findings.size(); ++f) {
    if (has_place[f] || places.empty()) continue;
    targets[Nearest(places, findings[f].box)] = {static_cast<int>(findings[f].kind),
                                                 findings[f].box, 1};
  }
  return targets;
}

std::vector<ScoredBox> BoxesOf(std::span<const float> answers, std::uint32_t kinds) {
  const std::size_t row = std::size_t{kinds} + 4;
  std::vector<ScoredBox> candidates;
  for (std::size_t at = 0; at + row <= answers.size(); at += row) {
    const float* const edges = answers.data() + at + kinds;
    const Box box{edges[0], edges[1], edges[2], edges[3]};
    if (!(box.left < box.right && box.top < box.bottom)) continue;
    for (std::uint32_t kind = 0; kind < kinds; ++kind) {
      const float score = answers[at + kind];
      if (score >= kLeastScore) candidates.push_back({box, std::min(score, 1.0f), kind});
    }
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const ScoredBox& a, const ScoredBox& b) { return a.score > b.score; });
  if (candidates.size() > kMostCandidates) candidates.resize(kMostCandidates);
  std::vector<ScoredBox> boxes;
  for (const ScoredBox& candidate : candidates) {
    if (boxes.size() == kMostBoxes) break;
    const bool covered = std::any_of(boxes.begin(), boxes.end(), [&](const ScoredBox& better) {
      return better.kind == candidate.kind &&
             metrics::Overlap(better.box, candidate.box) > kMostOverlap;
    });
    if (!covered) boxes.push_back(candidate);
  }
  return boxes;
}

}  // namespace consilium::learning
