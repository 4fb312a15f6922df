#include "experiments/bench/secagg/bench_sessions.h"

#include <chrono>
#include <map>
#include <set>
#include <vector>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/crypto/sha256.h"
#include "common/secagg/coordinator_session.h"
#include "common/secagg/shamir.h"
#include "common/secagg/site_session.h"

namespace consilium::bench {
namespace {

using Clock = std::chrono::steady_clock;

// Adds the time until it goes to `seconds`.
class Timer {
 public:
  explicit Timer(double& seconds) : seconds_(seconds) {}
  ~Timer() { seconds_ += std::chrono::duration<double>(Clock::now() - begun_).count(); }

 private:
  double& seconds_;
  const Clock::time_point begun_ = Clock::now();
};

SiteId NameOf(std::uint32_t i) { return SiteId(StrCat("site-", 100 + i)); }

// A federation in memory: one coordinator and its sites, driven step by step.
class Federation {
 public:
  static absl::StatusOr<Federation> Make(std::uint32_t n) {
    Federation made;
    for (std::uint32_t i = 0; i < n; ++i) {
      ASSIGN_OR_RETURN(auto key, crypto::Ed25519KeyPair::Generate());
      made.roster_.emplace(NameOf(i), key.public_key);
      made.keys_.push_back(std::move(key));
    }
    return made;
  }

  absl::StatusOr<SessionSeconds> Run(std::uint32_t dropped) {
    const auto n = static_cast<std::uint32_t>(keys_.size());
    secagg::SessionConfig config;
    config.federation = "benchmark";
    config.key.attempt = {RunId("bench-0001"), 1, 1};
    config.cohort_size = n;
    config.threshold = secagg::Threshold(n);
    config.sums = 1;
    secagg::CoordinatorSession coordinator(config, roster_);
    std::map<SiteId, secagg::SiteSession> sites;
    double of_sites = 0, of_coordinator = 0;
    SystemRandom random;
    for (std::uint32_t i = 0; i < n; ++i) {
      const Timer timer(of_sites);
      ASSIGN_OR_RETURN(auto site,
                       secagg::SiteSession::Open(config, {NameOf(i), roster_}, keys_[i], random));
      sites.emplace(NameOf(i), std::move(site));
    }
    const auto each = [&](auto step) -> absl::Status {
      for (auto& [name, site] : sites) RETURN_IF_ERROR(step(name, site));
      const Timer timer(of_coordinator);
      return coordinator.step() == secagg::CoordinatorSession::Step::kUnmasking
                 ? absl::OkStatus()
                 : coordinator.CloseStep();
    };
    // Of the site's part and then the coordinator's, each on its own clock.
    const auto exchange = [&](auto of_site, auto take) -> absl::Status {
      return each([&](const SiteId& name, secagg::SiteSession& site) -> absl::Status {
        auto answer = [&] {
          const Timer timer(of_sites);
          return of_site(name, site);
        }();
        RETURN_IF_ERROR(answer.status());
        const Timer timer(of_coordinator);
        return take(name, *std::move(answer));
      });
    };
    RETURN_IF_ERROR(each([&](const SiteId&, secagg::SiteSession& site) {
      const Timer timer(of_coordinator);
      return coordinator.Take(site.advertisement());
    }));
    RETURN_IF_ERROR(
        exchange([&](const SiteId&, auto& site) { return site.ShareWith(coordinator.members()); },
                 [&](const SiteId& name, auto shares) {
                   return coordinator.Take(name, std::move(shares));
                 }));
    for (auto& [name, site] : sites) {
      const auto shares = coordinator.SharesFor(name);
      const Timer timer(of_sites);
      RETURN_IF_ERROR(site.TakeShares(shares));
      RETURN_IF_ERROR(site.Masks().status());
    }
    for (std::uint32_t i = 0; i < dropped; ++i) {
      sites.erase(NameOf(i));
      coordinator.Lose(NameOf(i));
    }
    RETURN_IF_ERROR(exchange(
        [&](const SiteId& name, auto& site) { return site.SignUpload(crypto::Sha256(name.value)); },
        [&](const SiteId& name, const auto& proof) { return coordinator.Take(name, proof); }));
    RETURN_IF_ERROR(exchange(
        [&](const SiteId&, auto& site) {
          return site.SignSurvivors(coordinator.survivors(), std::nullopt);
        },
        [&](const SiteId& name, const auto& signature) {
          return coordinator.Take(name, signature);
        }));
    RETURN_IF_ERROR(exchange(
        [&](const SiteId&, auto& site) {
          return site.Unmask(coordinator.survivor_signatures(),
                             [](const secagg::UnmaskRecord&) { return absl::OkStatus(); });
        },
        [&](const SiteId& name, const auto& answer) { return coordinator.Take(name, answer); }));
    const auto open = [&] {
      const Timer timer(of_coordinator);
      return coordinator.Open();
    };
    ASSIGN_OR_RETURN(const std::vector<secagg::Mask> masks, open());
    if (masks.size() != (n - dropped) * (dropped + 1)) {
      return absl::InternalError("the opened masks are not those of the survivors");
    }
    return SessionSeconds{of_sites / n, of_coordinator};
  }

 private:
  std::vector<crypto::Ed25519KeyPair> keys_;
  std::map<SiteId, crypto::Ed25519PublicKey> roster_;
};

}  // namespace

absl::StatusOr<SessionSeconds> RunSession(std::uint32_t n, std::uint32_t dropped) {
  ASSIGN_OR_RETURN(Federation federation, Federation::Make(n));
  return federation.Run(dropped);
}

absl::StatusOr<ShamirSeconds> RunShamir(std::uint32_t n) {
  constexpr int kRounds = 20;
  SystemRandom random;
  crypto::Secret secret(32);
  random.Fill(secret.RevealForWriting());
  const std::uint32_t threshold = secagg::Threshold(n);
  ShamirSeconds seconds;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<secagg::Share> shares;
    {
      const Timer timer(seconds.split);
      shares = secagg::Split(secret, threshold, n, random);
    }
    std::vector<secagg::Point> points;
    for (std::uint32_t i = n - threshold; i < n; ++i) {
      points.push_back({static_cast<std::uint8_t>(i + 1), shares[i]});
    }
    const Timer timer(seconds.combine);
    ASSIGN_OR_RETURN(const crypto::Secret combined, secagg::Combine(points, threshold));
    if (!combined.Equals(secret.Reveal())) return absl::InternalError("another secret came back");
  }
  return ShamirSeconds{seconds.split / kRounds, seconds.combine / kRounds};
}

}  // namespace consilium::bench
