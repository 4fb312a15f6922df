#include "datasets/site_data.h"

#include <algorithm>
#include <set>
#include <string>
#include <tuple>

#include "common/base/random.h"
#include "common/base/status.h"
#include "datasets/patient_split.h"
#include "datasets/transform.h"

namespace consilium::datasets {
namespace {

absl::Status CheckTarget(Catalog& catalog, const plan::Target& target) {
  ASSIGN_OR_RETURN(const std::vector<std::string> targets, catalog.Targets());
  if (std::find(targets.begin(), targets.end(), target.name) != targets.end()) {
    return absl::OkStatus();
  }
  std::string known;
  for (const std::string& name : targets) StrAppend(&known, known.empty() ? "" : ", ", name);
  return absl::FailedPreconditionError(StrCat("the labels have no target \"", target.name,
                                              "\" (they have: ", known.empty() ? "none" : known,
                                              "); add the column to labels.csv and index again"));
}

// Whether a file is refused for what it is: not for what this plan asks, nor for what may pass.
bool IsOfTheFile(Refusal reason) {
  switch (reason) {
    case Refusal::kUnreadable:
    case Refusal::kSeveralFrames:
    case Refusal::kColourImage:
    case Refusal::kNoPixelSpacing:
    case Refusal::kNoSuvFactor:
    case Refusal::kReaderTookTooLong:
    case Refusal::kReaderNeededTooMuchMemory:
      return false;
    default:
      return true;
  }
}

// Adds up examples and patients by split.
class Counter {
 public:
  void Add(Split split, std::uint64_t patient, int target) {
    for (Sum* sum : {&sums_[static_cast<std::size_t>(split)], &sums_[3]}) {
      ++sum->counts.examples;
      sum->counts.positives += target == 1;
      sum->patients.insert(patient);
      sum->counts.patients = sum->patients.size();
    }
  }
  void Store(DataSummary* summary) const {
    summary->train = sums_[static_cast<std::size_t>(Split::kTrain)].counts;
    summary->validation = sums_[static_cast<std::size_t>(Split::kValidation)].counts;
    summary->test = sums_[static_cast<std::size_t>(Split::kTest)].counts;
    summary->total = sums_[3].counts;
  }

 private:
  struct Sum {
    SplitCounts counts;
    std::set<std::uint64_t> patients;
  };
  Sum sums_[4];
};

}  // namespace

const SplitCounts& DataSummary::Of(Split split) const {
  switch (split) {
    case Split::kTrain:
      return train;
    case Split::kValidation:
      return validation;
    case Split::kTest:
      return test;
  }
  CONSILIUM_CHECK(false);
}

absl::StatusOr<DataSummary> Summarise(Catalog& catalog, const plan::Target& target,
                                      const plan::Data& data,
                                      const plan::Preprocessing& preprocessing) {
  RETURN_IF_ERROR(CheckTarget(catalog, target));
  ASSIGN_OR_RETURN(const auto images, catalog.Images(target.name, data, preprocessing));
  Counter counter;
  for (const CatalogImage& image : images) {
    counter.Add(SplitOf(image.patient, data.validation_fraction, data.test_fraction),
                PatientNumber(image.patient), image.target);
  }
  DataSummary summary;
  counter.Store(&summary);
  ASSIGN_OR_RETURN(summary.refusals, catalog.Refusals(target.name, data, preprocessing));
  return summary;
}

class SiteData::CachedDataset final : public Dataset {
 public:
  CachedDataset(std::shared_ptr<const PixelCache> cache, bool standardize,
                std::vector<Example> examples)
      : cache_(std::move(cache)), standardize_(standardize), examples_(std::move(examples)) {}

  std::size_t size() const override { return examples_.size(); }
  std::uint32_t image_size() const override { return cache_->image_size(); }
  Label Get(std::size_t index, std::span<float> out) const override {
    const Example& example = examples_.at(index);
    cache_->Read(example.slot, out);
    if (standardize_) Standardize(out);
    return example.label;
  }
  Label GetLabel(std::size_t index) const override { return examples_.at(index).label; }

 private:
  const std::shared_ptr<const PixelCache> cache_;
  const bool standardize_;
  const std::vector<Example> examples_;
};

absl::StatusOr<SiteData> SiteData::Open(Catalog& catalog, const plan::Target& target,
                                        const plan::Data& data,
                                        const plan::Preprocessing& preprocessing,
                                        const SiteDataOptions& options, Progress& progress) {
  RETURN_IF_ERROR(CheckTarget(catalog, target));
  ASSIGN_OR_RETURN(auto images, catalog.Images(target.name, data, preprocessing));
  ASSIGN_OR_RETURN(const fs::path folder, catalog.Folder());
  std::sort(images.begin(), images.end(), [](const CatalogImage& a, const CatalogImage& b) {
    const auto order = [](const CatalogImage& image) {
      return std::make_tuple(StableHash(image.sop_instance_uid), image.sop_instance_uid);
    };
    return order(a) < order(b);
  });
  std::vector<UnusableImage> unusable;
  ASSIGN_OR_RETURN(PixelCache cache,
                   PixelCache::Prepare(options.cache_folder, folder, images, preprocessing,
                                       *options.reader, options.threads, progress, &unusable));
  SiteData site_data;
  ASSIGN_OR_RETURN(site_data.summary_.refusals, catalog.Refusals(target.name, data, preprocessing));
  for (const UnusableImage& image : unusable) {
    ++site_data.summary_.refusals[image.refused.reason];
    if (!IsOfTheFile(image.refused.reason)) continue;
    RETURN_IF_ERROR(catalog.SetRefused(images[image.index].id, image.refused));
  }
  Counter counter;
  for (const CatalogImage& image : images) {
    const auto slot = cache.Find(image);
    if (!slot) continue;
    const Split split = SplitOf(image.patient, data.validation_fraction, data.test_fraction);
    const Dataset::Label label{image.target, PatientNumber(image.patient)};
    site_data.examples_.push_back({split, *slot, label});
    counter.Add(split, label.patient, label.target);
  }
  counter.Store(&site_data.summary_);
  site_data.standardize_ = preprocessing.standardize;
  site_data.cache_ = std::make_shared<const PixelCache>(std::move(cache));
  return site_data;
}

std::unique_ptr<Dataset> SiteData::Make(const Split* split) const {
  std::vector<Example> chosen;
  for (const Example& example : examples_) {
    if (split == nullptr || example.split == *split) chosen.push_back(example);
  }
  return std::make_unique<CachedDataset>(cache_, standardize_, std::move(chosen));
}

std::unique_ptr<Dataset> SiteData::Examples(Split split) const { return Make(&split); }
std::unique_ptr<Dataset> SiteData::AllExamples() const { return Make(nullptr); }

absl::StatusOr<std::unique_ptr<Dataset>> OpenDataset(Catalog& catalog, const plan::Target& target,
                                                     const plan::Data& data,
                                                     const plan::Preprocessing& preprocessing,
                                                     Split split, const SiteDataOptions& options,
                                                     Progress& progress) {
  ASSIGN_OR_RETURN(const SiteData site_data,
                   SiteData::Open(catalog, target, data, preprocessing, options, progress));
  return site_data.Examples(split);
}

}  // namespace consilium::datasets
