#pragma once

// Private to this folder: the reading of each table of a plan.

#include "common/plan/plan.h"
#include "common/plan/section.h"

namespace consilium::plan {

// What a plan is about, which decides what its other tables may say. Nothing where the plan's own
// word is no word: then nothing is said that follows from it.
struct Subject {
  std::optional<Task> task;
  std::optional<Source> source;
  bool table = false;  // inputs come from a table, alone or with images
};

void ReadPlan(Section s, Plan& plan);
void ReadDescribe(Section s, DescribeRun& describe);
// Needs the source: it is read first. Fills subject.task.
void ReadTarget(Section s, Subject& subject, Target& target);
// Of a plan that describes: the name of a column of 0 and 1.
void ReadDescribedTarget(Section s, Target& target);
// What data are asked for; fills subject.source, and subject.table of a table alone.
void ReadSource(Section& s, Subject& subject, Data& data);
void ReadData(Section s, const Subject& subject, Data& data);
void ReadTable(Section s, const Target& target, Table& table);
void ReadAudio(Section s, const Model& model, Audio& audio);
void ReadModel(Section s, const Subject& subject, Model& model);
// Part of ReadModel; needs the architecture.
void ReadFrozen(Section& s, Model& model);
void ReadPersonalisation(Section s, const Model& model, Personalisation& personalisation);
void ReadDeidentification(Section s, const Data& data, Deidentification& deidentification);
void ReadPreprocessing(Section s, const Model& model, Preprocessing& preprocessing);
void ReadTraining(Section s, const Subject& subject, const Model& model,
                  const Preprocessing& preprocessing, Training& training);
void ReadAggregation(Section s, const Subject& subject, Aggregation& aggregation);
void ReadSecureAggregation(Section s, const Aggregation& aggregation, const Cohort& cohort,
                           SecureAggregation& secure);
void ReadCohort(Section s, const Aggregation& aggregation, Cohort& cohort);
void ReadEvaluation(Section s, const Subject& subject, Evaluation& evaluation);
void ReadGate(Section s, const Subject& subject, const Cohort& cohort, Gate& gate);
void ReadStop(Section s, const Subject& subject, Stop& stop);

// Names of targets and classes, which stand in labels.csv, messages and reports.
bool IsColumnName(std::string_view text);
inline constexpr std::string_view kColumnNameRule =
    "1 to 63 ASCII characters without comma and quote, no blank at an end";

// Names of a table's inputs and their values, which are often long ("diagnosis: carcinoma, NOS").
bool IsInputName(std::string_view text);
inline constexpr std::string_view kInputNameRule =
    "1 to 127 ASCII characters without quote, no blank at an end";

}  // namespace consilium::plan
