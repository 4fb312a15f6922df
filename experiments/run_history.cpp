#include "experiments/run_history.h"

#include <algorithm>

#include "common/base/task.h"
#include "common/base/text.h"

namespace consilium::experiments {
namespace {

using wire::RunEvent;
using wire::RunEventKind;

std::optional<double> Known(const RunEvent& event, const char* key) {
  const auto found = event.values.find(key);
  return found == event.values.end() ? std::nullopt : std::optional<double>(found->second);
}

double Value(const RunEvent& event, const char* key) {
  const auto found = event.values.find(key);
  return found == event.values.end() ? 0 : found->second;
}

// The task's headline, whichever the event has; nothing when it is not shown.
std::optional<RoundHistory::Headline> HeadlineOf(const RunEvent& event) {
  if (Value(event, "suppressed") != 0) return std::nullopt;
  for (const Task task : {Task::kBinary, Task::kSegmentation, Task::kSurvival, Task::kDetection}) {
    const std::string key(HeadlineName(task));
    if (!event.values.contains(key)) continue;
    return RoundHistory::Headline{Value(event, key.c_str()), Value(event, (key + "_low").c_str()),
                                  Value(event, (key + "_high").c_str())};
  }
  return std::nullopt;
}

// Walks through the events once.
class Reader {
 public:
  void On(const RunEvent& event) {
    switch (event.kind) {
      case RunEventKind::kSiteDeclined:
        history_.declined[event.site.value] = event.text;
        break;
      case RunEventKind::kSiteAccepted:
        history_.participation[event.site.value].refusals = event.text;
        break;
      case RunEventKind::kRoundOpened:
        OpenRound(event);
        break;
      case RunEventKind::kTaskSent:
        Asked(event);
        break;
      case RunEventKind::kTrained:
        if (SiteRound* site = Site(event)) site->trained = true;
        break;
      case RunEventKind::kUpdateReceived:
        Received(event);
        break;
      case RunEventKind::kContributionLost:
        Lost(event);
        break;
      case RunEventKind::kAggregated:
        Aggregated(event);
        break;
      case RunEventKind::kSiteEvaluated:
        if (const auto headline = HeadlineOf(event); headline && Value(event, "test") == 0) {
          if (SiteRound* site = Site(event)) site->validation = headline->value;
        }
        break;
      case RunEventKind::kRoundEvaluated:
        if (Value(event, "test") == 0) Evaluated(event);
        break;
      case RunEventKind::kSecureStep:
        if (event.text == "unmask") Opened(event);
        break;
      case RunEventKind::kStopping:
        history_.stop_reason = event.text;
        break;
      case RunEventKind::kFinalEvaluation:
        history_.final_model = event.text;
        final_ = true;
        break;
      case RunEventKind::kGatePassed:
      case RunEventKind::kGateFailed:
        history_.gate_decided = true;
        history_.gate_passed = event.kind == RunEventKind::kGatePassed;
        history_.gate_text = event.text;
        break;
      case RunEventKind::kPublished:
        history_.published = true;
        break;
      case RunEventKind::kEnded:
        history_.ended = true;
        history_.failed = Value(event, "failed") != 0;
        history_.outcome = event.text;
        break;
      default:
        break;
    }
  }

  RunHistory Take() && {
    for (const RoundHistory& round : history_.rounds) {
      for (const auto& [name, site] : round.sites) {
        SiteParticipation& part = history_.participation[name];
        part.trained += site.trained;
        part.uploaded += site.uploaded;
        part.counted += round.aggregated && site.fate == SiteRound::Fate::kCounted;
      }
    }
    return std::move(history_);
  }

 private:
  RoundHistory* Round(const RunEvent& event) {
    if (event.round == 0 || final_) return nullptr;
    for (RoundHistory& round : history_.rounds) {
      if (round.round == event.round) return &round;
    }
    return nullptr;
  }

  SiteRound* Site(const RunEvent& event) {
    RoundHistory* round = Round(event);
    return round == nullptr || event.site.empty() ? nullptr : &round->sites[event.site.value];
  }

