#include "site_agent/agent.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/version.h"
#include "tests/catch.h"
#include "tests/site_agent/test_site.h"

namespace consilium::site_agent {
namespace {

const RunId kRun("small-0001");
const AttemptKey kFirst{kRun, 1, 1};

std::size_t FilesIn(const fs::path& folder) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

// The site, which is not started yet, accepts the run and is asked to train from a model that is
// filled with `value`; the model.
ModelId AskToTrain(TestSite& site, float value = 1) {
  site.Start();
  site.Accept(kRun);
  const ModelId base = site.coordinator.AddModel(SmallModel(value));
  site.coordinator.Send(wire::TrainRequest{kFirst, base, 7});
  return base;
}

bool AllEqual(const std::vector<float>& values, float expected) {
  return std::all_of(values.begin(), values.end(), [&](float v) { return v == expected; });
}

struct Quiet {
  Quiet() { SetLogLevel(LogLevel::kError); }
} const quiet;

TEST_CASE("a site makes the first model, trains, evaluates and fetches what was published") {
  TestSite site;
  site.Start(/*once=*/true);
  const auto answer = site.Accept(kRun);
  CHECK(answer.accepted);
  CHECK(answer.train_patients == 40);
  CHECK(answer.refused_files == 3);

  const AttemptKey initial{kRun, 0, 1};
  site.coordinator.Send(wire::MakeInitialModel{initial});
  site.coordinator.AwaitContribution(initial);
  const auto made = *site.coordinator.Contribution(initial);
  CHECK(AllEqual(made.values, 0.25f));
  CHECK_FALSE(made.header.layout_header.empty());
  site.coordinator.Send(wire::AttemptClosed{initial, true});

  const ModelId base = site.coordinator.AddModel(SmallModel(1));
  site.coordinator.Send(wire::TrainRequest{kFirst, base, 7});
  site.coordinator.AwaitContribution(kFirst);
  const auto update = *site.coordinator.Contribution(kFirst);
  CHECK(AllEqual(update.values, 0.5f));
  CHECK(update.values.size() == 90007);
  CHECK(update.header.weight == 40);
  CHECK(update.header.loss == 0.5);
  CHECK(update.header.base_model == base);
  CHECK(site.AwaitTraining().loss == 0.5);
  const auto trained = site.coordinator.Await<wire::Trained>();
  CHECK(trained.key == kFirst);
  CHECK(trained.patients == 40);
  CHECK(trained.examples == 40);
  CHECK_FALSE(trained.before);
  CHECK(site.AwaitState(kFirst, TaskState::kAcknowledged) == TaskState::kAcknowledged);
  // Kept until the coordinator has done with it: what was trained, and the update as it left.
  CHECK(FilesIn(site.folder / "outbox") == 2);
  site.coordinator.Send(wire::AttemptClosed{kFirst, true});
  CHECK(site.AwaitState(kFirst, TaskState::kCounted) == TaskState::kCounted);
  CHECK(FilesIn(site.folder / "outbox") == 0);

  const ModelId candidate = site.coordinator.AddModel(SmallModel(1.5f));
  site.coordinator.Send(
      wire::EvaluateRequest{kRun, 1, candidate, wire::EvaluationSplit::kValidation, 60});
  const auto report = site.coordinator.Await<wire::EvaluationReport>();
  CHECK(report.model == candidate);
  CHECK(report.sums.binary().PositiveCount() == 20);

  const auto departures = *site.state->Departures();
  CHECK(departures.size() == 5);  // the answer, two envelopes, the counts trained on, the sums
  site.coordinator.Send(wire::RunEnded{kRun, "published", candidate});
  CHECK(site.Join().ok());
  CHECK(fs::exists(site.folder / "published" / (candidate.Hex() + ".safetensors")));
  // The base and the candidate; what was published is a copy of the candidate.
  CHECK(site.coordinator.download_sizes.size() == 2);
}

TEST_CASE("nothing readable of an update lies in the state folder") {
  TestSite site;
  site.learner.step = 0.34567f;
  AskToTrain(site, 0);
  site.coordinator.AwaitContribution(kFirst);
  const float planted[2] = {0.34567f, 0.34567f};
  const std::string needle(reinterpret_cast<const char*>(planted), sizeof planted);
  for (const auto& entry : fs::recursive_directory_iterator(site.folder.path())) {
    if (!entry.is_regular_file()) continue;
    INFO(entry.path().filename());
    CHECK(ReadTextFile(entry.path())->find(needle) == std::string::npos);
  }
}

TEST_CASE("an upload that breaks goes on at the segment that the coordinator has reached") {
  TestSite site;
  site.Start();
  site.Accept(kRun);
  site.coordinator.break_upload_after = 1;
  const ModelId base = site.coordinator.AddModel(SmallModel(1));
  site.coordinator.Send(wire::TrainRequest{kFirst, base, 7});
  CHECK(site.AwaitState(kFirst, TaskState::kAcknowledged) == TaskState::kAcknowledged);
  // Begun, broken after the first segment, asked from 0, told to go on from 1.
  CHECK(site.coordinator.upload_beginnings == std::vector<std::uint32_t>{0, 0, 1});
  CHECK(AllEqual(site.coordinator.Contribution(kFirst)->values, 0.5f));
  CHECK(site.learner.trainings == 1);
  CHECK(site.state->Departures()->size() == 3);  // the answer, the counts and one envelope
}

TEST_CASE("an update sealed by a process that was killed is sent by the next") {
  TestSite site;
  site.learner.hold = true;
  const ModelId base = AskToTrain(site);
  site.AwaitTraining();
  site.coordinator.SetAvailable(false);
  site.learner.hold = false;
  CHECK(site.AwaitState(kFirst, TaskState::kSealed) == TaskState::kSealed);
  CHECK(site.Stop().ok());
  CHECK_FALSE(site.coordinator.Contribution(kFirst));

  site.coordinator.SetAvailable(true);
  SECTION("whole") {
    site.Start();
    site.coordinator.AwaitContribution(kFirst);
    CHECK(site.learner.trainings == 1);
  }
  SECTION("unless its file was damaged: then the request makes it again, and trains not again") {
    fs::resize_file(site.folder / "outbox" / "small-0001-1-1.sealed", 1000);
    site.Start();
    site.coordinator.AwaitConnections(2);
    site.coordinator.Send(wire::TrainRequest{kFirst, base, 7});
    site.coordinator.AwaitContribution(kFirst);
    CHECK(site.learner.trainings == 1);
  }
  SECTION("unless what was trained was damaged too: then the request trains again") {
    fs::resize_file(site.folder / "outbox" / "small-0001-1-1.sealed", 1000);
    fs::resize_file(site.folder / "outbox" / "small-0001-1.trained", 1000);
    site.Start();
    site.coordinator.AwaitConnections(2);
    site.coordinator.Send(wire::TrainRequest{kFirst, base, 7});
    site.coordinator.AwaitContribution(kFirst);
    CHECK(site.learner.trainings == 2);
  }
  SECTION("unless the coordinator has another key by now: then it is sealed for that one") {
    const auto key = crypto::X25519KeyPair::Generate()->public_key;
    for (auto& member : site.federation.roster.members) {
      if (member.role == identity::Role::kCoordinator) member.sealing_key = key;
    }
    site.coordinator.welcome.sealing_key = key;
    site.Start();
    site.coordinator.AwaitConnections(2);
    site.coordinator.Send(wire::RosterFile{site.federation.Sign().file});
    site.coordinator.Send(wire::TrainRequest{kFirst, base, 7});
    for (int i = 0; i < 2000 && (*site.state->FindTask(kFirst))->recipient != key; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    CHECK((*site.state->FindTask(kFirst))->recipient == key);
    CHECK(site.learner.trainings == 1);
  }
}

TEST_CASE("a request that comes twice is one training") {
  TestSite site;
  site.Start();
  site.Accept(kRun);
  const ModelId base = site.coordinator.AddModel(SmallModel(1));
  site.learner.hold = true;
  for (int i = 0; i < 3; ++i) site.coordinator.Send(wire::TrainRequest{kFirst, base, 7});
  site.AwaitTraining();
  site.coordinator.Send(wire::TrainRequest{kFirst, base, 7});
  site.learner.hold = false;
  CHECK(site.AwaitState(kFirst, TaskState::kAcknowledged) == TaskState::kAcknowledged);
  site.coordinator.Send(wire::AttemptClosed{kFirst, true});
  site.coordinator.Send(wire::TrainRequest{kFirst, base, 7});  // late
  const ModelId other = site.coordinator.AddModel(SmallModel(2));
  site.coordinator.Send(
      wire::EvaluateRequest{kRun, 1, other, wire::EvaluationSplit::kValidation, 60});
  site.coordinator.Await<wire::EvaluationReport>();  // everything before it is done
  CHECK(site.learner.trainings == 1);
}

TEST_CASE("an evaluation already made is sent again and not made again") {
  TestSite site;
  site.Start();
  site.Accept(kRun);
  const ModelId model = site.coordinator.AddModel(SmallModel(1));
  const wire::EvaluateRequest request{kRun, 1, model, wire::EvaluationSplit::kTest, 60};
  site.coordinator.Send(request);
  const auto first = site.coordinator.Await<wire::EvaluationReport>();
  CHECK(site.Stop().ok());
  site.Start();
  site.coordinator.AwaitConnections(2);
  site.coordinator.Send(request);
  const auto second = site.coordinator.Await<wire::EvaluationReport>();
  CHECK(second.sums == first.sums);
  CHECK(site.learner.evaluations == 1);
}

TEST_CASE("training is cancelled") {
  TestSite site;
  site.learner.hold = true;
  const ModelId base = AskToTrain(site);
  site.AwaitTraining();
  SECTION("by the end of the run") { site.coordinator.Send(wire::RunEnded{kRun, "stopped", {}}); }
  SECTION("by the end of the attempt") {
    site.coordinator.Send(wire::AttemptClosed{kFirst, false, "the deadline passed"});
  }
  SECTION("by a newer attempt") {
    site.coordinator.Send(wire::TrainRequest{{kRun, 1, 2}, base, 8});
    site.AwaitTraining();
    CHECK(site.learner.trainings == 2);
  }
  SECTION("by stopping the agent") { CHECK(site.Stop().ok()); }
  for (int i = 0; i < 2000 && site.learner.cancellations == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK(site.learner.cancellations == 1);
  CHECK(site.coordinator.Pending<wire::TaskFailed>() == 0);
  CHECK_FALSE(site.coordinator.Contribution(kFirst));
}

TEST_CASE("the connection stays responsive while the site trains") {
  TestSite site;
  site.learner.hold = true;
  AskToTrain(site);
  site.AwaitTraining();
  site.coordinator.Send(site.federation.Invite(RunId("small-0002"), kSealedPlan));
  CHECK(site.coordinator.Await<wire::InviteAnswer>().accepted);
}

TEST_CASE("an update that is not finite is refused with the tensor's name and never leaves") {
  TestSite site;
  site.learner.constant = 3e38f;  // minus -3e38 is beyond float
  AskToTrain(site, -3e38f);
  const auto failed = site.coordinator.Await<wire::TaskFailed>();
  CHECK(failed.key == kFirst);
  CHECK_THAT(failed.reason, ContainsText("infinite in tensor \"features.weight\""));
  CHECK(FilesIn(site.folder / "outbox") == 0);
  CHECK_FALSE(site.coordinator.Contribution(kFirst));
}

TEST_CASE("training that fails is told, and the next attempt goes on") {
  TestSite site;
  site.learner.failure = absl::InternalError("training diverged");
  const ModelId base = AskToTrain(site);
  CHECK_THAT(site.coordinator.Await<wire::TaskFailed>().reason, ContainsText("diverged"));
  CHECK((*site.state->FindTask(kFirst))->state == TaskState::kFailed);
  site.learner.failure = absl::OkStatus();
  const AttemptKey second{kRun, 1, 2};
  site.coordinator.Send(wire::TrainRequest{second, base, 8});
  site.coordinator.AwaitContribution(second);
}

TEST_CASE("a site declines in words") {
  TestSite site;
  std::string expected;
  std::string plan = kPlan;
  SECTION("too few patients") {
    site.data.offer.train = {12, 14, 5};
    expected = "fewer training patients (12) than the plan asks (20)";
  }
  SECTION("only one class") {
    site.data.offer.train = {40, 40, 40};
    expected = "only one class of \"opacity\"";
  }
  SECTION("a cohort below the site's minimum") {
    CHECK(WriteFileDurably(site.folder / "policy.toml", "minimum_cohort = 5\n").ok());
    expected = "asks for at least 5";
  }
  SECTION("the kill switch") {
    CHECK(WriteFileDurably(site.folder / "policy.toml", "enabled = false\n").ok());
    expected = "switched its participation off";
  }
  SECTION("a plan it cannot read") {
    plan = "[plan]\nname = \"small\"\nspeed = 3\n";
    expected = "speed";
  }
  site.Start();
  site.coordinator.AwaitConnections(1);
  site.coordinator.Send(site.federation.Invite(kRun, plan));
  const auto answer = site.coordinator.Await<wire::InviteAnswer>();
  CHECK_FALSE(answer.accepted);
  CHECK(answer.train_patients == 0);
  CHECK_THAT(answer.reason, ContainsText(expected));

  site.coordinator.Send(wire::TrainRequest{kFirst, ModelId{}, 7});
  CHECK_THAT(site.coordinator.Await<wire::TaskFailed>().reason, ContainsText("not accepted"));
}

TEST_CASE("the kill switch stops an accepted run before its next task") {
  TestSite site;
  site.Start();
  site.Accept(kRun);
  CHECK(WriteFileDurably(site.folder / "policy.toml", "enabled = false\n").ok());
  site.coordinator.Send(wire::TrainRequest{kFirst, site.coordinator.AddModel(SmallModel(1)), 7});
  CHECK_THAT(site.coordinator.Await<wire::TaskFailed>().reason, ContainsText("switched"));
  CHECK(site.learner.trainings == 0);
}

TEST_CASE("a model with one byte changed is refused") {
  TestSite site;
  site.Start();
  site.Accept(kRun);
  const ModelId base = site.coordinator.AddModel(SmallModel(1));
  SECTION("and downloaded again") {
    site.coordinator.damaged_downloads = 1;
    site.coordinator.Send(wire::TrainRequest{kFirst, base, 7});
    site.coordinator.AwaitContribution(kFirst);
    CHECK(site.coordinator.download_beginnings == std::vector<std::uint64_t>{0, 0});
  }
  SECTION("and the task fails when it is always so") {
    site.coordinator.damaged_downloads = 100;
    site.coordinator.Send(wire::TrainRequest{kFirst, base, 7});
    CHECK_THAT(site.coordinator.Await<wire::TaskFailed>().reason, ContainsText("another hash"));
    CHECK(site.learner.trainings == 0);
  }
  SECTION("also when it lay on the site's own disk") {
    site.coordinator.Send(wire::TrainRequest{kFirst, base, 7});
    site.coordinator.AwaitContribution(kFirst);
    CHECK(site.Stop().ok());
    const fs::path file = site.folder / "models" / (base.Hex() + ".safetensors");
    auto bytes = *ReadFile(file);
    bytes[bytes.size() / 2] ^= 1;
    CHECK(WriteFileDurably(file, bytes).ok());
    site.Start();
    site.coordinator.AwaitConnections(2);
    const AttemptKey second{kRun, 2, 1};
    site.coordinator.Send(wire::TrainRequest{second, base, 7});
    site.coordinator.AwaitContribution(second);
    CHECK(AllEqual(site.coordinator.Contribution(second)->values, 0.5f));
    CHECK(site.coordinator.download_beginnings.size() == 2);
  }
}

TEST_CASE("a download that breaks goes on where it stopped") {
  TestSite site;
  site.Start();
  site.Accept(kRun);
  site.coordinator.break_download_at = 123'456;
  const ModelId base = site.coordinator.AddModel(SmallModel(1));
  site.coordinator.Send(wire::TrainRequest{kFirst, base, 7});
  site.coordinator.AwaitContribution(kFirst);
  CHECK(site.coordinator.download_beginnings == std::vector<std::uint64_t>{0, 123'456});
}

TEST_CASE("the seed of training depends on the round's seed and on the site") {
  std::set<std::uint64_t> seeds;
  for (const char* name : {"north", "south"}) {
    for (const std::uint64_t seed : {7, 8}) {
      for (int repeat = 0; repeat < 2; ++repeat) {
        TestSite site(name);
        site.Start();
        site.Accept(kRun);
        site.coordinator.Send(
            wire::TrainRequest{kFirst, site.coordinator.AddModel(SmallModel(1)), seed});
        site.coordinator.AwaitContribution(kFirst);
        seeds.insert(site.learner.seed);
      }
    }
  }
  CHECK(seeds.size() == 4);
}

TEST_CASE("a coordinator that is away is waited for") {
  TestSite site;
  site.coordinator.SetAvailable(false);
  site.Start();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  site.coordinator.SetAvailable(true);
  CHECK(site.Accept(kRun).accepted);
  site.coordinator.Disconnect();
  site.coordinator.AwaitConnections(2);
}

TEST_CASE("a coordinator of another protocol, or one that takes us for another site, is left") {
  TestSite site;
  SECTION("newer") {
    site.coordinator.welcome.protocol_version = kProtocolVersion + 1;
    site.coordinator.welcome.program_version = "9.9";
    site.Start();
    const absl::Status status = site.Join();
    CHECK(absl::IsFailedPrecondition(status));
    CHECK_THAT(std::string(status.message()), ContainsText("upgrade this site"));
  }
  SECTION("older") {
    site.coordinator.welcome.protocol_version = kProtocolVersion - 1;
    site.Start();
    CHECK_THAT(std::string(site.Join().message()), ContainsText("upgrade the coordinator"));
  }
  SECTION("another site") {
    site.coordinator.welcome.site = SiteId("south");
    site.Start();
    CHECK(absl::IsUnauthenticated(site.Join()));
  }
}

}  // namespace
}  // namespace consilium::site_agent
