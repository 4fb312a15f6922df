// Series as volumes, from files to what the archive gets: in this process with a mask that is
// known, and through the program itself.

#include "site_agent/volume_prediction.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "common/crypto/sha256.h"
#include "datasets/synthetic/phantom_hospital.h"
#include "datasets/targets/report.h"
#include "site_agent/learning/trainer.h"
#include "site_agent/volume_results.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/datasets/volumes_files.h"
#include "tests/results/judges.h"
#include "tests/site_agent/published.h"

namespace consilium::site_agent {
namespace {

using nlohmann::json;
namespace results = datasets::results;

constexpr char kPlan[] = R"([plan]
name = "lesions"
seed = 3
[model]
architecture = "unet3d"
width = 8
[target]
task = "segmentation"
name = "liver"
classes = ["lesion", "rest"]
[data]
modalities = ["CT", "MR"]
[preprocessing]
image_size = 16
slices = 8
[training]
batch_size = 2
)";

plan::Plan Parsed(const std::string& text = kPlan) {
  const auto plan = plan::ParsePlan(text);
  INFO(plan.status().message());
  REQUIRE(plan.ok());
  return *plan;
}

PublishedModel Loaded(const PublishedFiles& files, const fs::path& folder) {
  auto model = LoadPublishedModel(folder / "state",
                                  {files.model.string(), files.record, files.plan, files.root});
  INFO(model.status().message());
  REQUIRE(model.ok());
  return *std::move(model);
}

// Series of AsymmetricGrid, whose voxels each have a value of their own.
struct Site {
  TemporaryFolder folder;
  PublishedModel model;
  std::unique_ptr<datasets::worker::WorkerPool> pool;
  ManualClock clock{Time(std::chrono::hours(500'000))};

  Site()
      : model(Loaded(Publish(folder.path(), kPlan, learning::InitialModel(Parsed()).value()),
                     folder.path())),
        pool(datasets::worker::WorkerPool::Create({.workers = 1}).value()) {
    REQUIRE(EnsureFolder(folder / "data").ok());
  }
  std::vector<fs::path> WriteSeries(double tilt) {
    datasets::WriteSeries(folder / "data", datasets::AsymmetricGrid(tilt), false);
    std::vector<fs::path> files;
    const auto listed = ListFolder(folder / "data");
    REQUIRE(listed.ok());
    for (const FolderEntry& file : *listed) {
      files.push_back(file.path);
    }
    return files;
  }
};

// The brighter half of the input is the first structure, nothing the second.
learning::Prediction BrightHalf(const results::VolumeSubject& subject) {
  learning::Prediction prediction;
  for (const float value : subject.input) prediction.mask.push_back(value > 0.5f ? 1 : 0);
  return prediction;
}

TEST_CASE("an outline of the input lies on the series' own voxels, with its volume") {
  Site site;
  for (const bool enhanced : {false, true}) {
    INFO("enhanced " << enhanced);
    std::vector<fs::path> files;
    TemporaryFolder multi_frame;
    if (enhanced) {
      files = {multi_frame / "1.dcm"};
      datasets::WriteEnhanced(files[0], datasets::AsymmetricGrid(), {3, 0, 1, 4, 2},
                              {0, 0, 0, 0, 0});
    } else {
      files = site.WriteSeries(0);
    }
    const auto subject =
        results::ReadVolumeSubject(*site.pool, files, site.model.plan.preprocessing);
    INFO((subject.ok() ? std::string() : subject.refused().detail));
    REQUIRE(subject.ok());
    const learning::Prediction prediction = BrightHalf(*subject);
    const Digest instances = crypto::Sha256(std::string_view("instances"));
    auto made = ResultsOf(prediction, *subject, instances, site.model, /*picture=*/true);
    REQUIRE(made.ok());
    const auto inside = std::count(prediction.mask.begin(), prediction.mask.end(), 1);
    const double voxel_ml = 0.75 * 1.25 * 2.5 / 1000;
    REQUIRE(made->volumes_ml.size() == 2);
    CHECK(made->volumes_ml[0].second == Approx(static_cast<double>(inside) * voxel_ml));
    CHECK(made->volumes_ml[1].second == 0);
    CHECK(made->scores[0].second == Approx(static_cast<double>(inside) / (9 * 7 * 5)));
    CHECK(made->set.report.note.empty());  // all of it was seen
    const auto written =
        WriteResults(site.folder / (enhanced ? "multi-frame" : "out"), site.model.description,
                     std::move(made->set), site.clock.Now());
    INFO(written.status().message());
    REQUIRE(written.ok());
    CHECK(written->files == 3);
    const fs::path segmentation = written->folder / "segmentation.dcm";
    for (const char* name : {"report.dcm", "picture.dcm", "segmentation.dcm"}) {
      results::CheckWithDciodvfy(written->folder / name);
    }
    results::CheckWithPydicom({"outlined-series", segmentation.string(),
                               (written->folder / "report.dcm").string(),
                               files[0].parent_path().string()});
    if (enhanced) continue;
    results::CheckWithPydicom(
        {"brightest", segmentation.string(), (site.folder / "data").string()});
  }
}

TEST_CASE("where the input shows a part of the series, report and picture say so") {
  Site site;
  plan::Preprocessing narrow = site.model.plan.preprocessing;
  narrow.image_size = 8;  // of 9 columns and 7 rows
  const auto subject = results::ReadVolumeSubject(*site.pool, site.WriteSeries(0), narrow);
  REQUIRE(subject.ok());
  const auto made = ResultsOf(BrightHalf(*subject), *subject, Digest(), site.model, false);
  REQUIRE(made.ok());
  CHECK_THAT(made->set.report.note, ContainsText("The model saw 89 % of the series"));
  CHECK_FALSE(made->set.picture);
}

TEST_CASE("a series waits until it is at rest, and is scored once") {
  Site site;
  const std::vector<fs::path> files = site.WriteSeries(18);
  auto journal = PredictionJournal::Open(site.folder / "scored.db").value();
  const PredictionTools tools{site.model, *site.pool, journal, site.clock};
  PredictionOptions options{.out = site.folder / "out"};
  options.settle = std::chrono::seconds(30);
  PredictionReport report;
  NoProgress quiet;
  const auto give = [&](Prediction& to, std::span<const fs::path> some) {
    const absl::Status done = to.Run(some, &report, quiet);
    INFO(done.message());
    REQUIRE(done.ok());
  };
  const auto prediction = Prediction::Create(tools, options).value();
  give(*prediction, std::span(files).first(2));
  site.clock.Advance(std::chrono::seconds(20));
  give(*prediction, std::span(files).subspan(2));
  site.clock.Advance(std::chrono::seconds(20));
  give(*prediction, {});
  CHECK(report.waiting == 1);
  CHECK(report.scored.empty());
  site.clock.Advance(std::chrono::seconds(10));
  give(*prediction, {});
  CHECK(report.waiting == 0);
  REQUIRE(report.scored.size() == 1);
  CHECK(report.scored[0].files == files.size());
  CHECK(report.scored[0].scores.size() == 2);
  CHECK(report.refused.empty());
  CHECK(report.files == files.size());
  results::CheckWithPydicom(
      {"outlined-series", (report.scored[0].results / "segmentation.dcm").string(),
       (report.scored[0].results / "report.dcm").string(), (site.folder / "data").string()});
  give(*prediction, {});
  CHECK(report.scored.size() == 1);

  options.settle = {};
  const auto later = Prediction::Create(tools, options).value();
  give(*later, files);
  CHECK(report.scored.size() == 1);
  CHECK(report.before == 1);
}

TEST_CASE("a series with a gap is refused, and scored when the rest has come") {
  Site site;
  const std::vector<fs::path> files = site.WriteSeries(0);
  auto journal = PredictionJournal::Open(site.folder / "scored.db").value();
  const auto prediction = Prediction::Create({site.model, *site.pool, journal, site.clock},
                                             {.out = site.folder / "out", .picture = false})
                              .value();
  PredictionReport report;
  NoProgress quiet;
  std::vector<fs::path> some = files;
  some.erase(some.begin() + 2);
  REQUIRE(prediction->Run(some, &report, quiet).ok());
  CHECK(report.scored.empty());
  REQUIRE(report.refused.size() == 1);
  CHECK(report.refused.begin()->second == 4);
  REQUIRE(prediction->Run({&files[2], 1}, &report, quiet).ok());
  REQUIRE(report.scored.size() == 1);
  CHECK(report.results == 2);
  CHECK(report.refused.empty());
}

// Its standard output; its exit code must be 0.
std::string RunSite(const std::string& arguments) {
  const auto output = results::RunProgram(
      {"/bin/sh", "-c", StrCat(CONSILIUM_SITE, " ", arguments, " 2>/dev/null")});
  INFO(arguments << "\n" << output.text);
  CHECK(output.exit_code == 0);
  return output.text;
}

TEST_CASE("the program outlines phantoms' series, tilted ones too, and again nothing") {
  TemporaryFolder folder;
  const PublishedFiles files =
      Publish(folder.path(), kPlan, learning::InitialModel(Parsed()).value());
  auto hospital =
      datasets::synthetic::PhantomPreset(datasets::synthetic::PhantomKind::kCt, "south").value();
  NoProgress quiet;
  const auto drawn =
      datasets::synthetic::SynthesizePhantoms(hospital, 2, 7, folder / "data", 1, quiet);
  INFO(drawn.status().message());
  REQUIRE(drawn.ok());
  const std::string arguments =
      StrCat("predict --model ", files.model.string(), " --record ", files.record.string(),
             " --plan ", files.plan.string(), " --root ", files.root, " --threads 1 --data ",
             (folder / "data").string(), " --state ", (folder / "state").string(), " --out ",
             (folder / "out").string(), " --json");
  REQUIRE(EnsureFolder(folder / "state").ok());
  const json first = json::parse(RunSite(arguments));
  REQUIRE(first["images"].size() == 2);
  CHECK(first["results"] == 6);
  for (const json& series : first["images"]) {
    CHECK(series["files"].get<int>() > 4);
    CHECK(series["volumes_ml"].size() == 2);
    const fs::path out = series["results"].get<std::string>();
    for (const char* name : {"report.dcm", "picture.dcm", "segmentation.dcm"}) {
      results::CheckWithDciodvfy(out / name);
    }
    const fs::path source = folder / "data" / series["file"].get<std::string>();
    results::CheckWithPydicom({"outlined-series", (out / "segmentation.dcm").string(),
                               (out / "report.dcm").string(), source.parent_path().string()});
  }
  const json second = json::parse(RunSite(arguments));
  CHECK(second["before"] == 2);
  CHECK(second["images"].empty());
}

}  // namespace
}  // namespace consilium::site_agent
