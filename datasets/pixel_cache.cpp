#include "datasets/pixel_cache.h"

#include <algorithm>
#include <cmath>

#include "common/base/random.h"
#include "common/base/status.h"
#include "datasets/pipeline/pipeline.h"

namespace consilium::datasets {
namespace {

constexpr float kScale = 65535.0f;

// Goes up when the pipeline makes other pixels of the same settings.
constexpr std::string_view kPipeline = "pixels 3 ";

SlotCache::Form FormOf(const plan::Preprocessing& preprocessing) {
  const std::uint32_t channels = pipeline::ChannelsOf(preprocessing);
  return {.magic = "CNSLPIX1",
          .settings = StableHash(StrCat(kPipeline, plan::PixelSettings(preprocessing))),
          .extension = ".pixels",
          .image_size = preprocessing.image_size,
          .variant = channels == 1 ? 0 : channels,
          .slot_bytes = 2 * std::uint64_t{pipeline::InputElements(preprocessing)},
          .step = "preparing images"};
}

SlotCache::Key KeyOf(const CatalogImage& image) {
  return SlotCache::KeyOf(StrCat(image.sop_instance_uid, " ", image.size, " ", image.modified_ns));
}

Bytes Quantized(std::span<const float> pixels) {
  Bytes bytes(pixels.size() * 2);
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const auto value =
        static_cast<std::uint16_t>(std::lround(std::clamp(pixels[i], 0.0f, 1.0f) * kScale));
    bytes[2 * i] = static_cast<std::uint8_t>(value & 0xff);
    bytes[2 * i + 1] = static_cast<std::uint8_t>(value >> 8);
  }
  return bytes;
}

}  // namespace

std::optional<std::size_t> PixelCache::Find(const CatalogImage& image) const {
  return slots_.Find(KeyOf(image));
}

void PixelCache::Read(std::size_t slot, std::span<float> out) const {
  const ByteView bytes = slots_.Slot(slot);
  CONSILIUM_CHECK(out.size() * 2 == bytes.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<float>(bytes[2 * i] | bytes[2 * i + 1] << 8) / kScale;
  }
}

absl::StatusOr<PixelCache> PixelCache::Prepare(const fs::path& cache_folder,
                                               const fs::path& image_folder,
                                               std::span<const CatalogImage> images,
                                               const plan::Preprocessing& preprocessing,
                                               ImageReader& reader, unsigned threads,
                                               Progress& progress,
                                               std::vector<UnusableImage>* unusable) {
  std::vector<SlotCache::Key> keys;
  for (const CatalogImage& image : images) keys.push_back(KeyOf(image));
  const auto fill = [&](std::size_t i) -> OrRefused<Bytes> {
    std::vector<fs::path> slices;
    for (const std::string& slice : images[i].slices) slices.push_back(image_folder / slice);
    const auto pixels = slices.empty()
                            ? reader.ReadInput(image_folder / images[i].path, preprocessing)
                            : reader.ReadVolume(slices, preprocessing);
    if (!pixels.ok()) return pixels.refused();
    return Quantized(*pixels);
  };
  PixelCache cache;
  cache.image_size_ = preprocessing.image_size;
  cache.channels_ = pipeline::ChannelsOf(preprocessing);
  cache.slices_ = std::max(1u, preprocessing.slices);
  ASSIGN_OR_RETURN(cache.slots_, SlotCache::Prepare(cache_folder, FormOf(preprocessing), keys, fill,
                                                    threads, progress, unusable));
  return cache;
}

}  // namespace consilium::datasets
