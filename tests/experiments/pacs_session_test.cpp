// The whole session against a real archive, as one starts it.

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

using datasets::results::CheckWithDciodvfy;

TEST_CASE("studies go through the archive, a federation, a published model and back") {
  if (!Orthanc::Installed()) {
    WARN("skipped: Debian's packages orthanc and orthanc-dicomweb are not installed");
    return;
  }
  const TemporaryFolder folder;
  const Command session{
      .program = Programs() / "consilium-experiment",
      .arguments = {"pacs-session", "--small", "--patients", "48", "--new-patients", "3",
                    "--rounds", "2", "--out", (folder / "out").string()},
      .output = folder / "stdout",
      .errors = folder / "stderr"};
  const auto state = Run(session, std::chrono::minutes(8));
  RequireOk(state.status());
  INFO(Tail(folder / "stderr", 30) << Tail(folder / "stdout", 30));
  REQUIRE(state->code == 0);  // what the archive holds was counted
  const auto predictions =
      nlohmann::json::parse(ReadTextFile(folder / "out/predictions.json").value());
  CHECK(predictions["scored"].get<int>() >= 3);
  CHECK(predictions["refused"]["unwanted-modality"].get<int>() >= 2);  // the mammograms
  CHECK(predictions["sent"]["sent"] == 3 * predictions["scored"].get<int>());
  CHECK(predictions["operating_point"].is_null() !=
        predictions["images"][0]["present"].is_boolean());
  for (const auto& image : predictions["images"]) {
    const fs::path results = image["results"].get<std::string>();
    for (const char* name : {"report.dcm", "activation.dcm", "picture.dcm"}) {
      CheckWithDciodvfy(results / name);
    }
    const auto report = datasets::targets::ReadReport(results / "report.dcm");
    REQUIRE(report.ok());
    CHECK(report->groups.at(0).measurements.at(0).value == Approx(image["score"].get<double>()));
  }
  const std::string said = ReadTextFile(folder / "stdout").value();
  CHECK_THAT(said, ContainsText("SEG       For research use only: class activation"));
  CHECK_THAT(said, ContainsText("SR        For research use only: opacity report"));
}

}  // namespace
}  // namespace consilium::experiments
