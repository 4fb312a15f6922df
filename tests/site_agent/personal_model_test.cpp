#include "site_agent/personal_model.h"

#include <algorithm>

#include "common/crypto/sha256.h"
#include "tests/catch.h"
#include "tests/common/says.h"
#include "tests/site_agent/test_site.h"

namespace consilium::site_agent {
namespace {

using Method = plan::PersonalMethod;

const RunId kRun("small-0001");
const Layout kLayout = {
    {"conv1.weight", {2, 1, 3, 3}}, {"bn1.weight", {2}},      {"bn1.bias", {2}},
    {"bn1.running_mean", {2}},      {"bn1.running_var", {2}}, {"bn1.num_batches_tracked", {}},
    {"fc.weight", {1, 2}},          {"fc.bias", {1}}};

ModelState Filled(float value, const Layout& layout = kLayout) {
  return *ModelState::Create(layout, std::vector<float>(TotalElements(layout), value));
}

std::vector<std::string> Own(Method method) {
  const std::vector<bool> own = OwnTensors(kLayout, method);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < own.size(); ++i) {
    if (own[i]) names.push_back(kLayout[i].name);
  }
  return names;
}

plan::Plan PlanOf(Method method) {
  plan::Plan plan;
  plan.personalisation.method = method;
  plan.personalisation.pull = 0.25;
  plan.personalisation.epochs = 3;
  return plan;
}

std::string TomlOf(std::string_view method) {
  return StrCat(kSealedPlan, "[personalisation]\nmethod = \"", method, "\"\n");
}

ModelId IdOf(std::string_view text) { return crypto::Sha256(text); }

// The last task that it trained.
class RecordingLearner final : public Learner {
 public:
  absl::StatusOr<ModelState> InitialModel(const plan::Plan&) override { return Filled(0); }
  absl::StatusOr<learning::TrainResult> Train(const ModelState& base, const datasets::Dataset& data,
                                              const learning::TrainTask& task,
                                              Progress& progress) override {
    last = task;
    starts.push_back({base.values().begin(), base.values().end()});
    if (progress.Cancelled()) return absl::CancelledError("cancelled");
    std::vector<float> values = starts.back();
    for (float& value : values) value += 1;
    return learning::TrainResult{*ModelState::Create(base.layout(), std::move(values)), 0.7, 0.5,
                                 data.size(), data.size()};
  }
  absl::StatusOr<metrics::TaskSums> Evaluate(const ModelState&, const plan::Plan&,
                                             const datasets::Dataset&, Progress&) override {
    return absl::UnimplementedError("");
  }
  std::optional<learning::TrainTask> last;
  std::vector<std::vector<float>> starts;
};

// A site that makes its own models of run kRun.
struct Bench {
  // From a global model of this name, filled with `value`.
  absl::Status Make(const plan::Plan& plan, std::string_view global, float value) {
    return Make(plan, {kRun, IdOf(global)}, value);
  }
  absl::Status Make(const plan::Plan& plan, const PersonalStep& step, float value) {
    return models.Make(plan, step, Filled(value), data, learner, *progress);
  }
  fs::path own() const { return folder / "personal" / kRun.value; }

