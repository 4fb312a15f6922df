#include "tests/fuzz/secure_scene.h"

#include "common/crypto/sha256.h"
#include "tests/fuzz/fuzz.h"

namespace consilium::fuzz {
namespace {

using secagg::CoordinatorSession;
using secagg::SiteSession;
using wire::SecureNotice;

secagg::SessionConfig ConfigOf() {
  return {.federation = "lung-network",
          .key = {{RunId("chest-0003"), 2, 1}, secagg::Purpose::kTraining},
          .model = crypto::Sha256("model"),
          .roster = crypto::Sha256("roster"),
          .cohort_size = 3,
          .threshold = secagg::Threshold(3),
          .values = 1000,
          .sums = 2,
          .layout = crypto::Sha256("layout"),
          .clip_norm = 2.5,
          .total_weight = 480,
          .weight_rule = "examples"};
}

// Plays all steps; keeps alpha's state before each.
void Play(SecureScene& scene, std::map<SiteId, SiteSession> sites) {
  CoordinatorSession coordinator(scene.config, scene.public_keys);
  const auto close = [&] { FUZZ_EXPECT(coordinator.CloseStep().ok()); };
  const auto tell = [&](auto notice) {
    scene.saved.push_back(sites.at(kAlpha).Save());
    scene.notices.push_back({scene.config.key, std::move(notice)});
  };
  const auto step = [&](int number, auto answer) {
    for (auto& [site, session] : sites) answer(site, session);
    for (const auto& [site, session] : sites) {
      FUZZ_EXPECT(scene.Answer(coordinator, site, number).ok());
    }
  };
  step(0, [&](const SiteId& site, SiteSession& session) {
    scene.advertisements[site] = session.advertisement();
  });
  close();
  tell(SecureNotice::Members{coordinator.members()});
  step(1, [&](const SiteId& site, SiteSession& session) {
    scene.shares[site] = *session.ShareWith(coordinator.members());
  });
  close();
  tell(SecureNotice::Shares{coordinator.SharesFor(kAlpha)});
  step(2, [&](const SiteId& site, SiteSession& session) {
    FUZZ_EXPECT(session.TakeShares(coordinator.SharesFor(site)).ok());
    scene.proofs[site] = *session.SignUpload(crypto::Sha256(site.value));
  });
  close();
  tell(SecureNotice::Survivors{coordinator.survivors()});
  step(3, [&](const SiteId& site, SiteSession& session) {
    scene.agreements[site] = *session.SignSurvivors(coordinator.survivors(), std::nullopt);
  });
  close();
  tell(SecureNotice::Signatures{coordinator.survivor_signatures()});
  const auto commit = [](const secagg::UnmaskRecord&) { return absl::OkStatus(); };
  step(4, [&](const SiteId& site, SiteSession& session) {
    scene.answers[site] = *session.Unmask(coordinator.survivor_signatures(), commit);
  });
  FUZZ_EXPECT(coordinator.Open().ok());
}

SecureScene Make() {
  SecureScene scene{.config = ConfigOf()};
  for (const SiteId& site : {kAlpha, kBeta, kGamma}) {
    auto key = *crypto::Ed25519KeyPair::FromPrivate(PrivateKeyOf(site.value));
    scene.public_keys[site] = key.public_key;
    scene.keys.emplace(site, std::move(key));
  }
  std::map<SiteId, SiteSession> sites;
  for (const auto& [site, key] : scene.keys) {
    SeededRandom random(1, site.value);
    sites.emplace(site, *SiteSession::Open(scene.config, scene.ViewOf(site), key, random));
  }
  Play(scene, std::move(sites));
  return scene;
}

}  // namespace

const SecureScene& SecureScene::Played() {
  static const SecureScene scene = Make();
  return scene;
}

secagg::SiteView SecureScene::ViewOf(const SiteId& site) const {
  return {.self = site, .sites = public_keys, .roster = config.roster};
}

SiteSession SecureScene::Restored(std::size_t notice) const {
  return *SiteSession::Restore(saved.at(notice).Reveal(), ViewOf(kAlpha), keys.at(kAlpha));
}

absl::Status SecureScene::Answer(CoordinatorSession& coordinator, const SiteId& site,
                                 int step) const {
  switch (step) {
    case 0:
      return coordinator.Take(advertisements.at(site));
    case 1:
      return coordinator.Take(site, shares.at(site));
    case 2:
      return coordinator.Take(site, proofs.at(site));
    case 3:
      return coordinator.Take(site, agreements.at(site));
    default:
      return coordinator.Take(site, answers.at(site));
  }
}

CoordinatorSession SecureScene::CoordinatorAt(int step) const {
  CoordinatorSession coordinator(config, public_keys);
  for (int i = 0; i < step; ++i) {
    for (const auto& [site, key] : keys) FUZZ_EXPECT(Answer(coordinator, site, i).ok());
    FUZZ_EXPECT(coordinator.CloseStep().ok());
  }
  return coordinator;
}

}  // namespace consilium::fuzz
