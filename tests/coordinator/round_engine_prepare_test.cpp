// Runs of tables, with real site sessions: before the first round the sites' columns are added up
// unseen, and round one begins from the model that has the federation's scales.

#include "tests/catch.h"
#include "tests/coordinator/masked_rounds.h"

namespace consilium::coordinator {
namespace {

const ModelId kPrepared = ModelNumber(101);

constexpr char kNumbers[] = R"(
[[table.columns]]
name = "age"
minimum = 0
maximum = 100
[[table.columns]]
name = "sex"
kind = "category"
values = ["f", "m"]
[[table.columns]]
name = "pressure"
minimum = 50
maximum = 250
)";
constexpr char kNoNumbers[] = R"(
[[table.columns]]
name = "sex"
kind = "category"
values = ["f", "m"]
)";

plan::Plan TablePlan(const std::string& columns = kNumbers, const std::string& more = "") {
  const auto plan = plan::ParsePlan(
      "[plan]\nname = \"heart\"\n[target]\nname = \"diseased\"\n[data]\nsource = \"table\"\n"
      "[model]\narchitecture = \"logistic\"\n" +
      more + "[cohort]\nround_deadline_s = 600\n[stop]\nrounds = 1\n[table]\nname = \"heart\"\n" +
      columns);
  INFO(plan.status().ToString());
  REQUIRE(plan.ok());
  return *plan;
}

// 40 rows whose numbers lie about `middle` of their range.
metrics::PreparationSums Rows(double middle) {
  metrics::PreparationSums sums(2);
  sums.examples = sums.patients = 40;
  for (metrics::ColumnSums& column : sums.columns) {
    for (int i = 0; i < 40; ++i) {
      const double u = middle + (i % 2 == 0 ? 0.125 : -0.125);
      ++column.present;
      column.sum += u;
      column.squares += u * u;
    }
  }
  return sums;
}

struct Federation : SumsFederation {
  explicit Federation(std::size_t sites, const plan::Plan& plan = TablePlan())
      : SumsFederation(plan, sites) {
    double middle = 0.25;
    for (const SiteId& name : this->sites()) {
      site(name).preparation = Rows(middle);
      middle += 0.125;
    }
  }
  std::vector<metrics::Scale> ScalesOf(const std::set<SiteId>& counted) {
    metrics::PreparationSums sums(2);
    for (const SiteId& name : counted) sums += site(name).preparation;
    const std::vector<metrics::Range> ranges = {{0, 100}, {50, 250}};
    return metrics::Scales(sums, ranges);
  }
  // Every order to make the model was of these sites' scales; how many there were.
  std::size_t CheckOrders(const std::set<SiteId>& counted) {
    const auto expected = ScalesOf(counted);
    const auto orders = All<Prepare>();
    for (const Prepare& order : orders) {
      REQUIRE(order.scales.size() == expected.size());
      for (std::size_t i = 0; i < expected.size(); ++i) {
        CHECK(order.scales[i].mean == Approx(expected[i].mean));
        CHECK(order.scales[i].deviation == Approx(expected[i].deviation));
      }
    }
    return orders.size();
  }
  // The steps of the preparation that were told.
  std::vector<std::string> PreparationSteps() const {
    std::vector<std::string> steps;
    for (const auto& event : Events(Kind::kSecureStep)) {
      if (event.values.contains("preparation")) steps.push_back(event.text);
    }
    return steps;
  }
  std::optional<ModelId> BaseOfRoundOne() const {
    for (const OpenAttempt& open : All<OpenAttempt>()) {
      if (!open.initial_model && open.key.round == 1) return open.base;
    }
    return std::nullopt;
  }
};

TEST_CASE("a table's columns are added up before round one, which begins from the scaled model") {
  Federation federation(3);
  federation.Start();
  federation.Run();
  CHECK(federation.violations().empty());
  CHECK(federation.CheckOrders(federation.sites()) == 1);
  CHECK(federation.PreparationSteps() == kSteps);
  CHECK(federation.BaseOfRoundOne() == kPrepared);
  const auto prepared = federation.Events(Kind::kPrepared);
  REQUIRE(prepared.size() == 1);
  CHECK(prepared[0].text == kPrepared.Hex());
  CHECK(prepared[0].values.at("sites") == 3);
  CHECK(prepared[0].values.at("columns") == 2);
  CHECK(prepared[0].values.contains("seconds"));
  CHECK_FALSE(federation.Ended().failed);
  for (const SiteId& site : federation.sites()) CHECK(federation.site(site).refusals().empty());
}

