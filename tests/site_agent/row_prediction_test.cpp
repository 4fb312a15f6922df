// Rows of tables and recordings without their target, and images with their patient's row.

#include "site_agent/row_prediction.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "common/base/status.h"
#include "datasets/audio/recording_data.h"
#include "datasets/csv.h"
#include "site_agent/learning/trainer.h"
#include "site_agent/prediction.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/datasets/audio/wave_bytes.h"
#include "tests/results/judges.h"
#include "tests/results/result_sources.h"
#include "tests/site_agent/published.h"

namespace consilium::site_agent {
namespace {

using nlohmann::json;

constexpr char kTable[] = R"([table]
name = "heart"
[[table.columns]]
name = "pressure"
minimum = -10
maximum = 10
[[table.columns]]
name = "ward"
kind = "category"
values = ["a", "b"]
)";

const std::string kHeart = StrCat(R"([plan]
name = "heart"
[data]
source = "table"
[model]
architecture = "logistic"
[target]
name = "disease"
)",
                                  kTable);

const std::string kSurvival = StrCat(R"([plan]
name = "course"
[data]
source = "table"
[model]
architecture = "logistic"
[target]
task = "survival"
time = "days"
event = "death"
intervals = [90, 365]
)",
                                     kTable);

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// A folder with a published model, a state and the rows that it is asked about.
struct Site {
  TemporaryFolder folder;
  PublishedFiles files;
  std::unique_ptr<datasets::worker::WorkerPool> pool =
      datasets::worker::WorkerPool::Create({.workers = 1}).value();

  // `values`: of all of its weights; none: as it begins.
  explicit Site(const std::string& toml, const std::vector<float>& values = {},
                std::optional<double> threshold = std::nullopt) {
    const auto plan = plan::ParsePlan(toml);
    INFO(plan.status().message());
    REQUIRE(plan.ok());
    const ModelState initial = learning::InitialModel(*plan).value();
    const auto model =
        values.empty() ? initial : ModelState::Create(initial.layout(), values).value();
    files = Publish(folder.path(), toml, model, [&](json& record) {
      if (threshold) record["test"]["threshold"] = *threshold;
    });
    REQUIRE(EnsureFolder(folder / "data").ok());
    REQUIRE(EnsureFolder(folder / "state").ok());
  }
  void Write(const std::string& name, std::string_view text) const {
    REQUIRE(WriteFileDurably(folder / "data" / name, text).ok());
  }
  PublishedModel Model() const {
    auto model = LoadPublishedModel(folder / "state",
                                    {files.model.string(), files.record, files.plan, files.root});
    INFO(model.status().message());
    REQUIRE(model.ok());
    return *std::move(model);
  }
  absl::StatusOr<RowPredictions> Predict() const {
    NoProgress quiet;
    return PredictRows(Model(), folder / "data", *pool, quiet);
  }
};

// Mean and deviation of the pressure, its weight, those of two wards, and the bias.
const std::vector<float> kLogistic = {0, 1, 2, 0.5f, -0.5f, 0.25f};

