#pragma once

#include <condition_variable>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"

namespace consilium::crypto {

// SHA-256 over pieces that several threads make at once. Whoever finds the next piece in order
// ready hashes it and those after it, while the others go on; nobody waits for a thread of its own.
// Holds a few pieces of memory; who is too far ahead waits. Thread-safe but for Finish.
template <class Number>
class PieceHasher {
 public:
  struct Slot {
    std::size_t index = 0;       // of the piece to be made
    std::vector<Number> values;  // for it; of piece_size
    std::size_t count = 0;       // how many of them it has: set by who makes it
    bool ready = false;
  };

  PieceHasher(std::size_t pieces, std::size_t piece_size, int threads)
      : pieces_(pieces),
        piece_size_(piece_size),
        slots_(2 * static_cast<std::size_t>(threads) + 1) {}

  // The next piece to be made; nullptr when there are no more, or Stop() was called.
  Slot* Take() {
    std::unique_lock lock(mutex_);
    if (taken_ == pieces_ || stopped_) return nullptr;
    const std::size_t index = taken_++;
    went_on_.wait(lock, [&] { return index < hashed_ + slots_.size() || stopped_; });
    if (stopped_) return nullptr;
    Slot& slot = slots_[index % slots_.size()];
    slot.index = index;
    slot.values.resize(piece_size_);
    return &slot;
  }

  // It is made, and is not touched any more.
  void Give(Slot* slot) {
    std::unique_lock lock(mutex_);
    slot->ready = true;
    if (std::exchange(hashing_, true)) return;
    for (Slot* next = Next(); next->ready; next = Next()) {
      lock.unlock();
      sha256_.Update({reinterpret_cast<const std::uint8_t*>(next->values.data()),
                      next->count * sizeof(Number)});
      lock.lock();
      next->ready = false;
      ++hashed_;
      went_on_.notify_all();
    }
    hashing_ = false;
  }

  // Somebody failed: the others need not go on.
  void Stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    went_on_.notify_all();
  }

  // What stands before the first piece, before any is taken.
  void Begin(ByteView before) { sha256_.Update(before); }
  // When all pieces are given and all threads have ended; `after` comes after the last.
  Digest Finish(ByteView after = {}) && {
    CONSILIUM_CHECK(hashed_ == pieces_);
    sha256_.Update(after);
    return std::move(sha256_).Finish();
  }

 private:
  Slot* Next() { return &slots_[hashed_ % slots_.size()]; }

  const std::size_t pieces_, piece_size_;
  std::mutex mutex_;  // all below but sha256_, which is of whom hashing_ lets in
  std::condition_variable went_on_;
  std::vector<Slot> slots_;
  std::size_t taken_ = 0, hashed_ = 0;
  bool hashing_ = false, stopped_ = false;
  Sha256Stream sha256_;
};

}  // namespace consilium::crypto
