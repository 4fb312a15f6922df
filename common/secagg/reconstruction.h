#pragma once

// From the sites' answers back to the secrets they share. Internal to this folder.

#include <functional>
#include <map>
#include <set>
#include <vector>

#include "absl/status/statusor.h"
#include "common/secagg/messages.h"
#include "common/secagg/shamir.h"

namespace consilium::secagg {

// Knows a right secret by what was advertised, so that wrong shares are found: when the first
// threshold answers give a wrong secret, others are tried, leaving out one answer, then two and so
// on, at most kMostTries times in all. Those that had to be left out are asked last from then on.
class Reconstruction {
 public:
  static constexpr int kMostTries = 5000;  // under a second at 100 sites

  // `members`: U1 by name; a site's place in it is its point. `answers`: of at least `threshold` of
  // them. Both must outlive this.
  Reconstruction(const std::vector<Advertisement>& members,
                 const std::map<SiteId, UnmaskAnswer>& answers, std::uint32_t threshold);

  // kDataLoss, with the site's name: no tried choice of answers gives what it advertised.
  absl::StatusOr<crypto::Secret> Seed(const Advertisement& site);
  absl::StatusOr<crypto::Secret> MaskKey(const Advertisement& site);

  // From now on.
  void AllowTries(int tries) { tries_left_ = tries; }
  // Whose answers had to be left out for a secret that came out.
  const std::set<SiteId>& wrong() const { return wrong_; }

 private:
  struct Holder {
    SiteId site;
    std::uint8_t x;
    const UnmaskAnswer* answer;
  };
  using SharesOf = std::map<SiteId, Share> UnmaskAnswer::*;
  using IsRight = std::function<bool(const crypto::Secret&)>;

  absl::StatusOr<crypto::Secret> Find(const SiteId& site, SharesOf shares, const IsRight& is_right,
                                      std::string_view what);

  std::vector<Holder> holders_;  // trusted first
  std::uint32_t threshold_;
  int tries_left_ = kMostTries;
  std::set<SiteId> wrong_;
};

}  // namespace consilium::secagg
