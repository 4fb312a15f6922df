// A series as a plan of volumes sees it, slices side by side.

#include <CLI/CLI.hpp>
#include <algorithm>

#include "datasets/explain/command.h"
#include "datasets/explain/volume_explanation.h"
#include "datasets/worker/worker_pool.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/datasets/volumes_files.h"

namespace consilium::datasets::explain {
namespace {

constexpr char kPlan[] = R"([plan]
name = "liver"
[model]
architecture = "unet3d"
[target]
task = "segmentation"
name = "liver"
classes = ["segment 1"]
[data]
modalities = ["CT"]
[preprocessing]
image_size = 16
slices = 8
[training]
batch_size = 2
)";

plan::Plan Parsed() {
  const auto plan = plan::ParsePlan(kPlan);
  INFO(plan.status().message());
  REQUIRE(plan.ok());
  return *plan;
}

struct Site {
  TemporaryFolder folder;
  std::unique_ptr<worker::WorkerPool> pool = worker::WorkerPool::Create({.workers = 1}).value();
  const volumes::Grid grid = AsymmetricGrid();

  Site() {
    REQUIRE(EnsureFolder(folder / "series").ok());
    WriteSeries(folder / "series", grid, false);
  }
  // One voxel: column 3, row 2 of slice 3.
  fs::path WriteMask() const {
    SegFrame frame{
        .slice = 3, .segment = 1, .pixels = std::vector<std::uint8_t>(grid.PlaneCount())};
    frame.pixels[2 * grid.size[0] + 3] = 1;
    fs::path path = folder / "mask.dcm";
    WriteSegmentation(path, grid, "BINARY", {frame}, 1);
    return path;
  }
};

TEST_CASE("A series is shown on its own voxels and as the network's input") {
  const Site site;
  const auto series = FindSeries(*site.pool, site.folder / "series", Parsed());
  INFO(series.status().message());
  REQUIRE(series.ok());
  CHECK(series->files.size() == 5);
  const auto made = ExplainVolume(*site.pool, series->files, {}, Parsed());
  REQUIRE(made.explanation.steps.size() == 2);
  CHECK_FALSE(made.explanation.refused);
  CHECK(made.structures.empty());
  const Step& own = made.explanation.steps[0];
  CHECK_THAT(own.what, ContainsText("5 slices of 9 x 7 voxels of 0.75 x 1.25 x 2.5 mm"));
  CHECK_THAT(own.what, ContainsText("shown: 2 3 4"));  // the middle
  CHECK((own.columns == 2 * 9 && own.rows == 2 * 7));
  CHECK((own.least == 0 && own.most == 1));
  const Step& input = made.explanation.steps[1];
  CHECK_THAT(input.what, ContainsText("8 slices of 16 x 16 voxels"));
  CHECK((input.columns == 2 * 16 && input.rows == 2 * 16));
  CHECK(input.mean < own.mean);  // black around it
}

TEST_CASE("Outlines lie on the slices that are shown") {
  const Site site;
  const auto series = FindSeries(*site.pool, site.folder / "series", Parsed()).value();
  const fs::path mask = site.WriteMask();
  const auto made = ExplainVolume(*site.pool, series.files, {&mask, 1}, Parsed());
  INFO((made.explanation.refused ? made.explanation.refused->detail : ""));
  REQUIRE(made.explanation.steps.size() == 2);
  const Step& input = made.explanation.steps[1];
  REQUIRE(input.columns == 16);  // one slice has a structure
  REQUIRE(made.structures.size() == 16 * 16);
  CHECK(std::count(made.structures.begin(), made.structures.end(), 1) == 1);
  // 9 columns and 7 rows lie about the middle of 16.
  const auto at = std::find(made.structures.begin(), made.structures.end(), 1);
  const auto place = at - made.structures.begin();
  CHECK((place % 16 - 3 == 3 || place % 16 - 4 == 3));
  CHECK((place / 16 - 4 == 2 || place / 16 - 5 == 2));
}

TEST_CASE("The command explains a folder by a plan of volumes, and says what else it needs") {
  const Site site;
  REQUIRE(WriteFileDurably(site.folder / "plan.toml", std::string_view(kPlan)).ok());
  const auto run = [&](std::vector<std::string> arguments) {
    CLI::App app;
    Command command;
    command.AddTo(app);
    arguments.insert(arguments.begin(), "explain");
    std::reverse(arguments.begin(), arguments.end());
    app.parse(arguments);
    return command.Run();
  };
  const std::string series = (site.folder / "series").string();
  const std::string plan = (site.folder / "plan.toml").string();
  const fs::path out = site.folder / "steps.png";
  const absl::Status done =
      run({series, "--plan", plan, "--mask", site.WriteMask().string(), "--out", out.string()});
  INFO(done.message());
  CHECK(done.ok());
  CHECK(FileSize(out).value() > 1000);
  CHECK_THAT(std::string(run({series}).message()), ContainsText("give --plan"));
  REQUIRE(Remove(site.folder / "series/3.dcm").ok());
  const absl::Status gap = run({series, "--plan", plan});
  CHECK(absl::IsPermissionDenied(gap));
}

}  // namespace
}  // namespace consilium::datasets::explain
