#include "common/base/smooth_clock.h"

#include "tests/catch.h"

namespace consilium {
namespace {

constexpr Duration kHour = std::chrono::hours(1);
constexpr Duration kSecond = std::chrono::seconds(1);

struct Clocks {
  void Pass(Duration time) {
    clock.Advance(time);
    steady.Advance(time);
  }
  ManualClock clock{Time{} + 1000 * kHour}, steady{Time{} + 5 * kHour};
  const SmoothClock smooth{clock, steady};
};

TEST_CASE("a clock that nobody sets is shown as it is") {
  Clocks clocks;
  for (int i = 0; i < 100; ++i) {
    CHECK(clocks.smooth.Now() == clocks.clock.Now());
    clocks.Pass(Duration(i * i));
  }
}

TEST_CASE("a clock that is set is followed by a tenth of the time that passes, forward and back") {
  const int way = GENERATE(1, -1);
  Clocks clocks;
  const Time began = clocks.smooth.Now();
  clocks.clock.Advance(way * kHour);
  CHECK(clocks.smooth.Now() == began);
  clocks.Pass(100 * kSecond);
  CHECK(clocks.smooth.Now() == began + 100 * kSecond + way * 10 * kSecond);
  clocks.Pass(9 * kHour);
  CHECK(clocks.smooth.Now() != clocks.clock.Now());
  clocks.Pass(kHour);
  CHECK(clocks.smooth.Now() == clocks.clock.Now());
}

TEST_CASE("a clock that is looked at all the time follows as much as one that is not") {
  Clocks clocks;
  const Time began = clocks.smooth.Now();
  clocks.clock.Advance(kHour);
  for (int i = 0; i < 30'000; ++i) {
    clocks.Pass(Duration(3));
    clocks.smooth.Now();
  }
  CHECK(clocks.smooth.Now() == began + Duration(90'000) + Duration(9'000));
}

TEST_CASE("a machine that slept counts the time slowly, and one set to and fro not at all") {
  Clocks clocks;
  const Time began = clocks.smooth.Now();
  clocks.clock.Advance(8 * kHour);
  CHECK(clocks.smooth.Now() == began);
  clocks.clock.Advance(-8 * kHour);
  clocks.Pass(kSecond);
  CHECK(clocks.smooth.Now() == began + kSecond);
}

}  // namespace
}  // namespace consilium
