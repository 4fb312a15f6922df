#include "site_agent/catalog_data.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "common/base/log.h"
#include "common/base/status.h"
#include "datasets/description/description.h"
#include "datasets/patient_split.h"
#include "datasets/requirements.h"

namespace consilium::site_agent {
namespace {

// Whether both plans see the same examples with the same inputs and targets.
bool SameExamples(const plan::Plan& a, const plan::Plan& b) {
  const auto of = [](const plan::Plan& p) {
    const plan::Target& t = p.target;
    const plan::Data& d = p.data;
    return std::tie(t.task, t.name, t.classes, t.time, t.event, d.source, d.modalities, d.views,
                    d.minimum_age, d.maximum_age, d.validation_fraction, d.test_fraction);
  };
  return of(a) == of(b) && a.table == b.table && a.audio == b.audio &&
         a.preprocessing == b.preprocessing;
}

std::string EmptyColumns(const plan::Plan& plan, const datasets::tables::TableSummary& summary) {
  std::string names;
  for (std::size_t i = 0; i < summary.columns.size(); ++i) {
    if (summary.columns[i].present > 0) continue;
    StrAppend(&names, names.empty() ? "" : ", ", plan.table.columns[i].name);
  }
  return names.empty() ? "none" : names;
}

}  // namespace

CatalogData::CatalogData(datasets::Catalog catalog, datasets::IndexReport report, Folder folder,
                         datasets::SiteDataOptions options)
    : catalog_(std::move(catalog)),
      report_(std::move(report)),
      folder_(std::move(folder)),
      options_(std::move(options)) {}

absl::StatusOr<std::unique_ptr<CatalogData>> CatalogData::Index(
    const fs::path& catalog_file, const fs::path& cache_folder, const fs::path& folder,
    const datasets::IndexOptions& options, std::shared_ptr<datasets::ImageReader> reader,
    Progress& progress) {
  using datasets::deidentification::Pseudonymiser;
  RETURN_IF_ERROR(EnsureFolder(catalog_file.parent_path()));
  ASSIGN_OR_RETURN(auto catalog, datasets::Catalog::Open(catalog_file));
  ASSIGN_OR_RETURN(auto report, catalog.Index(folder, options, *reader, progress));
  ASSIGN_OR_RETURN(const auto key, datasets::deidentification::LoadSiteKey(
                                       datasets::Catalog::KeyFile(catalog_file)));
  ASSIGN_OR_RETURN(auto pseudonyms, Pseudonymiser::Create(key));
  return std::unique_ptr<CatalogData>(
      new CatalogData(std::move(catalog), std::move(report), {folder, std::move(pseudonyms)},
                      {cache_folder, options.threads, std::move(reader)}));
}

absl::StatusOr<DataOffer> CatalogData::Count(const plan::Plan& plan) {
  if (check_) RETURN_IF_ERROR(check_(plan));
  const std::lock_guard lock(mutex_);
  switch (plan.data.source) {
    case plan::Source::kTable:
      return CountRows(plan);
    case plan::Source::kAudio:
      return CountRecordings(plan);
    case plan::Source::kDicom:
      break;
  }
  return CountImages(plan);
}

absl::StatusOr<DataOffer> CatalogData::CountImages(const plan::Plan& plan) {
  ASSIGN_OR_RETURN(const auto summary,
                   datasets::Summarise(catalog_, plan.target, plan.data, plan.preprocessing));
  if (!plan.table.columns.empty()) {  // refused here where there is none, or another
    RETURN_IF_ERROR(
        datasets::tables::TableData::Read(folder_.path, plan, folder_.pseudonyms).status());
  }
  DataOffer offer{summary.train};
  for (const auto& [reason, files] : summary.refusals) {
    offer.refused_files += files;
    offer.refusals[std::string(datasets::Name(reason))] += files;
  }
  return offer;
}

absl::StatusOr<DataOffer> CatalogData::CountRows(const plan::Plan& plan) {
  plan_.reset();  // the table may have changed since the last offer
  RETURN_IF_ERROR(OpenTable(plan));
  const datasets::tables::TableSummary& summary = table_->summary();
  DataOffer offer{summary.train};
  for (const auto& [reason, rows] : summary.refusals) {
    offer.refused_files += rows;
    offer.refusals[std::string(datasets::tables::Name(reason))] += rows;
  }
  Log(LogLevel::kInfo, "table_read",
      {{"table", plan.table.name},
       {"patients", summary.total.patients},
       {"rows", summary.total.examples},
       {"refused_rows", summary.RefusedRows()},
       {"columns_without_a_value", EmptyColumns(plan, summary)}});
  return offer;
}

datasets::audio::RecordingSource CatalogData::Recordings() const {
  return {folder_.path, folder_.pseudonyms, *options_.reader, options_.threads};
}

absl::StatusOr<DataOffer> CatalogData::CountRecordings(const plan::Plan& plan) {
  plan_.reset();  // as of a table
  ASSIGN_OR_RETURN(auto summary, datasets::audio::SurveyRecordings(Recordings(), plan));
  DataOffer offer{summary.train};
  for (const auto& [reason, files] : summary.refusals) offer.refused_files += files;
  offer.refusals = std::move(summary.refusals);
  return offer;
}

void CatalogData::Close() {
  data_.reset();
  table_.reset();
  recordings_.reset();
}

absl::Status CatalogData::OpenRecordings(const plan::Plan& plan, Progress& progress) {
  if (recordings_ && plan_ && SameExamples(*plan_, plan)) return absl::OkStatus();
  Close();
  ASSIGN_OR_RETURN(auto opened, datasets::audio::RecordingData::Open(Recordings(), plan, progress));
  std::uint64_t refused = 0;
  for (const auto& [reason, count] : opened.summary().refusals) refused += count;
  Log(LogLevel::kInfo, "recordings_read",
      {{"patients", opened.summary().total.patients},
       {"recordings", opened.summary().total.examples},
       {"refused", refused}});
  recordings_.emplace(std::move(opened));
  plan_ = plan;
  return absl::OkStatus();
}

absl::Status CatalogData::OpenTable(const plan::Plan& plan) {
  if (table_ && plan_ && SameExamples(*plan_, plan)) return absl::OkStatus();
  Close();
  ASSIGN_OR_RETURN(auto table,
                   datasets::tables::TableData::Read(folder_.path, plan, folder_.pseudonyms));
  table_.emplace(std::move(table));
  plan_ = plan;
  return absl::OkStatus();
}

absl::Status CatalogData::OpenImages(const plan::Plan& plan, Progress& progress) {
  if (data_ && plan_ && SameExamples(*plan_, plan)) return absl::OkStatus();
  Close();
  ASSIGN_OR_RETURN(auto opened, datasets::SiteData::Open(catalog_, plan.target, plan.data,
                                                         plan.preprocessing, options_, progress));
  if (!plan.table.columns.empty()) {
    ASSIGN_OR_RETURN(auto table,
                     datasets::tables::TableData::Read(folder_.path, plan, folder_.pseudonyms));
    table_.emplace(std::move(table));
  }
  data_.emplace(std::move(opened));
  plan_ = plan;
  return absl::OkStatus();
}

absl::StatusOr<metrics::Description> CatalogData::Describe(const plan::Plan& plan,
                                                           Progress& progress) {
  const std::lock_guard lock(mutex_);
  return datasets::description::Describe(catalog_, *options_.reader,
                                         {.target = plan.target.name, .threads = options_.threads},
                                         progress);
}

absl::StatusOr<std::shared_ptr<const datasets::Dataset>> CatalogData::Open(const plan::Plan& plan,
                                                                           datasets::Split split,
                                                                           Progress& progress) {
  const std::lock_guard lock(mutex_);
  if (plan.data.source == plan::Source::kTable) {
    RETURN_IF_ERROR(OpenTable(plan));
    return table_->Examples(split);
  }
  if (plan.data.source == plan::Source::kAudio) {
    RETURN_IF_ERROR(OpenRecordings(plan, progress));
    return recordings_->Examples(split);
  }
  RETURN_IF_ERROR(OpenImages(plan, progress));
  std::shared_ptr<const datasets::Dataset> images(data_->Examples(split));
  return table_ ? table_->Beside(std::move(images)) : images;
}

absl::StatusOr<std::vector<ExampleFacts>> CatalogData::Facts(const plan::Plan& plan,
                                                             datasets::Split split,
                                                             Progress& progress) {
  if (plan.data.source != plan::Source::kDicom) return LocalData::Facts(plan, split, progress);
  const std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(OpenImages(plan, progress));
  ASSIGN_OR_RETURN(const std::vector<datasets::ImageDescription> all, catalog_.Descriptions());
  std::map<std::int64_t, const datasets::ImageDescription*> by_image;
  for (const datasets::ImageDescription& image : all) by_image[image.id] = &image;
  std::vector<ExampleFacts> facts;
  for (const std::int64_t image : data_->ImagesOf(split)) {
    const auto found = by_image.find(image);
    if (found == by_image.end()) {
      return absl::InternalError("the catalog has lost an image since its split was opened");
    }
    const datasets::ImageDescription& is = *found->second;
    facts.push_back(
        {is.sex, is.age, is.manufacturer, is.view, image, is.modified_ns / 1'000'000'000});
  }
  return facts;
}

absl::Status CatalogData::SeeImages(const plan::Plan& plan, std::size_t a_patient,
                                    const SeeImage& see, Progress& progress) {
  using datasets::ImageDescription;
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(std::vector<ImageDescription> images, catalog_.Descriptions());
  std::erase_if(images, [&](const ImageDescription& image) {
    datasets::dicom::Header header;
    header.modality = image.modality;
    header.view_position = image.view;
    if (image.age) header.patient_age_years = *image.age;
    header.frames = image.frames;
    header.row_spacing_mm = image.row_spacing_mm;
    header.column_spacing_mm = image.column_spacing_mm;
    return datasets::Unwanted(header, plan.data, plan.preprocessing).has_value();
  });
  std::stable_sort(images.begin(), images.end(),
                   [](const ImageDescription& a, const ImageDescription& b) {
                     return a.modified_ns > b.modified_ns;
                   });
  std::map<std::string_view, std::size_t> seen;
  std::size_t done = 0;
  for (const ImageDescription& image : images) {
    if (progress.Cancelled()) return absl::CancelledError("interrupted while images were read");
    progress.Report("looking at images", ++done, images.size());
    if (++seen[image.patient] > a_patient) continue;
    const auto input = options_.reader->ReadInput(folder_.path / image.path, plan.preprocessing);
    if (!input.ok()) continue;
    const datasets::Split split =
        datasets::SplitOf(image.patient, plan.data.validation_fraction, plan.data.test_fraction);
    RETURN_IF_ERROR(see({datasets::PatientNumber(image.patient), image.modified_ns / 1'000'000'000,
                         split != datasets::Split::kTrain, *input}));
  }
  return absl::OkStatus();
}

absl::StatusOr<metrics::PreparationSums> CatalogData::Prepare(const plan::Plan& plan,
                                                              Progress& progress) {
  const std::lock_guard lock(mutex_);
  if (plan.table.Numbers() == 0) {
    return absl::FailedPreconditionError("only plans with numbers in a table are prepared");
  }
  if (plan.data.source == plan::Source::kDicom) {
    RETURN_IF_ERROR(OpenImages(plan, progress));
    return table_->PreparationOf(*data_->Examples(datasets::Split::kTrain));
  }
  progress.Report("adding up the table", 0, 1);
  RETURN_IF_ERROR(OpenTable(plan));
  metrics::PreparationSums sums = table_->Preparation();
  progress.Report("adding up the table", 1, 1);
  return sums;
}

std::string Describe(const datasets::IndexReport& report) {
  std::string text = StrCat(report.accepted, " of ", report.files, " files accepted, ",
                            report.patients, " patients; ", report.read, " read, ",
                            report.unchanged, " unchanged, ", report.removed, " gone\n");
  if (report.erased > 0) {
    StrAppend(&text,
              "  the catalog that was there was erased and all files were read anew: an "
              "earlier version had made it, with identifiers, or with another key\n");
  }
  for (const auto& [reason, files] : report.by_reason) {
    StrAppend(&text, "  ", files, " refused: ", datasets::Phrase(reason), "\n");
  }
  if (!report.has_labels && report.accepted > 0) {
    StrAppend(&text, "  no labels: put a labels.csv into the folder, or name one with --labels\n");
  } else if (report.has_labels) {
    std::string targets;
    for (const std::string& target : report.targets) {
      StrAppend(&targets, targets.empty() ? "" : ", ", target);
    }
    StrAppend(&text, "  labels by ", report.label_key, "; targets: ", targets, "\n");
  }
  if (report.labels_without_image > 0) {
    StrAppend(&text, "  ", report.labels_without_image, " labels have no accepted image\n");
  }
  return text;
}

}  // namespace consilium::site_agent
