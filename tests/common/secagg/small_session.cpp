#include "tests/common/secagg/small_session.h"

#include <algorithm>

#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "tests/catch.h"

namespace consilium::secagg {
namespace {

SessionConfig ConfigFor(std::size_t n, std::uint32_t attempt) {
  const auto cohort = static_cast<std::uint32_t>(n);
  return {.federation = "lung-network",
          .key = {{RunId("chest-0003"), 2, attempt}, Purpose::kTraining},
          .model = crypto::Sha256("model"),
          .roster = crypto::Sha256("roster"),
          .cohort_size = cohort,
          .threshold = Threshold(cohort),
          .values = 1000,
          .sums = 3,
          .layout = crypto::Sha256("layout"),
          .clip_norm = 2.5,
          .total_weight = 480,
          .weight_rule = "examples"};
}

std::map<SiteId, crypto::Ed25519KeyPair> KeysOf(std::size_t n) {
  std::map<SiteId, crypto::Ed25519KeyPair> keys;
  for (std::size_t i = 0; i < n; ++i) {
    const SiteId site = Hospital(static_cast<char>('a' + i));
    keys.emplace(site, KeyFor(site));
  }
  return keys;
}

std::map<SiteId, crypto::Ed25519PublicKey> RosterOf(
    const std::map<SiteId, crypto::Ed25519KeyPair>& keys) {
  std::map<SiteId, crypto::Ed25519PublicKey> roster;
  for (const auto& [site, key] : keys) roster.emplace(site, key.public_key);
  return roster;
}

}  // namespace

SiteId Hospital(char letter) { return SiteId(std::string(1, letter) + "-hospital"); }

std::set<SiteId> Hospitals(std::string_view letters) {
  std::set<SiteId> sites;
  for (const char letter : letters) sites.insert(Hospital(letter));
  return sites;
}

crypto::Ed25519KeyPair KeyFor(const SiteId& site) {
  auto key = crypto::Ed25519KeyPair::FromPrivate(crypto::Sha256(site.value).bytes);
  REQUIRE(key.ok());
  return *std::move(key);
}

Digest VectorHash(const SiteId& site) { return crypto::Sha256("vector of " + site.value); }

SmallSession::SmallSession(std::size_t n, std::uint32_t attempt)
    : config(ConfigFor(n, attempt)),
      keys(KeysOf(n)),
      roster(RosterOf(keys)),
      coordinator(config, roster) {
  for (const auto& [site, key] : keys) {
    SeededRandom random(attempt, site.value);
    auto session = SiteSession::Open(config, ViewOf(site), key, random);
    REQUIRE(session.ok());
    sites.emplace(site, *std::move(session));
  }
}

SiteView SmallSession::ViewOf(const SiteId& site) const {
  return {.self = site, .sites = roster, .roster = config.roster};
}

void SmallSession::LoseAndClose(std::string_view without) {
  CHECK(coordinator.Awaited() == Hospitals(without));
  for (const SiteId& site : Hospitals(without)) coordinator.Lose(site);
  CHECK(coordinator.Awaited().empty());
  const absl::Status closed = coordinator.CloseStep();
  INFO(closed.ToString());
  REQUIRE(closed.ok());
}

void SmallSession::Advertise(std::string_view without) {
  const std::set<SiteId> out = Hospitals(without);
  for (auto& [site, session] : sites) {
    if (out.contains(site)) continue;
    REQUIRE(coordinator.Take(session.advertisement()).ok());
  }
  LoseAndClose(without);
}

void SmallSession::Share(std::string_view without) {
  const std::set<SiteId> out = Hospitals(without);
  for (const SiteId& site : coordinator.Members()) {
    if (out.contains(site)) continue;
    auto shares = sites.at(site).ShareWith(coordinator.members());
    INFO(shares.status().ToString());
    REQUIRE(shares.ok());
    REQUIRE(coordinator.Take(site, *shares).ok());
  }
  LoseAndClose(without);
}

void SmallSession::Upload(std::string_view without) {
  const std::set<SiteId> out = Hospitals(without);
  for (const SiteId& site : coordinator.Members()) {
    SiteSession& session = sites.at(site);
    const absl::Status taken = session.TakeShares(coordinator.SharesFor(site));
    INFO(taken.ToString());
    REQUIRE(taken.ok());
    if (out.contains(site)) continue;
    auto of_site = session.Masks();
    REQUIRE(of_site.ok());
    masks[site] = *std::move(of_site);
    const auto proof = session.SignUpload(VectorHash(site));
    REQUIRE(proof.ok());
    REQUIRE(coordinator.Take(site, *proof).ok());
  }
  LoseAndClose(without);
}

void SmallSession::Agree(std::string_view without) {
  const std::set<SiteId> out = Hospitals(without);
  for (const SiteId& site : coordinator.Members()) {
    if (out.contains(site)) continue;
    const auto signature = sites.at(site).SignSurvivors(coordinator.survivors(), std::nullopt);
    INFO(signature.status().ToString());
    REQUIRE(signature.ok());
    REQUIRE(coordinator.Take(site, *signature).ok());
  }
  LoseAndClose(without);
}

void SmallSession::Unmask(std::string_view without) {
  const std::set<SiteId> out = Hospitals(without);
  for (const SiteId& site : coordinator.Members()) {
    if (out.contains(site)) continue;
    const auto answer =
        sites.at(site).Unmask(coordinator.survivor_signatures(), [&](const UnmaskRecord& record) {
          committed.push_back(record);
          return absl::OkStatus();
        });
    INFO(answer.status().ToString());
    REQUIRE(answer.ok());
    CHECK(sites.at(site).over());
    REQUIRE(coordinator.Take(site, *answer).ok());
  }
  CHECK(coordinator.Awaited() == out);
}

bool SmallSession::Cancels(const std::vector<Mask>& opened) const {
  std::map<Digest, int> balance;  // by the key's hash
  const auto count = [&](const std::vector<Mask>& some) {
    for (const Mask& mask : some) {
      balance[crypto::Sha256(mask.key.Reveal())] += mask.negative ? -1 : 1;
    }
  };
  for (const SiteId& site : coordinator.survivors()) count(masks.at(site));
  count(opened);
  return std::all_of(balance.begin(), balance.end(),
                     [](const auto& entry) { return entry.second == 0; });
}

}  // namespace consilium::secagg
