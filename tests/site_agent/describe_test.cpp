// A site that tells what its images are: only added up, only as its policy says, and never so that
// the difference of two sums would show anybody.

#include "common/base/log.h"
#include "tests/catch.h"
#include "tests/site_agent/secure_round.h"

namespace consilium::site_agent {
namespace {

struct Quiet {
  Quiet() { SetLogLevel(LogLevel::kError); }
} const quiet;

const std::string kDescribe = "[plan]\nname = \"describe\"\n[describe]\n";
const std::string kDescribeOpacity = kDescribe + "[target]\nname = \"opacity\"\n";
const std::vector<std::string> kFour = {"north", "south", "west", "zebra"};

metrics::Description Patients(int patients, bool with_label) {
  metrics::DescriptionBuilder builder(with_label);
  for (int i = 0; i < patients; ++i) {
    const std::string name = std::to_string(i);
    builder.Add({.patient = name,
                 .modality = "CT",
                 .sex = "F",
                 .age_years = 30 + i % 40,
                 .manufacturer = "",
                 .view = "",
                 .rows = 512,
                 .columns = 512,
                 .label = i % 2});
  }
  return builder.description();
}

// Sites whose images are described as a test says.
struct Describing : Hospitals {
  explicit Describing(const std::vector<std::string>& names = {"north", "south", "west"},
                      const std::string& plan = kDescribe)
      : Hospitals(names, plan) {
    Have(plan != kDescribe);
  }
  void Have(bool with_label, int more = 0) {
    for (std::size_t i = 0; i < sites.size(); ++i) {
      sites[i]->data.description = Patients(10 * (static_cast<int>(i) + 1) + more, with_label);
    }
  }
  SecureRound Round(const RunId& run, const std::string& plan) {
    return SecureRound(*this, SecureRound::Description(*this, run, *plan::ParsePlan(plan)));
  }
  void AcceptAgain(const RunId& run, const std::string& plan) {
    for (const auto& site : sites) REQUIRE(site->Accept(run, plan).accepted);
  }
};

std::string FailureOf(TestSite& site) { return site.coordinator.Await<wire::TaskFailed>().reason; }

TEST_CASE("what three sites' images are is added up masked") {
  Describing sites;
  SecureRound round = sites.Round(kRun, kDescribe);
  round.Run();
  const auto sum = metrics::DescriptionFromRing(round.Sums(), false);
  REQUIRE(sum.ok());
  CHECK(sum->total == metrics::RowCounts{60, 60});
  CHECK(sites[0].learner.trainings + sites[0].learner.evaluations == 0);
  const auto departures = sites[0].state->Departures();
  REQUIRE(departures.ok());
  const auto masked =
      std::count_if(departures->begin(), departures->end(),
                    [](const Departure& left) { return left.what == "masked sums (description)"; });
  CHECK(masked == 1);
}

TEST_CASE("a site accepts to describe without a word about its data") {
  TestSite site;
  site.Start();
  const auto answer = site.Accept(kRun, kDescribe);
  CHECK(answer.accepted);
  CHECK(answer.train_patients + answer.train_examples + answer.refused_files == 0);
  CHECK(answer.refusals.empty());
}

TEST_CASE("a site's policy has the last word on describing") {
  TestSite site;
  std::string expected;
  SECTION("it may forbid it") {
    site.WritePolicy("describe = false\n");
    expected = "does not let it tell what its images are";
  }
  SECTION("or the target") {
    site.WritePolicy("targets = [\"fracture\"]\n");
    expected = "target \"opacity\"";
  }
  SECTION("or the researcher") {
    site.WritePolicy("researchers = [\"eve\"]\n");
    expected = "researcher";
  }
  site.Start();
  const auto answer = site.Accept(kRun, kDescribeOpacity);
  CHECK_FALSE(answer.accepted);
  CHECK_THAT(answer.reason, ContainsText(expected));
}

TEST_CASE("a policy's modalities and architectures say nothing about a plan that trains nothing") {
  TestSite site;
  site.WritePolicy("architectures = [\"resnet18\"]\nmodalities = [\"MR\"]\n");
  site.Start();
  CHECK(site.Accept(kRun, kDescribe).accepted);
}

TEST_CASE("asked again within thirty days a site gives the same description") {
  Describing sites;
  sites.Round(kRun, kDescribe).Run();
  sites.Have(false, 1);  // a new patient everywhere
  const RunId again("describe-0002");
  sites.AcceptAgain(again, kDescribe);
  SECTION("in one life of the agent") {}
  SECTION("and across a restart") { sites[0].Restart(); }
  SecureRound second = sites.Round(again, kDescribe);
  second.Run();
  CHECK(metrics::DescriptionFromRing(second.Sums(), false)->total.patients == 60);
  CHECK(sites[0].data.descriptions == 1);
}

TEST_CASE("another target may be asked for while the images are the same") {
  Describing sites;
  sites.Round(kRun, kDescribe).Run();
  const RunId other("describe-0002");
  sites.AcceptAgain(other, kDescribeOpacity);
  SECTION("and is answered") {
    sites.Have(true);
    SecureRound second = sites.Round(other, kDescribeOpacity);
    second.Run();
    CHECK(metrics::DescriptionFromRing(second.Sums(), true)->total.patients == 60);
  }
  SECTION("and not when they have changed: the difference would show the new ones") {
    sites.Have(true, 1);
    SecureRound second = sites.Round(other, kDescribeOpacity);
    second.Advertise();
    CHECK_THAT(FailureOf(sites[0]), ContainsText("have changed since"));
  }
}

TEST_CASE("descriptions are not opened with two sets of sites, in any run") {
  Describing sites(kFour);
  sites.Round(kRun, kDescribe).Run();
  const RunId again("describe-0002");
  sites.AcceptAgain(again, kDescribeOpacity);
  sites.Have(true);
  SecureRound second = sites.Round(again, kDescribeOpacity);
  second.Advertise();
  second.Share();
  second.Upload("zebra");
  sites[0].coordinator.Send(second.SurvivorsNotice());
  CHECK_THAT(FailureOf(sites[0]), ContainsText("opened before with another set"));
}

TEST_CASE("a plan that describes is not trained, and one that trains does not describe") {
  SECTION("an update is asked for") {
    Describing sites;
    const ModelId base = sites.AddModel(SmallModel(1));
    const AttemptKey key{kRun, 1, 1};
    sites[0].coordinator.Send(
        wire::TrainRequest{key, base, 7, 60, SecureRound::Training(sites, key, base)});
    CHECK_FALSE(FailureOf(sites[0]).empty());
    CHECK(sites[0].learner.trainings == 0);
  }
  SECTION("results are asked for") {
    Describing sites;
    const ModelId model = sites.AddModel(SmallModel(1));
    const secagg::SessionKey key{{kRun, 1, 1}, secagg::Purpose::kTest};
    SecureRound round(sites, SecureRound::Evaluation(sites, key, model));
    round.Ask(sites[0]);
    CHECK_THAT(FailureOf(sites[0]), ContainsText("purpose"));
    CHECK(sites[0].learner.evaluations == 0);
  }
  SECTION("a description is asked for") {
    Hospitals hospitals;
    SecureRound round(hospitals,
                      SecureRound::Description(hospitals, kRun, *plan::ParsePlan(kPlan)));
    round.Ask(hospitals[0]);
    CHECK_THAT(FailureOf(hospitals[0]), ContainsText("purpose"));
    CHECK(hospitals[0].data.descriptions == 0);
  }
}

TEST_CASE("a session that asks something else than the plan is refused") {
  Describing sites;
  auto config = SecureRound::Description(sites, kRun, *plan::ParsePlan(kDescribe));
  std::string expected;
  SECTION("another target") {
    config.model = wire::QuestionOf(*plan::ParsePlan(kDescribeOpacity));
    expected = "model";
  }
  SECTION("more sums") {
    ++config.sums;
    expected = "sums";
  }
  SECTION("values beside them") {
    config.values = 4;
    expected = "values";
  }
  SecureRound round(sites, config);
  round.Ask(sites[0]);
  CHECK_THAT(FailureOf(sites[0]), ContainsText(expected));
  CHECK(sites[0].data.descriptions == 0);
}

TEST_CASE("an operator who is asked first approves a description as any run") {
  TestSite site;
  site.WritePolicy("decide = \"ask\"\n");
  site.Start();
  site.coordinator.AwaitConnections(1);
  site.coordinator.Send(site.federation.Invite(kRun, kDescribe));
  for (int i = 0; i < 2000; ++i) {
    const auto found = site.state->FindRun(kRun);
    if (found.ok() && *found) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK((*site.state->FindRun(kRun))->consent == Consent::kWaiting);
  CHECK(site.coordinator.Pending<wire::InviteAnswer>() == 0);
}

TEST_CASE("after thirty days a description may be opened anew, with other sites") {
  const TemporaryFolder folder;
  auto state = *SiteState::Open(folder.path(), SiteState::Access::kOwn);
  const Time now{std::chrono::hours(24 * 365 * 55)};
  const std::set<SiteId> all = {SiteId("a"), SiteId("b"), SiteId("c"), SiteId("d")};
  const std::set<SiteId> three = {SiteId("a"), SiteId("b"), SiteId("c")};
  const secagg::SessionKey first{{RunId("x-1"), 1, 1}, secagg::Purpose::kDescription};
  const secagg::SessionKey later{{RunId("x-2"), 1, 1}, secagg::Purpose::kDescription};
  REQUIRE(state->RecordUnmasking({first, Digest{{7}}, Digest{{1}}, all, all}, Bytes{1}, now).ok());
  REQUIRE(state->RecordDescription({Digest{{7}}, {1, 2, 3}, now}).ok());
  const Time soon = now + kDescriptionLasts - std::chrono::hours(1);
  const Time late = now + kDescriptionLasts + std::chrono::hours(1);
  const secagg::UnmaskRecord other{later, Digest{{8}}, Digest{{2}}, all, three};
  CHECK(absl::IsPermissionDenied(state->RecordUnmasking(other, Bytes{1}, soon)));
  CHECK(**state->FindRelease(later, Digest{{8}}, soon) == all);
  CHECK_FALSE(*state->FindRelease(later, Digest{{8}}, late));
  CHECK(state->RecordUnmasking(other, Bytes{1}, late).ok());
  REQUIRE(state->Descriptions(soon)->size() == 1);
  CHECK(state->Descriptions(soon)->front().sums == std::vector<std::uint64_t>{1, 2, 3});
  CHECK(state->Descriptions(late)->empty());
}

}  // namespace
}  // namespace consilium::site_agent
