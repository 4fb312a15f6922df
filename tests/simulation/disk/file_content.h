#pragma once

#include <cstdint>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/random.h"

namespace consilium::simulation {

// What may be torn and what may not: a sector is written whole or not at all.
inline constexpr std::uint64_t kSectorBytes = 512;

// A file's bytes twice over: as the programs see them (the page cache) and as the disk holds them.
// In between, each change since the last sync, any of which a loss of power may keep, lose or tear.
class FileContent {
 public:
  const Bytes& bytes() const { return written_; }
  bool durable() const { return changes_.empty() && !given_up_; }

  void Write(std::uint64_t offset, ByteView bytes);
  void Resize(std::uint64_t size);

  // All that was written is on the disk.
  void Sync();

  // As Linux after a failed fsync(2): some changes reached the disk; the others are no longer
  // counted as dirty, so that the programs see them and no later sync writes them.
  void FailSync(SeededRandom& random);

  // The programs see what the disk holds, which may have any of the changes on it.
  void LosePower(SeededRandom& random);

 private:
  struct Change {
    bool resize = false;
    std::uint64_t offset = 0;  // of a resize: the new size
    std::size_t begin = 0;     // of the bytes in pool_
    std::size_t count = 0;
  };
  void Apply(const Change& change, std::uint64_t limit);
  void Forget();
  void ApplySectors(const Change& change, std::uint64_t limit, SeededRandom& random);

  Bytes written_;
  Bytes durable_;
  std::vector<Change> changes_;
  bool given_up_ = false;  // a failed sync left changes that no later one saves
  Bytes pool_;
};

}  // namespace consilium::simulation
