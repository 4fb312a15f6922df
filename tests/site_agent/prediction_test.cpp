#include "site_agent/prediction.h"

#include <algorithm>
#include <cmath>

#include "common/crypto/sha256.h"
#include "common/model/safetensors.h"
#include "datasets/dicom/writer.h"
#include "datasets/image_reader.h"
#include "datasets/results/subject.h"
#include "datasets/targets/report.h"
#include "datasets/transform.h"
#include "site_agent/learning/trainer.h"
#include "site_agent/prediction_results.h"
#include "site_agent/published_model.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/results/judges.h"
#include "tests/results/result_sources.h"
#include "tests/site_agent/published.h"

namespace consilium::site_agent {
namespace {

using datasets::Refusal;

constexpr char kPlan[] = R"([plan]
name = "chest-opacity"
description = "opacities on chest radiographs"
seed = 3
[model]
architecture = "small_cnn"
[target]
name = "opacity"
[data]
modalities = ["DX", "CT"]
views = ["PA"]
[preprocessing]
image_size = 32
[training]
local_epochs = 1
[aggregation]
method = "fedavg"
[cohort]
minimum_sites = 3
[stop]
rounds = 2
)";

ModelState Model(std::string_view text = kPlan) {
  const auto plan = plan::ParsePlan(text);
  INFO(plan.status().message());
  REQUIRE(plan.ok());
  auto model = learning::InitialModel(*plan);
  REQUIRE(model.ok());
  return *std::move(model);
}

ModelChoice ChoiceOf(const PublishedFiles& files) {
  return {.model = files.model.string(),
          .record = files.record,
          .plan = files.plan,
          .root = files.root};
}

TEST_CASE("a published model is proved, and read with its plan") {
  TemporaryFolder folder;
  const PublishedFiles files = Publish(folder.path(), kPlan, Model());
  const auto loaded = LoadPublishedModel(folder / "state", ChoiceOf(files));
  INFO(loaded.status().message());
  REQUIRE(loaded.ok());
  CHECK(loaded->state.values().size() == Model().values().size());
  CHECK(loaded->plan.target.name == "opacity");
  CHECK(loaded->description.run == "chest-opacity-0001");
  CHECK(loaded->description.federation == "five-hospitals");
  CHECK(!loaded->operating_point);  // the record tells what was reached, and not at which score
}

TEST_CASE("a record that tells the threshold gives an operating point") {
  TemporaryFolder folder;
  const PublishedFiles files = Publish(folder.path(), kPlan, Model(), [](nlohmann::json& record) {
    record["test"]["threshold"] = 0.25;
  });
  const auto loaded = LoadPublishedModel(folder / "state", ChoiceOf(files));
  REQUIRE(loaded.ok());
  REQUIRE(loaded->operating_point);
  CHECK(loaded->operating_point->threshold == 0.25);
  CHECK(loaded->operating_point->established == "specificity 0.90 on the test sets of 3 sites");
}

TEST_CASE("what the agent fetched is found by the beginning of its id, or by its record") {
  TemporaryFolder folder;
  const PublishedFiles files = Publish(folder.path(), kPlan, Model());
  const auto plain = LoadPublishedModel(folder / "state", ChoiceOf(files));
  REQUIRE(plain.ok());
  const std::string id = plain->description.id.Hex();
  REQUIRE(EnsureFolder(folder / "state/published").ok());
  REQUIRE(Rename(files.model, folder / ("state/published/" + id + ".safetensors")).ok());
  ModelChoice choice = ChoiceOf(files);
  for (const std::string& model : {id.substr(0, 8), std::string()}) {
    choice.model = model;
    const auto loaded = LoadPublishedModel(folder / "state", choice);
    INFO(loaded.status().message());
    REQUIRE(loaded.ok());
    CHECK(loaded->description.id.Hex() == id);
  }
  choice.model = "ffffffff";
  CHECK(absl::IsNotFound(LoadPublishedModel(folder / "state", choice).status()));
}

TEST_CASE("a model that was not published, or is another, is refused") {
  TemporaryFolder folder;
  const PublishedFiles files = Publish(folder.path(), kPlan, Model());
  const auto refused = [&](const ModelChoice& choice) {
    return LoadPublishedModel(folder / "state", choice).status();
  };
  {
    INFO("one byte of the weights is another");
    auto bytes = ReadFile(files.model);
    REQUIRE(bytes.ok());
    bytes->back() ^= 1;
    REQUIRE(WriteFileDurably(folder / "other.safetensors", *bytes).ok());
    ModelChoice choice = ChoiceOf(files);
    choice.model = (folder / "other.safetensors").string();
    CHECK(absl::IsUnauthenticated(refused(choice)));
  }
  {
    INFO("another federation's root key");
    ModelChoice choice = ChoiceOf(files);
    choice.root = std::string(64, 'a');
    CHECK(absl::IsUnauthenticated(refused(choice)));
  }
  {
    INFO("no record");
    ModelChoice choice = ChoiceOf(files);
    choice.record = folder / "none.json";
    CHECK(absl::IsNotFound(refused(choice)));
  }
  {
    INFO("another plan");
    REQUIRE(WriteFileDurably(folder / "other.toml", std::string(kPlan) + "\n# more\n").ok());
    ModelChoice choice = ChoiceOf(files);
    choice.plan = folder / "other.toml";
    CHECK(absl::IsUnauthenticated(refused(choice)));
  }
  {
    INFO("a record that somebody changed");
    auto record = ReadTextFile(files.record);
    REQUIRE(record.ok());
    const auto at = record->find("chest-opacity-0001");
    REQUIRE(at != std::string::npos);
    (*record)[at + 17] = '2';
    REQUIRE(WriteFileDurably(folder / "changed.json", *record).ok());
    ModelChoice choice = ChoiceOf(files);
    choice.record = folder / "changed.json";
    CHECK(absl::IsUnauthenticated(refused(choice)));
  }
  {
    INFO("this folder is not enrolled");
    ModelChoice choice = ChoiceOf(files);
    choice.root.clear();
    CHECK(absl::IsNotFound(refused(choice)));
  }
}

PublishedModel Loaded(const fs::path& folder, std::optional<double> threshold,
                      const std::string& plan) {
  const auto published = Publish(folder, plan, Model(plan), [&](nlohmann::json& record) {
    if (threshold) record["test"]["threshold"] = *threshold;
  });
  auto model = LoadPublishedModel(folder / "state", ChoiceOf(published));
  INFO(model.status().message());
  REQUIRE(model.ok());
  return *std::move(model);
}

// A site with images that fit, images that do not, and what is no image.
struct Site {
  TemporaryFolder folder;
  PublishedModel model;
  std::unique_ptr<datasets::worker::WorkerPool> pool;
  std::unique_ptr<PredictionJournal> journal;
  std::vector<fs::path> files;
  SystemClock clock;

