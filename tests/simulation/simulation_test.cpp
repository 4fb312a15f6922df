// A short form of `simulate`: some seeds, each twice, because a failure that cannot be replayed is
// worth little.

#include <cstdlib>
#include <string>

#include "common/base/log.h"
#include "tests/catch.h"
#include "tests/simulation/fiber.h"
#include "tests/simulation/world.h"

namespace consilium::simulation {
namespace {

constexpr std::uint64_t kSeeds = 6;

// CONSILIUM_SEED: another first one.
std::uint64_t FirstSeed() {
  const char* given = std::getenv("CONSILIUM_SEED");
  return given != nullptr ? std::stoull(given) : 1;
}

Outcome Simulated(std::uint64_t seed) {
  Trace trace(Trace::Keep::kHash);
  Options options;
  options.seed = seed;
  World world(std::move(options), trace);
  return world.Run();
}

TEST_CASE("federations in bad weather keep every invariant, and a seed takes the same course") {
  SetLogLevel(static_cast<LogLevel>(4));  // beyond kError: none
  std::uint64_t rounds = 0, faults = 0;
  for (std::uint64_t seed = FirstSeed(); seed < FirstSeed() + kSeeds; ++seed) {
    CAPTURE(seed);
    const Outcome outcome = Simulated(seed);
    INFO("replay: build/bin/simulate --seed " << seed << " --trace");
    for (const std::string& violation : outcome.violations) FAIL_CHECK(violation);
    CHECK(Simulated(seed).trace_hash == outcome.trace_hash);
    rounds += outcome.rounds;
    faults += outcome.faults.total();
  }
  CHECK(rounds > 0);
  CHECK(faults > 0);
}

TEST_CASE("seeds take different courses") {
  SetLogLevel(static_cast<LogLevel>(4));
  CHECK(Simulated(1).trace_hash != Simulated(2).trace_hash);
}

TEST_CASE("a fiber goes on where it waited") {
  int step = 0;
  Fiber fiber([&] {
    step = 1;
    Fiber::Wait();
    step = 2;
  });
  CHECK(step == 0);
  fiber.Resume();
  CHECK(step == 1);
  CHECK_FALSE(fiber.done());
  fiber.Resume();
  CHECK(step == 2);
  CHECK(fiber.done());
}

}  // namespace
}  // namespace consilium::simulation
