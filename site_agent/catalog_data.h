#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "common/metrics/preparation.h"
#include "datasets/audio/recording_data.h"
#include "datasets/catalog.h"
#include "datasets/deidentification/pseudonymiser.h"
#include "datasets/site_data.h"
#include "datasets/tables/table_data.h"
#include "site_agent/learner.h"

namespace consilium::site_agent {

// A site's images by its catalog and pixel cache, and its tables (datasets/). Images are decoded
// when a split is first opened; the caches of the latest plan stay open, so that the next split
// comes at once. A table is read when a plan is first offered, from NAME.csv in the folder, which
// need not hold any image; a table that changed is read anew for the next offer. Recordings are
// those of recordings.csv in the folder.
class CatalogData final : public LocalData {
 public:
  // Opens or makes the catalog and brings it in line with `folder`. All files are read by `reader`.
  static absl::StatusOr<std::unique_ptr<CatalogData>> Index(
      const fs::path& catalog_file, const fs::path& cache_folder, const fs::path& folder,
      const datasets::IndexOptions& options, std::shared_ptr<datasets::ImageReader> reader,
      Progress& progress);

  // Plans that `check` refuses get no offer: what only learning knows. Before the first plan.
  void OfferOnlyWhere(std::function<absl::Status(const plan::Plan&)> check) {
    check_ = std::move(check);
  }

  // Of the indexing, for the operator.
  const datasets::IndexReport& report() const { return report_; }

  absl::StatusOr<DataOffer> Count(const plan::Plan& plan) override;
  absl::StatusOr<metrics::Description> Describe(const plan::Plan& plan,
                                                Progress& progress) override;
  absl::StatusOr<std::shared_ptr<const datasets::Dataset>> Open(const plan::Plan& plan,
                                                                datasets::Split split,
                                                                Progress& progress) override;
  absl::StatusOr<std::vector<ExampleFacts>> Facts(const plan::Plan& plan, datasets::Split split,
                                                  Progress& progress) override;
  absl::Status SeeImages(const plan::Plan& plan, std::size_t a_patient, const SeeImage& see,
                         Progress& progress) override;
  // What the numbers of a plan's table are on average in the training split. kFailedPrecondition
  // of a plan of images, and as Count.
  absl::StatusOr<metrics::PreparationSums> Prepare(const plan::Plan& plan,
                                                   Progress& progress) override;

 private:
  struct Folder {
    fs::path path;
    datasets::deidentification::Pseudonymiser pseudonyms;
  };
  CatalogData(datasets::Catalog catalog, datasets::IndexReport report, Folder folder,
              datasets::SiteDataOptions options);
  absl::StatusOr<DataOffer> CountRows(const plan::Plan& plan);
  absl::StatusOr<DataOffer> CountImages(const plan::Plan& plan);
  absl::StatusOr<DataOffer> CountRecordings(const plan::Plan& plan);
  datasets::audio::RecordingSource Recordings() const;
  absl::Status OpenRecordings(const plan::Plan& plan, Progress& progress);
  void Close();  // what is open
  // Reads the plan's table unless it is the one that was read last.
  absl::Status OpenTable(const plan::Plan& plan);
  absl::Status OpenImages(const plan::Plan& plan, Progress& progress);

  std::function<absl::Status(const plan::Plan&)> check_;
  std::mutex mutex_;
  datasets::Catalog catalog_;
  const datasets::IndexReport report_;
  const Folder folder_;
  const datasets::SiteDataOptions options_;
  std::optional<plan::Plan> plan_;  // of what is open
  std::optional<datasets::SiteData> data_;
  std::optional<datasets::tables::TableData> table_;
  std::optional<datasets::audio::RecordingData> recordings_;
};

// Accepted and refused files, patients, targets: a few lines for people.
std::string Describe(const datasets::IndexReport& report);

}  // namespace consilium::site_agent
