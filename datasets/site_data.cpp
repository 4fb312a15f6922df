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

// Whether a file is refused for what it is: not for what this plan asks, nor for what may pass.
bool IsOfTheFile(Refusal reason) {
  switch (reason) {
    case Refusal::kUnreadable:
    case Refusal::kSeveralFrames:
    case Refusal::kColourImage:
    case Refusal::kGreyImage:
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
  void Add(Split split, std::uint64_t patient, bool positive) {
    for (Sum* sum : {&sums_[static_cast<std::size_t>(split)], &sums_[3]}) {
      ++sum->counts.examples;
      sum->counts.positives += positive;
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

// Of outlines it takes the mask to tell.
static bool IsPositive(const CatalogImage& image, const plan::Target& target) {
  if (target.task == Task::kSurvival) return image.labels.at(1) == 1;
  return target.task == Task::kBinary && image.target == 1;
}

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
  RETURN_IF_ERROR(catalog.CheckTarget(target));
  ASSIGN_OR_RETURN(const auto images, catalog.Images(target, data, preprocessing));
  Counter counter;
  for (const CatalogImage& image : images) {
    counter.Add(SplitOf(image.patient, data.validation_fraction, data.test_fraction),
                PatientNumber(image.patient), IsPositive(image, target));
  }
  DataSummary summary;
  counter.Store(&summary);
  ASSIGN_OR_RETURN(summary.refusals, catalog.Refusals(target, data, preprocessing));
  return summary;
}

class SiteData::CachedDataset final : public Dataset {
 public:
  CachedDataset(const SiteData& data, std::vector<Example> examples)
      : cache_(data.cache_),
        masks_(data.masks_),
        standardize_(data.standardize_),
        labels_(data.labels_),
        examples_(std::move(examples)) {}

  std::size_t size() const override { return examples_.size(); }
  std::uint32_t image_size() const override { return cache_->image_size(); }
  InputShape input_shape() const override {
    return {cache_->channels(), cache_->slices(), image_size(), image_size(), 0};
  }
  Label Get(std::size_t index, std::span<float> out) const override {
    const Example& example = examples_.at(index);
    cache_->Read(example.slot, out);
    if (standardize_) Standardize(out);
    return example.label;
  }
  Label GetLabel(std::size_t index) const override { return examples_.at(index).label; }
  bool IsPositive(std::size_t index) const override { return examples_.at(index).positive; }

  std::size_t target_elements() const override {
    if (masks_) return std::size_t{cache_->slices()} * image_size() * image_size();
    return std::max<std::size_t>(1, labels_);
  }
  void GetTarget(std::size_t index, std::span<float> out) const override {
    CONSILIUM_CHECK(out.size() == target_elements());
    const Example& example = examples_.at(index);
    if (masks_) {
      std::ranges::copy(masks_->Mask(example.mask), out.begin());
    } else if (labels_ > 0) {
      std::ranges::copy(example.labels, out.begin());
    } else {
      out[0] = static_cast<float>(example.label.target);
    }
  }
  float spacing_mm(std::size_t index) const override {
    return masks_ ? masks_->spacing_mm(examples_.at(index).mask) : 0;
  }
  float slice_spacing_mm(std::size_t index) const override {
    return masks_ && cache_->slices() > 1 ? masks_->slice_spacing_mm(examples_.at(index).mask)
                                          : spacing_mm(index);
  }

 private:
  const std::shared_ptr<const PixelCache> cache_;
  const std::shared_ptr<const MaskCache> masks_;
  const bool standardize_;
  const std::size_t labels_;
  const std::vector<Example> examples_;
};

void SiteData::AddExamples(std::span<const CatalogImage> images, const plan::Target& target,
                           const plan::Data& data) {
  Counter counter;
  for (const CatalogImage& image : images) {
    const auto slot = cache_->Find(image);
    const auto mask = masks_ ? masks_->Find(image) : std::optional<std::size_t>(0);
    if (!slot || !mask) continue;
    const Split split = SplitOf(image.patient, data.validation_fraction, data.test_fraction);
    const Dataset::Label label{image.target, PatientNumber(image.patient)};
    bool positive = IsPositive(image, target);
    if (masks_) {
      const ByteView pixels = masks_->Mask(*mask);
      positive = std::any_of(pixels.begin(), pixels.end(), [](auto pixel) { return pixel != 0; });
    }
    examples_.push_back({split, *slot, *mask, label, image.labels, positive, image.id});
    counter.Add(split, label.patient, positive);
  }
  counter.Store(&summary_);
}

absl::StatusOr<SiteData> SiteData::Open(Catalog& catalog, const plan::Target& target,
                                        const plan::Data& data,
                                        const plan::Preprocessing& preprocessing,
                                        const SiteDataOptions& options, Progress& progress) {
  RETURN_IF_ERROR(catalog.CheckTarget(target));
  ASSIGN_OR_RETURN(auto images, catalog.Images(target, data, preprocessing));
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
  ASSIGN_OR_RETURN(site_data.summary_.refusals, catalog.Refusals(target, data, preprocessing));
  for (const UnusableImage& image : unusable) {
    ++site_data.summary_.refusals[image.refused.reason];
    // Of a volume no single file is to blame; the cache remembers it.
    if (preprocessing.slices > 0 || !IsOfTheFile(image.refused.reason)) continue;
    RETURN_IF_ERROR(catalog.SetRefused(images[image.index].id, image.refused));
  }
  site_data.standardize_ = preprocessing.standardize;
  site_data.cache_ = std::make_shared<const PixelCache>(std::move(cache));
  if (target.task == Task::kMultilabel) site_data.labels_ = target.classes.size();
  if (target.task == Task::kSurvival) site_data.labels_ = 2;
  if (TaughtByMasks(target.task)) {
    unusable.clear();
    std::erase_if(images,
                  [&](const CatalogImage& image) { return !site_data.cache_->Find(image); });
    ASSIGN_OR_RETURN(
        MaskCache masks,
        MaskCache::Prepare(options.cache_folder, folder, images, preprocessing, target.classes,
                           *options.reader, options.threads, progress, &unusable));
    site_data.masks_ = std::make_shared<const MaskCache>(std::move(masks));
    for (const UnusableImage& image : unusable) {
      ++site_data.summary_.refusals[image.refused.reason];
    }
  }
  site_data.AddExamples(images, target, data);
  return site_data;
}

std::unique_ptr<Dataset> SiteData::Make(const Split* split) const {
  std::vector<Example> chosen;
  for (const Example& example : examples_) {
    if (split == nullptr || example.split == *split) chosen.push_back(example);
  }
  return std::make_unique<CachedDataset>(*this, std::move(chosen));
}

std::unique_ptr<Dataset> SiteData::Examples(Split split) const { return Make(&split); }
std::vector<std::int64_t> SiteData::ImagesOf(Split split) const {
  std::vector<std::int64_t> images;
  for (const Example& example : examples_) {
    if (example.split == split) images.push_back(example.image);
  }
  return images;
}
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
