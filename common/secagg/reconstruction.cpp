#include "common/secagg/reconstruction.h"

#include <algorithm>

#include "common/base/status.h"
#include "common/crypto/sha256.h"

namespace consilium::secagg {

Reconstruction::Reconstruction(const std::vector<Advertisement>& members,
                               const std::map<SiteId, UnmaskAnswer>& answers,
                               std::uint32_t threshold)
    : threshold_(threshold) {
  for (std::size_t i = 0; i < members.size(); ++i) {
    const auto answer = answers.find(members[i].site);
    if (answer == answers.end()) continue;
    holders_.push_back({members[i].site, static_cast<std::uint8_t>(i + 1), &answer->second});
  }
  CONSILIUM_CHECK(threshold >= 1 && holders_.size() >= threshold);
}

absl::StatusOr<crypto::Secret> Reconstruction::Seed(const Advertisement& site) {
  return Find(
      site.site, &UnmaskAnswer::seed_shares,
      [&](const crypto::Secret& seed) { return crypto::Sha256(seed.Reveal()) == site.seed_hash; },
      "seed");
}

absl::StatusOr<crypto::Secret> Reconstruction::MaskKey(const Advertisement& site) {
  return Find(
      site.site, &UnmaskAnswer::mask_key_shares,
      [&](const crypto::Secret& key) {
        const auto pair = crypto::X25519KeyPair::FromPrivate(key.Reveal());
        return pair.ok() && pair->public_key == site.mask_key;
      },
      "mask key");
}

absl::StatusOr<crypto::Secret> Reconstruction::Find(const SiteId& site, SharesOf shares,
                                                    const IsRight& is_right,
                                                    std::string_view what) {
  const std::size_t spare = holders_.size() - threshold_;
  std::vector<Point> points;
  for (std::size_t left_out = 0; left_out <= spare; ++left_out) {
    // Every choice of `left_out` holders, the first threshold_ of the others being asked. A choice
    // of one that would not be asked anyway repeats a smaller one: it is not tried.
    std::vector<char> out(holders_.size(), 0);
    std::fill_n(out.begin(), left_out, 1);
    do {
      const auto last_out = std::find(out.rbegin(), out.rend(), 1).base() - out.begin();
      if (last_out > static_cast<std::ptrdiff_t>(threshold_ + left_out)) continue;
      if (--tries_left_ < 0) break;
      points.clear();
      for (std::size_t i = 0; i < holders_.size() && points.size() < threshold_; ++i) {
        if (!out[i]) points.push_back({holders_[i].x, (holders_[i].answer->*shares).at(site)});
      }
      ASSIGN_OR_RETURN(crypto::Secret secret, Combine(points, threshold_));
      if (!is_right(secret)) continue;
      for (std::size_t i = 0; i < holders_.size(); ++i) {
        if (out[i]) wrong_.insert(holders_[i].site);
      }
      std::size_t i = 0;
      std::stable_partition(holders_.begin(), holders_.end(),
                            [&](const Holder&) { return !out[i++]; });
      return secret;
    } while (std::prev_permutation(out.begin(), out.end()));
  }
  return absl::DataLossError(
      StrCat("the ", what, " of site \"", site.value,
             "\" that the sites' shares give is not the one it advertised, whichever of the ",
             holders_.size(), " answers are used (", threshold_,
             " are needed): that site shared wrongly, or too many answers are wrong"));
}

}  // namespace consilium::secagg
