#pragma once

// A run's events, put in order by round: what the report and the benchmark draw.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/wire/protocol.h"

namespace consilium::experiments {

struct SiteRound {
  // kNotInvited: it joined later, and only evaluated the round's model.
  enum class Fate { kNotInvited, kInvited, kCounted, kLost };
  Fate fate = Fate::kNotInvited;
  bool trained = false, uploaded = false;  // in any attempt
  std::string lost_reason;
  double upload_seconds = 0, weight = 0;
  // Not known of a site whose updates are masked.
  std::optional<double> train_seconds, loss;
  std::optional<double> validation;  // headline; none: too few examples of a class, or masked
};

struct RoundHistory {
  std::uint32_t round = 0;
  std::uint32_t attempts = 1;
  std::map<std::string, SiteRound> sites;
  // From the opening of the round's last attempt to its last update, to the candidate, to the
  // pooled validation result.
  double training_seconds = 0, aggregation_seconds = 0, evaluation_seconds = 0;
  struct Headline {
    double value = 0, low = 0, high = 0;
  };
  std::optional<Headline> pooled_validation;
  bool aggregated = false;
  bool best = false;
  std::optional<double> mean_loss;  // of the counted sites, by their weight

  // The mean over the sites that told theirs, when the coordinator did not say it.
  std::optional<double> MeanLoss() const;
};

// What one site did in the whole run, in rounds.
struct SiteParticipation {
  std::string refusals;  // which files it refused, and why
  int asked = 0, trained = 0, uploaded = 0, counted = 0;
};

// What secure aggregation opened, over the whole run.
struct SecureHistory {
  int sums = 0;
  std::uint32_t fewest_sites = 0, lowest_threshold = 0;
  int recovered = 0;  // sites that dropped out after the others had masked for them
};

struct RunHistory {
  std::vector<RoundHistory> rounds;             // training rounds, from 1
  std::map<std::string, std::string> declined;  // site -> why
  std::map<std::string, SiteParticipation> participation;
  std::string stop_reason;
  bool gate_decided = false, gate_passed = false;
  std::string gate_text;
  bool published = false, failed = false, ended = false;
  std::string outcome;
  std::string final_model;  // hex; what the final evaluation tested
  double seconds = 0;       // from the first event to the last
  SecureHistory secure;
};

// What the coordinator could see, in one sentence.
std::string ProtectionInWords(const RunHistory& history);

RunHistory ReadHistory(const std::vector<wire::RunEvent>& events);

}  // namespace consilium::experiments