TEST_CASE("the session of a preparation is bound to the table's columns and their ranges") {
  Federation federation(3);
  federation.Start();
  federation.Run();
  const auto config = federation.SentTo<wire::DescribeRequest>(kA).at(0).secure;
  CHECK(config.key.purpose == secagg::Purpose::kPreparation);
  CHECK(config.model == wire::QuestionOf(federation.plan()));
  CHECK(config.sums == metrics::PreparationRingSize(2));
  CHECK(config.values == 0);
  plan::Plan other = federation.plan();
  SECTION("another range") { other.table.columns[0].maximum = 120; }
  SECTION("another column") { other.table.columns[2].name = "weight"; }
  SECTION("another table") { other.table.name = "lung"; }
  SECTION("another split") { other.data.test_fraction = 0.5; }
  CHECK(wire::QuestionOf(other) != config.model);
}

TEST_CASE("nothing is prepared without numbers, nor of a model that has its scales already") {
  const bool taken_over = GENERATE(false, true);
  const plan::Plan plan = taken_over
                              ? TablePlan(kNumbers, "initial = \"" + ModelNumber(7).Hex() + "\"\n")
                              : TablePlan(kNoNumbers);
  Federation federation(3, plan);
  federation.Start();
  federation.Run();
  CHECK(federation.All<Prepare>().empty());
  CHECK(federation.PreparationSteps().empty());
  CHECK(federation.BaseOfRoundOne() == ModelNumber(taken_over ? 7 : 100));
  CHECK_FALSE(federation.Ended().failed);
}

TEST_CASE("one of four sites may drop out of a preparation at any step") {
  const std::size_t step = GENERATE(0, 1, 2, 3, 4);
  CAPTURE(kSteps[step]);
  Federation federation(4);
  federation.Silence(kD, step);
  federation.Start();
  federation.Run();
  federation.Disconnect(kD);
  federation.Wait(700);
  std::set<SiteId> counted = {kA, kB, kC};
  if (step > 2) counted.insert(kD);
  CHECK(federation.CheckOrders(counted) == 1);
  CHECK(federation.Events(Kind::kPrepared).at(0).values.at("sites") == counted.size());
  CHECK(federation.violations().empty());
}

TEST_CASE("a coordinator killed in any step of a preparation goes on to the same scales") {
  const std::size_t step = GENERATE(0, 1, 2, 3, 4);
  const bool lazy = GENERATE(false, true);
  CAPTURE(kSteps[step], lazy);
  Federation federation(3);
  federation.lazy_commits = lazy;
  federation.Silence(kC, step);
  federation.Start();
  federation.Run();
  federation.pass = nullptr;
  for (int i = 0; i < 3; ++i) {
    federation.Restart({});
  }
  for (const SiteId& site : federation.sites()) federation.Connect(site);
  federation.Run();
  CHECK(federation.CheckOrders(federation.sites()) == 1);
  CHECK(federation.PreparationSteps() == kSteps);
  CHECK(federation.BaseOfRoundOne() == kPrepared);
  CHECK(federation.violations().empty());
  for (const SiteId& site : federation.sites()) CHECK(federation.site(site).refusals().empty());
}

TEST_CASE("a coordinator killed while it makes the scaled model makes the same one again") {
  Federation federation(3);
  federation.Start();
  while (federation.All<Prepare>().empty()) {
    bool moved = federation.DeliverOne(SiteId());
    for (const SiteId& site : federation.sites()) moved |= federation.DeliverOne(site);
    REQUIRE(moved);
  }
  CHECK(federation.Events(Kind::kPrepared).empty());
  federation.Restart({});
  federation.Restart(federation.sites());
  federation.Run();
  CHECK(federation.CheckOrders(federation.sites()) == 3);
  // The sum was opened once.
  CHECK(federation.PreparationSteps() == kSteps);
  CHECK(federation.Events(Kind::kPrepared).size() == 1);
  CHECK(federation.BaseOfRoundOne() == kPrepared);
  CHECK(federation.violations().empty());
}