TEST_CASE("rows are answered in their order, without a target, and come as a file") {
  const Site site(kHeart, kLogistic, /*threshold=*/0.5);
  site.Write("heart.csv",
             "patient_id,pressure,ward\n"
             "\"Z, the last\",1,a\n"
             "A-1,-1,b\n"
             ",3,a\n"
             "A-2,,a\n");
  const auto made = site.Predict();
  INFO(made.status().message());
  REQUIRE(made.ok());
  CHECK(made->answers == std::vector<std::string>{"probability"});
  REQUIRE(made->rows.size() == 3);
  CHECK(made->rows[0].patient == "Z, the last");
  CHECK(made->rows[0].answers.at(0) == Approx(Sigmoid(2 + 0.5 + 0.25)));
  CHECK(made->rows[0].present == true);
  CHECK(made->rows[1].answers.at(0) == Approx(Sigmoid(-2 - 0.5 + 0.25)));
  CHECK(made->rows[1].present == false);
  CHECK(made->rows[2].answers.at(0) == Approx(Sigmoid(0.5 + 0.25)));  // missing is the mean
  CHECK(made->refused == std::map<std::string, std::uint64_t>{{"missing-patient", 1}});

  const auto file = WriteCsv(site.folder / "out", site.Model(), *made);
  REQUIRE(file.ok());
  const auto csv = datasets::ParseCsv(ReadTextFile(*file).value());
  REQUIRE(csv.ok());
  CHECK(csv->header ==
        std::vector<std::string>{"patient_id", "probability", "present", "threshold"});
  REQUIRE(csv->rows.size() == 3);
  CHECK(csv->rows[0].cells[0] == "Z, the last");
  CHECK(std::stod(csv->rows[0].cells[1]) == Approx(made->rows[0].answers[0]));
  CHECK(csv->rows[1].cells[2] == "0");
}

TEST_CASE("of survival in intervals each row has a risk and the chance to live beyond each end") {
  // A logit an interval: weights of pressure and wards for each, then the biases.
  const Site site(kSurvival, {0, 1, 1, 0, 0, 0.5f, 0, 0, -2, -1});
  site.Write("heart.csv", "patient_id,pressure,ward\nP1,1,a\nP2,-1,b\n");
  const auto made = site.Predict();
  INFO(made.status().message());
  REQUIRE(made.ok());
  CHECK(made->answers == std::vector<std::string>{"risk", "survival_90", "survival_365"});
  REQUIRE(made->rows.size() == 2);
  for (const double pressure : {1.0, -1.0}) {
    const auto& answers = made->rows[pressure > 0 ? 0 : 1].answers;
    const double first = 1 - Sigmoid(pressure - 2),
                 both = first * (1 - Sigmoid(0.5 * pressure - 1));
    CHECK(answers.at(1) == Approx(first));
    CHECK(answers.at(2) == Approx(both));
    CHECK(answers.at(0) == Approx(std::log(-std::log(both))));
    CHECK(!made->rows[0].present);
  }
}

TEST_CASE("another unit than the plan's is refused, and so is a column that is not there") {
  const Site site(kHeart, kLogistic);
  site.Write("heart.csv", "patient_id,pressure,ward\nP1,120,a\nP2,140,b\n");
  CHECK_THAT(std::string(site.Predict().status().message()), ContainsText("the unit must be"));
  site.Write("heart.csv", "patient_id,ward\nP1,a\n");
  CHECK(absl::IsFailedPrecondition(site.Predict().status()));
}

constexpr char kSounds[] = R"([plan]
name = "sounds"
[data]
source = "audio"
[model]
architecture = "spectrogram_cnn"
[target]
name = "abnormal"
[audio]
seconds = 1
)";

TEST_CASE(
    "recordings are answered as an evaluation sees them, and what cannot be read is refused") {
  const Site site(kSounds);
  const auto write = [&](const std::string& name, double hz) {
    datasets::audio::WaveBytes{.data = datasets::audio::Pcm16(datasets::audio::Tone(hz, 2000, 1.5))}
        .Save(site.folder / "data" / name);
  };
  write("one.wav", 100);
  write("two.wav", 700);
  site.Write("recordings.csv", "file,patient_id\ntwo.wav,P2\nnone.wav,P3\none.wav,P1\n");
  const auto made = site.Predict();
  INFO(made.status().message());
  REQUIRE(made.ok());
  REQUIRE(made->rows.size() == 2);
  CHECK(made->refused == std::map<std::string, std::uint64_t>{{"unreadable", 1}});
  CHECK((made->rows[0].file == "two.wav" && made->rows[0].patient == "P2"));

  // With targets, as evaluation reads them.
  site.Write("recordings.csv", "file,patient_id,abnormal,split\ntwo.wav,P2,1,test\n");
  const auto pseudonyms =
      datasets::deidentification::Pseudonymiser::Create(crypto::Secret(32)).value();
  const auto reader = datasets::ReadInThisProcess();
  NoProgress quiet;
  const PublishedModel model = site.Model();
  const auto recordings = datasets::audio::RecordingData::Open(
      {site.folder / "data", pseudonyms, *reader, 1}, model.plan, quiet);
  REQUIRE(recordings.ok());
  const auto evaluated = learning::Predict(model.state, model.plan,
                                           *recordings->Examples(datasets::Split::kTest), quiet);
  REQUIRE(evaluated.ok());
  CHECK(made->rows[0].answers.at(0) == Approx(evaluated->at(0)).epsilon(1e-5));
}

