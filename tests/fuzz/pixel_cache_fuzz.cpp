#include "datasets/pixel_cache.h"

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/pixel_cache_scene.h"

// A cache file as PixelCache keeps it, but for its table's checksum, which is made right here.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  static fuzz::PixelCacheScene scene;
  const Bytes file = fuzz::PixelCacheScene::WithTableChecksum(fuzz::Input(data, size));
  fuzz::Scratch(scene.CacheFile(), file);
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(2 * size) + (1 << 20));
  const auto cache = scene.Prepare();
  FUZZ_EXPECT(cache.ok());
  const auto slot = cache->Find(scene.image());
  if (!slot) return 0;
  std::vector<float> pixels(std::size_t{cache->image_size()} * cache->image_size());
  cache->Read(*slot, pixels);
  for (const float pixel : pixels) FUZZ_EXPECT(pixel >= 0 && pixel <= 1);
  return 0;
}
