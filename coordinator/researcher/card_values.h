#pragma once

// Private to the model card: what a record and the sites' results hold, as plain values. What is
// not there, or is of another kind than expected, is empty.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/report/plot.h"

namespace consilium::researcher {

struct Number {
  double value = 0;
  bool whole = false;
  std::string Text() const;  // "0.912", "240"
};
using Numbers = std::map<std::string, Number>;  // by their keys in metrics/task_sums.h

// "0.912 (0.861 to 0.946)" where key + "_low" and "_high" are there.
std::string WithInterval(const Numbers& numbers, const std::string& key);
// Whether the key is an end of another's interval.
bool IsInterval(const Numbers& numbers, const std::string& key);

struct Range {
  double low = 0, high = 0;
};

// Metrics as metrics::ToJson(TaskMetrics) writes them.
struct CardMetrics {
  bool suppressed = true;  // or there are none
  Numbers numbers;
  struct Parts {
    std::string name;                             // "classes", "labels", "structures", "kinds"
    std::vector<std::optional<Numbers>> numbers;  // of each; nothing: not known
  };
  std::vector<Parts> parts;
  std::vector<report::Point> calibration, roc;

  // Of the task's headline, or where the task is empty of the one that is there; empty: none.
  std::string HeadlineKey(const std::string& task) const;
  std::string Headline(const std::string& task) const;  // with interval, or "too few to show"
  std::string Patients() const;                         // "240", or "-"
};
CardMetrics ParseMetrics(const std::string& json);

// What `consilium-site evaluate --json` printed at one place.
struct PlaceResult {
  std::string name, model, task;
  std::optional<bool> trained_here;  // as the site says it
  CardMetrics metrics;
  std::optional<Range> headline;  // by patient, where the site resampled them
  struct Group {
    std::string group, value;
    CardMetrics metrics;
    std::optional<Range> headline;
  };
  std::vector<Group> groups;
  struct Curve {
    std::string of;
    std::vector<report::Point> model, treat_all;  // threshold, net benefit
  };
  std::vector<Curve> curves;
  struct Comparison {
    std::string against, test;
    Numbers numbers;
  };
  std::optional<Comparison> comparison;
  struct Score {
    std::string of;
    std::vector<Number> quantiles;
  };
  std::vector<Score> scores;
};
// kInvalidArgument: no such JSON; says whose.
absl::StatusOr<PlaceResult> ParseResult(const std::string& name, const std::string& json);

}  // namespace consilium::researcher
