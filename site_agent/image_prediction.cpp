#include "site_agent/image_prediction.h"

#include <utility>

#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "datasets/results/subject.h"
#include "datasets/transform.h"
#include "site_agent/fitting_images.h"
#include "site_agent/prediction_results.h"
#include "site_agent/result_files.h"

namespace consilium::site_agent {
namespace {

namespace results = datasets::results;

Digest InstanceDigest(const std::string& sop_instance_uid) {
  return crypto::Sha256(AsBytes(sop_instance_uid));
}

ResultSet SetOf(const results::Subject& subject, PredictionResults& made, const std::string& note,
                bool picture) {
  const auto shown = results::ReferenceTo(subject.source, subject.placement.frame);
  ResultSet set{.source = subject.source,
                .instances = std::nullopt,
                .report = {.findings = std::move(made.findings), .images = {shown}, .note = note},
                .segmentation = std::move(made.segmentation),
                .picture = std::nullopt,
                .pictured = {shown}};
  if (picture) set.picture = results::Draw(subject.backdrop, made.overlay, made.caption);
  return set;
}

}  // namespace

ImagePrediction::ImagePrediction(const PredictionTools& tools, PredictionOptions options,
                                 std::unique_ptr<learning::Predictor> predictor)
    : tools_(tools), options_(std::move(options)), predictor_(std::move(predictor)) {}

absl::Status ImagePrediction::Run(std::span<const fs::path> files, PredictionReport* report,
                                  Progress& progress) {
  const plan::Plan& plan = tools_.model.plan;
  if (plan.table.Inputs() > 0 && !files.empty()) {
    ASSIGN_OR_RETURN(PatientColumns columns, PatientColumns::Read(options_.data, plan));
    columns_.emplace(std::move(columns));
  }
  return ForEachFitting(
      files, plan, tools_.pool, report, progress,
      [&](const fs::path& file, const datasets::dicom::Header& header) -> absl::Status {
        ASSIGN_OR_RETURN(const bool before,
                         tools_.journal.Has(tools_.model.description.id,
                                            InstanceDigest(header.sop_instance_uid)));
        if (before && !options_.again) {
          ++report->before;
          return absl::OkStatus();
        }
        return Score(file, header.patient_id, report);
      });
}

absl::Status ImagePrediction::Score(const fs::path& file, const std::string& patient_id,
                                    PredictionReport* report) {
  const PublishedModel& model = tools_.model;
  auto subject = results::ReadSubject(tools_.pool, file, model.plan.preprocessing);
  if (!subject.ok()) {
    ++report->refused[subject.refused().reason];
    return absl::OkStatus();
  }
  if (model.plan.preprocessing.standardize) datasets::Standardize(subject->input);
  const bool all_known = !columns_ || columns_->Append(patient_id, subject->input);
  ASSIGN_OR_RETURN(const learning::Prediction prediction, predictor_->Predict(subject->input));
  PredictionResults made = ResultsOf(prediction, *subject, model, options_.activation);
  std::string note;
  if (!all_known) {
    note = "The table has no row of this patient: all of its columns were taken as missing.";
    made.caption.push_back(note);
  }
  const Time now = tools_.clock.Now();
  ASSIGN_OR_RETURN(const WrittenResults written,
                   WriteResults(options_.out, model.description,
                                SetOf(*subject, made, note, options_.picture), now));
  report->results += written.files;
  RETURN_IF_ERROR(tools_.journal.Add(model.description.id,
                                     InstanceDigest(subject->source.sop_instance_uid), now));
  report->scored.push_back({.file = file,
                            .scores = std::move(made.scores),
                            .present = made.present,
                            .results = written.folder});
  return absl::OkStatus();
}

}  // namespace consilium::site_agent
