// Which of a site's two models is better for its patients.

#include "common/base/random.h"
#include "common/crypto/sha256.h"
#include "common/model/safetensors.h"
#include "site_agent/learning/trainer.h"
#include "site_agent/personal_command.h"
#include "tests/catch.h"
#include "tests/common/says.h"
#include "tests/common/temporary_folder.h"
#include "tests/site_agent/learning/made_dataset.h"

namespace consilium::site_agent {
namespace {

const RunId kRun("small-0001");
NoProgress quiet;

// The first column tells the target but for noise; the second is noise alone.
class Patients final : public LocalData {
 public:
  explicit Patients(int count) {
    SeededRandom random(5, "patients");
    auto rows = std::make_shared<learning::MadeDataset>(learning::TableData(1));
    for (int i = 0; i < count; ++i) {
      const double truth = i % 2;
      rows->Add({{static_cast<float>(2 * (truth - 0.5) + random.Normal()),
                  static_cast<float>(random.Normal())},
                 {static_cast<float>(truth)},
                 static_cast<std::uint64_t>(i)});
    }
    rows_ = std::move(rows);
  }
  absl::StatusOr<DataOffer> Count(const plan::Plan&) override { return DataOffer{}; }
  absl::StatusOr<metrics::Description> Describe(const plan::Plan&, Progress&) override {
    return metrics::Description{};
  }
  absl::StatusOr<std::shared_ptr<const datasets::Dataset>> Open(const plan::Plan&, datasets::Split,
                                                                Progress&) override {
    return rows_;
  }

 private:
  std::shared_ptr<const datasets::Dataset> rows_;
};

ModelState Linear(const plan::Plan& plan, float first, float second) {
  const ModelState initial = *learning::InitialModel(plan);
  const std::vector<float> values = {0, 0, 1, 1, first, second, 0};
  return *ModelState::Create(initial.layout(), values);
}

// Training makes this model.
class FixedLearner final : public Learner {
 public:
  explicit FixedLearner(ModelState made) : made_(std::move(made)) {}
  absl::StatusOr<ModelState> InitialModel(const plan::Plan&) override { return made_; }
  absl::StatusOr<learning::TrainResult> Train(const ModelState&, const datasets::Dataset&,
                                              const learning::TrainTask&, Progress&) override {
    return learning::TrainResult{.trained = made_};
  }
  absl::StatusOr<metrics::TaskSums> Evaluate(const ModelState&, const plan::Plan&,
                                             const datasets::Dataset&, Progress&) override {
    return absl::UnimplementedError("");
  }

 private:
  const ModelState made_;
};

struct Site {
  TemporaryFolder folder;
  plan::Plan plan = learning::TablePlan(Task::kBinary);
  std::vector<std::unique_ptr<LocalData>> data;

  explicit Site(int patients) {
    plan.personalisation.method = plan::PersonalMethod::kFineTuning;
    data.push_back(std::make_unique<Patients>(patients));
  }
  // Both models as the agent leaves them.
  PersonalModel Keep(const ModelState& own, const ModelState& global) {
    const fs::path published = SiteFolder{folder.path()}.Published();
    REQUIRE(EnsureFolder(published).ok());
    REQUIRE(SaveSafetensors(published / "model", global).ok());
    const ModelId id = *crypto::Sha256OfFile(published / "model");
    REQUIRE(RenameDurably(published / "model", published / (id.Hex() + ".safetensors")).ok());
    const PersonalModels models(SiteFolder{folder.path()}.Personal());
    FixedLearner learner(own);
    const auto train = *data[0]->Open(plan, datasets::Split::kTrain, quiet);
    REQUIRE(models.Make(plan, {kRun, id, /*published=*/true}, global, *train, learner, quiet).ok());
    return *models.Find(kRun);
  }
  absl::StatusOr<ModelComparison> Compare(const PersonalModel& model) {
    return ComparePersonal({folder.path()}, model, plan, data, quiet);
  }
};

}  // namespace

TEST_CASE("the better of the own and the global model is told, with the interval") {
  Site site(300);
  const ModelState good = Linear(site.plan, 1, 0), noise = Linear(site.plan, 0, 1);
  const auto better = site.Compare(site.Keep(good, noise));
  INFO(better.status());
  REQUIRE(better.ok());
  CHECK(better->patients == 300);
  CHECK(better->delong);
  CHECK(better->difference_95.low > 0);
  CHECK(Verdict(*better) == "personal");

  Site other(300);
  const auto worse = other.Compare(other.Keep(noise, good));
  REQUIRE(worse.ok());
  CHECK(Verdict(*worse) == "global");
  Site same(300);
  const auto equal = same.Compare(same.Keep(good, Linear(same.plan, 1, 1e-4f)));
  REQUIRE(equal.ok());
  CHECK(Verdict(*equal) == "undecided");
}

TEST_CASE("a site of too few patients is told so, and one whose global model is gone") {
  Site site(2);
  const PersonalModel model = site.Keep(Linear(site.plan, 1, 0), Linear(site.plan, 0, 1));
  CHECK(absl::IsFailedPrecondition(site.Compare(model).status()));
  Site other(300);
  PersonalModel lost = other.Keep(Linear(other.plan, 1, 0), Linear(other.plan, 0, 1));
  lost.global = crypto::Sha256(std::string_view("another"));
  CHECK(Says(other.Compare(lost).status(), "not kept here any more"));
}

}  // namespace consilium::site_agent
