// A patient followed through a real archive, as one starts it.

#include <nlohmann/json.hpp>

#include "datasets/targets/report.h"
#include "experiments/orthanc.h"
#include "experiments/process.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/experiments/real_processes.h"
#include "tests/results/judges.h"

namespace consilium::experiments {
namespace {

TEST_CASE("three scans go through the archive, are followed, and the report is listed there") {
  if (!Orthanc::Installed()) {
    WARN("skipped: Debian's packages orthanc and orthanc-dicomweb are not installed");
    return;
  }
  const TemporaryFolder folder;
  const Command session{.program = Programs() / "consilium-experiment",
                        .arguments = {"follow-up", "--out", (folder / "out").string()},
                        .output = folder / "stdout",
                        .errors = folder / "stderr"};
  const auto state = Run(session, std::chrono::minutes(8));
  RequireOk(state.status());
  INFO(Tail(folder / "stderr", 30) << Tail(folder / "stdout", 30));
  REQUIRE(state->code == 0);  // what was found was compared with what was drawn
  const auto followed = nlohmann::json::parse(ReadTextFile(folder / "out/follow-up.json").value());
  const auto& patient = followed["patients"][0];
  REQUIRE(patient["time_points"].size() == 3);
  CHECK(patient["time_points"][1]["response"] == "PR");
  CHECK(patient["time_points"][2]["response"] == "PD");
  CHECK(patient["lesions"].size() == 5);
  // Nothing that is shown names the patient; the report, which goes to the archive, does.
  const std::string page = ReadTextFile(folder / "out/follow-up.html").value();
  const std::string said = ReadTextFile(folder / "stdout").value();
  CHECK(page.find("followed-1") == std::string::npos);
  CHECK(said.find("followed-1") == std::string::npos);
  CHECK_THAT(said, ContainsText("SR        For research use only: lesion follow-up"));
  const fs::path report = fs::path(patient["results"].get<std::string>()) / "report.dcm";
  datasets::results::CheckWithDciodvfy(report);
  const auto read = datasets::targets::ReadReport(report);
  REQUIRE(read.ok());
  CHECK(read->groups.size() == 14);
}

}  // namespace
}  // namespace consilium::experiments
