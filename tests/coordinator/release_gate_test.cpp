#include "coordinator/release_gate.h"

#include "tests/catch.h"
#include "tests/coordinator/round_engine_scene.h"

namespace consilium::coordinator {
namespace {

plan::Gate AGate() {
  plan::Gate gate;
  gate.minimum = 0.8;
  gate.minimum_sites = 2;
  return gate;
}

TEST_CASE(
    "a model that meets every condition passes, and each condition is written with its value") {
  const GateDecision decision =
      Decide(AGate(), 0.9, {{kEast, SumsWithAuroc(0.9)}, {kNorth, SumsWithAuroc(0.9)}}, {});
  CHECK(decision.passed);
  REQUIRE(decision.conditions.size() == 2);
  CHECK(decision.conditions[0].text == "2 sites evaluated it, at least 2 must");
  CHECK(decision.conditions[1].text == "pooled AUROC 0.900 is at least 0.800");
}

TEST_CASE("too few sites, or a pooled AUROC below the minimum, stops a model") {
  const GateDecision few = Decide(AGate(), 0.9, {{kEast, SumsWithAuroc(0.9)}}, {});
  CHECK_FALSE(few.passed);
  CHECK_FALSE(few.conditions[0].met);
  CHECK(few.conditions[1].met);
  const GateDecision poor =
      Decide(AGate(), 0.9, {{kEast, SumsWithAuroc(0.7)}, {kNorth, SumsWithAuroc(0.7)}}, {});
  CHECK_FALSE(poor.passed);
  CHECK(poor.conditions[1].text == "pooled AUROC 0.700 is below 0.800");
}

TEST_CASE("a site that evaluated nothing does not count as a site") {
  const GateDecision decision =
      Decide(AGate(), 0.9, {{kEast, SumsWithAuroc(0.9)}, {kNorth, metrics::BinarySums{}}}, {});
  CHECK_FALSE(decision.conditions[0].met);
}

TEST_CASE("a model without results, or with too few to judge, never passes") {
  plan::Gate lax = AGate();
  lax.minimum = 0;
  lax.minimum_sites = 1;
  CHECK_FALSE(Decide(lax, 0.9, {}, {}).passed);
  CHECK_FALSE(Decide(lax, 0.9, {{kEast, SumsWithAuroc(1, 9)}}, {}).passed);
  CHECK(Decide(lax, 0.9, {{kEast, SumsWithAuroc(1, 10)}}, {}).passed);
}

TEST_CASE("a site may fall as far as the plan allows and no further") {
  plan::Gate gate = AGate();
  gate.maximum_site_drop = 0.05;
  const std::map<SiteId, metrics::TaskSums> test = {{kEast, SumsWithAuroc(0.9)},
                                                    {kNorth, SumsWithAuroc(0.85)}};
  CHECK(Decide(gate, 0.9, test, {{kEast, 0.95}, {kNorth, 0.80}}).passed);
  const GateDecision fell = Decide(gate, 0.9, test, {{kEast, 0.96}, {kNorth, 0.80}});
  CHECK_FALSE(fell.passed);
  CHECK(fell.conditions[2].text ==
        "east AUROC 0.900 is below 0.910, 0.050 under the last published model's 0.960");
}

TEST_CASE("small and missing sites are not compared one by one, and that is said") {
  plan::Gate gate = AGate();
  gate.maximum_site_drop = 0.01;
  const GateDecision decision =
      Decide(gate, 0.9, {{kEast, SumsWithAuroc(0.9)}, {kNorth, SumsWithAuroc(0.2, 5)}},
             {{kNorth, 0.99}, {kSouth, 0.99}});
  CHECK(decision.passed);
  REQUIRE(decision.conditions.size() == 4);
  CHECK(decision.conditions[2].text == "north has too few examples to compare by itself: left out");
  CHECK(decision.conditions[3].text ==
        "south did not evaluate it, so it is not compared: left out");
}

metrics::EvaluationSums Pooled(double auroc, std::uint64_t compared, std::uint64_t worse) {
  return {SumsWithAuroc(auroc), compared, worse};
}

TEST_CASE("a pooled result is judged by its sites, its AUROC and the sites' own comparison") {
  plan::Gate gate = AGate();
  gate.maximum_site_drop = 0.02;
  const GateDecision good = Decide(gate, 0.9, 3, Pooled(0.9, 3, 0), true);
  CHECK(good.passed);
  REQUIRE(good.conditions.size() == 3);
  CHECK(good.conditions[0].text == "3 sites evaluated it, at least 2 must");
  CHECK(good.conditions[1].text == "pooled AUROC 0.900 is at least 0.800");
  CHECK(good.conditions[2].text ==
        "no site of 3 that compared itself is more than 0.020 below the last published model "
        "(0 are)");
  const GateDecision fell = Decide(gate, 0.9, 3, Pooled(0.9, 2, 1), true);
  CHECK_FALSE(fell.passed);
  CHECK_THAT(fell.conditions[2].text, ContainsText("no site of 2 that compared itself"));
  CHECK_THAT(fell.conditions[2].text, ContainsText("(1 is)"));
  CHECK_FALSE(Decide(gate, 0.9, 1, Pooled(0.9, 0, 0), true).passed);
  CHECK_FALSE(Decide(gate, 0.9, 3, Pooled(0.7, 3, 0), true).passed);
}

TEST_CASE("without a last published model, or without a limit, no site is compared") {
  plan::Gate gate = AGate();
  CHECK(Decide(gate, 0.9, 3, Pooled(0.9, 3, 3), true).conditions.size() == 2);
  gate.maximum_site_drop = 0.02;
  CHECK(Decide(gate, 0.9, 3, Pooled(0.9, 0, 0), false).conditions.size() == 2);
  const GateDecision none = Decide(gate, 0.9, 3, Pooled(0.9, 0, 0), true);
  CHECK(none.passed);
  CHECK_THAT(none.conditions[2].text, ContainsText("no site could compare itself"));
}

TEST_CASE("a pooled evaluation that failed passes no gate") {
  plan::Gate lax = AGate();
  lax.minimum = 0;
  lax.minimum_sites = 1;
  CHECK_FALSE(Decide(lax, 0.9, 0, metrics::EvaluationSums{}, false).passed);
}

TEST_CASE("numbers that differ are written with enough digits to see it") {
  plan::Gate gate = AGate();
  gate.minimum = 0.90004;
  const GateDecision decision =
      Decide(gate, 0.9, {{kEast, SumsWithAuroc(0.9)}, {kNorth, SumsWithAuroc(0.9)}}, {});
  CHECK(decision.conditions[1].text == "pooled AUROC 0.90000 is below 0.90004");
}

// Patients whose one structure was found with this Dice.
metrics::TaskSums SumsWithDice(double dice, int patients = 20) {
  metrics::SegmentationSums sums(1);
  for (int i = 0; i < patients; ++i) {
    const auto common = static_cast<std::uint64_t>(1000 * dice);
    const metrics::PatientOverlap overlap{.intersection = common, .predicted = 1000, .truth = 1000};
    sums.Add(std::span(&overlap, 1), 1);
  }
  return sums;
}

// Half of the patients with an event; those who live longer have the higher risk when `inverted`.
metrics::TaskSums SumsOfSurvival(bool inverted, int patients = 40) {
  std::vector<metrics::Survivor> all;
  for (int i = 0; i < patients; ++i) {
    const double later = static_cast<double>(i) / patients;
    all.push_back({.days = 10.0 * (i + 1), .event = i % 2 == 0, .risk = inverted ? later : -later});
  }
  return metrics::SurvivalSums::Of(all);
}

TEST_CASE("outlines are judged by their Dice, in its words") {
  const GateDecision good =
      Decide(AGate(), 0.9, {{kEast, SumsWithDice(0.9)}, {kNorth, SumsWithDice(0.8)}}, {});
  CHECK(good.passed);
  CHECK(good.conditions[1].text == "pooled Dice 0.850 is at least 0.800");
  const GateDecision poor =
      Decide(AGate(), 0.9, {{kEast, SumsWithDice(0.7)}, {kNorth, SumsWithDice(0.8)}}, {});
  CHECK_FALSE(poor.passed);
  CHECK(poor.conditions[1].text == "pooled Dice 0.750 is below 0.800");
}

TEST_CASE("survival is judged by its concordance, in its words, and too few of it by nothing") {
  const GateDecision good =
      Decide(AGate(), 0.9, 2, metrics::EvaluationSums{SumsOfSurvival(false)}, false);
  CHECK(good.passed);
  CHECK(good.conditions[1].text == "pooled concordance 1.000 is at least 0.800");
  const GateDecision poor =
      Decide(AGate(), 0.9, 2, metrics::EvaluationSums{SumsOfSurvival(true)}, false);
  CHECK(poor.conditions[1].text == "pooled concordance 0.000 is below 0.800");
  const GateDecision few =
      Decide(AGate(), 0.9, 2, metrics::EvaluationSums{SumsOfSurvival(false, 10)}, false);
  CHECK_FALSE(few.passed);
  CHECK(few.conditions[1].text ==
        "pooled concordance is not known: the test sets hold fewer than 10 events, or patients "
        "without one");
}

TEST_CASE("a site's drop is of the task's own headline") {
  plan::Gate gate = AGate();
  gate.maximum_site_drop = 0.05;
  const std::map<SiteId, metrics::TaskSums> test = {{kEast, SumsWithDice(0.9)},
                                                    {kNorth, SumsWithDice(0.9)}};
  const GateDecision fell = Decide(gate, 0.9, test, {{kEast, 0.96}, {kNorth, 0.90}});
  CHECK_FALSE(fell.passed);
  CHECK(fell.conditions[2].text ==
        "east Dice 0.900 is below 0.910, 0.050 under the last published model's 0.960");
}

}  // namespace
}  // namespace consilium::coordinator
