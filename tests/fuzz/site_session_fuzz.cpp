#include "common/wire/consilium.pb.h"
#include "tests/fuzz/proto_round_trip.h"
#include "tests/fuzz/secure_scene.h"

namespace consilium {
namespace {

using secagg::SiteSession;
using wire::SecureNotice;

struct Given {
  absl::Status status;
  std::optional<secagg::UnmaskAnswer> shares;
  bool committed = false;
};

Given Tell(SiteSession& site, const SecureNotice& notice) {
  Given given;
  if (const auto* members = std::get_if<SecureNotice::Members>(&notice.notice)) {
    given.status = site.ShareWith(members->members).status();
  } else if (const auto* shares = std::get_if<SecureNotice::Shares>(&notice.notice)) {
    given.status = site.TakeShares(shares->shares);
  } else if (const auto* survivors = std::get_if<SecureNotice::Survivors>(&notice.notice)) {
    given.status = site.SignSurvivors(survivors->sites, std::nullopt).status();
  } else {
    const auto commit = [&](const secagg::UnmaskRecord&) {
      given.committed = true;
      return absl::OkStatus();
    };
    auto answer = site.Unmask(std::get<SecureNotice::Signatures>(notice.notice).signatures, commit);
    given.status = answer.status();
    if (answer.ok()) given.shares = *std::move(answer);
  }
  return given;
}

// One kind of share of each site, and nothing before it was recorded.
void CheckShares(const Given& given, const SiteSession& site) {
  if (!given.shares) return;
  FUZZ_EXPECT(given.committed && site.over());
  for (const auto& [of, share] : given.shares->seed_shares) {
    FUZZ_EXPECT(!given.shares->mask_key_shares.contains(of));
  }
}

}  // namespace
}  // namespace consilium

// First byte: how far site alpha has come; then the coordinator's message.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  static const fuzz::SecureScene& scene = fuzz::SecureScene::Played();
  const fuzz::AllocationLimit limit(fuzz::JustifiedByMessage(size));
  fuzz::Cursor input(fuzz::Input(data, size));
  const std::size_t step = input.Byte() % scene.notices.size();
  const auto message = fuzz::RoundTripped<v1::ToSite>(input.Rest());
  const auto* notice = message ? std::get_if<wire::SecureNotice>(&*message) : nullptr;
  if (notice == nullptr) return 0;
  secagg::SiteSession site = scene.Restored(step);
  const crypto::Secret before = site.Save();
  const Given given = Tell(site, *notice);
  CheckShares(given, site);
  // A refusal ends the session, or, before its time, changes nothing.
  FUZZ_EXPECT(given.status.ok() || site.over() || site.Save().Equals(before.Reveal()));
  if (site.over()) {
    for (const wire::SecureNotice& honest : scene.notices) {
      FUZZ_EXPECT(!Tell(site, honest).status.ok());
    }
  }
  const crypto::Secret saved = site.Save();
  const auto again = secagg::SiteSession::Restore(saved.Reveal(), scene.ViewOf(fuzz::kAlpha),
                                                  scene.keys.at(fuzz::kAlpha));
  FUZZ_EXPECT(again.ok() && again->Save().Equals(saved.Reveal()));
  return 0;
}
