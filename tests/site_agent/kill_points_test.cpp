// A site's process that is killed again and again, at every point at which it is about to write
// something down.

#include <algorithm>
#include <set>

#include "common/base/log.h"
#include "tests/catch.h"
#include "tests/site_agent/secure_round.h"

namespace consilium::site_agent {
namespace {

const AttemptKey kFirst{kRun, 1, 1};

struct Quiet {
  Quiet() { SetLogLevel(LogLevel::kError); }
} const quiet;

// Kills the site at its first look at the clock, the next process at its second, and so on, until
// one lives long enough. After each kill notes whether what was trained is kept.
class Torture {
 public:
  explicit Torture(TestSite& site) : site_(site) {
    site.killed = [this] {
      ++kills;
      site_.killing.looks_left = kills + 1;
      Look();
    };
    site.killing.looks_left = 1;
  }
  ~Torture() {
    site_.killing.looks_left = 0;
    site_.killed = nullptr;
  }
  // Of the trainings there have been, how many were when the first was found kept.
  void Look() {
    const auto state = SiteState::Open(site_.folder.path(), SiteState::Access::kLook);
    REQUIRE(state.ok());
    const auto files = ListFolder(site_.folder / "outbox");
    const bool kept = files.ok() && std::any_of(files->begin(), files->end(), [](const auto& file) {
                        return file.path.extension() == ".trained";
                      });
    const auto task = (*state)->FindTask(kFirst);
    if (!trainings_when_kept && kept && task.ok() && *task &&
        *(*state)->FindTrained(kRun, 1, (*task)->header.base_model, 7)) {
      trainings_when_kept = site_.learner.trainings;
    }
  }

  int kills = 0;
  std::optional<int> trainings_when_kept;

