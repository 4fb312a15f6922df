// A model's results at a site: by groups, with what is too small hidden, and against another model.

#include <cmath>
#include <nlohmann/json.hpp>

#include "common/base/random.h"
#include "site_agent/evaluation_report.h"
#include "site_agent/learning/trainer.h"
#include "tests/catch.h"
#include "tests/site_agent/learning/made_dataset.h"

namespace consilium::site_agent {
namespace {

using learning::MadeDataset;
using learning::TableData;
using learning::TablePlan;

NoProgress quiet;

// The logit is a weighted sum of the two columns, as they are.
ModelState Linear(const plan::Plan& plan, const std::vector<float>& weights) {
  const ModelState initial = learning::InitialModel(plan).value();
  std::vector<float> values = {0, 0, 1, 1};  // means, deviations
  values.insert(values.end(), weights.begin(), weights.end());
  REQUIRE(values.size() == initial.values().size());
  return ModelState::Create(initial.layout(), std::move(values)).value();
}

// The first column tells the target but for noise; the second is noise alone.
struct Cohort {
  EvaluationData data;
  plan::Plan plan = TablePlan(Task::kBinary);
  explicit Cohort(int patients, int examples_a_patient = 1, std::uint64_t seed = 5) {
    SeededRandom random(seed, "cohort");
    auto examples = std::make_shared<MadeDataset>(TableData(1));
    for (int patient = 0; patient < patients; ++patient) {
      const double truth = patient % 2;
      const double of_patient = random.Normal();
      for (int i = 0; i < examples_a_patient; ++i) {
        const double first = 1.5 * (truth - 0.5) + of_patient + 0.1 * random.Normal();
        examples->Add({{static_cast<float>(first), static_cast<float>(random.Normal())},
                       {static_cast<float>(truth)},
                       static_cast<std::uint64_t>(patient)});
        data.facts.emplace_back();
      }
    }
    data.examples = std::move(examples);
  }
  EvaluatedModel Evaluated(const std::vector<float>& weights) const {
    return EvaluatedModel::Evaluate(Linear(plan, weights), plan, *data.examples, quiet).value();
  }
};

const GroupResult& GroupOf(const Grouping& grouping, std::string_view value) {
  const auto found = std::find_if(grouping.groups.begin(), grouping.groups.end(),
                                  [&](const GroupResult& group) { return group.value == value; });
  INFO(value);
  REQUIRE(found != grouping.groups.end());
  return *found;
}

TEST_CASE("kept answers add up to what an evaluation adds up, whatever the task") {
  const auto check = [](const plan::Plan& plan, const ModelState& model, const MadeDataset& data) {
    INFO(Name(plan.target.task));
    const auto sums = learning::Evaluate(model, plan, data, quiet);
    const auto kept = EvaluatedModel::Evaluate(model, plan, data, quiet);
    REQUIRE(sums.ok());
    REQUIRE(kept.ok());
    CHECK(kept->Sum().Count() == sums->Count());
    CHECK(kept->Sum().patients() == sums->patients());
    const auto expected = metrics::Compute(*sums, 0.9), got = metrics::Compute(kept->Sum(), 0.9);
    REQUIRE(expected.ok());
    REQUIRE(got.ok());
    CHECK(got->headline == Approx(expected->headline));
    CHECK(got->headline_95.low == Approx(expected->headline_95.low));
  };
  SeededRandom random(3, "tasks");
  const auto table = [&](std::size_t elements, const auto& target) {
    MadeDataset data = TableData(elements);
    for (std::uint64_t i = 0; i < 60; ++i) {
      const auto x = static_cast<float>(random.Normal());
      data.Add({{x, 0.5f}, target(i, x), i / 2});
    }
    return data;
  };
  using Target = std::vector<float>;
  const plan::Plan classes = TablePlan(Task::kMulticlass);
  check(classes, learning::InitialModel(classes).value(),
        table(1, [](std::uint64_t i, float) { return Target{static_cast<float>(i % 3)}; }));
  const plan::Plan labels = TablePlan(Task::kMultilabel);
  check(labels, learning::InitialModel(labels).value(), table(2, [](std::uint64_t i, float x) {
          return Target{x > 0 ? 1.0f : 0.0f,
                        i % 3 == 0 ? learning::kUnknown : static_cast<float>(i % 2)};
        }));
  const plan::Plan survival = TablePlan(Task::kSurvival);
  check(survival, Linear(survival, {1, 0, 0}), table(2, [](std::uint64_t i, float x) {
          return Target{100 * std::exp(-x), i % 4 == 0 ? 0.0f : 1.0f};
        }));
  const plan::Plan outlines = learning::OutlinePlan();
  check(outlines, learning::InitialModel(outlines).value(), learning::OutlineData(6, 1));
}

TEST_CASE("groups add up to the whole, and the worst is named with its interval") {
  Cohort cohort(240);
  for (std::size_t i = 0; i < 240; ++i) {
    cohort.data.facts[i].age = i < 120 ? 30 : 70;
    if (i >= 120) continue;
    // The younger are told apart by luck alone.
    auto& examples =
        const_cast<MadeDataset&>(static_cast<const MadeDataset&>(*cohort.data.examples));
    examples[i].input[0] = examples[i].input[1];
  }
  plan::Plan images = cohort.plan;
  images.data.source = plan::Source::kDicom;  // what groups there are follows the source
  const auto ages = GroupOfEach("age", images, cohort.data);
  REQUIRE(ages.ok());
  const EvaluatedModel model = cohort.Evaluated({1, 0, 0});
  const std::vector<Grouping> groupings = {EvaluateGroups(model, "age", *ages, 1)};
  REQUIRE(groupings[0].groups.size() == 2);
  const GroupResult& young = GroupOf(groupings[0], "18-39");
  const GroupResult& old = GroupOf(groupings[0], "65-79");
  REQUIRE(young.metrics);
  REQUIRE(old.metrics);
  CHECK(young.metrics->patients + old.metrics->patients == 240);
  CHECK(old.metrics->headline > young.metrics->headline + 0.15);
  CHECK(!old.headline.by_patient);
  CHECK(old.headline.interval_95.low == old.metrics->headline_95.low);
  const auto worst = WorstOf(groupings);
  REQUIRE(worst);
  CHECK(worst->group->value == "18-39");
}

TEST_CASE("a small group is hidden, with another one so that nothing can be subtracted") {
  Cohort cohort(164);
  for (std::size_t i = 0; i < 164; ++i) cohort.data.facts[i].sex = i < 4 ? "O" : i < 64 ? "M" : "F";
  plan::Plan images = cohort.plan;
  images.data.source = plan::Source::kDicom;
  const EvaluatedModel model = cohort.Evaluated({1, 0, 0});
  const Grouping grouping =
      EvaluateGroups(model, "sex", *GroupOfEach("sex", images, cohort.data), 1);
  CHECK(!GroupOf(grouping, "O").metrics);
  CHECK(!GroupOf(grouping, "M").metrics);  // the smaller of the other two
  CHECK(GroupOf(grouping, "F").metrics);

  // Large, but all of one class.
  for (std::size_t i = 0; i < 164; ++i) cohort.data.facts[i].sex = i % 2 == 0 ? "M" : "F";
  const Grouping one_class =
      EvaluateGroups(model, "sex", *GroupOfEach("sex", images, cohort.data), 1);
  CHECK(!GroupOf(one_class, "M").metrics);
  CHECK(!GroupOf(one_class, "F").metrics);
}

TEST_CASE("groups of a table are its categories and the bands of its age; others are refused") {
  plan::Plan plan = TablePlan(Task::kBinary, 1);
  plan.table.columns[0].name = "Age";
  plan.table.columns.push_back(
      {.name = "ward", .kind = plan::ColumnKind::kCategory, .values = {"a", "b"}});
  auto rows = std::make_shared<MadeDataset>(TableData(1, 3));
  rows->Add({{17, 1, 0}, {0}, 1});
  rows->Add({{80, 0, 1}, {1}, 2});
  rows->Add({{learning::kUnknown, 0, 0}, {1}, 3});
  const EvaluationData data{rows, std::vector<ExampleFacts>(3)};
  CHECK(GroupingsOf(plan) == std::vector<std::string>{"Age", "ward"});
  CHECK(*GroupOfEach("ward", plan, data) == std::vector<std::string>{"a", "b", "not said"});
  CHECK(*GroupOfEach("Age", plan, data) == std::vector<std::string>{"0-17", "80+", "not said"});
  const auto refused = GroupOfEach("sex", plan, data).status();
  CHECK(absl::IsInvalidArgument(refused));
  CHECK_THAT(std::string(refused.message()), ContainsText("one of Age, ward"));
}

TEST_CASE("patients with several examples widen the interval, as they are resampled whole") {
  const Cohort cohort(40, 6);
  const EvaluatedModel model = cohort.Evaluated({1, 0, 0});
  CHECK(model.SeveralUnitsAPatient());
  std::vector<std::size_t> all(model.units());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  const auto metrics = metrics::Compute(model.Sum(), 0.9).value();
  const HeadlineInterval interval = IntervalOf(model, all, metrics, 1);
  CHECK(interval.by_patient);
  const auto width = [](const metrics::Interval& of) { return of.high - of.low; };
  CHECK(width(interval.interval_95) > 1.4 * width(metrics.headline_95));
}

TEST_CASE("a model compared with itself differs by nothing, with noise by much") {
  const Cohort cohort(300);
  const EvaluatedModel good = cohort.Evaluated({1, 0, 0}), noise = cohort.Evaluated({0, 1, 0});
  const auto same = CompareModels({good, cohort.data, {}}, {good, cohort.data, {}}, 1).value();
  CHECK(same.delong);
  CHECK(same.difference == 0);
  CHECK(same.p == 1);
  const auto better = CompareModels({good, cohort.data, {}}, {noise, cohort.data, {}}, 1).value();
  CHECK(better.units == 300);
  CHECK(better.difference == Approx(better.headline - better.other));
  CHECK(better.difference > 0.2);
  CHECK(better.difference_95.low > 0);
  CHECK(better.p < 1e-6);
  const auto worse = CompareModels({noise, cohort.data, {}}, {good, cohort.data, {}}, 1).value();
  CHECK(worse.difference == Approx(-better.difference));
  REQUIRE(better.at_threshold);
  CHECK(better.at_threshold->test.p < 0.01);
  CHECK(better.at_threshold->test.only_first_right == worse.at_threshold->test.only_second_right);

  const Cohort images(60, 4);
  const auto by_patient = CompareModels({images.Evaluated({1, 0, 0}), images.data, {}},
                                        {images.Evaluated({0, 1, 0}), images.data, {}}, 1)
                              .value();
  CHECK(!by_patient.delong);
  CHECK(by_patient.patients == 60);
  CHECK(by_patient.difference_95.low < by_patient.difference);
  CHECK(by_patient.difference_95.high > by_patient.difference);
}

TEST_CASE(
    "models are compared on the images that both plans take, and not on different questions") {
  Cohort cohort(120), fewer(100);
  for (std::size_t i = 0; i < 120; ++i) cohort.data.facts[i].image = static_cast<int>(i) + 1;
  for (std::size_t i = 0; i < 100; ++i) fewer.data.facts[i].image = static_cast<int>(i) + 1;
  const EvaluatedModel model = cohort.Evaluated({1, 0, 0}), other = fewer.Evaluated({1, 0, 0});
  CHECK(CompareModels({model, cohort.data, {}}, {other, fewer.data, {}}, 1)->units == 100);
  for (ExampleFacts& facts : fewer.data.facts) facts.image += 1000;
  CHECK(absl::IsFailedPrecondition(
      CompareModels({model, cohort.data, {}}, {other, fewer.data, {}}, 1).status()));
  Cohort unlike(120);
  unlike.plan.target.name = "another";
  CHECK(absl::IsInvalidArgument(
      CompareModels({model, cohort.data, {}}, {unlike.Evaluated({1, 0, 0}), unlike.data, {}}, 1)
          .status()));
}

TEST_CASE("a report says in words and as JSON what a card reads") {
  Cohort cohort(200);
  for (std::size_t i = 0; i < 200; ++i) cohort.data.facts[i].sex = i < 90 ? "F" : "M";
  plan::Plan images = cohort.plan;
  images.data.source = plan::Source::kDicom;
  const EvaluatedModel model = cohort.Evaluated({1, 0, 0}), noise = cohort.Evaluated({0, 1, 0});
  metrics::TaskSums sums = model.Sum();
  auto metrics = metrics::Compute(sums, 0.9);
  EvaluationReport report{
      .model = Digest(),
      .plan = cohort.plan,
      .split = "all",
      .published = EvaluationReport::Published{"rhine", "opacity-0001", false},
      .sums = sums,
      .metrics = metrics,
      .headline = {metrics->headline_95, false},
      .groupings = {EvaluateGroups(model, "sex", *GroupOfEach("sex", images, cohort.data), 1)},
      .scores = ScoresOf(model),
      .against = Digest(),
      .comparison = CompareModels({model, cohort.data, {}}, {noise, cohort.data, {}}, 1).value()};
  const auto json = nlohmann::json::parse(ToJson(report));
  CHECK(json["task"] == "binary");
  CHECK(json["published"]["trained_here"] == false);
  CHECK(json["groups"].size() == 2);
  CHECK(json["groups"][0]["value"] == "F");
  CHECK(json["groups"][0]["metrics"]["patients"] == 90);
  CHECK(json["worst_group"]["metrics"]["auroc"] ==
        std::min(json["groups"][0]["metrics"]["auroc"].get<double>(),
                 json["groups"][1]["metrics"]["auroc"].get<double>()));
  CHECK(json["comparison"]["test"] == "DeLong, paired");
  CHECK(json["decision_curves"][0]["points"].size() == 49);
  CHECK(json["scores"][0]["of"] == "outcome");
  CHECK(json["scores"][0]["quantiles"][0] < json["scores"][0]["quantiles"][4]);
  CHECK(ScoresOf(Cohort(49).Evaluated({1, 0, 0})).empty());
  CHECK(json["recalibration"]["slope"].is_number());
  CHECK(metrics::TaskSumsFromJson(json["sums"].dump()).value() == sums);

  const std::string text = ToText(report).value();
  CHECK_THAT(text, ContainsText("this site took no part in it: external"));
  CHECK_THAT(text, ContainsText("worst of these: sex "));
  CHECK_THAT(text, ContainsText("McNemar, exact"));
  CHECK_THAT(text, ContainsText("net benefit of acting on outcome: above that of treating all"));
  report.metrics = absl::FailedPreconditionError("no positive");
  CHECK(absl::IsFailedPrecondition(ToText(report).status()));
}

}  // namespace
}  // namespace consilium::site_agent
