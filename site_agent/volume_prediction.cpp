#include "site_agent/volume_prediction.h"

#include <algorithm>
#include <utility>

#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "datasets/results/volume_subject.h"
#include "datasets/transform.h"
#include "site_agent/fitting_images.h"
#include "site_agent/volume_results.h"

namespace consilium::site_agent {
namespace {

namespace results = datasets::results;

// Which instances a series has, whatever their files are called.
Digest DigestOf(const std::map<std::string, fs::path>& by_instance) {
  std::string all;
  for (const auto& [uid, file] : by_instance) StrAppend(&all, uid, "\n");
  return crypto::Sha256(AsBytes(all));
}

// In the order of their paths.
std::vector<fs::path> PathsOf(const std::map<std::string, fs::path>& by_instance) {
  std::vector<fs::path> paths;
  for (const auto& [uid, file] : by_instance) paths.push_back(file);
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace

VolumePrediction::VolumePrediction(const PredictionTools& tools, PredictionOptions options,
                                   std::unique_ptr<learning::Predictor> predictor)
    : tools_(tools), options_(std::move(options)), predictor_(std::move(predictor)) {}

void VolumePrediction::Add(const fs::path& file, const datasets::dicom::Header& header,
                           PredictionReport* report) {
  Files& series =
      series_[{header.patient_id, header.study_instance_uid, header.series_instance_uid}];
  const auto [known, is_new] = series.by_instance.emplace(header.sop_instance_uid, file);
  if (!is_new && known->second != file) {
    ++report->refused[datasets::Refusal::kDuplicateInstance];
    return;
  }
  series.grew = tools_.clock.Now();
  series.is_new = true;
}

absl::Status VolumePrediction::Run(std::span<const fs::path> files, PredictionReport* report,
                                   Progress& progress) {
  RETURN_IF_ERROR(ForEachFitting(files, tools_.model.plan, tools_.pool, report, progress,
                                 [&](const fs::path& file, const datasets::dicom::Header& header) {
                                   Add(file, header, report);
                                   return absl::OkStatus();
                                 }));
  report->waiting = 0;
  std::uint64_t done = 0;
  for (auto& [key, series] : series_) {
    progress.Report("scoring series", ++done, series_.size());
    if (!series.is_new) continue;
    if (progress.Cancelled()) return absl::CancelledError("interrupted");
    if (tools_.clock.Now() - series.grew < options_.settle) {
      ++report->waiting;
      continue;
    }
    RETURN_IF_ERROR(Score(series, report));
    series.is_new = false;
  }
  return absl::OkStatus();
}

void VolumePrediction::Refuse(Files& series, datasets::Refusal reason, PredictionReport* report) {
  series.refused = reason;
  series.refused_files = series.by_instance.size();
  report->refused[reason] += series.refused_files;
}

absl::Status VolumePrediction::Score(Files& series, PredictionReport* report) {
  if (series.refused) {  // then it had fewer files
    std::uint64_t& count = report->refused[*series.refused];
    count -= series.refused_files;
    if (count == 0) report->refused.erase(*series.refused);
    series.refused.reset();
  }
  const PublishedModel& model = tools_.model;
  const Digest instances = DigestOf(series.by_instance);
  ASSIGN_OR_RETURN(const bool before, tools_.journal.Has(model.description.id, instances));
  if (before && !options_.again) {
    ++report->before;
    return absl::OkStatus();
  }
  const std::vector<fs::path> files = PathsOf(series.by_instance);
  auto subject = results::ReadVolumeSubject(tools_.pool, files, model.plan.preprocessing);
  if (!subject.ok()) {
    Refuse(series, subject.refused().reason, report);
    return absl::OkStatus();
  }
  if (model.plan.preprocessing.standardize) datasets::Standardize(subject->input);
  ASSIGN_OR_RETURN(const learning::Prediction prediction, predictor_->Predict(subject->input));
  auto made = ResultsOf(prediction, *subject, instances, model, options_.picture);
  if (!made.ok()) {
    Refuse(series, made.refused().reason, report);
    return absl::OkStatus();
  }
  const Time now = tools_.clock.Now();
  ASSIGN_OR_RETURN(const WrittenResults written,
                   WriteResults(options_.out, model.description, std::move(made->set), now));
  report->results += written.files;
  RETURN_IF_ERROR(tools_.journal.Add(model.description.id, instances, now));
  report->scored.push_back({.file = files.front(),
                            .files = files.size(),
                            .scores = std::move(made->scores),
                            .volumes_ml = std::move(made->volumes_ml),
                            .results = written.folder});
  return absl::OkStatus();
}

}  // namespace consilium::site_agent
