#include "datasets/pixel_cache.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <mutex>

#include "common/base/random.h"
#include "common/base/status.h"
#include "datasets/parallel.h"

namespace consilium::datasets {
namespace {

constexpr std::string_view kMagic = "CNSLPIX1";
constexpr std::uint64_t kHeaderBytes = 40, kEntryBytes = 32, kAlignment = 4096;
constexpr std::uint64_t kHasPixels = 1, kRefused = 256;
constexpr float kScale = 65535.0f;
constexpr std::string_view kStep = "preparing images";

std::uint64_t Checksum(ByteView bytes) {
  std::uint64_t sum = 0x9e3779b97f4a7c15 ^ bytes.size();
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    sum = std::rotl((sum ^ LoadLe64(bytes.data() + at)) * 0xff51afd7ed558ccd, 29);
  }
  for (; at < bytes.size(); ++at) sum = std::rotl((sum ^ bytes[at]) * 0xff51afd7ed558ccd, 29);
  return sum ^ (sum >> 32);
}

std::uint64_t SlotBytes(std::uint32_t image_size) {
  return std::uint64_t{image_size} * image_size * 2;
}

std::uint64_t PixelsAt(std::uint64_t slots) {
  const std::uint64_t end = kHeaderBytes + slots * kEntryBytes;
  return (end + kAlignment - 1) / kAlignment * kAlignment;
}

// Goes up when the pipeline makes other pixels of the same settings.
constexpr std::string_view kPipeline = "pixels 3 ";

std::uint64_t SettingsHash(const plan::Preprocessing& preprocessing) {
  return StableHash(StrCat(kPipeline, plan::PixelSettings(preprocessing)));
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

PixelCache::Key PixelCache::KeyOf(const CatalogImage& image) {
  const std::string identity =
      StrCat(image.sop_instance_uid, " ", image.size, " ", image.modified_ns);
  return {StableHash(StrCat("high ", identity)), StableHash(StrCat("low ", identity))};
}

std::optional<std::size_t> PixelCache::Find(const CatalogImage& image) const {
  const auto found = slots_.find(KeyOf(image));
  if (found == slots_.end()) return std::nullopt;
  return found->second;
}

ByteView PixelCache::Slot(std::size_t slot) const {
  const std::uint64_t bytes = SlotBytes(image_size_);
  return file_.bytes().subspan(pixels_at_ + slot * bytes, bytes);
}

void PixelCache::Read(std::size_t slot, std::span<float> out) const {
  const ByteView bytes = Slot(slot);
  CONSILIUM_CHECK(out.size() * 2 == bytes.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<float>(bytes[2 * i] | bytes[2 * i + 1] << 8) / kScale;
  }
}

PixelCache PixelCache::Load(const fs::path& path, std::uint64_t settings,
                            std::uint32_t image_size) {
  PixelCache cache;
  cache.image_size_ = image_size;
  auto file = MappedFile::Open(path);
  if (!file.ok() || file->bytes().size() < kHeaderBytes) return cache;
  const ByteView bytes = file->bytes();
  const std::uint64_t slots = LoadLe64(bytes.data() + 24);
  const bool ours = AsText(bytes.first(8)) == kMagic && LoadLe64(bytes.data() + 8) == settings &&
                    LoadLe32(bytes.data() + 16) == image_size;
  const std::uint64_t most_slots = bytes.size() / SlotBytes(image_size);
  if (!ours || slots > most_slots) return cache;
  if (bytes.size() != PixelsAt(slots) + slots * SlotBytes(image_size)) return cache;
  const ByteView table = bytes.subspan(kHeaderBytes, slots * kEntryBytes);
  if (Checksum(table) != LoadLe64(bytes.data() + 32)) return cache;
  cache.file_ = *std::move(file);
  cache.pixels_at_ = PixelsAt(slots);
  for (std::size_t slot = 0; slot < slots; ++slot) {
    const std::uint8_t* entry = table.data() + slot * kEntryBytes;
    const Key key{LoadLe64(entry), LoadLe64(entry + 8)};
    const std::uint64_t state = LoadLe64(entry + 24);
    if (state > kRefused) {
      // Of a damaged file, or a newer program's: decoded again.
      const auto reason = RefusalNumbered(static_cast<std::int64_t>(state - kRefused));
      if (reason) cache.refused_[key] = *reason;
    } else if (state == kHasPixels && Checksum(cache.Slot(slot)) == LoadLe64(entry + 16)) {
      cache.slots_[key] = slot;
    }
  }
  return cache;
}

// Makes a new cache file of what an old one has and of newly decoded images.
class PixelCacheWriter {
 public:
  using Key = PixelCache::Key;

  PixelCacheWriter(const PixelCache& old, const fs::path& image_folder,
                   std::span<const CatalogImage> images, const plan::Preprocessing& preprocessing,
                   ImageReader& reader)
      : old_(old),
        image_folder_(image_folder),
        images_(images),
        preprocessing_(preprocessing),
        reader_(reader) {
    for (std::size_t i = 0; i < images.size(); ++i) {
      const auto slot = old.Find(images[i]);
      work_.push_back({PixelCache::KeyOf(images[i]), i, slot});
    }
    KeepOthers();
    table_.assign(work_.size() * kEntryBytes, 0);
  }

  absl::Status Write(const fs::path& path, std::uint64_t settings, unsigned threads,
                     Progress& progress, std::vector<UnusableImage>* unusable) {
    const fs::path temporary = fs::path(path).concat(".part");
    ASSIGN_OR_RETURN(file_, File::OpenForWriting(temporary, true));
    RETURN_IF_ERROR(file_.Truncate(PixelsAt(work_.size()) +
                                   work_.size() * SlotBytes(preprocessing_.image_size)));
    std::atomic<std::size_t> done = 0;
    const bool all = ParallelFor(work_.size(), threads, [&](std::size_t slot) {
      const absl::Status written = FillSlot(slot, unusable);
      progress.Report(kStep, ++done, work_.size());
      if (written.ok()) return !progress.Cancelled();
      const std::lock_guard lock(mutex_);
      failure_ = written;
      return false;
    });
    RETURN_IF_ERROR(failure_);
    if (!all) return absl::CancelledError("preparing images was interrupted");
    RETURN_IF_ERROR(WriteHeader(settings));
    RETURN_IF_ERROR(file_.Sync());
    return RenameDurably(temporary, path);
  }

 private:
  struct Work {
    Key key;
    std::optional<std::size_t> image;     // among images_
    std::optional<std::size_t> old_slot;  // copy from here instead of decoding
  };

  // Entries that only other plans ask for stay, as long as they do not outnumber those asked for
  // now.
  void KeepOthers() {
    std::unordered_map<Key, bool, PixelCache::KeyHash> wanted;
    for (const Work& work : work_) wanted[work.key] = true;
    std::size_t room = images_.size();
    for (const auto& [key, slot] : old_.slots_) {
      if (room == 0) break;
      if (wanted.contains(key)) continue;
      work_.push_back({key, std::nullopt, slot});
      --room;
    }
  }

  absl::Status FillSlot(std::size_t slot, std::vector<UnusableImage>* unusable) {
    const Work& work = work_[slot];
    if (work.old_slot) {
      const ByteView bytes = old_.Slot(*work.old_slot);
      return Store(slot, bytes);
    }
    auto pixels = reader_.ReadInput(image_folder_ / images_[*work.image].path, preprocessing_);
    if (pixels.ok()) return Store(slot, Quantized(*pixels));
    const std::lock_guard lock(mutex_);
    if (pixels.refused().reason != Refusal::kUnreadable) {  // which may pass
      SetEntry(slot, 0, kRefused + static_cast<std::uint64_t>(pixels.refused().reason));
    }
    unusable->push_back({*work.image, pixels.refused()});
    return absl::OkStatus();
  }

  absl::Status Store(std::size_t slot, ByteView pixels) {
    const std::uint64_t checksum = Checksum(pixels);
    const std::lock_guard lock(mutex_);
    SetEntry(slot, checksum, kHasPixels);
    return file_.WriteAt(PixelsAt(work_.size()) + slot * pixels.size(), pixels);
  }

  void SetEntry(std::size_t slot, std::uint64_t checksum, std::uint64_t state) {
    std::uint8_t* entry = table_.data() + slot * kEntryBytes;
    StoreLe64(entry, work_[slot].key.high);
    StoreLe64(entry + 8, work_[slot].key.low);
    StoreLe64(entry + 16, checksum);
    StoreLe64(entry + 24, state);
  }

  absl::Status WriteHeader(std::uint64_t settings) {
    Bytes header(kHeaderBytes, 0);
    std::memcpy(header.data(), kMagic.data(), kMagic.size());
    StoreLe64(header.data() + 8, settings);
    StoreLe32(header.data() + 16, preprocessing_.image_size);
    StoreLe64(header.data() + 24, work_.size());
    StoreLe64(header.data() + 32, Checksum(table_));
    RETURN_IF_ERROR(file_.WriteAt(0, header));
    return file_.WriteAt(kHeaderBytes, table_);
  }

  const PixelCache& old_;
  const fs::path& image_folder_;
  const std::span<const CatalogImage> images_;
  const plan::Preprocessing& preprocessing_;
  ImageReader& reader_;
  std::vector<Work> work_;
  std::mutex mutex_;  // guards table_, file_, failure_ and the caller's list of unusable images
  Bytes table_;
  File file_;
  absl::Status failure_;
};

absl::StatusOr<PixelCache> PixelCache::Prepare(const fs::path& cache_folder,
                                               const fs::path& image_folder,
                                               std::span<const CatalogImage> images,
                                               const plan::Preprocessing& preprocessing,
                                               ImageReader& reader, unsigned threads,
                                               Progress& progress,
                                               std::vector<UnusableImage>* unusable) {
  RETURN_IF_ERROR(EnsureFolder(cache_folder));
  const std::uint64_t settings = SettingsHash(preprocessing);
  const fs::path path = cache_folder / StrCat(absl::Hex(settings, absl::kZeroPad16), ".pixels");
  PixelCache cache = Load(path, settings, preprocessing.image_size);
  bool complete = true;
  for (std::size_t i = 0; i < images.size(); ++i) {
    const auto refused = cache.refused_.find(KeyOf(images[i]));
    if (refused != cache.refused_.end()) {
      unusable->push_back({i, {refused->second, ""}});
    } else if (!cache.Find(images[i])) {
      complete = false;
    }
  }
  if (complete) return cache;
  unusable->clear();
  PixelCacheWriter writer(cache, image_folder, images, preprocessing, reader);
  RETURN_IF_ERROR(writer.Write(path, settings, threads, progress, unusable));
  std::sort(unusable->begin(), unusable->end(),
            [](const UnusableImage& a, const UnusableImage& b) { return a.index < b.index; });
  return Load(path, settings, preprocessing.image_size);
}

}  // namespace consilium::datasets
