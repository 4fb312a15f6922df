#include "site_agent/sealed_update.h"

#include <cstring>

#include "common/crypto/envelope.h"
#include "tests/catch.h"
#include "tests/site_agent/test_site.h"

namespace consilium::site_agent {
namespace {

const SiteId kSite("north");
const AttemptKey kKey{RunId("small-0001"), 3, 1};

Contribution Update(ModelState base, ModelState trained, double weight = 4) {
  return {kKey, std::move(base), Digest{{1}}, std::move(trained), weight};
}

TEST_CASE("a sealed update opens to new minus base, and only for its own site and attempt") {
  const TemporaryFolder folder;
  const auto recipient = *crypto::X25519KeyPair::Generate();
  const auto sealed =
      Seal(Update(SmallModel(1), SmallModel(1.25f)), kSite, recipient.public_key, folder.path());
  REQUIRE(sealed.ok());
  CHECK(sealed->size() == crypto::EnvelopeSize(4 * 90007));
  CHECK(fs::file_size(sealed->path()) == sealed->size());

  const auto first_value = [&](const SiteId& site, wire::UploadHeader header) {
    auto opener = crypto::EnvelopeOpener::Create(recipient, header.envelope_header,
                                                 wire::EnvelopeContext(site, header));
    Bytes segment(crypto::kSegmentBytes + crypto::kTagBytes), plaintext(crypto::kSegmentBytes);
    CHECK(sealed->file().ReadAt(crypto::kEnvelopeHeaderBytes, segment).ok());
    float value = 0;
    const bool opened = opener->Open(0, false, segment, plaintext).ok();
    if (opened) std::memcpy(&value, plaintext.data(), sizeof value);
    return value;
  };
  CHECK(first_value(kSite, sealed->header()) == 0.25f);
  CHECK(first_value(SiteId("south"), sealed->header()) == 0);
  wire::UploadHeader heavier = sealed->header();
  heavier.weight = 400;
  CHECK(first_value(kSite, heavier) == 0);
}

TEST_CASE("a contribution that must not be sealed is refused and leaves no file") {
  const TemporaryFolder folder;
  const auto key = crypto::X25519KeyPair::Generate()->public_key;
  const auto refusal = [&](Contribution contribution) {
    const auto sealed = Seal(std::move(contribution), kSite, key, folder.path());
    CHECK(absl::IsInvalidArgument(sealed.status()));
    CHECK(fs::is_empty(folder.path()));
    return std::string(sealed.status().message());
  };
  CHECK_THAT(refusal(Update(SmallModel(-3e38f), SmallModel(3e38f))),
             ContainsText("infinite in tensor \"features.weight\""));
  CHECK_THAT(refusal(Update(SmallModel(1), SmallModel(2), 0)), ContainsText("weight"));
  const auto other = *ModelState::Create({{"other", {2}}}, {1, 2});
  CHECK_FALSE(refusal(Update(SmallModel(1), other)).empty());
}

TEST_CASE("the tensor that is named is the one with the bad value") {
  const TemporaryFolder folder;
  const Layout layout = {{"a", {65536}}, {"b", {65536}}, {"c", {3}}};
  std::vector<float> base(TotalElements(layout)), trained(base.size());
  base[2 * 65536 + 1] = -3e38f;
  trained[2 * 65536 + 1] = 3e38f;
  const auto sealed =
      Seal(Update(*ModelState::Create(layout, base), *ModelState::Create(layout, trained)), kSite,
           crypto::X25519KeyPair::Generate()->public_key, folder.path());
  CHECK_THAT(std::string(sealed.status().message()), ContainsText("\"c\""));
}

TEST_CASE("an update comes back from the outbox only as it was sealed") {
  const TemporaryFolder folder;
  const auto sealed = Seal(Update(SmallModel(1), SmallModel(2)), kSite,
                           crypto::X25519KeyPair::Generate()->public_key, folder.path());
  REQUIRE(sealed.ok());
  CHECK(SealedUpdate::Restore(sealed->header(), sealed->path(), sealed->sha256()).ok());
  auto bytes = *ReadFile(sealed->path());
  bytes[1000] ^= 1;
  CHECK(WriteFileDurably(sealed->path(), bytes).ok());
  CHECK(absl::IsDataLoss(
      SealedUpdate::Restore(sealed->header(), sealed->path(), sealed->sha256()).status()));
  fs::remove(sealed->path());
  CHECK(absl::IsNotFound(
      SealedUpdate::Restore(sealed->header(), sealed->path(), sealed->sha256()).status()));
}

}  // namespace
}  // namespace consilium::site_agent
