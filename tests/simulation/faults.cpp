#include "tests/simulation/faults.h"

#include <numeric>

namespace consilium::simulation {

std::string_view Name(Fault fault) {
  static constexpr std::array<std::string_view, kFaults> kNames = {
      "connection cut",
      "half-open connection",
      "black hole",
      "partition",
      "late message",
      "frame corrupted",
      "segment corrupted",
      "model piece corrupted",
      "upload cut",
      "receipt lost",
      "download cut",
      "site killed",
      "site lost power",
      "site crashed at a disk operation",
      "coordinator killed",
      "coordinator lost power",
      "coordinator crashed at a disk operation",
      "all lost power",
      "disk full",
      "disk errors",
      "operator's pause",
      "late site",
      "clock jumped",
      "stop requested",
      "site revoked",
      "run refused by an operator"};
  return kNames[static_cast<std::size_t>(fault)];
}

std::uint64_t FaultCounts::total() const {
  return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
}

FaultCounts& FaultCounts::operator+=(const FaultCounts& other) {
  for (std::size_t i = 0; i < kFaults; ++i) counts_[i] += other.counts_[i];
  return *this;
}

Weather Weather::Drawn(SeededRandom& random) {
  Weather weather;
  const double kind = random.Uniform();
  // Below 1: calmer than usual.
  const double force = kind < 0.1 ? 0.2 : kind < 0.8 ? 1 : 3;
  const auto chance = [&](double* field, double likely, double at_most) {
    if (random.Chance(likely)) *field = force * random.Uniform(0, at_most);
  };
  chance(&weather.cut, 0.4, 0.01);
  chance(&weather.half_open, 0.3, 0.005);
  chance(&weather.late_message, 0.3, 0.3);
  chance(&weather.frame_corrupted, 0.2, 0.003);
  chance(&weather.segment_corrupted, 0.05, 0.02);
  chance(&weather.piece_corrupted, 0.1, 0.05);
  chance(&weather.upload_cut, 0.4, 0.15);
  chance(&weather.receipt_lost, 0.4, 0.15);
  chance(&weather.download_cut, 0.3, 0.1);
  const auto every = [&](double* field, double likely, double shortest, double longest) {
    if (random.Chance(likely)) *field = random.Uniform(shortest, longest) / force;
  };
  every(&weather.black_hole_every, 0.2, 30, 200);
  every(&weather.partition_every, 0.15, 60, 300);
  every(&weather.site_crash_every, 0.5, 10, 100);
  every(&weather.coordinator_crash_every, 0.5, 15, 150);
  every(&weather.all_crash_every, 0.15, 60, 300);
  every(&weather.disk_full_every, 0.15, 40, 200);
  every(&weather.disk_errors_every, 0.1, 40, 200);
  every(&weather.pause_every, 0.15, 60, 300);
  every(&weather.clock_jump_every, 0.1, 60, 300);
  weather.late_site = random.Chance(0.2) ? 1 : 0;
  weather.stop_request = random.Chance(0.05) ? 1 : 0;
  weather.revocation = random.Chance(0.03) ? 1 : 0;
  weather.power_loss = random.Uniform();
  weather.at_operation = random.Uniform();
  weather.longest_delay_s = random.Chance(0.2) ? random.Uniform(0.5, 5) : random.Uniform(0.01, 0.2);
  weather.clear_after_s = random.Uniform(60, 400);
  return weather;
}

}  // namespace consilium::simulation