TEST_CASE("an image is answered with its patient's row, and without one the report says so") {
  const std::string plan = StrCat(R"([plan]
name = "chest"
[model]
architecture = "small_cnn"
[target]
name = "opacity"
[data]
modalities = ["DX"]
[preprocessing]
image_size = 32
)",
                                  kTable);
  const Site site(plan);
  const fs::path image = site.folder / "data/image.dcm";
  datasets::results::WriteSource(image, "DX");  // of PATIENT-7
  auto journal = PredictionJournal::Open(site.folder / "scored.db").value();
  const SystemClock clock;
  const PublishedModel model = site.Model();
  const auto scored = [&](std::string_view rows) {
    site.Write("heart.csv", StrCat("patient_id,pressure,ward\n", rows));
    const auto prediction =
        Prediction::Create(
            {model, *site.pool, journal, clock},
            {.out = site.folder / "out", .data = site.folder / "data", .again = true})
            .value();
    PredictionReport report;
    NoProgress quiet;
    const absl::Status done = prediction->Run({&image, 1}, &report, quiet);
    INFO(done.message());
    REQUIRE(done.ok());
    return report.scored.at(0);
  };
  const double low = scored("PATIENT-7,-9,a\n").scores.at(0).second;
  const double high = scored("PATIENT-7,9,b\n").scores.at(0).second;
  CHECK(low != high);
  const Scored without = scored("PATIENT-8,9,b\n");
  CHECK(without.scores.at(0).second != high);
  datasets::results::CheckWithDciodvfy(without.results / "report.dcm");
  if (!datasets::results::HasProgram("dsrdump")) return;
  CHECK_THAT(datasets::results::DumpReport(without.results / "report.dcm"),
             ContainsText("no row of this patient"));
}

TEST_CASE("the program answers a table, and says what it cannot do with one") {
  const Site site(kHeart, kLogistic);
  site.Write("heart.csv", "patient_id,pressure,ward\nP1,1,a\n");
  const std::string command =
      StrCat(CONSILIUM_SITE, " predict --model ", site.files.model.string(), " --record ",
             site.files.record.string(), " --plan ", site.files.plan.string(), " --root ",
             site.files.root, " --threads 1 --data ", (site.folder / "data").string(), " --state ",
             (site.folder / "state").string(), " --out ", (site.folder / "out").string());
  const auto run = [](const std::string& line) {
    return datasets::results::RunProgram({"/bin/sh", "-c", line});
  };
  const auto output = run(command + " --json 2>/dev/null");
  INFO(output.text);
  REQUIRE(output.exit_code == 0);
  const json made = json::parse(output.text);
  CHECK(made["scored"] == 1);
  CHECK(made["rows"][0]["patient_id"] == "P1");
  CHECK(made["rows"][0]["answers"]["probability"].get<double>() == Approx(Sigmoid(2.75)));
  CHECK(Exists(site.folder / "out/predictions.csv"));
  const auto refused = run(command + " --watch 2>&1");
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.text, ContainsText("are for images"));
  const auto personal = run(command + " --personal 2>&1");
  CHECK(personal.exit_code != 0);
  CHECK_THAT(personal.text, ContainsText("no personal model of heart-0001"));
}

}  // namespace
}  // namespace consilium::site_agent