  const TemporaryFolder folder;
  const PersonalModels models{folder / "personal"};
  const FixedDataset data;
  NoProgress none;
  Progress* progress = &none;
  RecordingLearner learner;
};

// Waits for it, at most a few seconds.
absl::StatusOr<PersonalModel> AwaitPersonalModel(const PersonalModels& models) {
  for (int i = 0; i < 5000 && !models.Find(kRun).ok(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return models.Find(kRun);
}

// Of the tensor that begins at this element.
constexpr std::size_t kConv = 0, kNorm = 18, kHead = 18 + 4 * 2 + 1;

}  // namespace

TEST_CASE("what stays a site's own: norms with their statistics, the last layer, or all") {
  CHECK(Own(Method::kLocalNorm) == std::vector<std::string>{"bn1.weight", "bn1.bias",
                                                            "bn1.running_mean", "bn1.running_var",
                                                            "bn1.num_batches_tracked"});
  CHECK(Own(Method::kLocalHead) == std::vector<std::string>{"fc.weight", "fc.bias"});
  CHECK(Own(Method::kDitto).size() == kLayout.size());
  CHECK(Own(Method::kFineTuning).empty());
  CHECK(Own(Method::kNone).empty());
}

TEST_CASE("each step trains the global model with what is the site's own of the step before") {
  Bench bench;
  const Method method = GENERATE(Method::kLocalNorm, Method::kLocalHead, Method::kDitto);
  const plan::Plan plan = PlanOf(method);
  REQUIRE(bench.Make(plan, "a", 10).ok());
  REQUIRE(bench.Make(plan, "b", 20).ok());
  REQUIRE(bench.learner.starts.size() == 2);
  const std::vector<float>& start = bench.learner.starts[1];
  CHECK(start[kConv] == (method == Method::kDitto ? 11 : 20));
  CHECK(start[kNorm] == (method == Method::kLocalHead ? 20 : 11));
  CHECK(start[kHead] == (method == Method::kLocalNorm ? 20 : 11));
  CHECK(bench.learner.last->epochs == 3);
  CHECK(bench.learner.last->pulled_to.has_value() == (method == Method::kDitto));
  if (method == Method::kDitto) {
    CHECK(bench.learner.last->pulled_to->values()[0] == 20);
    CHECK(bench.learner.last->plan.aggregation.proximal_mu == 0.25);
  } else {
    CHECK(bench.learner.last->plan.aggregation.method == plan::AggregationMethod::kFedAvg);
  }
  const auto made = bench.models.Find(kRun);
  REQUIRE(made.ok());
  CHECK(made->steps == 2);
  CHECK(made->global == IdOf("b"));
  CHECK(PersonalModels::Load(*made)->values()[kConv] == start[kConv] + 1);
  // One model and the record.
  CHECK(ListFolder(bench.own())->size() == 2);
}

TEST_CASE("a step that was made is not made again, and fine tuning waits for what is published") {
  Bench bench;
  const plan::Plan tuned = PlanOf(Method::kFineTuning);
  CHECK_FALSE(bench.models.IsDue(tuned, {kRun, IdOf("a")}));
  CHECK_FALSE(bench.models.IsDue(PlanOf(Method::kNone), {kRun, IdOf("a"), true}));
  const PersonalStep step{kRun, IdOf("a"), /*published=*/true};
  CHECK(bench.models.IsDue(tuned, step));
  REQUIRE(bench.Make(tuned, step, 1).ok());
  CHECK_FALSE(bench.models.IsDue(tuned, step));
  REQUIRE(bench.Make(tuned, step, 1).ok());
  CHECK(bench.learner.starts.size() == 1);
  CHECK(bench.models.List().size() == 1);
}

TEST_CASE("a damaged personal model is not used, and the next step begins from the global one") {
  Bench bench;
  const plan::Plan plan = PlanOf(Method::kDitto);
  REQUIRE(bench.Make(plan, "a", 10).ok());
  const PersonalModel made = *bench.models.Find(kRun);
  REQUIRE(WriteFileDurably(made.file, "not a model").ok());
  CHECK(absl::IsDataLoss(PersonalModels::Load(made).status()));
  REQUIRE(bench.Make(plan, "b", 20).ok());
  CHECK(bench.learner.starts.back()[0] == 20);
  CHECK(bench.models.Find(kRun)->steps == 1);
  REQUIRE(WriteFileDurably(bench.own() / "personal.json", "{}").ok());
  CHECK(absl::IsDataLoss(bench.models.Find(kRun).status()));
  CHECK(bench.models.List().empty());
}

TEST_CASE("what a crash left between a model and its record is cleared by the next step") {
  Bench bench;
  const plan::Plan plan = PlanOf(Method::kDitto);
  REQUIRE(bench.Make(plan, "a", 10).ok());
  // The process died when the next model was on the disk, and the record still named this one.
  REQUIRE(WriteFileDurably(bench.own() / StrCat(IdOf("c").Hex(), ".safetensors"), "another").ok());
  REQUIRE(WriteFileDurably(bench.own() / "made.part", "half of one").ok());
  CHECK(bench.models.Find(kRun)->global == IdOf("a"));
  CHECK(PersonalModels::Load(*bench.models.Find(kRun)).ok());
  CHECK(bench.models.IsDue(plan, {kRun, IdOf("b")}));
  REQUIRE(bench.Make(plan, "b", 20).ok());
  CHECK(ListFolder(bench.own())->size() == 2);
}

TEST_CASE("a stopped training leaves the model of the step before") {
  Bench bench;
  const plan::Plan plan = PlanOf(Method::kDitto);
  REQUIRE(bench.Make(plan, "a", 10).ok());
  class Stopped final : public Progress {
   public:
    void Report(std::string_view, std::uint64_t, std::uint64_t, std::string_view) override {}
    bool Cancelled() const override { return true; }
  } stopped;
  bench.progress = &stopped;
  CHECK_FALSE(bench.Make(plan, "b", 20).ok());
  CHECK(bench.models.Find(kRun)->global == IdOf("a"));
}

TEST_CASE("an agent sends what it would without, then makes its own model of each global one") {
  TestSite site;
  site.Start(/*once=*/true);
  REQUIRE(site.Accept(kRun, TomlOf("ditto")).accepted);
  const AttemptKey first{kRun, 1, 1};
  const ModelId base = site.coordinator.AddModel(SmallModel(1));
  site.coordinator.Send(wire::TrainRequest{first, base, 7});
  site.coordinator.AwaitContribution(first);
  const auto update = *site.coordinator.Contribution(first);
  CHECK(std::all_of(update.values.begin(), update.values.end(), [](float v) { return v == 0.5f; }));
  const PersonalModels models(site.folder / "personal");
  const auto made = AwaitPersonalModel(models);
  INFO(made.status());
  REQUIRE(made.ok());
  CHECK(made->global == base);
  CHECK_FALSE(made->published);
  CHECK(site.learner.trainings == 2);
  const auto before = *site.state->Departures();

  const ModelId published = site.coordinator.AddModel(SmallModel(3));
  site.coordinator.Send(wire::AttemptClosed{first, true});
  site.coordinator.Send(wire::RunEnded{kRun, "published", published});
  CHECK(site.Join().ok());
  const auto last = models.Find(kRun);
  REQUIRE(last.ok());
  CHECK(last->published);
  CHECK(last->global == published);
  CHECK(last->steps == 2);
  CHECK(PersonalModels::Load(*last)->values()[0] == 2.0f);  // 1 + 0.5, and 0.5 again
  const auto reopened = *SiteState::Open(site.folder.path(), SiteState::Access::kLook);
  CHECK(reopened->Departures()->size() == before.size());
}

TEST_CASE("the personal training gives way to what the federation asks for") {
  TestSite site;
  site.Start();
  REQUIRE(site.Accept(kRun, TomlOf("ditto")).accepted);
  const AttemptKey first{kRun, 1, 1};
  site.coordinator.Send(wire::TrainRequest{first, site.coordinator.AddModel(SmallModel(1)), 7});
  site.coordinator.AwaitContribution(first);
  site.learner.hold = true;
  // Either it has begun, and is stopped, or it waits until the evaluation is done.
  const ModelId candidate = site.coordinator.AddModel(SmallModel(1.5f));
  site.coordinator.Send(
      wire::EvaluateRequest{kRun, 1, candidate, wire::EvaluationSplit::kValidation, 60});
  CHECK(site.coordinator.Await<wire::EvaluationReport>().model == candidate);
  site.learner.hold = false;
  CHECK(AwaitPersonalModel(PersonalModels(site.folder / "personal")).ok());
}

}  // namespace consilium::site_agent
