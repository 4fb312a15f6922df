// A whole study, as a user starts it, on drawn hospitals.

#include "experiments/process.h"
#include "experiments/study_results.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/experiments/heart_files.h"
#include "tests/experiments/real_processes.h"

namespace consilium::experiments {
namespace {

using std::chrono::minutes;

ExitState RunStudyProgram(const TemporaryFolder& folder, const std::vector<std::string>& options) {
  Command command{
      .program = Programs() / "consilium-experiment",
      .arguments = {"study", "heart-disease", "--data", folder / "data", "--out", folder / "out"}};
  command.arguments.insert(command.arguments.end(), options.begin(), options.end());
  command.output = folder / "stdout";
  command.errors = folder / "stderr";
  const auto state = Run(command, minutes(5));
  RequireOk(state.status());
  return *state;
}

TEST_CASE("A study federates, trains alone and pooled, tests all at all sites, and goes on") {
  const TemporaryFolder folder;
  WriteHeartFiles(folder / "data");
  WriteHeartFile(folder / "data" / "processed.unseen.data", 40, 8);
  const std::vector<std::string> options = {"--seeds",    "1",      "--rounds",   "2",
                                            "--held-out", "unseen", "--personal", "ditto"};
  const ExitState state = RunStudyProgram(folder, options);
  INFO(Tail(folder / "stderr", 30) << Tail(folder / "stdout", 30));
  REQUIRE(state.code == 0);

  const auto text = ReadTextFile(folder / "out" / "seed-1" / "results.json");
  RequireOk(text.status());
  const auto seed = StudySeedFromJson(*text);
  RequireOk(seed.status());
  CHECK(seed->rounds == 2);
  REQUIRE(seed->models.size() == 6);
  CHECK(seed->models.front().kind == ModelKind::kFederated);
  CHECK(seed->models.back().kind == ModelKind::kPooled);
  // Each site's own model is tested on its own patients, of which the unseen site has none.
  const StudyModel& personal = seed->models[1];
  REQUIRE(personal.kind == ModelKind::kPersonal);
  CHECK(personal.by_site.size() == 3);
  CHECK(personal.by_site.at("south").Count() == 21);
  for (const StudyModel& model : seed->models) {
    if (model.kind == ModelKind::kPersonal) continue;
    REQUIRE(model.by_site.size() == 4);
    CHECK(model.by_site.at("north").Count() == 21);
    CHECK(model.by_site.at("unseen").Count() == 39);
  }
  // Disease is drawn to be told apart easily.
  const StudyResults results{.study = "heart-disease",
                             .plan_toml = "",
                             .command = "",
                             .program_version = "",
                             .seeds = {*seed}};
  CHECK(*AllTogether(results, ModelKind::kFederated, "", Figure::kHeadline).mean > 0.9);

  const std::string page = *ReadTextFile(folder / "out" / "results.md");
  CHECK_THAT(page, ContainsText("unseen (did not train)"));
  CHECK_THAT(page, ContainsText("only north"));
  CHECK_THAT(page, ContainsText("federated, own model of each site"));
  CHECK(Exists(folder / "out" / "results.html"));
  CHECK_THAT(Tail(folder / "stdout", 60), ContainsText("mean accuracy over the sites"));

  // Again: nothing is trained twice.
  const auto before = fs::last_write_time(folder / "out" / "seed-1" / "results.json");
  CHECK(RunStudyProgram(folder, options).code == 0);
  CHECK(fs::last_write_time(folder / "out" / "seed-1" / "results.json") == before);
  CHECK(RunStudyProgram(folder, {"--seeds", "1", "--rounds", "3"}).code != 0);
  CHECK_THAT(Tail(folder / "stderr", 5), ContainsText("holds another study"));
}

}  // namespace
}  // namespace consilium::experiments
