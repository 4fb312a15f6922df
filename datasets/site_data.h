#pragma once

// What one plan sees of a site's catalog: the examples of its target that it wants, split by
// patient, with their pixels ready in memory-mapped caches.

#include <map>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "common/plan/plan.h"
#include "datasets/catalog.h"
#include "datasets/dataset.h"
#include "datasets/image_reader.h"
#include "datasets/mask_cache.h"
#include "datasets/pixel_cache.h"

namespace consilium::datasets {

struct DataSummary {
  SplitCounts train, validation, test, total;
  std::map<Refusal, std::uint64_t> refusals;  // files that the plan cannot use, by reason

  const SplitCounts& Of(Split split) const;
};

// Counts without decoding anything, for a site to decide whether it can take part
// (plan::Data::minimum_patients, both classes in every split ...). Of segmentation the positives
// are not known without decoding, and 0. Errors as Catalog::CheckTarget.
absl::StatusOr<DataSummary> Summarise(Catalog& catalog, const plan::Target& target,
                                      const plan::Data& data,
                                      const plan::Preprocessing& preprocessing);

struct SiteDataOptions {
  fs::path cache_folder;                // made when missing
  unsigned threads = 0;                 // 0: one for each processor
  std::shared_ptr<ImageReader> reader;  // never null
};

class SiteData {
 public:
  // Decodes what the caches lack, reporting progress. Images whose pixels do not decode are
  // recorded in the catalog and left out; those whose segmentation cannot be read are left out.
  // Errors as Summarise, and those of PixelCache::Prepare.
  static absl::StatusOr<SiteData> Open(Catalog& catalog, const plan::Target& target,
                                       const plan::Data& data,
                                       const plan::Preprocessing& preprocessing,
                                       const SiteDataOptions& options, Progress& progress);

  // One split, or all of them together; standardised when the plan says so. May be empty. Stays
  // valid when this goes.
  std::unique_ptr<Dataset> Examples(Split split) const;
  std::unique_ptr<Dataset> AllExamples() const;
  // Of each example of the split, in its order: its image (CatalogImage::id).
  std::vector<std::int64_t> ImagesOf(Split split) const;

  // Counts of what the datasets really hold.
  const DataSummary& summary() const { return summary_; }

 private:
  struct Example {
    Split split;
    std::size_t slot, mask;  // of the caches; mask: of segmentation only
    Dataset::Label label;
    std::vector<float> labels;  // multilabel; survival: days and event
    bool positive;
    std::int64_t image;  // CatalogImage::id
  };
  class CachedDataset;
  SiteData() = default;
  std::unique_ptr<Dataset> Make(const Split* split) const;

  void AddExamples(std::span<const CatalogImage> images, const plan::Target& target,
                   const plan::Data& data);

  std::shared_ptr<const PixelCache> cache_;  // shared: the datasets may outlive this
  std::shared_ptr<const MaskCache> masks_;   // null but of segmentation
  std::vector<Example> examples_;            // by a stable hash of the SOP instance UID
  bool standardize_ = true;
  std::size_t labels_ = 0;  // of multilabel and survival
  DataSummary summary_;
};

// SiteData::Open and then Examples(split), for who needs one split only.
absl::StatusOr<std::unique_ptr<Dataset>> OpenDataset(Catalog& catalog, const plan::Target& target,
                                                     const plan::Data& data,
                                                     const plan::Preprocessing& preprocessing,
                                                     Split split, const SiteDataOptions& options,
                                                     Progress& progress);

}  // namespace consilium::datasets
