#include "common/base/forward_clock.h"

#include "tests/catch.h"

namespace consilium {
namespace {

constexpr Duration kHour = std::chrono::hours(1);
constexpr Duration kSecond = std::chrono::seconds(1);

TEST_CASE("a clock that is set back goes on from where it was, second for second") {
  ManualClock clock(Time{} + 10 * kHour);
  const ForwardClock forward(clock);
  CHECK(forward.Now() == clock.Now());
  clock.Advance(-kHour);
  CHECK(forward.Now() == Time{} + 10 * kHour);
  clock.Advance(kSecond);
  CHECK(forward.Now() == Time{} + 10 * kHour + kSecond);
  CHECK(forward.Ahead() == kHour);
}

TEST_CASE("a clock that is set back twice is ahead by both, and one set forward is followed") {
  ManualClock clock(Time{} + 10 * kHour);
  const ForwardClock forward(clock);
  CHECK(forward.Ahead() == Duration{});
  clock.Advance(-kHour);
  CHECK(forward.Ahead() == kHour);
  clock.Advance(-kHour);
  CHECK(forward.Ahead() == 2 * kHour);
  clock.Advance(3 * kHour);
  CHECK(forward.Now() == Time{} + 13 * kHour);
}

}  // namespace
}  // namespace consilium