 private:
  TestSite& site_;
};

TEST_CASE("a site that is killed wherever it writes masks the same update and unmasks it once") {
  Hospitals hospitals({"north", "south", "west"}, kPlan, Hospitals::Driven::kByTheTest);
  const ModelId base = hospitals.AddModel(SmallModel(1));
  SecureRound round(hospitals, SecureRound::Training(hospitals, kFirst, base));
  TestSite& site = hospitals[1];
  std::function<std::optional<wire::SecureNotice>()> notice = [] { return std::nullopt; };
  site.ask_again = [&] {
    round.Ask(site);
    if (const auto again = notice()) site.coordinator.Send(*again);
  };
  std::vector<secagg::UnmaskAnswer> answers;
  {
    Torture torture(site);
    round.Advertise();
    notice = [&] { return round.MembersNotice(); };
    round.Share();
    notice = [&] { return round.SharesNotice(site.site); };
    round.Upload();
    notice = [&] { return round.SurvivorsNotice(); };
    round.Agree();
    notice = [&] { return round.SignaturesNotice(); };
    round.Unmask();
    CHECK(torture.kills >= 10);
    REQUIRE(torture.trainings_when_kept);
    CHECK(site.learner.trainings == *torture.trainings_when_kept);
  }
  for (float value = 0; const double mean : round.Mean()) {
    value = std::max(value, static_cast<float>(std::abs(mean - 0.2)));
    if (value > 2e-5) FAIL("the mean is " << mean);
  }
  // Whatever was uploaded was the very same, and so is the answer, asked once more.
  CHECK(std::set(site.coordinator.uploads.begin(), site.coordinator.uploads.end()).size() == 1);
  site.coordinator.Send(round.SignaturesNotice());
  CHECK(round.session.Take(site.site, AnswerOf<secagg::UnmaskAnswer>(site)).ok());
  CHECK(site.coordinator.Pending<wire::TaskFailed>() == 0);
  std::set<bool> before;
  for (const auto& told : site.coordinator.All<wire::Trained>()) {
    CHECK(told.key == kFirst);
    CHECK(told.patients == 40);
    before.insert(told.before);
  }
  CHECK(before.contains(true));

  site.coordinator.Send(wire::AttemptClosed{kFirst, true});
  site.Drive();
  CHECK(ListFolder(site.folder / "outbox")->empty());
  CHECK_FALSE(*site.state->FindTrained(kRun, 1, base, 7));
}

TEST_CASE("a site that is killed wherever it writes sends the update it trained once") {
  TestSite site;
  site.StartStepped();
  CHECK(site.Accept(kRun).accepted);
  const ModelId base = site.coordinator.AddModel(SmallModel(1));
  const wire::TrainRequest request{kFirst, base, 7};
  site.ask_again = [&] { site.coordinator.Send(request); };
  {
    Torture torture(site);
    site.coordinator.Send(request);
    site.coordinator.AwaitContribution(kFirst);
    CHECK(torture.kills > 5);
    REQUIRE(torture.trainings_when_kept);
    CHECK(site.learner.trainings == *torture.trainings_when_kept);
  }
  const auto received = *site.coordinator.Contribution(kFirst);
  CHECK(std::all_of(received.values.begin(), received.values.end(),
                    [](float value) { return value == 0.5f; }));
  CHECK(received.header.weight == 40);
  CHECK(std::set(site.coordinator.uploads.begin(), site.coordinator.uploads.end()).size() == 1);
}

TEST_CASE("a round that a kill interrupts begins again with the optimizer of the round before") {
  TestSite site;
  site.StartStepped();
  CHECK(site.Accept(kRun, StrCat(kSealedPlan, "[training]\nkeep_optimizer = true\n")).accepted);
  const auto kept = [&] { return *ListFolder(site.folder / "optimizer" / kRun.value); };
  for (std::uint32_t round = 1; round <= 3; ++round) {
    const ModelId base = site.coordinator.AddModel(SmallModel(static_cast<float>(round)));
    const AttemptKey key{kRun, round, 1};
    const wire::TrainRequest request{key, base, 7 + round};
    site.ask_again = [&] { site.coordinator.Send(request); };
    site.learner.steps_before.clear();
    {
      Torture torture(site);
      site.coordinator.Send(request);
      site.coordinator.AwaitContribution(key);
      CHECK(torture.kills > 5);
    }
    REQUIRE_FALSE(site.learner.steps_before.empty());
    for (const std::uint64_t steps : site.learner.steps_before) CHECK(steps == round - 1);
    CHECK(kept().size() <= 2);
  }
  site.coordinator.Send(wire::RunEnded{kRun, "stopped", {}});
  site.Drive();
  CHECK_FALSE(Exists(site.folder / "optimizer" / kRun.value));
}

TEST_CASE("what an optimizer remembers of a run that is over goes at the next start") {
  TestSite site;
  site.StartStepped();
  site.Accept(kRun, StrCat(kSealedPlan, "[training]\nkeep_optimizer = true\n"));
  const ModelId base = site.coordinator.AddModel(SmallModel(1));
  site.coordinator.Send(wire::TrainRequest{kFirst, base, 7});
  site.coordinator.AwaitContribution(kFirst);
  REQUIRE(Exists(site.folder / "optimizer" / kRun.value));
  REQUIRE(EnsureFolder(site.folder / "optimizer" / "nobody-knows").ok());
  site.agent.reset();
  site.state.reset();
  site.ask_again = [] {};
  site.Drive();
  CHECK(Exists(site.folder / "optimizer" / kRun.value));  // it goes on
  CHECK_FALSE(Exists(site.folder / "optimizer" / "nobody-knows"));
}

TEST_CASE("a later attempt of the round, after a restart, uses what was trained and says so") {
  TestSite site;
  site.StartStepped();
  site.Accept(kRun);
  const ModelId base = site.coordinator.AddModel(SmallModel(1));
  site.coordinator.Send(wire::TrainRequest{kFirst, base, 7});
  CHECK_FALSE(site.coordinator.Await<wire::Trained>().before);
  site.coordinator.Send(wire::AttemptClosed{kFirst, false, "too few were left"});
  site.Drive();
  site.agent.reset();  // and no farewell
  site.state.reset();
  const AttemptKey second{kRun, 1, 2};
  site.ask_again = [&] { site.coordinator.Send(wire::TrainRequest{second, base, 7}); };
  const auto told = site.coordinator.Await<wire::Trained>();
  CHECK(told.key == second);
  CHECK(told.before);
  CHECK(told.examples == 40);
  CHECK(site.coordinator.Contribution(second)->values ==
        site.coordinator.Contribution(kFirst)->values);
  CHECK(site.learner.trainings == 1);
}

TEST_CASE("a newer round ends what an older one left, also when its closing never came") {
  TestSite site;
  site.StartStepped();
  site.Accept(kRun);
  const ModelId base = site.coordinator.AddModel(SmallModel(1));
  site.coordinator.Send(wire::TrainRequest{kFirst, base, 7});
  site.coordinator.AwaitContribution(kFirst);
  CHECK(ListFolder(site.folder / "outbox")->size() == 2);  // as trained, and sealed
  const ModelId next = site.coordinator.AddModel(SmallModel(2));
  const AttemptKey newer{kRun, 2, 1};
  site.coordinator.Send(wire::TrainRequest{newer, next, 8});
  site.coordinator.AwaitContribution(newer);
  CHECK(ListFolder(site.folder / "outbox")->size() == 2);
  CHECK((*site.state->FindTask(kFirst))->state == TaskState::kNotCounted);
  CHECK_FALSE(*site.state->FindTrained(kRun, 1, base, 7));
  site.coordinator.Send(wire::RunEnded{kRun, "stopped", {}});
  site.Drive();
  CHECK(ListFolder(site.folder / "outbox")->empty());
  CHECK_FALSE(*site.state->FindTrained(kRun, 2, next, 8));
}

TEST_CASE("a call that fails is made again later, and at once over a new connection") {
  TestSite site;
  site.StartStepped();
  site.Accept(kRun);
  const ModelId base = site.coordinator.AddModel(SmallModel(1));
  site.coordinator.SetAvailable(false);
  site.coordinator.Send(wire::TrainRequest{kFirst, base, 7});
  while (site.coordinator.HasMessage()) CHECK(site.agent->Take(*site.session->Next()).ok());
  CHECK(site.agent->WorkOnce({}));
  REQUIRE(site.agent->NextWork());
  CHECK(*site.agent->NextWork() > site.killing.now);
  CHECK_FALSE(site.agent->WorkOnce({}));
  CHECK(site.coordinator.Pending<wire::TaskFailed>() == 0);
  site.coordinator.SetAvailable(true);
  CHECK_FALSE(site.agent->End());
  site.session = *site.coordinator.Attend({});
  CHECK(site.agent->Begin(site.session).ok());
  CHECK(site.agent->Take(*site.session->Next()).ok());
  CHECK(*site.agent->NextWork() <= site.killing.now);
  CHECK(site.agent->WorkOnce({}));
  CHECK(site.coordinator.Contribution(kFirst)->complete);
  CHECK(site.learner.trainings == 1);
}

TEST_CASE("evaluations report how far they are") {
  TestSite site;
  site.StartStepped();
  site.Accept(kRun);
  const ModelId model = site.coordinator.AddModel(SmallModel(1));
  site.coordinator.Send(wire::EvaluateRequest{kRun, 1, model, wire::EvaluationSplit::kTest, 60});
  site.coordinator.Await<wire::EvaluationReport>();
  const auto told = site.coordinator.All<wire::TaskProgress>();
  REQUIRE_FALSE(told.empty());
  CHECK(told.front().key == AttemptKey{kRun, 1, 0});
  CHECK(told.front().step == "downloading");
}

}  // namespace
}  // namespace consilium::site_agent
