#include "site_agent/prediction.h"

#include <algorithm>
#include <utility>

#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "datasets/requirements.h"
#include "datasets/results/report_writer.h"
#include "datasets/results/secondary_capture_writer.h"
#include "datasets/results/segmentation_writer.h"
#include "datasets/transform.h"
#include "datasets/worker/sandboxed_reader.h"

namespace consilium::site_agent {
namespace {

using datasets::Refusal;
namespace results = datasets::results;

constexpr std::size_t kHeadersTogether = 256;
constexpr char kSegmentationStorage[] = "1.2.840.10008.5.1.4.1.1.66.4";

Digest InstanceDigest(const std::string& sop_instance_uid) {
  return crypto::Sha256(AsBytes(sop_instance_uid));
}

}  // namespace

Prediction::Prediction(const PublishedModel& model, datasets::worker::WorkerPool& pool,
                       PredictionJournal& journal, const Clock& clock, PredictionOptions options,
                       std::unique_ptr<learning::Predictor> predictor)
    : model_(model),
      pool_(pool),
      journal_(journal),
      clock_(clock),
      options_(std::move(options)),
      predictor_(std::move(predictor)) {}

absl::StatusOr<std::unique_ptr<Prediction>> Prediction::Create(const PublishedModel& model,
                                                               datasets::worker::WorkerPool& pool,
                                                               PredictionJournal& journal,
                                                               const Clock& clock,
                                                               PredictionOptions options) {
  RETURN_IF_ERROR(CheckPredictable(model.plan));
  ASSIGN_OR_RETURN(auto predictor, learning::Predictor::Create(model.state, model.plan));
  return std::unique_ptr<Prediction>(
      new Prediction(model, pool, journal, clock, std::move(options), std::move(predictor)));
}

absl::Status Prediction::Run(std::span<const fs::path> files, PredictionReport* report,
                             Progress& progress) {
  datasets::SandboxedReader reader(pool_);
  const std::size_t total = files.size();
  for (std::size_t first = 0; first < total; first += kHeadersTogether) {
    const auto batch = files.subspan(first, std::min(kHeadersTogether, total - first));
    const auto headers = reader.ReadHeaders(batch);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (progress.Cancelled()) return absl::CancelledError("interrupted");
      ++report->files;
      progress.Report("scoring", first + i + 1, total);
      if (!headers[i].ok()) {
        ++report->refused[headers[i].refused().reason];
        continue;
      }
      const datasets::dicom::Header& header = *headers[i];
      if (const auto unwanted =
              datasets::Unwanted(header, model_.plan.data, model_.plan.preprocessing)) {
        ++report->refused[unwanted->reason];
        continue;
      }
      ASSIGN_OR_RETURN(const bool before, journal_.Has(model_.description.id,
                                                       InstanceDigest(header.sop_instance_uid)));
      if (before && !options_.again) {
        ++report->before;
        continue;
      }
      RETURN_IF_ERROR(Score(batch[i], report));
    }
  }
  return absl::OkStatus();
}

absl::Status Prediction::Score(const fs::path& file, PredictionReport* report) {
  auto subject = results::ReadSubject(pool_, file, model_.plan.preprocessing);
  if (!subject.ok()) {
    ++report->refused[subject.refused().reason];
    return absl::OkStatus();
  }
  if (model_.plan.preprocessing.standardize) datasets::Standardize(subject->input);
  ASSIGN_OR_RETURN(const learning::Prediction prediction, predictor_->Predict(subject->input));
  PredictionResults results = ResultsOf(prediction, *subject, model_, options_.activation);
  ScoredImage scored{.file = file};
  RETURN_IF_ERROR(Write(*subject, results, &scored, &report->results));
  scored.scores = std::move(results.scores);
  scored.present = results.present;
  RETURN_IF_ERROR(journal_.Add(model_.description.id,
                               InstanceDigest(subject->source.sop_instance_uid), clock_.Now()));
  report->scored.push_back(std::move(scored));
  return absl::OkStatus();
}

absl::Status Prediction::Write(const results::Subject& subject, const PredictionResults& made,
                               ScoredImage* scored, std::uint64_t* written) {
  const results::ModelDescription& about = model_.description;
  const results::SourceImage& source = subject.source;
  const std::string name =
      crypto::Sha256(AsBytes(StrCat(about.id.Hex(), " ", source.sop_instance_uid))).Hex();
  scored->results = options_.out / name.substr(0, 2) / name;
  RETURN_IF_ERROR(EnsureFolder(scored->results));
  const Time now = clock_.Now();
  const auto shown = results::ReferenceTo(source, subject.placement.frame);
  results::NewReport report{.findings = made.findings, .images = {shown}};
  if (made.segmentation) {
    const auto seg = results::NameOf(results::ResultKind::kSegmentation, about.id, source);
    const bool binary = made.segmentation->kind == results::SegmentationKind::kBinary;
    RETURN_IF_ERROR(results::WriteSegmentation(
        scored->results / (binary ? "segmentation.dcm" : "activation.dcm"), source, about, seg,
        *made.segmentation, now));
    report.segmentation = results::FrameReference{kSegmentationStorage, seg.sop_instance_uid, 0};
    ++*written;
  }
  if (options_.picture) {
    RETURN_IF_ERROR(results::WriteSecondaryCapture(
        scored->results / "picture.dcm", source, about,
        results::NameOf(results::ResultKind::kPicture, about.id, source),
        results::Draw(subject.backdrop, made.overlay, made.caption), shown, now));
    ++*written;
  }
  RETURN_IF_ERROR(results::WriteReport(
      scored->results / "report.dcm", source, about,
      results::NameOf(results::ResultKind::kReport, about.id, source), report, now));
  ++*written;
  return absl::OkStatus();
}

}  // namespace consilium::site_agent
