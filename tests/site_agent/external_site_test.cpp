// A published model at a hospital that is no member of the federation: the program itself, with the
// model, its record, its plan, and the root key.

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "common/base/random.h"
#include "site_agent/learning/trainer.h"
#include "tests/catch.h"
#include "tests/common/plan/table_plans.h"
#include "tests/common/temporary_folder.h"
#include "tests/site_agent/published.h"

namespace consilium::site_agent {
namespace {

using nlohmann::json;

const std::string kPlan = plan::TablePlan(R"([[table.columns]]
name = "pressure"
minimum = -10
maximum = 10
[[table.columns]]
name = "ward"
kind = "category"
values = ["a", "b", "c"]
)");

// 150 patients, whose disease follows their pressure; three of them are in ward c.
void WriteTable(const fs::path& folder, std::uint64_t seed, double shift, int patients = 150) {
  SeededRandom random(seed, "patients");
  std::string table = "patient_id,pressure,ward,disease\n";
  for (int i = 0; i < patients; ++i) {
    const double pressure = random.Normal() + shift;
    StrAppend(&table, "S", seed, "P", i, ",", pressure, ",",
              i < 3        ? "c"
              : i % 2 == 0 ? "a"
                           : "b",
              ",", pressure + 0.5 * random.Normal() > shift ? 1 : 0, "\n");
  }
  REQUIRE(EnsureFolder(folder).ok());
  REQUIRE(WriteFileDurably(folder / "heart.csv", table).ok());
}

// Its standard output; its exit code must be the expected one.
std::string Run(const std::string& arguments, int expected = 0) {
  const std::string command = StrCat(CONSILIUM_SITE, " ", arguments, " 2>/dev/null");
  std::FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string output;
  char buffer[4096];
  while (const std::size_t read = std::fread(buffer, 1, sizeof buffer, pipe)) {
    output.append(buffer, read);
  }
  INFO(command << "\n" << output);
  CHECK(WEXITSTATUS(pclose(pipe)) == expected);
  return output;
}

TEST_CASE("a hospital that is no member validates a published model, and watches for drift") {
  TemporaryFolder folder;
  const plan::Plan plan = plan::ParsePlan(kPlan).value();
  const ModelState initial = learning::InitialModel(plan).value();
  // Mean 0, deviation 1; the weights of pressure and three wards; the bias.
  const auto model = ModelState::Create(initial.layout(), {0, 1, 2, 0, 0, 0, 0});
  INFO(model.status().message());
  REQUIRE(model.ok());
  const PublishedFiles files = Publish(folder.path(), kPlan, *model);
  WriteTable(folder / "data", 1, 0);
  const std::string state = (folder / "lakeside").string(), data = (folder / "data").string();
  const auto common = [&](const std::string& root) {
    return StrCat(files.model.string(), " --record ", files.record.string(), " --plan ",
                  files.plan.string(), " --root ", root, " --threads 1 --data ", data, " --state ",
                  state);
  };

  const json result =
      json::parse(Run(StrCat("evaluate ", common(files.root), " --by ward --json")));
  CHECK(result["split"] == "all");
  CHECK(result["published"]["federation"] == "five-hospitals");
  CHECK(result["published"]["trained_here"] == false);
  CHECK(result["metrics"]["patients"] == 150);
  CHECK(result["metrics"]["auroc"].get<double>() > 0.9);
  CHECK(result["groups"].size() == 3);
  int shown = 0;
  for (const json& group : result["groups"]) {
    const bool suppressed = group["metrics"].value("suppressed", false);
    if (group["value"] == "c") CHECK(suppressed);
    shown += !suppressed;
  }
  CHECK(shown == 1);  // one more is hidden, for ward c is the whole less the two others

  CHECK_THAT(Run(StrCat("evaluate ", common(files.root), " --against ", files.model.string(),
                        " --against-record ", files.record.string(), " --against-plan ",
                        files.plan.string())),
             ContainsText("difference +0.0000"));
  Run(StrCat("evaluate ", common(std::string(64, 'a'))), 4);  // another federation's root key
  Run(StrCat("evaluate ", common(files.root), " --by shoe-size"), 2);

  // Later the same patients, and others whose pressure is higher.
  WriteTable(folder / "data", 2, 1.5);
  const json drift = json::parse(Run(StrCat("drift ", common(files.root), " --json")));
  CHECK(drift["baseline_patients"] == 150);
  CHECK(drift["new_patients"] == 150);
  CHECK(drift["due"] == true);
  CHECK(drift["features"][0]["name"] == "pressure");
  CHECK(drift["features"][0]["shifted"] == true);
}

}  // namespace
}  // namespace consilium::site_agent
