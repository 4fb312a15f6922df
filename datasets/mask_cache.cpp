#include "datasets/mask_cache.h"

#include <algorithm>
#include <bit>

#include "common/base/random.h"
#include "common/base/status.h"

namespace consilium::datasets {
namespace {

constexpr std::size_t kTrailerBytes = 8;
// Goes up when the same settings make other masks.
constexpr std::string_view kVersion = "masks 1 ";

SlotCache::Form FormOf(const plan::Preprocessing& preprocessing,
                       const std::vector<std::string>& structures) {
  std::string settings = StrCat(kVersion, plan::PixelSettings(preprocessing));
  for (const std::string& structure : structures) {
    StrAppend(&settings, "\n", structure.size(), " ", structure);
  }
  const std::uint64_t side = preprocessing.image_size, slices = std::max(1u, preprocessing.slices);
  return {.magic = "CNSLMSK1",
          .settings = StableHash(settings),
          .extension = ".masks",
          .image_size = preprocessing.image_size,
          .variant = static_cast<std::uint32_t>(structures.size()),
          .slot_bytes = slices * side * side + kTrailerBytes,
          .step = "preparing masks"};
}

SlotCache::Key KeyOf(const CatalogImage& image) {
  std::string identity = StrCat(image.sop_instance_uid, " ", image.size, " ", image.modified_ns);
  for (const CatalogMask& mask : image.masks) {
    StrAppend(&identity, "\n", mask.size, " ", mask.modified_ns, " ", mask.path);
  }
  return SlotCache::KeyOf(identity);
}

Bytes SlotOf(PlacedMask mask) {
  Bytes slot = std::move(mask.structures);
  slot.resize(slot.size() + kTrailerBytes);
  StoreLe32(slot.data() + slot.size() - kTrailerBytes,
            std::bit_cast<std::uint32_t>(mask.spacing_mm));
  StoreLe32(slot.data() + slot.size() - kTrailerBytes / 2,
            std::bit_cast<std::uint32_t>(mask.slice_spacing_mm));
  return slot;
}

}  // namespace

std::optional<std::size_t> MaskCache::Find(const CatalogImage& image) const {
  return slots_.Find(KeyOf(image));
}

ByteView MaskCache::Mask(std::size_t slot) const { return slots_.Slot(slot).first(pixels_); }

float MaskCache::spacing_mm(std::size_t slot) const {
  return std::bit_cast<float>(LoadLe32(slots_.Slot(slot).data() + pixels_));
}

float MaskCache::slice_spacing_mm(std::size_t slot) const {
  return std::bit_cast<float>(LoadLe32(slots_.Slot(slot).data() + pixels_ + kTrailerBytes / 2));
}

absl::StatusOr<MaskCache> MaskCache::Prepare(
    const fs::path& cache_folder, const fs::path& image_folder,
    std::span<const CatalogImage> images, const plan::Preprocessing& preprocessing,
    const std::vector<std::string>& structures, ImageReader& reader, unsigned threads,
    Progress& progress, std::vector<UnusableImage>* unusable) {
  std::vector<SlotCache::Key> keys;
  for (const CatalogImage& image : images) keys.push_back(KeyOf(image));
  const auto fill = [&](std::size_t i) -> OrRefused<Bytes> {
    std::vector<fs::path> files = {image_folder / images[i].path}, slices;
    for (const CatalogMask& mask : images[i].masks) files.push_back(image_folder / mask.path);
    for (const std::string& slice : images[i].slices) slices.push_back(image_folder / slice);
    auto mask = slices.empty() ? reader.ReadMask(files, structures, preprocessing)
                               : reader.ReadVolumeMask(slices, std::span(files).subspan(1),
                                                       structures, preprocessing);
    if (!mask.ok()) return mask.refused();
    return SlotOf(*std::move(mask));
  };
  MaskCache cache;
  cache.pixels_ = std::size_t{preprocessing.image_size} * preprocessing.image_size *
                  std::max(1u, preprocessing.slices);
  ASSIGN_OR_RETURN(cache.slots_, SlotCache::Prepare(cache_folder, FormOf(preprocessing, structures),
                                                    keys, fill, threads, progress, unusable));
  return cache;
}

}  // namespace consilium::datasets
