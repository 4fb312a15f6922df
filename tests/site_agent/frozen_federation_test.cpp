// A real coordinator and real agents over TLS, in one process: a model from elsewhere is imported,
// and trained on with part of it frozen, masked and sealed, and with adapters.

#include <thread>

#include "common/base/log.h"
#include "common/model/adapters.h"
#include "common/model/safetensors.h"
#include "coordinator/researcher/research_channel.h"
#include "site_agent/grpc_channel.h"
#include "tests/common/says.h"
#include "tests/coordinator/member_calls.h"
#include "tests/site_agent/test_site.h"

namespace consilium::site_agent {
namespace {

using coordinator::InProcessCoordinator;
using identity::Role;

struct Quiet {
  Quiet() { SetLogLevel(LogLevel::kError); }
} const quiet;

const Layout kModel = {{"conv1.weight", {6, 4}},
                       {"bn1.weight", {6}},
                       {"bn1.running_mean", {6}},
                       {"fc.weight", {2, 6}},
                       {"fc.bias", {2}}};

// An agent that works until it goes.
class Hospital {
 public:
  Hospital(InProcessCoordinator& coordinator, const std::string& name)
      : identity_(coordinator.Enrol(name, Role::kSite)), channel_(identity_) {
    const fs::path folder = coordinator.folder() / name;
    REQUIRE(WriteFileDurably(folder / "policy.toml", "sealed_updates = true\n").ok());
    state_ = *SiteState::Open(folder, SiteState::Access::kOwn);
    AgentOptions options;
    options.first_wait = options.longest_wait = std::chrono::milliseconds(20);
    agent_ = std::make_unique<Agent>(identity_,
                                     *identity::PinnedRoster::Load(folder, coordinator.root()),
                                     channel_, *state_, learner, data_, clock_, random_, options);
    thread_ = std::jthread([this, options](std::stop_token stop) {
      RunAgent(*agent_, channel_, clock_, options, stop).IgnoreError();
    });
  }
  std::vector<Departure> Departures() { return *state_->Departures(); }

  AddingLearner learner;

 private:
  const identity::Identity identity_;
  GrpcChannel channel_;
  FixedData data_;
  SystemClock clock_;
  SystemRandom random_;
  std::unique_ptr<SiteState> state_;
  std::unique_ptr<Agent> agent_;
  std::jthread thread_;  // the first to go
};

struct Federation {
  Federation() : ada(coordinator.Enrol("ada", Role::kResearcher)) {
    for (const char* name : {"east", "north", "west"}) {
      hospitals.push_back(std::make_unique<Hospital>(coordinator, name));
    }
  }
  absl::StatusOr<ModelId> Import(const ModelState& model) {
    const fs::path file = coordinator.folder() / "elsewhere.safetensors";
    RETURN_IF_ERROR(SaveSafetensors(file, model));
    NoProgress progress;
    return researcher::ResearchChannel(*identity::LoadIdentity(coordinator.folder() / "ada"))
        .ImportModel(file, progress);
  }
  std::string PlanOf(const ModelId& initial, std::string_view more, std::string_view updates) {
    return coordinator::TinyPlan(3, 1,
                                 StrCat("[model]\ninitial = \"", initial.Hex(), "\"\n", more,
                                        "\n[aggregation]\nupdates = \"", updates, "\"\n"));
  }
  // The model that the run published, and how many parameters the round said travel.
  ModelState Published(const std::string& plan, double* travelling) {
    const auto run = coordinator::Submit(ada, plan);
    INFO(run.status());
    REQUIRE(run.ok());
    std::string published;
    for (const wire::RunEvent& event : coordinator::WatchToTheEnd(ada, *run, 100)) {
      INFO(static_cast<int>(event.kind) << ": " << event.text);
      if (event.kind == wire::RunEventKind::kPublished) published = event.text;
      if (event.kind == wire::RunEventKind::kRoundOpened && event.values.contains("travelling")) {
        *travelling = event.values.at("travelling");
      }
      CHECK(event.kind != wire::RunEventKind::kContributionLost);
    }
    REQUIRE(published.size() == 64);
    return *LoadSafetensors(coordinator.state() / "models" / (published + ".safetensors"));
  }

