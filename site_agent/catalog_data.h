#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "datasets/catalog.h"
#include "datasets/site_data.h"
#include "site_agent/learner.h"

namespace consilium::site_agent {

// A site's images by its catalog and pixel cache (datasets/). Images are decoded when a split is
// first opened; the caches of the latest plan stay open, so that the next split comes at once.
class CatalogData final : public LocalData {
 public:
  // Opens or makes the catalog and brings it in line with `folder`. All files are read by `reader`.
  static absl::StatusOr<std::unique_ptr<CatalogData>> Index(
      const fs::path& catalog_file, const fs::path& cache_folder, const fs::path& folder,
      const datasets::IndexOptions& options, std::shared_ptr<datasets::ImageReader> reader,
      Progress& progress);

  // Of the indexing, for the operator.
  const datasets::IndexReport& report() const { return report_; }

  absl::StatusOr<DataOffer> Count(const plan::Plan& plan) override;
  absl::StatusOr<metrics::Description> Describe(const plan::Plan& plan,
                                                Progress& progress) override;
  absl::StatusOr<std::shared_ptr<const datasets::Dataset>> Open(const plan::Plan& plan,
                                                                datasets::Split split,
                                                                Progress& progress) override;

 private:
  CatalogData(datasets::Catalog catalog, datasets::IndexReport report,
              datasets::SiteDataOptions options);

  std::mutex mutex_;
  datasets::Catalog catalog_;
  const datasets::IndexReport report_;
  const datasets::SiteDataOptions options_;
  std::optional<plan::Plan> plan_;  // of `data_`
  std::optional<datasets::SiteData> data_;
};

// Accepted and refused files, patients, targets: a few lines for people.
std::string Describe(const datasets::IndexReport& report);

}  // namespace consilium::site_agent
