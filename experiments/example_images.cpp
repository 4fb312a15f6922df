#include "experiments/example_images.h"

#include <png.h>

#include <algorithm>
#include <cmath>

#include "datasets/catalog.h"
#include "datasets/dicom/reader.h"
#include "datasets/transform.h"

namespace consilium::experiments {
namespace {

constexpr std::uint32_t kSize = 192;  // pixels of a side

absl::StatusOr<std::string> Picture(const fs::path& file, plan::Preprocessing preprocessing) {
  // The same part of the body in more pixels.
  if (preprocessing.spacing_mm > 0)
    preprocessing.spacing_mm *= double(preprocessing.image_size) / kSize;
  preprocessing.image_size = kSize;
  const auto image = datasets::dicom::ReadImage(file);
  if (!image.ok()) return absl::DataLossError("the image does not decode");
  const auto pixels = datasets::Preprocess(*image, preprocessing);
  if (!pixels.ok()) return absl::DataLossError("the image cannot be preprocessed");
  ASSIGN_OR_RETURN(const Bytes png, EncodePng(*pixels, kSize, kSize));
  return ToBase64(png);
}

void PickFrom(const SiteData& site, const plan::Plan& plan, std::vector<ExampleImage>& examples) {
  auto catalog = datasets::Catalog::Open(site.state / "catalog.db");
  if (!catalog.ok()) return;
  const auto images = catalog->Images(plan.target.name, plan.data, plan.preprocessing);
  if (!images.ok()) return;
  for (const int target : {1, 0}) {
    for (const datasets::CatalogImage& image : *images) {
      if (image.target != target) continue;
      const auto picture = Picture(site.data / image.path, plan.preprocessing);
      if (!picture.ok()) continue;
      examples.push_back({site.name, target, *picture});
      break;
    }
  }
}

}  // namespace

absl::StatusOr<Bytes> EncodePng(const std::vector<float>& pixels, std::uint32_t width,
                                std::uint32_t height) {
  Bytes grey;
  for (const float pixel : pixels) {
    grey.push_back(static_cast<std::uint8_t>(std::lround(255 * std::clamp(pixel, 0.0f, 1.0f))));
  }
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  header.width = width;
  header.height = height;
  header.format = PNG_FORMAT_GRAY;
  png_alloc_size_t size = 0;
  if (grey.size() != std::size_t{width} * height ||
      !png_image_write_to_memory(&header, nullptr, &size, 0, grey.data(), 0, nullptr)) {
    return absl::InternalError(
        StrCat("no PNG of ", width, " x ", height, " pixels: ", header.message));
  }
  Bytes png(size);
  if (!png_image_write_to_memory(&header, png.data(), &size, 0, grey.data(), 0, nullptr)) {
    return absl::InternalError(StrCat("no PNG: ", header.message));
  }
  png.resize(size);
  return png;
}

std::vector<ExampleImage> PickExampleImages(const std::vector<SiteData>& sites,
                                            const plan::Plan& plan) {
  std::vector<ExampleImage> examples;
  for (const SiteData& site : sites) PickFrom(site, plan, examples);
  return examples;
}

}  // namespace consilium::experiments
