#include "tests/chaos/troublemaker.h"

#include <cmath>
#include <thread>

#include "common/base/progress.h"
#include "common/base/status.h"

namespace consilium::chaos {
namespace {

// A run that has said nothing for this long is left in peace until it does.
constexpr auto kLeftInPeace = std::chrono::seconds(15);
constexpr auto kStuck = std::chrono::seconds(120);

double SecondsSince(std::chrono::steady_clock::time_point time) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - time).count();
}

// Nobody may be left out of a round because of it: well under the plan's grace.
constexpr double kLongestOutageS = 3;

}  // namespace

const char* Name(Weather weather) {
  constexpr const char* kNames[] = {"kills", "network", "disk", "clock"};
  return kNames[static_cast<int>(weather)];
}

void Tally::Add(const Tally& other) {
  for (const auto& [what, times] : other.kills) kills[what] += times;
  killed += other.killed;
  for (const auto& [what, times] : other.troubles) troubles[what] += times;
  ended_by_themselves += other.ended_by_themselves;
  const auto append = [](std::vector<double>& to, const std::vector<double>& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  append(coordinator_back, other.coordinator_back);
  append(site_back, other.site_back);
  append(run_goes_on, other.run_goes_on);
}

absl::Status Troublemaker::Live(const RunWatcher& run, int most_kills) {
  last_event_ = last_trouble_ = Clock::now();
  seen_ = 0;
  DrawNext();
  while (!run.ended() || !AllBack()) {
    if (Interrupted()) return absl::CancelledError("interrupted");
    RETURN_IF_ERROR(MindProcesses());
    RETURN_IF_ERROR(MindTime(run));
    const bool in_peace = Clock::now() - last_event_ > kLeftInPeace;
    // Else a slow machine would never come to a round's end.
    const bool too_soon = patient_ && disturbed_;
    if (!run.ended() && !in_peace && !too_soon && tally_.killed < most_kills &&
        Clock::now() >= next_) {
      MakeTrouble(run);
      DrawNext();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  Mend();
  return absl::OkStatus();
}

// The pauses of a Poisson process; now and then the next trouble comes at once. Most wait until the
// run has gone on after the last one.
void Troublemaker::DrawNext() {
  const double pause =
      random_.Chance(0.2) ? 0.01 : -mean_pause_s_ * std::log(1 - random_.Uniform());
  next_ = Clock::now() + FromSeconds(pause);
  patient_ = random_.Chance(0.75);
}

absl::Status Troublemaker::MindProcesses() {
  const auto now = Clock::now();
  for (const std::string& name : federation_.names()) {
    if (const auto state = federation_.Ended(name)) {
      if (weather_ != Weather::kDisk) {
        return absl::InternalError(StrCat(name, " ", state->ToString(),
                                          " by itself; its log is in ",
                                          federation_.federation().logs().string()));
      }
      ++tally_.ended_by_themselves;
      started_.erase(name);
      start_at_[name] = now + Draw(0.2, 0.4);
    }
    const auto due = start_at_.find(name);
    if (due != start_at_.end() && due->second <= now) {
      started_[name] = Clock::now();
      const absl::Status status = federation_.Start(name);
      if (!status.ok() && weather_ != Weather::kDisk) return WithContext(status, name);
      if (status.ok()) {
        start_at_.erase(due);
      } else {
        ++tally_.ended_by_themselves;
        due->second = Clock::now() + Draw(0.2, 0.4);
      }
    }
    const auto waited = started_.find(name);
    if (waited != started_.end() && federation_.IsBack(name)) {
      (name == kCoordinator ? tally_.coordinator_back : tally_.site_back)
          .push_back(SecondsSince(waited->second));
      started_.erase(waited);
    }
  }
  return absl::OkStatus();
}

absl::Status Troublemaker::MindTime(const RunWatcher& run) {
  const auto now = Clock::now();
  for (std::size_t i = 0; i < mend_.size();) {
    if (mend_[i].first > now) {
      ++i;
      continue;
    }
    mend_[i].second();
    mend_.erase(mend_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  if (run.seen() != seen_) {
    seen_ = run.seen();
    last_event_ = now;
    disturbed_ = !AllBack();
    if (killed_) tally_.run_goes_on.push_back(SecondsSince(*std::exchange(killed_, std::nullopt)));
  }
  if (now - last_event_ < kStuck || now - last_trouble_ < kStuck) return absl::OkStatus();
  return absl::DeadlineExceededError(
      StrCat("the run has done nothing for ",
             std::chrono::duration_cast<std::chrono::seconds>(now - last_event_).count(),
             " s; it was ", run.Doing(), ", and last said \"", run.LastWords(), "\""));
}

bool Troublemaker::AllBack() {
  for (const std::string& name : federation_.names()) {
    if (!federation_.IsBack(name)) return false;
  }
  return true;
}

const std::string& Troublemaker::AnySite() {
  const auto& names = federation_.names();
  return names[1 + random_.Below(names.size() - 1)];
}

void Troublemaker::MakeTrouble(const RunWatcher& run) {
  last_trouble_ = Clock::now();
  disturbed_ = true;
  if (weather_ == Weather::kKills || random_.Chance(0.2)) return KillSome(run);
  if (weather_ == Weather::kNetwork) return DisturbNetwork();
  if (weather_ == Weather::kDisk) return FillDisk();
  MoveClock();
}

void Troublemaker::KillSome(const RunWatcher& run) {
  std::vector<std::string> victims;
  const double what = random_.Uniform();
  if (what < 0.12) {
    victims = federation_.names();
  } else if (what < 0.45) {
    victims = {kCoordinator};
  } else {
    victims = {AnySite()};
    if (random_.Chance(0.25)) victims.push_back(AnySite());
  }
  const std::string doing = run.Doing();
  const bool all = victims.size() > 2;
  for (const std::string& name : victims) {
    if (federation_.IsDown(name)) continue;
    const bool training = name != kCoordinator && federation_.IsTraining(name);
    ++tally_.kills[{all                    ? "all at once"
                    : name == kCoordinator ? "coordinator"
                                           : "site",
                    training                    ? "training"
                    : !federation_.IsBack(name) ? "starting"
                                                : doing}];
    Kill(name);
  }
}

void Troublemaker::Kill(const std::string& name) {
  federation_.Kill(name);
  ++tally_.killed;
  if (!killed_) killed_ = Clock::now();
  started_.erase(name);
  start_at_[name] = Clock::now() + Draw(0, 0.3);
}

void Troublemaker::DisturbNetwork() {
  const std::string site = AnySite();
  FlakyLink& link = federation_.link(site);
  const double what = random_.Uniform();
  if (what < 0.4) {
    ++tally_.troubles["connection reset"];
    return link.ResetAll();
  }
  if (what < 0.6) {
    ++tally_.troubles["link delayed"];
    link.Delay(Draw(0.02, 0.2));
    mend_.emplace_back(Clock::now() + Draw(0.5, kLongestOutageS), [&link] { link.Delay({}); });
    return;
  }
  const bool silent = what < 0.8;
  const bool then_reset = random_.Chance(0.5);
  ++tally_.troubles[silent ? "link silent, connections open" : "link refuses"];
  link.Set(silent ? FlakyLink::Mood::kSilent : FlakyLink::Mood::kRefusing);
  mend_.emplace_back(Clock::now() + Draw(0.1, kLongestOutageS), [&link, then_reset] {
    if (then_reset) link.ResetAll();
    link.Set(FlakyLink::Mood::kPass);
  });
}

void Troublemaker::FillDisk() {
  auto chosen = instruments_.disks.begin();
  std::advance(chosen, random_.Below(instruments_.disks.size()));
  const FullDisk& disk = *chosen->second;
  ++tally_.troubles[chosen->first == kCoordinator ? "coordinator's disk full" : "site's disk full"];
  disk.Fill();
  mend_.emplace_back(Clock::now() + Draw(0.2, kLongestOutageS), [&disk] { disk.Free(); });
}

void Troublemaker::MoveClock() {
  auto chosen = instruments_.clocks.begin();
  std::advance(chosen, random_.Below(instruments_.clocks.size()));
  const char* const offset = random_.Chance(0.5) ? "+3600" : "-3600";
  ++tally_.troubles[StrCat(chosen->first == kCoordinator ? "coordinator's" : "site's", " clock ",
                           offset[0] == '+' ? "an hour ahead" : "an hour back")];
  const fs::path file = chosen->second;
  WriteFileDurably(file, StrCat(offset, "\n"), 0644).IgnoreError();
  mend_.emplace_back(Clock::now() + Draw(0.3, kLongestOutageS), [file] {
    WriteFileDurably(file, std::string_view("+0\n"), 0644).IgnoreError();
  });
}

void Troublemaker::Mend() {
  for (auto& [when, how] : mend_) how();
  mend_.clear();
}

}  // namespace consilium::chaos
