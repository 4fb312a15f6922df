// A site that tells what its table is on average: only added up, only what the plan says, and the
// same however often it is asked within a run.

#include "common/base/log.h"
#include "tests/catch.h"
#include "tests/common/plan/table_plans.h"
#include "tests/site_agent/secure_round.h"

namespace consilium::site_agent {
namespace {

struct Quiet {
  Quiet() { SetLogLevel(LogLevel::kError); }
} const quiet;

const std::string kTable = plan::TablePlan(R"([[table.columns]]
name = "age"
minimum = 0
maximum = 100
)");

metrics::PreparationSums Rows(int rows, float age) {
  metrics::PreparationSums sums(1);
  const metrics::Range range{0, 100};
  for (int i = 0; i < rows; ++i) sums.Add(std::span(&age, 1), std::span(&range, 1));
  sums.patients = sums.examples;
  return sums;
}

struct Preparing : Hospitals {
  Preparing() : Hospitals({"north", "south", "west"}, kTable) {
    for (std::size_t i = 0; i < sites.size(); ++i) {
      sites[i]->data.preparation = Rows(10 * (static_cast<int>(i) + 1), 50.0f);
    }
  }
  SecureRound Round(std::uint32_t attempt = 1) {
    return SecureRound(*this,
                       SecureRound::Preparation(*this, kRun, *plan::ParsePlan(kTable), attempt));
  }
};

std::string FailureOf(TestSite& site) { return site.coordinator.Await<wire::TaskFailed>().reason; }

TEST_CASE("what three sites' tables are on average is added up masked") {
  Preparing sites;
  SecureRound round = sites.Round();
  round.Run();
  const auto sum = metrics::PreparationFromRing(round.Sums(), 1);
  REQUIRE(sum.ok());
  CHECK(sum->examples == 60);
  CHECK(sum->columns[0].present == 60);
  CHECK(sum->columns[0].sum == Approx(30));
  CHECK(sites[0].learner.trainings + sites[0].learner.evaluations == 0);
  const auto departures = sites[0].state->Departures();
  REQUIRE(departures.ok());
  const auto masked =
      std::count_if(departures->begin(), departures->end(),
                    [](const Departure& left) { return left.what == "masked sums (preparation)"; });
  CHECK(masked == 1);
}

TEST_CASE(
    "a preparation that is asked for again in its run is the same, whatever rows came since") {
  Preparing sites;
  SecureRound first = sites.Round();
  first.Advertise();
  first.Share();
  for (std::size_t i = 0; i < 3; ++i) {
    sites[i].coordinator.Send(first.SharesNotice(sites[i].site));
    AnswerOf<wire::MaskedSums>(sites[i]);
  }
  for (std::size_t i = 0; i < 3; ++i) sites[i].data.preparation = Rows(99, 80.0f);
  SecureRound second = sites.Round(2);
  second.Run();
  const auto sum = metrics::PreparationFromRing(second.Sums(), 1);
  REQUIRE(sum.ok());
  CHECK(sum->examples == 60);
  CHECK(sites[0].data.preparations == 1);
}

TEST_CASE("a site prepares nothing but the columns that the plan names") {
  Preparing sites;
  secagg::SessionConfig config = SecureRound::Preparation(sites, kRun, *plan::ParsePlan(kTable));
  SECTION("other columns") { config.model.bytes[0] ^= 1; }
  SECTION("more sums") { config.sums += 4; }
  SECTION("a model's values, too") { config.values = 5; }
  SecureRound round(sites, config);
  round.Ask(sites[0]);
  CHECK_THAT(FailureOf(sites[0]), ContainsText("the secure session that this site is asked into"));
  CHECK(sites[0].data.preparations == 0);
}

TEST_CASE("a plan of images is not prepared") {
  Hospitals sites;
  secagg::SessionConfig config = SecureRound::Preparation(sites, kRun, *plan::ParsePlan(kTable));
  config.model = wire::QuestionOf(*plan::ParsePlan(kPlan));
  SecureRound round(sites, config);
  round.Ask(sites[0]);
  CHECK_THAT(FailureOf(sites[0]), ContainsText("no table in the plan"));
  CHECK(sites[0].data.preparations == 0);
}

TEST_CASE("sums that a table cannot have never leave the site") {
  Preparing sites;
  sites[0].data.preparation.columns[0].squares = 1e9;
  SecureRound round = sites.Round();
  round.Ask(sites[0]);
  CHECK_FALSE(FailureOf(sites[0]).empty());
  CHECK(sites[0].data.preparations == 1);
}

TEST_CASE("a preparation is kept for its run and its question only, until the run has ended") {
  const TemporaryFolder folder;
  const auto opened = *SiteState::Open(folder.path(), SiteState::Access::kOwn);
  SiteState& state = *opened;
  const RunId other("other-0001");
  Digest question, another;
  another.bytes[0] = 1;
  REQUIRE(state.RecordPreparation(kRun, question, {1, 2, 3}, Time{}).ok());
  CHECK(*state.FindPreparation(kRun, question) == std::vector<std::uint64_t>{1, 2, 3});
  CHECK_FALSE(state.FindPreparation(kRun, another)->has_value());
  CHECK_FALSE(state.FindPreparation(other, question)->has_value());
  REQUIRE(state.RecordRunEnded({kRun, "ended", std::nullopt}, Time{}).ok());
  CHECK_FALSE(state.FindPreparation(kRun, question)->has_value());
}

}  // namespace
}  // namespace consilium::site_agent
