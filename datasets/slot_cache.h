#pragma once

// Slots of equal size in one memory-mapped file, so that what was decoded once is not decoded
// again: the caches of inputs (pixel_cache.h) and of masks (mask_cache.h).
//
//   file  = magic(8) settings(8) image_size(4) variant(4) slots(8) table checksum(8), table, slots
//   table = slots * { key(8+8) slot checksum(8) state(8) }        all integers little endian
//   state = 0: nothing there; 1: a slot; 256 + Refusal: it could not be filled (and stays zero)
//   slots start at a multiple of 4096; slot i at i * slot bytes after that

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/progress.h"
#include "datasets/refusal.h"

namespace consilium::datasets {

struct UnusableImage {
  std::size_t index = 0;  // among the images that were asked for
  Refused refused;
};

// Immutable and thread-safe once it is made.
class SlotCache {
 public:
  struct Form {
    std::string_view magic;      // 8 characters
    std::uint64_t settings = 0;  // of what is in the slots; names the file, too
    std::string_view extension;  // ".pixels"
    std::uint32_t image_size = 0, variant = 0;
    std::uint64_t slot_bytes = 0;
    std::string_view step;  // of the progress: "preparing images"
  };
  struct Key {
    std::uint64_t high = 0, low = 0;
    bool operator==(const Key&) const = default;
  };
  static Key KeyOf(std::string_view identity);

  // The slot of one of the keys: exactly slot_bytes. Called on several threads.
  using Fill = std::function<OrRefused<Bytes>(std::size_t index)>;

  // The cache file of `folder` with all of `keys` in it. Slots that it lacks are filled on several
  // threads and a new file takes the place of the old one (written aside, synced, renamed); the
  // entries of a damaged file that fail their checksum are filled again. Keys that cannot be filled
  // are told in `unusable`, by index. kCancelled when interrupted (the old file stays),
  // kResourceExhausted when the disk is full.
  static absl::StatusOr<SlotCache> Prepare(const fs::path& folder, const Form& form,
                                           std::span<const Key> keys, const Fill& fill,
                                           unsigned threads, Progress& progress,
                                           std::vector<UnusableImage>* unusable);

  // Where a key's slot is; nothing when it could not be filled.
  std::optional<std::size_t> Find(const Key& key) const;
  ByteView Slot(std::size_t slot) const;

 private:
  friend class SlotCacheWriter;
  struct KeyHash {
    std::size_t operator()(const Key& key) const { return key.high; }
  };
  // Empty when there is no file, or none that can be trusted.
  static SlotCache Load(const fs::path& path, const Form& form);

  MappedFile file_;
  std::uint64_t slot_bytes_ = 0, slots_at_ = 0;
  std::unordered_map<Key, std::size_t, KeyHash> slots_;
  std::unordered_map<Key, Refusal, KeyHash> refused_;
};

}  // namespace consilium::datasets
