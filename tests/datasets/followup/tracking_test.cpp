#include "datasets/followup/tracking.h"

#include <algorithm>

#include "common/base/random.h"
#include "tests/catch.h"
#include "tests/datasets/followup/drawn_lesions.h"

namespace consilium::datasets::followup {
namespace {

// Time points of balls, where nobody moved; empty optionals say nothing.
class Scene {
 public:
  explicit Scene(const std::vector<std::optional<std::vector<Ball>>>& balls) {
    for (const auto& of_point : balls) {
      lesions_.push_back(FindLesions(MaskOf(of_point.value_or(std::vector<Ball>()))));
    }
    for (std::size_t i = 0; i < balls.size(); ++i) {
      points_.push_back({balls[i] ? &lesions_[i] : nullptr, {}});
    }
  }
  std::vector<Track> Tracked() const { return TrackLesions(points_); }

 private:
  std::vector<Lesions> lesions_;
  std::vector<TrackedTimePoint> points_;
};

std::vector<LesionState> StatesOf(const Track& track) {
  std::vector<LesionState> states;
  for (const TrackPoint& point : track.points) states.push_back(point.state);
  return states;
}

using enum LesionState;
const Ball kLeft = {{20, 40, 50}, 9}, kRight = {{60, 40, 50}, 7}, kSmall = {{40, 12, 30}, 4};

TEST_CASE("lesions that shrink, grow, appear and vanish keep their tracks") {
  const auto tracks = Scene({{{kLeft, kRight}},
                             {{{kLeft.centre, 5}, {kRight.centre, 10}}},
                             {{{kRight.centre, 12}, kSmall}}})
                          .Tracked();
  REQUIRE(tracks.size() == 3);
  CHECK(StatesOf(tracks[0]) == std::vector{kPresent, kPresent, kVanished});
  CHECK(StatesOf(tracks[1]) == std::vector{kPresent, kPresent, kPresent});
  CHECK(StatesOf(tracks[2]) == std::vector{kUnknown, kUnknown, kNew});
}

TEST_CASE("a lesion is found again after the patient moved, and only with the right motion") {
  const registration::RigidTransform motion =
      registration::MakeRigidTransform({0, 0, 0.35}, {8, -12, 4}, {40, 40, 50});
  const std::vector<Ball> balls = {kLeft, kRight};
  const Lesions before = FindLesions(MaskOf(balls));
  const Lesions after = FindLesions(MaskOf(balls, TestGrid(), motion));
  const auto tracks = TrackLesions({{&before, {}}, {&after, motion}});
  REQUIRE(tracks.size() == 2);
  for (const Track& track : tracks) {
    CHECK(track.points[1].state == kPresent);
    const Vec3 there = before.lesions[track.points[0].lesions[0]].centre;
    CHECK(Norm(motion(there) - after.lesions[track.points[1].lesions[0]].centre) < 0.5);
  }
  CHECK(TrackLesions({{&before, {}}, {&after, {}}}).size() > 2);
}

TEST_CASE("small lesions that no longer overlap are the same by nearness, within a limit") {
  const Ball moved = {{40, 12 + 10, 30}, 4}, far = {{40, 12 + 16, 30}, 4};
  CHECK(Scene({{{kSmall}}, {{moved}}}).Tracked().size() == 1);
  CHECK(Scene({{{kSmall}}, {{far}}}).Tracked().size() == 2);
}

TEST_CASE("two candidates for two lesions are assigned so that both find one") {
  // The second lesion is nearest to where the first has moved to.
  const Ball first = {{30, 40, 50}, 2.4}, second = {{41, 40, 50}, 2.4};
  const Ball first_moved = {{36, 40, 50}, 2.4}, second_moved = {{47, 40, 50}, 2.4};
  const auto tracks = Scene({{{first, second}}, {{first_moved, second_moved}}}).Tracked();
  REQUIRE(tracks.size() == 2);
  CHECK(StatesOf(tracks[0]) == std::vector{kPresent, kPresent});
  CHECK(StatesOf(tracks[1]) == std::vector{kPresent, kPresent});
}

TEST_CASE("a lesion in two parts is split and no new one") {
  const auto tracks =
      Scene({{{kLeft}}, {{{{20, 35, 50}, 4}, {{20, 45, 50}, 3}}}, {{{{20, 35, 50}, 3}}}}).Tracked();
  REQUIRE(tracks.size() == 1);
  CHECK(StatesOf(tracks[0]) == std::vector{kPresent, kSplit, kPresent});
  CHECK(tracks[0].points[1].lesions.size() == 2);
}

TEST_CASE("two lesions that grow into one are merged, and the larger goes on") {
  const Ball a = {{30, 40, 50}, 7}, b = {{48, 40, 50}, 5};
  const auto tracks = Scene({{{a, b}}, {{{{36, 40, 50}, 18}}}, {{{{36, 40, 50}, 19}}}}).Tracked();
  REQUIRE(tracks.size() == 2);
  CHECK(StatesOf(tracks[0]) == std::vector{kPresent, kPresent, kPresent});
  CHECK(StatesOf(tracks[1]) == std::vector{kPresent, kMerged, kMerged});
  CHECK(tracks[1].points[1].merged_into == 0u);
}

TEST_CASE(
    "a lesion that comes back is the old one; a time point that says nothing changes nothing") {
  const auto tracks =
      Scene({{{kLeft, kRight}}, {{kLeft}}, std::nullopt, {{kLeft, kRight}}}).Tracked();
  REQUIRE(tracks.size() == 2);
  CHECK(StatesOf(tracks[0]) == std::vector{kPresent, kPresent, kUnknown, kPresent});
  CHECK(StatesOf(tracks[1]) == std::vector{kPresent, kVanished, kUnknown, kReturned});
}

TEST_CASE("a first time point that says nothing makes no lesion new") {
  const auto tracks = Scene({std::nullopt, {{kLeft}}}).Tracked();
  REQUIRE(tracks.size() == 1);
  CHECK(StatesOf(tracks[0]) == std::vector{kUnknown, kPresent});
  CHECK(Scene({std::nullopt, std::nullopt}).Tracked().empty());
}

TEST_CASE("no assignment is better than the best one") {
  const std::uint64_t seed = 20261123;
  SeededRandom random(seed);
  INFO("seed " << seed);
  for (int round = 0; round < 200; ++round) {
    const std::size_t rows = 1 + random.Below(4), columns = random.Below(5);
    std::vector<std::vector<double>> gains(rows, std::vector<double>(columns));
    for (auto& row : gains) {
      for (double& gain : row) gain = random.Chance(0.3) ? 0 : random.Uniform();
    }
    double found = 0;
    const auto assigned = BestAssignment(gains);
    std::vector<std::size_t> taken;
    for (std::size_t row = 0; row < rows; ++row) {
      if (!assigned[row]) continue;
      found += gains[row][*assigned[row]];
      CHECK(std::find(taken.begin(), taken.end(), *assigned[row]) == taken.end());
      taken.push_back(*assigned[row]);
    }
    // All of them, by trying.
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < rows + columns; ++i) order.push_back(i);
    double best = 0;
    do {
      double sum = 0;
      for (std::size_t row = 0; row < rows; ++row) {
        if (order[row] < columns) sum += gains[row][order[row]];
      }
      best = std::max(best, sum);
    } while (std::next_permutation(order.begin(), order.end()) && round < 60);
    if (round < 60) CHECK(found == Approx(best));
    CHECK(found >= Approx(best));
  }
}

}  // namespace
}  // namespace consilium::datasets::followup
