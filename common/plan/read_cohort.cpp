#include "common/plan/readers.h"

#include <algorithm>
#include <set>

namespace consilium::plan {
namespace {

constexpr double kWeekInSeconds = 7 * 24 * 3600;

void ReadSites(Section& s, Cohort& cohort) {
  const auto names = s.Texts("sites");
  if (!names) return;
  std::set<std::string> seen;
  for (const std::string& name : *names) {
    if (!CheckName("site", name).ok()) {
      s.Refuse("sites", StrCat("holds \"", Shown(name),
                               "\", which is no site's name: 1 to 63 of "
                               "a-z, 0-9 and -, not beginning with -"));
    } else if (!seen.insert(name).second) {
      s.Refuse("sites", StrCat("holds \"", name, "\" twice"));
    }
    cohort.sites.emplace_back(name);
  }
}

// `sites` named in the cohort (none: every enrolled site may take part).
void CheckEnoughSites(Section& s, std::uint32_t minimum, std::size_t sites) {
  if (sites == 0 || minimum <= sites) return;
  const std::string problem = StrCat("can never be reached: cohort.sites names ", sites);
  if (s.Has("minimum_sites")) {
    s.Refuse("minimum_sites", problem);
  } else {
    s.Missing("minimum_sites", StrCat("its default ", minimum, " ", problem));
  }
}

// How long one site is waited for: never longer than the round.
void ReadPatience(Section& s, std::string_view key, double shortest, double deadline_s,
                  double& patience_s) {
  if (const auto seconds = s.Real(key, shortest, kWeekInSeconds)) {
    patience_s = *seconds;
    if (*seconds > deadline_s) {
      s.Refuse(key, StrCat("is longer than the round: round_deadline_s is ", deadline_s));
    }
  } else {
    patience_s = std::min(patience_s, deadline_s);
  }
}

// "minimum_auroc", "minimum_dice", "minimum_concordance": the one that the task is judged by.
std::optional<double> ReadHeadline(Section& s, std::string_view prefix, const Subject& subject,
                                   double lowest, Ends ends) {
  std::optional<double> value;
  const auto key = [&](Task task) { return StrCat(prefix, HeadlineName(task)); };
  if (subject.task) value = s.Real(key(*subject.task), lowest, 1, ends);
  for (const Task other : {Task::kBinary, Task::kSegmentation, Task::kSurvival, Task::kDetection}) {
    if (subject.task && HeadlineName(other) == HeadlineName(*subject.task)) continue;
    const auto unused = s.Real(key(other), 0, 1);
    if (unused && subject.task) {
      s.Refuse(key(other), StrCat("is not what target.task \"", Name(*subject.task),
                                  "\" is judged by: use ", key(*subject.task)));
    }
  }
  return value;
}

}  // namespace

void ReadCohort(Section s, const Aggregation& aggregation, Cohort& cohort) {
  Set(cohort.minimum_sites, s.Whole("minimum_sites", 2, 255));
  if (cohort.minimum_sites < 3 && aggregation.updates == Updates::kMasked) {
    s.Refuse("minimum_sites",
             "is too few for secure aggregation, where a sum of two shows each to the other: 3 or "
             "more, or say aggregation.updates = \"sealed\" so that the coordinator sees each "
             "site's update");
  }
  ReadSites(s, cohort);
  CheckEnoughSites(s, cohort.minimum_sites, cohort.sites.size());
  const auto deadline = s.Real("round_deadline_s", 1, kWeekInSeconds);
  Set(cohort.round_deadline_s, deadline);
  ReadPatience(s, "absence_grace_s", 0, cohort.round_deadline_s, cohort.absence_grace_s);
  ReadPatience(s, "silence_s", 1, cohort.round_deadline_s, cohort.silence_s);
  s.Finish();
}

void ReadEvaluation(Section s, const Subject& subject, Evaluation& evaluation) {
  Set(evaluation.at_specificity, s.Real("at_specificity", 0, 1));
  const bool scores =
      !subject.task || *subject.task == Task::kBinary || *subject.task == Task::kMultilabel;
  if (!scores && s.Has("at_specificity")) {
    s.Refuse("at_specificity", StrCat("has no effect with target.task \"", Name(*subject.task),
                                      "\": only yes and no have a specificity"));
  }
  s.Finish();
}

void ReadGate(Section s, const Subject& subject, const Cohort& cohort, Gate& gate) {
  Set(gate.minimum, ReadHeadline(s, "minimum_", subject, 0, Ends::kIncluded));
  if (const auto drop = s.Real("maximum_site_drop", 0, 1)) gate.maximum_site_drop = drop;
  gate.minimum_sites = cohort.minimum_sites;
  Set(gate.minimum_sites, s.Whole("minimum_sites", 2, 255));
  if (s.Has("minimum_sites")) CheckEnoughSites(s, gate.minimum_sites, cohort.sites.size());
  s.Finish();
}

void ReadStop(Section s, const Subject& subject, Stop& stop) {
  Set(stop.rounds, s.Whole("rounds", 1, 100'000));
  if (const auto patience = s.Whole("patience", 1, 100'000)) {
    stop.patience = static_cast<std::uint32_t>(*patience);
    if (*patience > stop.rounds) {
      s.Refuse("patience",
               StrCat("never takes effect: the run ends after ", stop.rounds, " rounds"));
    }
  }
  // No better than chance is no target; an overlap of 0 is chance's.
  const double chance = subject.task && TaughtByMasks(*subject.task) ? 0 : 0.5;
  stop.target = ReadHeadline(s, "target_", subject, chance, Ends::kLowExcluded);
  if (const auto limit = s.Real("wall_time_s", 1, 52 * kWeekInSeconds)) stop.wall_time_s = limit;
  s.Finish();
}

}  // namespace consilium::plan
