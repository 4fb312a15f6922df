#include "common/base/allocator.h"

#include <malloc.h>

namespace consilium {

void KeepFreedMemory() {
  constexpr int kLargestThreshold = 32 << 20;  // what older C libraries accept
  constexpr int kGibibyte = 1 << 30;
  if (mallopt(M_MMAP_THRESHOLD, kGibibyte) == 0) mallopt(M_MMAP_THRESHOLD, kLargestThreshold);
  mallopt(M_TRIM_THRESHOLD, 2 * (kGibibyte - 1));
  mallopt(M_TOP_PAD, 64 << 20);
  // Other threads' arenas are heaps of 64 MiB that are unmapped when empty; the main one only
  // grows.
  mallopt(M_ARENA_MAX, 1);
}

void ReturnFreedMemory() { malloc_trim(0); }

}  // namespace consilium
