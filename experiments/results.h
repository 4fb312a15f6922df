#pragma once

// What an experiment found, as stored in OUT/results.json and shown by the report: the run's
// events, the test results of every model on every site's test set, how long each part took, and
// what was published.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/metrics/task_sums.h"
#include "common/wire/protocol.h"
#include "experiments/model_kind.h"

namespace consilium::experiments {

// What one test set shows of a model.
struct TestFigures {
  Task task = Task::kBinary;
  double headline = 0;  // HeadlineName(task)
  metrics::Interval headline_95;
  std::uint64_t patients = 0;
  std::optional<metrics::BinaryMetrics> binary;  // of a binary task all else
  std::map<std::string, double> values;          // of another task: TaskMetrics::Values
};
TestFigures FiguresOf(const metrics::TaskMetrics& metrics);

// A model's result on one test set. No value: the set is too small to show
// (metrics::LargeEnoughToShow), so that nothing is shown for it alone; it still counts in the
// pooled result.
using TestResult = std::optional<TestFigures>;

struct TestedModel {
  ModelKind kind = ModelKind::kFederated;
  std::string site;                           // kLocal: which site trained it
  std::map<std::string, TestResult> by_site;  // on each site's test set
  TestResult pooled;                          // on all test sets together

  std::string Name() const { return TitleOf(kind, site); }
};

struct Part {  // of the experiment's time
  std::string name;
  double seconds = 0;
};

// A preprocessed image as the network sees it.
struct ExampleImage {
  std::string site;
  int target = 0;
  std::string png_base64;
};

struct SiteInfo {
  std::string name;
  std::string description;  // "phantom: 240 patients", or the data folder's name
  std::uint64_t train_patients = 0, train_examples = 0, refused_files = 0;
};

struct Results {
  std::string title;
  Time created{};
  std::string program_version;
  std::string plan_name, plan_toml, plan_description;
  std::string target;  // what is classified
  std::uint64_t baseline_epochs =
      0;  // that each local-only and the pooled-data model were trained for
  std::string run;
  std::vector<wire::RunEvent> events;
  std::vector<SiteInfo> sites;
  std::vector<TestedModel>
      models;  // the federated one first; then local ones in the order of sites; then pooled
  std::vector<Part> parts;
  std::uint32_t resumed = 0;  // times: the parts' times lack what was cut off
  std::vector<ExampleImage> examples;
  std::string examples_note;  // why there are none
  bool published = false;
  std::string model_id;                    // hex; of the federated model that was tested
  std::string model_path, verify_command;  // empty when nothing was published
  bool verified = false;                   // the command was run, and said yes
};

// What the models were asked.
Task TaskOf(const Results& results);

std::string ToJson(const Results& results);
// kInvalidArgument saying what is missing or of the wrong kind.
absl::StatusOr<Results> ResultsFromJson(std::string_view json);

// One event as `consilium run show --json` prints it, in nlohmann's text form.
absl::StatusOr<std::vector<wire::RunEvent>> EventsFromJson(std::string_view json_array);
// Those of a run, of all that `consilium run show --json` prints. kInternal: it prints no events.
absl::StatusOr<std::vector<wire::RunEvent>> EventsOfRun(std::string_view shown);

}  // namespace consilium::experiments
