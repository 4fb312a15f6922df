#include "common/base/ids.h"

#include "common/base/clock.h"
#include "tests/catch.h"
#include "tests/common/says.h"

namespace consilium {
namespace {

TEST_CASE("names of 1 to 63 small letters, digits and hyphens are allowed") {
  for (const std::string& name :
       {std::string("a"), std::string("north-hospital"), std::string("0-"), std::string(63, 'x')}) {
    CAPTURE(name);
    CHECK(CheckName("site", name).ok());
  }
}

TEST_CASE("other names are refused, naming what they are for") {
  for (const std::string& name :
       {std::string(), std::string("-a"), std::string("North"), std::string("a b"),
        std::string("a_b"), std::string("../a"), std::string("a/b"),
        std::string("s\xc3\xbc"
                    "d"),
        std::string("a\0b", 3), std::string(64, 'x')}) {
    CAPTURE(name);
    const absl::Status status = CheckName("site", name);
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(Says(status, "the site name"));
  }
}

TEST_CASE("an attempt is written as run, round and attempt, and ordered so") {
  const AttemptKey key{RunId("chest-0003"), 2, 1};
  CHECK(key.ToString() == "chest-0003/2/1");
  CHECK(key < AttemptKey{RunId("chest-0003"), 2, 2});
  CHECK(key < AttemptKey{RunId("chest-0003"), 10, 1});
}

TEST_CASE("times and durations are written for people and machines") {
  CHECK(ToRfc3339(Time(std::chrono::seconds(1'772'366'400))) == "2026-03-01T12:00:00Z");
  CHECK(ToReadable(FromSeconds(1.234)) == "1.23 s");
  CHECK(ToReadable(FromSeconds(59.5)) == "59.5 s");
  CHECK(ToReadable(FromSeconds(200)) == "3 min 20 s");
  CHECK(ToReadable(FromSeconds(7500)) == "2 h 5 min");
}

TEST_CASE("a manual clock moves only when it is told to") {
  ManualClock clock(Time(FromSeconds(5)));
  CHECK(clock.Now() == clock.Now());
  clock.Advance(FromSeconds(2.5));
  CHECK(Seconds(clock.Now().time_since_epoch()) == 7.5);
}

}  // namespace
}  // namespace consilium
