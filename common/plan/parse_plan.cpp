#include "common/base/status.h"
#include "common/plan/plan.h"
#include "common/plan/readers.h"

namespace consilium::plan {
namespace {

const std::vector<std::string> kTables = {"plan",
                                          "model",
                                          "target",
                                          "data",
                                          "table",
                                          "audio",
                                          "deidentification",
                                          "preprocessing",
                                          "training",
                                          "aggregation",
                                          "personalisation",
                                          "secure_aggregation",
                                          "cohort",
                                          "evaluation",
                                          "gate",
                                          "stop",
                                          "describe"};

// A plan that describes has no word for training.
void ReadDescribing(const Document& document, Faults& faults, Plan& plan) {
  document.RefuseTablesBut({"plan", "describe", "target", "cohort", "secure_aggregation"},
                           "a plan with [describe] trains nothing", faults);
  ReadDescribe(document.Table("describe", faults), plan.describe.emplace());
  if (document.Has("target")) ReadDescribedTarget(document.Table("target", faults), plan.target);
  ReadCohort(document.Table("cohort", faults), plan.aggregation, plan.cohort);
  ReadSecureAggregation(document.Table("secure_aggregation", faults), plan.aggregation, plan.cohort,
                        plan.secure_aggregation);
  plan.aggregation.weight = WeightRule::kEqual;
  plan.gate.minimum_sites = plan.cohort.minimum_sites;
  plan.stop.rounds = 1;
}

// Images with each patient's row of a table.
void ReadTableOfImages(const Document& document, const Subject& subject, Faults& faults,
                       Plan& plan) {
  const Task task = plan.target.task;
  if (subject.task && task != Task::kBinary && task != Task::kMulticlass &&
      task != Task::kMultilabel) {
    document.RefuseTable("table",
                         StrCat("beside images it serves the tasks \"binary\", \"multiclass\" and "
                                "\"multilabel\", and target.task is \"",
                                Name(task), "\""),
                         faults);
  } else if (plan.model.architecture == Architecture::kTorchScript) {
    document.RefuseTable("table",
                         "a module takes one tensor: images and columns together need a built-in "
                         "classifier",
                         faults);
  } else {
    ReadTable(document.Table("table", faults), plan.target, plan.table);
  }
}

// What the input is made of: images, a table, both, or recordings.
void ReadInput(const Document& document, const Subject& subject, Faults& faults, Plan& plan) {
  const std::string other = StrCat("data.source is \"", Name(plan.data.source), "\"");
  if (plan.data.source == Source::kTable) {
    ReadTable(document.Table("table", faults), plan.target, plan.table);
  } else if (subject.source == Source::kDicom && document.Has("table")) {
    ReadTableOfImages(document, subject, faults, plan);
  } else if (subject.source) {
    document.RefuseTable("table", other, faults);
  }
  if (plan.data.source == Source::kAudio) {
    ReadAudio(document.Table("audio", faults), plan.model, plan.audio);
  } else if (subject.source) {
    document.RefuseTable("audio", StrCat("it is of recordings, and ", other), faults);
  }
  if (plan.data.source == Source::kDicom) {
    ReadPreprocessing(document.Table("preprocessing", faults), plan.model, plan.preprocessing);
  } else {
    document.RefuseTable("preprocessing", StrCat("it is of images, and ", other), faults);
  }
}

void ReadTrainingPlan(const Document& document, Faults& faults, Plan& plan) {
  const auto table = [&](const char* name) { return document.Table(name, faults); };
  Subject subject;
  Section data = table("data");
  ReadSource(data, subject, plan.data);
  subject.table = subject.table || document.Has("table");
  ReadTarget(table("target"), subject, plan.target);
  ReadModel(table("model"), subject, plan.model);
  ReadData(std::move(data), subject, plan.data);
  ReadDeidentification(table("deidentification"), plan.data, plan.deidentification);
  ReadInput(document, subject, faults, plan);
  ReadTraining(table("training"), subject, plan.model, plan.preprocessing, plan.training);
  ReadAggregation(table("aggregation"), subject, plan.aggregation);
  ReadPersonalisation(table("personalisation"), plan.model, plan.personalisation);
  // A secure evaluation is one message of a MiB at most: a label's histograms are 66 kB of it, a
  // kind of finding's 74 kB.
  const std::size_t most_masked = plan.target.task == Task::kMultilabel  ? 15
                                  : plan.target.task == Task::kDetection ? 14
                                                                         : kMostClasses;
  if (plan.target.classes.size() > most_masked && plan.aggregation.updates == Updates::kMasked) {
    table("target").Refuse(
        "classes", StrCat("are ", plan.target.classes.size(), ", and a secure evaluation holds ",
                          most_masked, ": leave some out, or make two plans"));
  }
  ReadCohort(table("cohort"), plan.aggregation, plan.cohort);
  ReadSecureAggregation(table("secure_aggregation"), plan.aggregation, plan.cohort,
                        plan.secure_aggregation);
  ReadEvaluation(table("evaluation"), subject, plan.evaluation);
  ReadGate(table("gate"), subject, plan.cohort, plan.gate);
  ReadStop(table("stop"), subject, plan.stop);
}

}  // namespace

absl::StatusOr<Plan> ParsePlan(std::string_view toml) {
  ASSIGN_OR_RETURN(const Document document, Document::Parse(toml));
  Faults faults;
  Plan plan;
  document.RefuseUnknown(kTables, faults);
  ReadPlan(document.Table("plan", faults), plan);
  if (document.Has("describe")) {
    ReadDescribing(document, faults, plan);
  } else {
    ReadTrainingPlan(document, faults, plan);
  }
  RETURN_IF_ERROR(faults.ToStatus());
  return plan;
}

}  // namespace consilium::plan
