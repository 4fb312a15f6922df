#include "datasets/description/description.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <set>

#include "common/base/status.h"
#include "datasets/parallel.h"

namespace consilium::datasets::description {
namespace {

constexpr std::uint32_t kSampleSize = 256;  // pixels, square: enough for a histogram
constexpr std::size_t kReadAtOnce = 64;

metrics::ImageFacts FactsOf(const ImageDescription& image, const std::string& target) {
  metrics::ImageFacts facts{.patient = image.patient,
                            .modality = image.modality,
                            .sex = image.sex,
                            .age_years = image.age,
                            .manufacturer = image.manufacturer,
                            .view = image.view,
                            .spacing_mm = image.column_spacing_mm,
                            .thickness_mm = image.slice_thickness_mm,
                            .rows = image.rows,
                            .columns = image.columns,
                            .label = std::nullopt};
  if (const auto label = image.labels.find(target); label != image.labels.end()) {
    facts.label = label->second;
  }
  return facts;
}

// That the values are on the histogram's scale.
plan::Preprocessing ScaleOf(const metrics::HistogramLayout& layout) {
  plan::Preprocessing preprocessing;
  preprocessing.image_size = kSampleSize;
  preprocessing.frame = plan::FrameChoice::kMiddle;
  preprocessing.standardize = false;
  preprocessing.intensity =
      layout.modality == "CT" ? plan::Intensity::kFixed : plan::Intensity::kRange;
  preprocessing.low = layout.low;
  preprocessing.high = layout.high;
  return preprocessing;
}

// The first image of each patient and modality, some hundred patients each.
using Sample = std::map<std::string_view, std::vector<const ImageDescription*>>;
Sample SampleOf(const std::vector<ImageDescription>& images, std::size_t most) {
  Sample sample;
  for (const auto& layout : metrics::DescriptionHistograms()) sample[layout.modality];
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (const ImageDescription& image : images) {
    const auto of_modality = sample.find(image.modality);
    if (of_modality == sample.end() || of_modality->second.size() == most) continue;
    if (seen.insert({image.modality, image.patient}).second) of_modality->second.push_back(&image);
  }
  return sample;
}

absl::Status AddPixels(const Sample& sample, const fs::path& folder, ImageReader& reader,
                       const Options& options, Progress& progress,
                       metrics::DescriptionBuilder& builder) {
  std::size_t total = 0, done = 0;
  for (const auto& [modality, images] : sample) total += images.size();
  for (const auto& layout : metrics::DescriptionHistograms()) {
    const auto& images = sample.at(layout.modality);
    const plan::Preprocessing scale = ScaleOf(layout);
    for (std::size_t first = 0; first < images.size(); first += kReadAtOnce) {
      const std::size_t count = std::min(kReadAtOnce, images.size() - first);
      std::vector<std::vector<float>> read(count);
      const bool whole = ParallelFor(count, options.threads, [&](std::size_t i) {
        auto pixels = reader.ReadInput(folder / images[first + i]->path, scale);
        if (pixels.ok()) read[i] = *std::move(pixels);
        return !progress.Cancelled();
      });
      if (!whole) return absl::CancelledError("interrupted while images were read");
      for (const auto& pixels : read) builder.AddPixels(layout.modality, pixels);
      done += count;
      progress.Report("reading images", done, total, layout.modality);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<metrics::Description> Describe(Catalog& catalog, ImageReader& reader,
                                              const Options& options, Progress& progress) {
  ASSIGN_OR_RETURN(const std::vector<ImageDescription> images, catalog.Descriptions());
  ASSIGN_OR_RETURN(const IndexReport report, catalog.Report());
  ASSIGN_OR_RETURN(const fs::path folder, catalog.Folder());
  metrics::DescriptionBuilder builder(!options.target.empty());
  for (const ImageDescription& image : images) builder.Add(FactsOf(image, options.target));
  for (const auto& [reason, files] : report.by_reason) builder.AddRefused(Name(reason), files);
  RETURN_IF_ERROR(AddPixels(SampleOf(images, options.images_per_modality), folder, reader, options,
                            progress, builder));
  return builder.description();
}

}  // namespace consilium::datasets::description
