#include <algorithm>

#include "common/crypto/sha256.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/secure_scene.h"

// A saved session without the digest at its end, which is made right here.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  static const fuzz::SecureScene& scene = fuzz::SecureScene::Played();
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(size));
  Bytes saved(data, data + size);
  const auto& key = scene.keys.at(fuzz::kAlpha);
  const secagg::SiteView view = scene.ViewOf(fuzz::kAlpha);
  FUZZ_EXPECT(!secagg::SiteSession::Restore(saved, view, key).ok());
  const Digest digest = crypto::Sha256(saved);
  saved.insert(saved.end(), digest.bytes.begin(), digest.bytes.end());
  const auto session = secagg::SiteSession::Restore(saved, view, key);
  if (!session.ok()) return 0;
  const crypto::Secret again = session->Save();
  FUZZ_EXPECT(
      secagg::SiteSession::Restore(again.Reveal(), view, key)->Save().Equals(again.Reveal()));
  return 0;
}
