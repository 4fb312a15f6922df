#pragma once

// A published model on rows: a table (NAME.csv) or recordings (recordings.csv), in the form that
// training reads, without the columns of the target.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/progress.h"
#include "datasets/worker/worker_pool.h"
#include "site_agent/published_model.h"

namespace consilium::site_agent {

inline constexpr char kPredictionsFile[] = "predictions.csv";

struct PredictedRow {
  std::string patient;          // patient_id as the row has it
  std::string file;             // of recordings, as the row has it
  std::vector<double> answers;  // one a name of RowPredictions::answers
  std::optional<bool> present;  // binary, where the record establishes a threshold
};

struct RowPredictions {
  // binary: "probability"; multiclass and multilabel: a probability a class or label, by its name;
  // survival: "risk" (a logarithm: relative, larger is worse) and, with intervals, "survival_365":
  // the chance to live beyond day 365.
  std::vector<std::string> answers;
  std::vector<PredictedRow> rows;                // in the order of the file
  std::map<std::string, std::uint64_t> refused;  // rows and files, by the reason's name
  std::map<std::string, std::string> why;        // those reasons in words
};

// `data`: the folder of the table or of recordings.csv, and of the files that it names, which are
// read in workers. kInvalidArgument when the model does not fit its plan's network; errors as
// tables::TableData::Read; kCancelled.
absl::StatusOr<RowPredictions> PredictRows(const PublishedModel& model, const fs::path& data,
                                           datasets::worker::WorkerPool& pool, Progress& progress);

// OUT/predictions.csv: patient_id, of recordings file, the answers, and where there is a threshold
// "present" (1 or 0) and "threshold". Numbers that read back as they are. Whole or not there; mode
// 0600, for it names patients. The path that was written.
absl::StatusOr<fs::path> WriteCsv(const fs::path& out, const PublishedModel& model,
                                  const RowPredictions& predictions);

}  // namespace consilium::site_agent
