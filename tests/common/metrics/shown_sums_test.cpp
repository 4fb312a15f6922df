// What may be shown of small sites' sums, of any task.

#include <nlohmann/json.hpp>

#include "common/base/status.h"
#include "common/metrics/task_sums.h"
#include "tests/catch.h"

namespace consilium::metrics {
namespace {

using nlohmann::json;

MulticlassSums Classes(const std::vector<int>& counts) {
  MulticlassSums sums(static_cast<std::uint32_t>(counts.size()));
  std::vector<float> even(counts.size(), 1.0f / static_cast<float>(counts.size()));
  for (std::uint32_t c = 0; c < counts.size(); ++c) {
    for (int i = 0; i < counts[c]; ++i) sums.Add(even, c);
  }
  return sums;
}

BinarySums Label(int positives, int negatives) {
  BinarySums sums;
  for (int i = 0; i < positives; ++i) sums.Add(0.6, true);
  for (int i = 0; i < negatives; ++i) sums.Add(0.4, false);
  return sums;
}

MultilabelSums Labels(const std::vector<BinarySums>& labels) {
  MultilabelSums sums(static_cast<std::uint32_t>(labels.size()));
  sums.labels = labels;
  return sums;
}

SegmentationSums Outlines(const std::vector<int>& having, int patients) {
  SegmentationSums sums(static_cast<std::uint32_t>(having.size()));
  for (int i = 0; i < patients; ++i) {
    std::vector<PatientOverlap> patient(having.size());
    for (std::size_t s = 0; s < having.size(); ++s) {
      if (i < having[s]) patient[s] = {50, 60, 70, 0, {}};
    }
    sums.Add(patient, 1);
  }
  return sums;
}

SurvivalSums Survivors(int events, int censored) {
  std::vector<Survivor> patients;
  for (int i = 0; i < events; ++i) patients.push_back({100.0 + i, true, 0});
  for (int i = 0; i < censored; ++i) patients.push_back({150.0 + i, false, 0});
  return SurvivalSums::Of(patients);
}

TEST_CASE("sums of one site are shown when each of what they count is ten or none") {
  CHECK(LargeEnoughToShow(Label(10, 10)));
  CHECK_FALSE(LargeEnoughToShow(Label(0, 30)));
  CHECK(LargeEnoughToShow(Classes({10, 10, 0})));
  CHECK_FALSE(LargeEnoughToShow(Classes({10, 10, 9})));
  CHECK(LargeEnoughToShow(Labels({Label(10, 40), Label(3, 47)})));
  CHECK_FALSE(LargeEnoughToShow(Labels({Label(9, 41), Label(3, 47)})));
  CHECK(LargeEnoughToShow(Outlines({12, 0}, 12)));
  CHECK_FALSE(LargeEnoughToShow(Outlines({12, 3}, 12)));
  CHECK_FALSE(LargeEnoughToShow(Outlines({9}, 9)));
  CHECK(LargeEnoughToShow(Survivors(10, 0)));
  CHECK(LargeEnoughToShow(Survivors(10, 10)));
  CHECK_FALSE(LargeEnoughToShow(Survivors(10, 9)));
  CHECK_FALSE(LargeEnoughToShow(Survivors(9, 50)));
}

TEST_CASE(
    "pooled counts are hidden when one site alone, or too few together, would be given away") {
  const auto shown = [](const std::vector<TaskSums>& sites) {
    std::map<SiteId, TaskSums> by_site;
    for (std::size_t i = 0; i < sites.size(); ++i) {
      by_site.emplace(SiteId{StrCat("site", i)}, sites[i]);
    }
    return PooledCountsCanBeShown(by_site);
  };
  CHECK(shown({}));
  CHECK(shown({Label(10, 10), Label(20, 20)}));
  CHECK_FALSE(shown({Label(10, 10), Label(9, 20)}));
  CHECK(shown({Label(10, 10), Label(9, 20), Label(1, 20)}));
  CHECK_FALSE(shown({Label(10, 10), Label(4, 20), Label(5, 20)}));

  CHECK(shown({Classes({10, 10}), Classes({30, 0})}));
  CHECK_FALSE(shown({Classes({10, 10}), Classes({30, 1})}));
  CHECK(shown({Classes({10, 10}), Classes({30, 5}), Classes({30, 5})}));
  CHECK_FALSE(shown({Classes({10, 10}), Classes({30, 5}), Classes({30, 4})}));

  CHECK(shown({Outlines({12}, 12), Outlines({15}, 20)}));
  CHECK_FALSE(shown({Outlines({12}, 12), Outlines({5}, 5)}));
  CHECK(shown({Outlines({12}, 12), Outlines({5}, 5), Outlines({6}, 6)}));

  CHECK(shown({Survivors(12, 12), Survivors(10, 0)}));
  CHECK_FALSE(shown({Survivors(12, 12), Survivors(10, 3)}));

  // Of labels, the second: few positives at one site alone hide all pooled counts...
  CHECK_FALSE(
      shown({Labels({Label(20, 20), Label(20, 20)}), Labels({Label(20, 20), Label(3, 37)})}));
  // ... but not when the label is not shown at all.
  CHECK(shown({Labels({Label(20, 20), Label(2, 38)}), Labels({Label(20, 20), Label(3, 37)})}));
}

TEST_CASE("a pooled result without counts has none anywhere") {
  const std::map<SiteId, TaskSums> sites = {{SiteId{"a"}, Classes({10, 10})},
                                            {SiteId{"b"}, Classes({30, 1})}};
  const json pooled = json::parse(PooledJson(sites, 0.9));
  CHECK(pooled.contains("auroc"));
  CHECK_FALSE(pooled.contains("examples"));
  CHECK_FALSE(pooled.contains("confusion"));
  CHECK(PooledJson(std::map<SiteId, TaskSums>{}, 0.9) == R"({"suppressed":true})");
}

}  // namespace
}  // namespace consilium::metrics
