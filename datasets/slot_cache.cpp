#include "datasets/slot_cache.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <mutex>

#include "common/base/random.h"
#include "common/base/status.h"
#include "datasets/parallel.h"

namespace consilium::datasets {
namespace {

constexpr std::uint64_t kHeaderBytes = 40, kEntryBytes = 32, kAlignment = 4096;
constexpr std::uint64_t kFilled = 1, kRefused = 256;

std::uint64_t Checksum(ByteView bytes) {
  std::uint64_t sum = 0x9e3779b97f4a7c15 ^ bytes.size();
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    sum = std::rotl((sum ^ LoadLe64(bytes.data() + at)) * 0xff51afd7ed558ccd, 29);
  }
  for (; at < bytes.size(); ++at) sum = std::rotl((sum ^ bytes[at]) * 0xff51afd7ed558ccd, 29);
  return sum ^ (sum >> 32);
}

std::uint64_t SlotsAt(std::uint64_t slots) {
  const std::uint64_t end = kHeaderBytes + slots * kEntryBytes;
  return (end + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

SlotCache::Key SlotCache::KeyOf(std::string_view identity) {
  return {StableHash(StrCat("high ", identity)), StableHash(StrCat("low ", identity))};
}

std::optional<std::size_t> SlotCache::Find(const Key& key) const {
  const auto found = slots_.find(key);
  if (found == slots_.end()) return std::nullopt;
  return found->second;
}

ByteView SlotCache::Slot(std::size_t slot) const {
  return file_.bytes().subspan(slots_at_ + slot * slot_bytes_, slot_bytes_);
}

SlotCache SlotCache::Load(const fs::path& path, const Form& form) {
  SlotCache cache;
  cache.slot_bytes_ = form.slot_bytes;
  auto file = MappedFile::Open(path);
  if (!file.ok() || file->bytes().size() < kHeaderBytes) return cache;
  const ByteView bytes = file->bytes();
  const std::uint64_t slots = LoadLe64(bytes.data() + 24);
  const bool ours =
      AsText(bytes.first(8)) == form.magic && LoadLe64(bytes.data() + 8) == form.settings &&
      LoadLe32(bytes.data() + 16) == form.image_size && LoadLe32(bytes.data() + 20) == form.variant;
  if (!ours || slots > bytes.size() / form.slot_bytes) return cache;
  if (bytes.size() != SlotsAt(slots) + slots * form.slot_bytes) return cache;
  const ByteView table = bytes.subspan(kHeaderBytes, slots * kEntryBytes);
  if (Checksum(table) != LoadLe64(bytes.data() + 32)) return cache;
  cache.file_ = *std::move(file);
  cache.slots_at_ = SlotsAt(slots);
  for (std::size_t slot = 0; slot < slots; ++slot) {
    const std::uint8_t* entry = table.data() + slot * kEntryBytes;
    const Key key{LoadLe64(entry), LoadLe64(entry + 8)};
    const std::uint64_t state = LoadLe64(entry + 24);
    if (state > kRefused) {
      // Of a damaged file, or a newer program's: filled again.
      const auto reason = RefusalNumbered(static_cast<std::int64_t>(state - kRefused));
      if (reason) cache.refused_[key] = *reason;
    } else if (state == kFilled && Checksum(cache.Slot(slot)) == LoadLe64(entry + 16)) {
      cache.slots_[key] = slot;
    }
  }
  return cache;
}

// Makes a new cache file of what an old one has and of slots filled now.
class SlotCacheWriter {
 public:
  using Key = SlotCache::Key;

  SlotCacheWriter(const SlotCache& old, const SlotCache::Form& form, std::span<const Key> keys,
                  const SlotCache::Fill& fill)
      : old_(old), form_(form), fill_(fill) {
    for (std::size_t i = 0; i < keys.size(); ++i) work_.push_back({keys[i], i, old.Find(keys[i])});
    KeepOthers();
    table_.assign(work_.size() * kEntryBytes, 0);
  }

  absl::Status Write(const fs::path& path, unsigned threads, Progress& progress,
                     std::vector<UnusableImage>* unusable) {
    const fs::path temporary = fs::path(path).concat(".part");
    ASSIGN_OR_RETURN(file_, File::OpenForWriting(temporary, true));
    RETURN_IF_ERROR(file_.Truncate(SlotsAt(work_.size()) + work_.size() * form_.slot_bytes));
    std::atomic<std::size_t> done = 0;
    const bool all = ParallelFor(work_.size(), threads, [&](std::size_t slot) {
      const absl::Status written = FillSlot(slot, unusable);
      progress.Report(form_.step, ++done, work_.size());
      if (written.ok()) return !progress.Cancelled();
      const std::lock_guard lock(mutex_);
      failure_ = written;
      return false;
    });
    RETURN_IF_ERROR(failure_);
    if (!all) return absl::CancelledError(StrCat(form_.step, " was interrupted"));
    RETURN_IF_ERROR(WriteHeader());
    RETURN_IF_ERROR(file_.Sync());
    return RenameDurably(temporary, path);
  }

 private:
  struct Work {
    Key key;
    std::optional<std::size_t> wanted;    // index among the keys
    std::optional<std::size_t> old_slot;  // copy from here instead of filling
  };

  // Entries that only other plans ask for stay, as long as they do not outnumber those asked for
  // now.
  void KeepOthers() {
    std::unordered_map<Key, bool, SlotCache::KeyHash> wanted;
    for (const Work& work : work_) wanted[work.key] = true;
    std::size_t room = work_.size();
    for (const auto& [key, slot] : old_.slots_) {
      if (room == 0) break;
      if (wanted.contains(key)) continue;
      work_.push_back({key, std::nullopt, slot});
      --room;
    }
  }

  absl::Status FillSlot(std::size_t slot, std::vector<UnusableImage>* unusable) {
    const Work& work = work_[slot];
    if (work.old_slot) return Store(slot, old_.Slot(*work.old_slot));
    const auto filled = fill_(*work.wanted);
    if (filled.ok()) return Store(slot, *filled);
    const std::lock_guard lock(mutex_);
    if (filled.refused().reason != Refusal::kUnreadable) {  // which may pass
      SetEntry(slot, 0, kRefused + static_cast<std::uint64_t>(filled.refused().reason));
    }
    unusable->push_back({*work.wanted, filled.refused()});
    return absl::OkStatus();
  }

  absl::Status Store(std::size_t slot, ByteView bytes) {
    CONSILIUM_CHECK(bytes.size() == form_.slot_bytes);
    const std::uint64_t checksum = Checksum(bytes);
    const std::lock_guard lock(mutex_);
    SetEntry(slot, checksum, kFilled);
    return file_.WriteAt(SlotsAt(work_.size()) + slot * bytes.size(), bytes);
  }

  void SetEntry(std::size_t slot, std::uint64_t checksum, std::uint64_t state) {
    std::uint8_t* entry = table_.data() + slot * kEntryBytes;
    StoreLe64(entry, work_[slot].key.high);
    StoreLe64(entry + 8, work_[slot].key.low);
    StoreLe64(entry + 16, checksum);
    StoreLe64(entry + 24, state);
  }

  absl::Status WriteHeader() {
    Bytes header(kHeaderBytes, 0);
    std::memcpy(header.data(), form_.magic.data(), form_.magic.size());
    StoreLe64(header.data() + 8, form_.settings);
    StoreLe32(header.data() + 16, form_.image_size);
    StoreLe32(header.data() + 20, form_.variant);
    StoreLe64(header.data() + 24, work_.size());
    StoreLe64(header.data() + 32, Checksum(table_));
    RETURN_IF_ERROR(file_.WriteAt(0, header));
    return file_.WriteAt(kHeaderBytes, table_);
  }

  const SlotCache& old_;
  const SlotCache::Form& form_;
  const SlotCache::Fill& fill_;
  std::vector<Work> work_;
  std::mutex mutex_;  // guards table_, file_, failure_ and the caller's list of unusable images
  Bytes table_;
  File file_;
  absl::Status failure_;
};

absl::StatusOr<SlotCache> SlotCache::Prepare(const fs::path& folder, const Form& form,
                                             std::span<const Key> keys, const Fill& fill,
                                             unsigned threads, Progress& progress,
                                             std::vector<UnusableImage>* unusable) {
  CONSILIUM_CHECK(form.magic.size() == 8);
  RETURN_IF_ERROR(EnsureFolder(folder));
  const fs::path path = folder / StrCat(absl::Hex(form.settings, absl::kZeroPad16), form.extension);
  SlotCache cache = Load(path, form);
  bool complete = true;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto refused = cache.refused_.find(keys[i]);
    if (refused != cache.refused_.end()) {
      unusable->push_back({i, {refused->second, ""}});
    } else if (!cache.Find(keys[i])) {
      complete = false;
    }
  }
  if (complete) return cache;
  unusable->clear();
  RETURN_IF_ERROR(
      SlotCacheWriter(cache, form, keys, fill).Write(path, threads, progress, unusable));
  std::sort(unusable->begin(), unusable->end(),
            [](const UnusableImage& a, const UnusableImage& b) { return a.index < b.index; });
  return Load(path, form);
}

}  // namespace consilium::datasets
