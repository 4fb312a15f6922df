#pragma once

// Makes trouble for a federation while a run is under way, at moments drawn from a seed, and keeps
// count of what it did and of how long it took until all was well again.

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/random.h"
#include "tests/chaos/full_disk.h"
#include "tests/chaos/run_watcher.h"
#include "tests/chaos/stressed_federation.h"

namespace consilium::chaos {

enum class Weather { kKills, kNetwork, kDisk, kClock };
inline constexpr Weather kWeathers[] = {Weather::kKills, Weather::kNetwork, Weather::kDisk,
                                        Weather::kClock};
const char* Name(Weather weather);  // "kills", "network", "disk", "clock"

struct Tally {
  // Process ("coordinator", "site", "all at once") and what the run, or the site, was doing.
  std::map<std::pair<std::string, std::string>, int> kills;
  int killed = 0;                       // processes
  std::map<std::string, int> troubles;  // of other kinds
  int ended_by_themselves = 0;          // with a full disk: started again, as systemd does
  // Seconds.
  std::vector<double> coordinator_back, site_back;  // from the start of the process
  std::vector<double> run_goes_on;                  // from a kill to the run's next event

  void Add(const Tally& other);
};

// What each kind of weather works with.
struct Instruments {
  std::map<std::string, std::unique_ptr<FullDisk>> disks;  // by process
  std::map<std::string, fs::path> clocks;                  // by process: moved_clock.cpp's file
};

class Troublemaker {
 public:
  Troublemaker(StressedFederation& federation, Instruments& instruments, Weather weather,
               double mean_pause_s, SeededRandom& random)
      : federation_(federation),
        instruments_(instruments),
        weather_(weather),
        mean_pause_s_(mean_pause_s),
        random_(random) {}

  // Until the run has ended; makes no more trouble after `most_kills` processes were killed. An
  // error is a violation: a process ended by itself, or the run does not go on though nothing has
  // been in its way for two minutes.
  absl::Status Live(const RunWatcher& run, int most_kills);
  const Tally& tally() const { return tally_; }

 private:
  using Clock = std::chrono::steady_clock;

  absl::Status MindProcesses();
  absl::Status MindTime(const RunWatcher& run);
  void MakeTrouble(const RunWatcher& run);
  void KillSome(const RunWatcher& run);
  void Kill(const std::string& name);
  void DisturbNetwork();
  void FillDisk();
  void MoveClock();
  void Mend();
  bool AllBack();
  Duration Draw(double low_s, double high_s) { return FromSeconds(random_.Uniform(low_s, high_s)); }
  const std::string& AnySite();
  void DrawNext();

  StressedFederation& federation_;
  Instruments& instruments_;
  const Weather weather_;
  const double mean_pause_s_;
  SeededRandom& random_;
  Tally tally_;
  Clock::time_point next_{};
  bool patient_ = false;    // the next trouble waits until the run goes on
  bool disturbed_ = false;  // it has not since the last trouble
  std::map<std::string, Clock::time_point> start_at_;  // of what is down
  std::map<std::string, Clock::time_point> started_;   // of what is not back yet
  std::optional<Clock::time_point> killed_;            // the run has said nothing since
  std::vector<std::pair<Clock::time_point, std::function<void()>>> mend_;  // when, how
  std::uint64_t seen_ = 0;
  Clock::time_point last_event_{}, last_trouble_{};
};

}  // namespace consilium::chaos