  explicit Site(std::optional<double> threshold = std::nullopt, const std::string& plan = kPlan)
      : model(Loaded(folder.path(), threshold, plan)) {
    pool = datasets::worker::WorkerPool::Create({.workers = 1}).value();
    journal =
        std::make_unique<PredictionJournal>(PredictionJournal::Open(folder / "scored.db").value());
    REQUIRE(EnsureFolder(folder / "data").ok());
    for (const std::string modality : {"DX", "MG", "US"}) {
      files.push_back(folder / ("data/" + modality + ".dcm"));
      datasets::results::WriteSource(files.back(), modality);
    }
    files.push_back(folder / "data/ct.dcm");  // a view that the plan does not take: none
    datasets::dicom::NewInstance ct;
    ct.modality = "CT";
    ct.patient_id = "P";
    ct.study_instance_uid = ct.series_instance_uid = ct.sop_instance_uid = "1.2.3";
    ct.rows = ct.columns = 8;
    ct.values.resize(64);
    REQUIRE(datasets::dicom::WriteFile(files.back(), ct).ok());
    files.push_back(folder / "data/notes.txt");
    REQUIRE(WriteFileDurably(files.back(), std::string_view("no image")).ok());
  }

  PredictionReport Predict(PredictionOptions options) {
    options.out = folder / "out";
    auto prediction = Prediction::Create({model, *pool, *journal, clock}, options);
    REQUIRE(prediction.ok());
    PredictionReport report;
    NoProgress quiet;
    const absl::Status done = (*prediction)->Run(files, &report, quiet);
    INFO(done.message());
    REQUIRE(done.ok());
    return report;
  }
};

TEST_CASE("what fits the plan is scored, what does not is refused by its reason") {
  Site site;
  const PredictionReport report = site.Predict({.activation = true});
  CHECK(report.files == 5);
  REQUIRE(report.scored.size() == 1);
  const Scored& scored = report.scored[0];
  CHECK(scored.file.filename() == "DX.dcm");
  REQUIRE(scored.scores.size() == 1);
  CHECK(scored.scores[0].first == "opacity");
  CHECK((scored.scores[0].second > 0 && scored.scores[0].second < 1));
  CHECK(!scored.present);
  CHECK(report.refused == std::map<Refusal, std::uint64_t>{{Refusal::kUnwantedModality, 2},
                                                           {Refusal::kUnwantedView, 1},
                                                           {Refusal::kNotDicom, 1}});
  CHECK(report.results == 3);
  for (const char* name : {"report.dcm", "picture.dcm", "activation.dcm"}) {
    datasets::results::CheckWithDciodvfy(scored.results / name);
  }
  const auto read = datasets::targets::ReadReport(scored.results / "report.dcm");
  REQUIRE(read.ok());
  REQUIRE(read->groups.size() == 1);
  CHECK(read->groups[0].measurements.at(0).value == Approx(scored.scores[0].second));
  CHECK(read->groups[0].evaluations.empty());
  CHECK(read->groups[0].images.size() == 2);
}

// The image as training and evaluation see it.
class OneImage final : public datasets::Dataset {
 public:
  explicit OneImage(std::vector<float> pixels) : pixels_(std::move(pixels)) {}
  std::size_t size() const override { return 1; }
  std::uint32_t image_size() const override { return 32; }
  Label GetLabel(std::size_t) const override { return {1, 1}; }
  Label Get(std::size_t index, std::span<float> out) const override {
    std::copy(pixels_.begin(), pixels_.end(), out.begin());
    return GetLabel(index);
  }

