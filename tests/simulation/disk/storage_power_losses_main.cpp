// storage_power_losses CRASHES [--seed N]: power losses on a simulated disk, in trials of a
// thousand on seeds of their own. Prints what was acknowledged and what was lost; exits with 1 when
// that is anything, with the command that repeats it.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>

#include "common/base/status.h"
#include "tests/simulation/disk/power_loss_trial.h"

namespace {

constexpr std::uint64_t kCrashesOfATrial = 1000;

}  // namespace

int main(int argc, char** argv) {
  using consilium::simulation::PowerLossReport;
  std::uint64_t crashes = 1000;
  std::uint64_t seed = 1;
  CLI::App app("Cuts the power of a simulated disk under the storage layer");
  app.add_option("CRASHES", crashes)->required()->check(CLI::PositiveNumber);
  app.add_option("--seed", seed, "of the first trial");
  CLI11_PARSE(app, argc, argv);

  const auto start = std::chrono::steady_clock::now();
  PowerLossReport sum;
  for (; sum.crashes < crashes; ++seed) {
    const PowerLossReport report = consilium::simulation::Run(
        {.seed = seed, .crashes = std::min(kCrashesOfATrial, crashes - sum.crashes)});
    sum.crashes += report.crashes;
    sum.in_recovery += report.in_recovery;
    sum.transactions += report.transactions;
    sum.files += report.files;
    sum.kept_unacknowledged += report.kept_unacknowledged;
    if (!report.failure.empty()) {
      std::printf("LOST, seed %s: %s\nrepeat it: storage_power_losses %llu --seed %s\n",
                  consilium::StrCat(seed).c_str(), report.failure.c_str(),
                  static_cast<unsigned long long>(kCrashesOfATrial),
                  consilium::StrCat(seed).c_str());
      return 1;
    }
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("%s\n", consilium::StrCat(
                          sum.crashes, " crashes of a simulated disk (", sum.in_recovery,
                          " of them during recovery) in ", static_cast<int>(took.count()), " s, ",
                          static_cast<int>(sum.crashes / took.count()), "/s: ", sum.transactions,
                          " transactions and ", sum.files, " files acknowledged, 0 lost; ",
                          sum.kept_unacknowledged, " more were there whole")
                          .c_str());
  return 0;
}