TEST_CASE("a coordinator killed after the preparation begins round one from the scaled model") {
  Federation federation(3);
  federation.hears = [](const SiteId&, const wire::ToSite& message) {
    return !std::holds_alternative<wire::TrainRequest>(message);
  };
  federation.Start();
  federation.Run();
  REQUIRE(federation.Events(Kind::kPrepared).size() == 1);
  federation.hears = nullptr;
  federation.Restart(federation.sites());
  federation.Run();
  CHECK(federation.All<Prepare>().size() == 1);
  CHECK(federation.BaseOfRoundOne() == kPrepared);
  CHECK_FALSE(federation.Ended().failed);
  CHECK(federation.violations().empty());
}

TEST_CASE("a full disk makes the run wait for the scaled model") {
  Federation federation(3);
  federation.disk_is_full = true;
  federation.Start();
  federation.Run();
  CHECK_THAT(federation.LastText(Kind::kWaiting),
             ContainsText("to be able to make the prepared model: the disk is full; next try at"));
  CHECK(federation.Events(Kind::kPrepared).empty());
  federation.Wait(60);
  CHECK(federation.CheckOrders(federation.sites()) == 2);
  CHECK(federation.BaseOfRoundOne() == kPrepared);
  CHECK(federation.violations().empty());
}

TEST_CASE("a model that takes no scales ends the run with the reason") {
  Federation federation(3);
  federation.takes_no_scales = "the model has no prepare.mean";
  federation.Start();
  federation.Run();
  CHECK(federation.Ended().failed);
  CHECK_THAT(federation.Ended().outcome, ContainsText("the model has no prepare.mean"));
  CHECK_FALSE(federation.BaseOfRoundOne());
}

TEST_CASE("sums that no tables have are refused, and nothing is trained on them") {
  Federation federation(3);
  federation.site(kB).preparation.columns[0].squares = 1e6;
  federation.Start();
  federation.Run();
  CHECK(federation.Ended().failed);
  CHECK_THAT(federation.Ended().outcome,
             ContainsText("what the sites' tables add up to is impossible, so one of them sent"));
  CHECK(federation.All<Prepare>().empty());
  CHECK_FALSE(federation.BaseOfRoundOne());
}

TEST_CASE("a preparation of fewer sites than the plan needs is never opened") {
  Federation federation(3);
  federation.Silence(kC, 0);
  federation.Start();
  federation.Run();
  federation.Disconnect(kC);
  federation.Wait(5000);
  CHECK(federation.Ended().failed);
  CHECK_THAT(federation.Ended().outcome, ContainsText("the tables could not be prepared: "));
  CHECK(federation.All<Prepare>().empty());
  CHECK(federation.violations().empty());
}

TEST_CASE("a run that is stopped while it prepares ends without a model") {
  Federation federation(3);
  federation.Silence(kC, 2);
  federation.Start();
  federation.Run();
  federation.Do(StopRequested{"ada"});
  CHECK_FALSE(federation.Ended().failed);
  CHECK_THAT(federation.Ended().outcome, ContainsText("stop requested by ada; no model was"));
  CHECK(federation.All<Prepare>().empty());
}

TEST_CASE("what the audit log keeps of a preparation is who and how, and no number of a table") {
  Federation federation(3);
  federation.Start();
  federation.Run();
  const Audit found = federation.Audited("prepare");
  CHECK(found.subject == kPrepared.Hex());
  CHECK_THAT(found.details, ContainsText("\"survivors\":[\"a\",\"b\",\"c\"]"));
  CHECK_THAT(found.details, ContainsText(StrCat("\"base\":\"", ModelNumber(100).Hex())));
  CHECK_THAT(found.details, ContainsText("\"transcript\":\""));
  CHECK_THAT(found.details, !ContainsText("mean"));
  CHECK_THAT(found.details, !ContainsText("examples"));
}

}  // namespace
}  // namespace consilium::coordinator