 private:
  const std::vector<float> pixels_;
};

TEST_CASE("a prediction's score is the evaluation's") {
  Site site;
  const PredictionReport report = site.Predict({});
  REQUIRE(report.scored.size() == 1);
  auto input =
      datasets::ReadInThisProcess()->ReadInput(site.files[0], site.model.plan.preprocessing);
  REQUIRE(input.ok());
  datasets::Standardize(*input);
  NoProgress quiet;
  const auto evaluated =
      learning::Predict(site.model.state, site.model.plan, OneImage(*input), quiet);
  REQUIRE(evaluated.ok());
  CHECK(report.scored[0].scores.at(0).second == Approx(evaluated->at(0)).epsilon(1e-5));
}

TEST_CASE("a threshold of the record makes the report say present or absent") {
  for (const double threshold : {0.0, 1.0}) {
    Site site(threshold);
    const PredictionReport report = site.Predict({.picture = false});
    REQUIRE(report.scored.size() == 1);
    CHECK(report.results == 1);
    CHECK(report.scored[0].present == (threshold == 0.0));
    const auto read = datasets::targets::ReadReport(report.scored[0].results / "report.dcm");
    REQUIRE(read.ok());
    REQUIRE(read->groups.at(0).evaluations.size() == 1);
    CHECK(read->groups[0].evaluations[0].value.Is(threshold == 0.0 ? "52101004" : "272519000",
                                                  "SCT"));
  }
}

std::string With(std::string plan, std::string_view from, std::string_view to) {
  const auto at = plan.find(from);
  REQUIRE(at != std::string::npos);
  return plan.replace(at, from.size(), to);
}

TEST_CASE("a model of several classes or labels reports each of them") {
  const std::string classes = "classes = [\"clear\", \"pneumonia\", \"opacity\"]\n";
  const std::string multiclass =
      With(kPlan, "[target]\n", "[target]\ntask = \"multiclass\"\n" + classes);
  const std::string multilabel =
      With(kPlan, "[target]\nname = \"opacity\"\n", "[target]\ntask = \"multilabel\"\n" + classes);
  for (const std::string& plan : {multiclass, multilabel}) {
    Site site(std::nullopt, plan);
    const PredictionReport report = site.Predict({});
    REQUIRE(report.scored.size() == 1);
    CHECK(report.results == 2);  // no activation: there is no one thing that it speaks for
    const auto& scores = report.scored[0].scores;
    REQUIRE(scores.size() == 3);
    CHECK(scores[1].first == "pneumonia");
    if (plan == multiclass) {
      CHECK(scores[0].second + scores[1].second + scores[2].second == Approx(1).margin(1e-5));
    }
    CHECK(!report.scored[0].present);
    datasets::results::CheckWithDciodvfy(report.scored[0].results / "report.dcm");
    const auto read = datasets::targets::ReadReport(report.scored[0].results / "report.dcm");
    REQUIRE(read.ok());
    REQUIRE(read->groups.size() == 3);
    CHECK(read->groups[1].finding.Is("233604007", "SCT"));
    CHECK(read->groups[1].measurements.at(0).value == Approx(scores[1].second));
    CHECK(read->groups[1].tracking_uid != read->groups[2].tracking_uid);
  }
}

TEST_CASE("a survival model of images reports a relative hazard, and the chance of each interval") {
  const std::string survival =
      "[target]\ntask = \"survival\"\ntime = \"days\"\nevent = \"death\"\n";
  for (const std::string intervals : {"", "intervals = [90, 365]\n"}) {
    Site site(std::nullopt, With(kPlan, "[target]\nname = \"opacity\"\n", survival + intervals));
    const PredictionReport report = site.Predict({});
    REQUIRE(report.scored.size() == 1);
    const auto& scores = report.scored[0].scores;
    const std::size_t answers = intervals.empty() ? 1 : 3;
    REQUIRE(scores.size() == answers);
    CHECK(scores[0].first == "risk");
    CHECK(!report.scored[0].present);
    datasets::results::CheckWithDciodvfy(report.scored[0].results / "report.dcm");
    const auto read = datasets::targets::ReadReport(report.scored[0].results / "report.dcm");
    REQUIRE(read.ok());
    REQUIRE(read->groups.size() == answers);
    CHECK(read->groups[0].measurements.at(0).value == Approx(scores[0].second));
    if (intervals.empty()) continue;
    CHECK(scores[1].first == "survival_90");
    CHECK(scores[1].second >= scores[2].second);
    CHECK(read->groups[2].tracking_identifier.starts_with("by day 365"));
    CHECK(read->groups[2].measurements.at(0).value == Approx(1 - scores[2].second));
  }
}

TEST_CASE("a model of outlines gives a segmentation on the image, and a report that refers to it") {
  std::string plan = With(kPlan, "small_cnn", "unet");
  plan = With(plan, "[target]\n", "[target]\ntask = \"segmentation\"\nclasses = [\"lung\"]\n");
  Site site(std::nullopt, plan);
  const PredictionReport report = site.Predict({});
  REQUIRE(report.scored.size() == 1);
  CHECK(report.results == 3);
  const fs::path folder = report.scored[0].results;
  for (const char* name : {"report.dcm", "picture.dcm", "segmentation.dcm"}) {
    datasets::results::CheckWithDciodvfy(folder / name);
  }
  const auto read = datasets::targets::ReadReport(folder / "report.dcm");
  REQUIRE(read.ok());
  REQUIRE(read->groups.size() == 1);
  CHECK(std::any_of(read->groups[0].images.begin(), read->groups[0].images.end(),
                    [](const auto& image) { return image.segments.size() == 1; }));
  auto image = datasets::dicom::DataSet::Open(site.files[0]);
  auto segmentation = datasets::dicom::DataSet::Open(folder / "segmentation.dcm");
  REQUIRE((image.ok() && segmentation.ok()));
  for (const auto tag : {datasets::dicom::Tag(0x0028, 0x0010), datasets::dicom::Tag(0x0028, 0x0011),
                         datasets::dicom::Tag(0x0020, 0x000D)}) {
    CHECK(segmentation->Text(tag) == image->Text(tag));  // its size, and its study
  }
}

TEST_CASE("a detector's boxes of half or more are findings with their box on the image") {
  std::string plan = With(kPlan, "small_cnn", "fcos");
  plan = With(plan, "[target]\n",
              "[target]\ntask = \"detection\"\nclasses = [\"nodule\", \"mass\"]\n");
  Site site(std::nullopt, plan);
  const PredictionReport report = site.Predict({});
  REQUIRE(report.scored.size() == 1);
  CHECK(report.results == 2);
  const fs::path folder = report.scored[0].results;
  for (const char* name : {"report.dcm", "picture.dcm"}) {
    datasets::results::CheckWithDciodvfy(folder / name);
  }

  const auto subject =
      datasets::results::ReadSubject(*site.pool, site.files[0], site.model.plan.preprocessing);
  REQUIRE(subject.ok());
  learning::Prediction prediction;
  const auto size = static_cast<float>(subject->placement.size);
  prediction.boxes = {{{0, 0, size, size}, 0.9f, 0},
                      {{size / 4, size / 4, size / 2, size / 2}, 0.6f, 0},
                      {{0, 0, size, size}, 0.4f, 0},
                      {{0, 0, size, size}, 0.3f, 1}};
  const PredictionResults results = ResultsOf(prediction, *subject, site.model, false);
  REQUIRE(results.findings.size() == 3);
  CHECK(results.findings[0].tracking == "nodule 1");
  REQUIRE((results.findings[0].box && results.findings[1].box));
  const auto& whole = *results.findings[0].box;
  CHECK(whole.left == Approx(subject->placement.left).margin(0.01));
  CHECK(whole.right == Approx(subject->placement.right).margin(0.01));
  CHECK(whole.bottom == Approx(subject->placement.bottom).margin(0.01));
  const auto& second = *results.findings[1].box;
  CHECK((second.left >= whole.left && second.right < whole.right && second.top < second.bottom));
  CHECK_FALSE(results.findings[2].box);
  CHECK(results.findings[2].classification->score == Approx(0.3));
  CHECK(results.scores[0].second == Approx(0.9));
  CHECK(results.overlay.size() ==
        std::size_t{subject->placement.rows} * subject->placement.columns);
  CHECK(std::count(results.overlay.begin(), results.overlay.end(), 1.0f) > 0);
}

// As the agent leaves it after fine-tuning (personal_model.h).
ModelId WritePersonalModel(const fs::path& state, const std::string& run, const ModelState& model,
                           const ModelId& global) {
  const fs::path folder = state / "personal" / run;
  std::error_code error;
  fs::create_directories(folder, error);
  REQUIRE(SaveSafetensors(folder / "made.part", model).ok());
  const ModelId id = crypto::Sha256OfFile(folder / "made.part").value();
  REQUIRE(Rename(folder / "made.part", folder / (id.Hex() + ".safetensors")).ok());
  const nlohmann::json record = {{"method", "fine_tuning"},
                                 {"global", global.Hex()},
                                 {"published", true},
                                 {"steps", 1},
                                 {"model", id.Hex()}};
  REQUIRE(WriteFileDurably(folder / "personal.json", record.dump()).ok());
  return id;
}

TEST_CASE("a site's own model answers instead, and its results say so") {
  Site site(/*threshold=*/0.5);
  const std::string run = site.model.description.run;
  const ModelId published = site.model.description.id;
  CHECK(absl::IsNotFound(PersonalInsteadOf(site.folder / "state", site.model).status()));
  std::vector<float> values(site.model.state.values().begin(), site.model.state.values().end());
  values.back() += 1;  // the bias of the answer
  const ModelId own =
      WritePersonalModel(site.folder / "state", run,
                         *ModelState::Create(site.model.state.layout(), values), published);
  const double before = site.Predict({}).scored.at(0).scores.at(0).second;

  auto personal = PersonalInsteadOf(site.folder / "state", site.model);
  INFO(personal.status().message());
  REQUIRE(personal.ok());
  site.model = *std::move(personal);
  CHECK(site.model.description.id == own);
  CHECK(!site.model.operating_point);  // it was established for the published model
  const PredictionReport report = site.Predict({});
  REQUIRE(report.scored.size() == 1);  // by this model not yet
  const double after = report.scored[0].scores.at(0).second;
  const auto logit = [](double score) { return std::log(score / (1 - score)); };
  CHECK(logit(after) - logit(before) == Approx(1).epsilon(1e-3));
  const fs::path result = report.scored[0].results / "report.dcm";
  datasets::results::CheckWithDciodvfy(result);
  if (!datasets::results::HasProgram("dsrdump")) return;
  const std::string text = datasets::results::DumpReport(result);
  CHECK_THAT(text, ContainsText("chest-opacity (personal)"));
  CHECK_THAT(text, ContainsText("by fine_tuning of " + published.Short()));
}

TEST_CASE("an image is scored once, and anew as the same objects") {
  Site site;
  const PredictionReport first = site.Predict({});
  REQUIRE(first.scored.size() == 1);
  const PredictionReport second = site.Predict({});
  CHECK(second.before == 1);
  CHECK(second.scored.empty());
  CHECK(second.results == 0);
  const auto uid = [&](const fs::path& folder) {
    auto data_set = datasets::dicom::DataSet::Open(folder / "report.dcm");
    REQUIRE(data_set.ok());
    return data_set->Text(datasets::dicom::Tag(0x0008, 0x0018));
  };
  const std::string before = uid(first.scored[0].results);
  const PredictionReport third = site.Predict({.again = true});
  REQUIRE(third.scored.size() == 1);
  CHECK(third.scored[0].results == first.scored[0].results);
  CHECK(uid(third.scored[0].results) == before);
}

}  // namespace
}  // namespace consilium::site_agent
