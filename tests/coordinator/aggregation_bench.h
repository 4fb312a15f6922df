#pragma once

// An aggregator's surroundings for tests, and uploads into it.

#include <algorithm>
#include <set>
#include <vector>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/crypto/sha256.h"
#include "coordinator/aggregator.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/coordinator/sites_contribution.h"

namespace consilium::coordinator {

inline constexpr std::size_t kParameters = 150'000;  // three segments, the last one short

// A coordinator's aggregation beside the network: keys, folders and a base model of three tensors.
struct Bench {
  TemporaryFolder folder;
  crypto::X25519KeyPair keys = crypto::X25519KeyPair::Generate().value();
  BaseModel base;
  std::vector<float> base_values;
  const AttemptKey key{RunId("opacity-0001"), 3, 1};

  explicit Bench(std::uint64_t seed = 7) {
    REQUIRE(EnsureFolder(folder / "spool").ok());
    REQUIRE(EnsureFolder(folder / "models").ok());
    const Layout layout{{"first.weight", {300, 300}}, {"second.weight", {59'990}}, {"bias", {10}}};
    SeededRandom random(seed);
    for (std::size_t i = 0; i < kParameters; ++i) {
      base_values.push_back(static_cast<float>(random.Normal()));
    }
    const ModelState model = ModelState::Create(layout, base_values).value();
    base.file = folder / "models/base.safetensors";
    REQUIRE(SaveSafetensors(base.file, model).ok());
    base.id = crypto::Sha256OfFile(base.file).value();
    base.header = ReadSafetensorsHeader(File::OpenForReading(base.file).value()).value();
  }

  std::unique_ptr<Aggregator> Open(std::set<SiteId> sites, double weight_unit = 100) {
    return Aggregator::Open({key, std::move(sites), weight_unit, base}, keys, folder / "spool",
                            folder / "models")
        .value();
  }
  // As Open, after a restart in the same attempt.
  std::unique_ptr<Aggregator> OpenAgain(std::set<SiteId> sites, double weight_unit = 100) {
    AttemptSpec spec{key, std::move(sites), weight_unit, base};
    spec.again = true;
    return Aggregator::Open(std::move(spec), keys, folder / "spool", folder / "models").value();
  }
  SealedContribution Update(const SiteId& site, const std::vector<float>& delta, double weight) {
    wire::UploadHeader header;
    header.key = key;
    header.base_model = base.id;
    header.weight = weight;
    return Seal(site, header, delta, keys.public_key);
  }
};

inline std::vector<float> RandomDelta(std::uint64_t seed) {
  SeededRandom random(seed);
  std::vector<float> delta(kParameters);
  for (float& value : delta) value = static_cast<float>(random.Normal() * 0.01);
  return delta;
}

inline SiteId Site(int i) { return SiteId(StrCat("site-", i)); }

// Uploads a sealed or masked contribution from the segment that the aggregator asks for, up to
// `end` (exclusive).
template <class SitesContribution>
absl::StatusOr<bool> Upload(Aggregator& aggregator, const SiteId& site,
                            const SitesContribution& sent, std::size_t end = 1000) {
  ASSIGN_OR_RETURN(const std::uint32_t first, aggregator.Begin(site, sent.header));
  bool whole = false;
  for (std::size_t i = first; i < std::min(end, sent.segments.size()); ++i) {
    ASSIGN_OR_RETURN(whole, aggregator.AddSegment(site, i, sent.segments[i]));
  }
  return whole;
}

}  // namespace consilium::coordinator
