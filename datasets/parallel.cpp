#include "datasets/parallel.h"

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace consilium::datasets {

unsigned ThreadCount(unsigned threads) {
  return threads > 0 ? threads : std::max(1u, std::thread::hardware_concurrency());
}

bool ParallelFor(std::size_t count, unsigned threads,
                 const std::function<bool(std::size_t)>& body) {
  std::atomic<std::size_t> next = 0;
  std::atomic<bool> going = true;
  const auto work = [&] {
    for (std::size_t i = next++; i < count && going; i = next++) {
      if (!body(i)) going = false;
    }
  };
  const std::size_t helpers = std::min<std::size_t>(ThreadCount(threads), count);
  std::vector<std::jthread> crew;
  for (std::size_t i = 1; i < helpers; ++i) crew.emplace_back(work);
  work();
  crew.clear();  // joins
  return going;
}

void KeepFreedMemory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 64 << 20);
  mallopt(M_TRIM_THRESHOLD, 512 << 20);
  mallopt(M_TOP_PAD, 16 << 20);
#endif
}

}  // namespace consilium::datasets