  InProcessCoordinator coordinator;
  const identity::Identity ada;
  std::vector<std::unique_ptr<Hospital>> hospitals;
};

ModelState Initial() {
  std::vector<float> values(TotalElements(kModel));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 1 + static_cast<float>(i) / 64;
  return *ModelState::Create(kModel, std::move(values));
}

bool SameFrom(const ModelState& a, const ModelState& b, std::size_t first, std::size_t count) {
  return std::ranges::equal(a.values().subspan(first, count), b.values().subspan(first, count));
}

}  // namespace

TEST_CASE("a federation trains on from an imported model, and what is frozen stays to the bit") {
  Federation federation;
  const ModelState initial = Initial();
  const auto id = federation.Import(initial);
  INFO(id.status());
  REQUIRE(id.ok());
  for (const std::string updates : {"masked", "sealed"}) {
    INFO(updates);
    double travelling = 0;
    const ModelState made = federation.Published(
        federation.PlanOf(*id, "frozen = [\"conv1.\", \"bn1.\"]", updates), &travelling);
    CHECK(travelling == 14);
    CHECK(made.layout() == kModel);
    CHECK(SameFrom(made, initial, 0, 36));
    for (std::size_t i = 36; i < 50; ++i) {
      CHECK(made.values()[i] == Approx(initial.values()[i] + 0.5).margin(1e-4));
    }
  }
  // What left a site was as small as what it trained: 14 numbers, and the sums beside them.
  for (const Departure& departure : federation.hospitals[0]->Departures()) {
    if (departure.what == "masked update") CHECK(departure.bytes == 14 * 4 + 16);
  }
}

TEST_CASE("adapters are added by the coordinator, travel alone, and merge into the weights") {
  Federation federation;
  const ModelState initial = Initial();
  const ModelId id = *federation.Import(initial);
  double travelling = 0;
  const ModelState made =
      federation.Published(federation.PlanOf(id, "adapter_rank = 2", "masked"), &travelling);
  REQUIRE(made.layout() == *WithAdapters(kModel, 2));
  CHECK(travelling == 12 + 14 + 2 * 4 + 6 * 2);
  CHECK(SameFrom(made, initial, 0, 24));
  const ModelState merged = *MergeAdapters(made);
  CHECK(merged.layout() == kModel);
  CHECK_FALSE(SameFrom(merged, initial, 0, 24));
}

TEST_CASE("a plan that freezes what its model does not have is refused when it is submitted") {
  Federation federation;
  const ModelId id = *federation.Import(Initial());
  const auto submit = [&](std::string_view more) {
    return coordinator::Submit(federation.ada, federation.PlanOf(id, more, "masked")).status();
  };
  CHECK(Says(submit("frozen = [\"layer1.\"]"), "conv1., bn1., fc."));
  CHECK(Says(submit("frozen = [\"conv1\", \"bn1\", \"fc\"]"), "nothing is left to train"));
}

TEST_CASE("what is no model, or not the whole of one, is not imported") {
  Federation federation;
  const ModelState initial = Initial();
  const auto upload = [&](std::string bytes, std::uint64_t announced) {
    grpc::ClientContext context;
    v1::ImportModelReply reply;
    const auto stub = coordinator::Research(federation.ada);
    const auto writer = stub->ImportModel(&context, &reply);
    v1::ImportModelRequest piece;
    piece.set_size(announced);
    piece.set_data(std::move(bytes));
    writer->Write(piece);
    writer->WritesDone();
    return wire::FromGrpc(writer->Finish());
  };
  const fs::path file = federation.coordinator.folder() / "model.safetensors";
  REQUIRE(SaveSafetensors(file, initial).ok());
  const std::string whole = *ReadTextFile(file, 1 << 20);
  CHECK(upload(whole, whole.size()).ok());
  CHECK(Says(upload(whole, whole.size() + 1), "send the model again"));
  CHECK(Says(upload(whole, whole.size() - 1), "announced"));
  CHECK(Says(upload(whole, std::uint64_t{1} << 40), "is not taken"));
  CHECK(Says(upload("no model at all, but text", 25), "safetensors"));
  std::string infinite = whole;
  infinite.replace(infinite.size() - 4, 4, std::string("\x00\x00\x80\x7f", 4));
  CHECK(Says(upload(infinite, infinite.size()), "infinite"));
  REQUIRE(SaveSafetensors(file, initial, {{"format", "pt"}}).ok());
  const std::string metadata = *ReadTextFile(file, 1 << 20);
  CHECK(Says(upload(metadata, metadata.size()), "canonical form"));
  // Nothing of what was refused stays; the one model is in the log once for each import.
  CHECK(ListFolder(federation.coordinator.state() / "models")->size() == 1);
}

}  // namespace consilium::site_agent