  void OpenRound(const RunEvent& event) {
    if (event.round == 0) return;
    if (RoundHistory* again = Round(event)) {
      again->attempts = std::max(again->attempts, event.attempt);
    } else {
      history_.rounds.push_back({.round = event.round, .attempts = std::max(1u, event.attempt)});
    }
    opened_ = last_update_ = aggregated_ = event.time;
  }

  void Asked(const RunEvent& event) {
    if (event.attempt == 0) return;  // an evaluation
    SiteRound* site = Site(event);
    if (site == nullptr) return;
    if (site->fate == SiteRound::Fate::kNotInvited) {
      ++history_.participation[event.site.value].asked;
    }
    site->fate = SiteRound::Fate::kInvited;
  }

  void Received(const RunEvent& event) {
    SiteRound* site = Site(event);
    if (site == nullptr) return;
    site->uploaded = true;
    site->fate = SiteRound::Fate::kCounted;
    site->train_seconds = Known(event, "train_seconds");
    site->upload_seconds = Value(event, "upload_seconds");
    site->loss = Known(event, "loss");
    site->weight = Value(event, "weight");
    last_update_ = event.time;
  }

  void Lost(const RunEvent& event) {
    // Attempt 0: of an evaluation, or what the site delivered stays.
    SiteRound* site = event.attempt == 0 ? nullptr : Site(event);
    if (site == nullptr) return;
    site->fate = SiteRound::Fate::kLost;
    site->lost_reason = event.text;
  }

  void Aggregated(const RunEvent& event) {
    RoundHistory* round = Round(event);
    if (round == nullptr) return;
    round->training_seconds = Seconds(last_update_ - opened_);
    round->aggregation_seconds = Seconds(event.time - last_update_);
    round->mean_loss = Known(event, "loss");
    round->aggregated = true;
    aggregated_ = event.time;
  }

  void Opened(const RunEvent& event) {
    SecureHistory& secure = history_.secure;
    const auto survivors = static_cast<std::uint32_t>(Value(event, "survivors"));
    const auto threshold = static_cast<std::uint32_t>(Value(event, "threshold"));
    const bool first = secure.sums++ == 0;
    secure.fewest_sites = first ? survivors : std::min(secure.fewest_sites, survivors);
    secure.lowest_threshold = first ? threshold : std::min(secure.lowest_threshold, threshold);
    secure.recovered += static_cast<int>(Value(event, "recovered"));
  }

  void Evaluated(const RunEvent& event) {
    RoundHistory* round = Round(event);
    if (round == nullptr) return;
    round->evaluation_seconds = Seconds(event.time - aggregated_);
    round->best = Value(event, "best") != 0;
    if (const auto headline = HeadlineOf(event)) round->pooled_validation = headline;
  }

  RunHistory history_;
  Time opened_{}, last_update_{}, aggregated_{};
  bool final_ = false;
};

}  // namespace

std::optional<double> RoundHistory::MeanLoss() const {
  if (mean_loss) return mean_loss;
  double sum = 0, weights = 0;
  for (const auto& [name, site] : sites) {
    if (site.fate != SiteRound::Fate::kCounted || !site.loss) continue;
    sum += site.weight * *site.loss;
    weights += site.weight;
  }
  return weights > 0 ? std::optional<double>(sum / weights) : std::nullopt;
}

std::string ProtectionInWords(const RunHistory& history) {
  const SecureHistory& secure = history.secure;
  if (secure.sums == 0) {
    return "The updates were sealed to the coordinator, which saw each site's update and results.";
  }
  std::string text =
      StrCat("Secure aggregation: the coordinator saw ", secure.sums, " sums, each over ",
             secure.fewest_sites, " sites or more (threshold ", secure.lowest_threshold,
             "), and no site's own update, loss or results.");
  if (secure.recovered > 0) {
    StrAppend(&text, " ", secure.recovered,
              secure.recovered == 1 ? " dropout was recovered." : " dropouts were recovered.");
  }
  return text;
}

RunHistory ReadHistory(const std::vector<RunEvent>& events) {
  Reader reader;
  for (const RunEvent& event : events) reader.On(event);
  RunHistory history = std::move(reader).Take();
  if (!events.empty()) history.seconds = Seconds(events.back().time - events.front().time);
  return history;
}

}  // namespace consilium::experiments
