#include "site_agent/row_prediction.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "datasets/audio/recording_data.h"
#include "datasets/tables/table_data.h"
#include "datasets/worker/sandboxed_reader.h"
#include "site_agent/learning/predictor.h"
#include "site_agent/patient_columns.h"

namespace consilium::site_agent {
namespace {

using datasets::tables::TableData;
using datasets::tables::Use;

std::vector<std::string> AnswersOf(const plan::Target& target) {
  switch (target.task) {
    case Task::kMulticlass:
    case Task::kMultilabel:
      return target.classes;
    case Task::kSurvival: {
      std::vector<std::string> names = {"risk"};
      for (const double end : target.intervals) {
        names.push_back(absl::StrFormat("survival_%g", end));
      }
      return names;
    }
    default:
      return {"probability"};
  }
}

std::vector<double> AnswersOf(const learning::Prediction& prediction, Task task) {
  switch (task) {
    case Task::kMulticlass:
    case Task::kMultilabel:
      return {prediction.probabilities.begin(), prediction.probabilities.end()};
    case Task::kSurvival: {
      std::vector<double> answers = {prediction.log_hazard};
      answers.insert(answers.end(), prediction.survival.begin(), prediction.survival.end());
      return answers;
    }
    default:
      return {prediction.score};
  }
}

class RowPrediction {
 public:
  RowPrediction(const PublishedModel& model, const fs::path& data,
                datasets::worker::WorkerPool& pool, learning::Predictor& predictor)
      : model_(model), data_(data), reader_(pool), predictor_(predictor) {
    made_.answers = site_agent::AnswersOf(model.plan.target);
  }

  absl::StatusOr<RowPredictions> Run(Progress& progress) {
    ASSIGN_OR_RETURN(const auto pseudonyms, EphemeralPseudonyms());
    const bool recordings = model_.plan.data.source == plan::Source::kAudio;
    ASSIGN_OR_RETURN(
        const TableData rows,
        recordings
            ? datasets::audio::ReadRows({data_, pseudonyms, reader_}, model_.plan, Use::kPrediction)
            : TableData::Read(data_, model_.plan, pseudonyms, Use::kPrediction));
    for (const auto& [reason, count] : rows.summary().refusals) {
      Refuse(datasets::tables::Name(reason), datasets::tables::Phrase(reason), count);
    }
    RETURN_IF_ERROR(recordings ? PredictRecordings(rows, progress) : PredictTable(rows, progress));
    return std::move(made_);
  }

 private:
  void Refuse(std::string_view reason, std::string_view words, std::uint64_t count) {
    made_.refused[std::string(reason)] += count;
    made_.why[std::string(reason)] = words;
  }

  absl::Status PredictTable(const TableData& rows, Progress& progress) {
    const auto examples = rows.AllExamples();
    std::vector<float> input(model_.plan.table.Inputs());
    for (std::size_t row = 0; row < examples->size(); ++row) {
      RETURN_IF_ERROR(Report(row, examples->size(), progress));
      examples->Get(row, input);
      RETURN_IF_ERROR(Add(rows.patients()[row], "", input));
    }
    return absl::OkStatus();
  }

  absl::Status PredictRecordings(const TableData& rows, Progress& progress) {
    for (std::size_t row = 0; row < rows.files().size(); ++row) {
      RETURN_IF_ERROR(Report(row, rows.files().size(), progress));
      const std::string& file = rows.files()[row];
      const auto recording = reader_.ReadRecording(data_ / file, model_.plan.audio);
      if (!recording.ok()) {
        const datasets::Refusal reason = recording.refused().reason;
        Refuse(datasets::Name(reason), datasets::Phrase(reason), 1);
        continue;
      }
      RETURN_IF_ERROR(Add(rows.patients()[row], file,
                          datasets::audio::MiddleOf(recording->spectrogram, model_.plan.audio)));
    }
    return absl::OkStatus();
  }

  static absl::Status Report(std::size_t row, std::size_t rows, Progress& progress) {
    if (progress.Cancelled()) return absl::CancelledError("interrupted");
    progress.Report("scoring", row + 1, rows);
    return absl::OkStatus();
  }

  absl::Status Add(const std::string& patient, const std::string& file,
                   std::span<const float> input) {
    ASSIGN_OR_RETURN(const learning::Prediction prediction, predictor_.Predict(input));
    PredictedRow row{patient, file, site_agent::AnswersOf(prediction, model_.plan.target.task), {}};
    if (model_.plan.target.task == Task::kBinary && model_.operating_point) {
      row.present = prediction.score >= model_.operating_point->threshold;
    }
    made_.rows.push_back(std::move(row));
    return absl::OkStatus();
  }

  const PublishedModel& model_;
  const fs::path& data_;
  datasets::SandboxedReader reader_;
  learning::Predictor& predictor_;
  RowPredictions made_;
};

// RFC 4180.
std::string Cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

void AppendRow(const std::vector<std::string>& cells, std::string* text) {
  for (std::size_t i = 0; i < cells.size(); ++i) {
    StrAppend(text, i == 0 ? "" : ",", Cell(cells[i]));
  }
  *text += "\n";
}

}  // namespace

absl::StatusOr<RowPredictions> PredictRows(const PublishedModel& model, const fs::path& data,
                                           datasets::worker::WorkerPool& pool, Progress& progress) {
  ASSIGN_OR_RETURN(const auto predictor, learning::Predictor::Create(model.state, model.plan));
  return RowPrediction(model, data, pool, *predictor).Run(progress);
}

absl::StatusOr<fs::path> WriteCsv(const fs::path& out, const PublishedModel& model,
                                  const RowPredictions& predictions) {
  const bool files = model.plan.data.source == plan::Source::kAudio;
  const bool judged = model.plan.target.task == Task::kBinary && model.operating_point;
  std::vector<std::string> cells = {"patient_id"};
  if (files) cells.emplace_back("file");
  cells.insert(cells.end(), predictions.answers.begin(), predictions.answers.end());
  if (judged) cells.insert(cells.end(), {"present", "threshold"});
  std::string text;
  AppendRow(cells, &text);
  for (const PredictedRow& row : predictions.rows) {
    cells = {row.patient};
    if (files) cells.push_back(row.file);
    for (const double answer : row.answers) cells.push_back(absl::StrFormat("%.9g", answer));
    if (judged) {
      cells.emplace_back(*row.present ? "1" : "0");
      cells.push_back(absl::StrFormat("%.9g", model.operating_point->threshold));
    }
    AppendRow(cells, &text);
  }
  RETURN_IF_ERROR(EnsureFolder(out));
  const fs::path file = out / kPredictionsFile;
  RETURN_IF_ERROR(WriteFileDurably(file, text));
  return file;
}

}  // namespace consilium::site_agent
