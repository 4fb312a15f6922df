#pragma once

// What a site's optimizer remembers from one round to the next ([training] keep_optimizer):
//
//   STATE/optimizer/<run>/<round>-<steps>-<moments>.sealed
//
// A file of sealed values (sealed_values.h), purpose "consilium site optimizer v1", bound to the
// run, the round and the numbers of its name: the first moments, then AdamW's second. It never
// leaves the site, and SiteState removes it when the run ends.
//
// A round that is trained again, after a crash or because what was kept of it is damaged, begins
// with what the round before had left, as the first time: the file of a round stays until one of a
// later round is used.

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/base/random.h"
#include "common/crypto/secret.h"
#include "site_agent/learning/optimizer_moments.h"

namespace consilium::site_agent {

class OptimizerMemory {
 public:
  // `folder`: STATE/optimizer; made when it is needed. The key and the random source outlive this.
  OptimizerMemory(fs::path folder, const crypto::Secret& state_key, RandomSource& random)
      : folder_(std::move(folder)), state_key_(state_key), random_(random) {}

  // Of the last round before this one of which there is something; none, when there is none or it
  // is not what was written (the log says so): the optimizer begins anew. Drops what is older.
  absl::StatusOr<std::optional<learning::OptimizerMoments>> Before(const RunId& run,
                                                                   std::uint32_t round) const;
  // Durable when it returns, over what was there of the round. Errors are the disk's.
  absl::Status Keep(const RunId& run, std::uint32_t round,
                    const learning::OptimizerMoments& moments) const;

 private:
  const fs::path folder_;
  const crypto::Secret& state_key_;
  RandomSource& random_;
};

}  // namespace consilium::site_agent
