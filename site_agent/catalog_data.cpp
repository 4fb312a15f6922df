#include "site_agent/catalog_data.h"

#include <utility>

#include "common/base/status.h"
#include "datasets/description/description.h"

namespace consilium::site_agent {
namespace {

// Whether both plans see the same examples with the same pixels.
bool SameImages(const plan::Plan& a, const plan::Plan& b) {
  return a.target.name == b.target.name && a.preprocessing == b.preprocessing &&
         a.data.modalities == b.data.modalities && a.data.views == b.data.views &&
         a.data.minimum_age == b.data.minimum_age && a.data.maximum_age == b.data.maximum_age &&
         a.data.validation_fraction == b.data.validation_fraction &&
         a.data.test_fraction == b.data.test_fraction;
}

}  // namespace

CatalogData::CatalogData(datasets::Catalog catalog, datasets::IndexReport report,
                         datasets::SiteDataOptions options)
    : catalog_(std::move(catalog)), report_(std::move(report)), options_(std::move(options)) {}

absl::StatusOr<std::unique_ptr<CatalogData>> CatalogData::Index(
    const fs::path& catalog_file, const fs::path& cache_folder, const fs::path& folder,
    const datasets::IndexOptions& options, std::shared_ptr<datasets::ImageReader> reader,
    Progress& progress) {
  RETURN_IF_ERROR(EnsureFolder(catalog_file.parent_path()));
  ASSIGN_OR_RETURN(auto catalog, datasets::Catalog::Open(catalog_file));
  ASSIGN_OR_RETURN(auto report, catalog.Index(folder, options, *reader, progress));
  return std::unique_ptr<CatalogData>(new CatalogData(
      std::move(catalog), std::move(report), {cache_folder, options.threads, std::move(reader)}));
}

absl::StatusOr<DataOffer> CatalogData::Count(const plan::Plan& plan) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const auto summary,
                   datasets::Summarise(catalog_, plan.target, plan.data, plan.preprocessing));
  DataOffer offer{summary.train};
  for (const auto& [reason, files] : summary.refusals) {
    offer.refused_files += files;
    offer.refusals[std::string(datasets::Name(reason))] += files;
  }
  return offer;
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
  if (!data_ || !plan_ || !SameImages(*plan_, plan)) {
    data_.reset();
    ASSIGN_OR_RETURN(auto opened, datasets::SiteData::Open(catalog_, plan.target, plan.data,
                                                           plan.preprocessing, options_, progress));
    data_.emplace(std::move(opened));
    plan_ = plan;
  }
  return std::shared_ptr<const datasets::Dataset>(data_->Examples(split));
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
  if (!report.has_labels) {
    StrAppend(&text, "  no labels: put a labels.csv into the folder, or name one with --labels\n");
  } else {
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
