// A site that restarts goes on where it was, and a damaged file is refused.

#include "common/base/status.h"
#include "tests/catch.h"
#include "tests/common/secagg/small_session.h"

namespace consilium::secagg {
namespace {

void RestartAll(SmallSession& session) {
  for (auto& [site, running] : session.sites) {
    const crypto::Secret saved = running.Save();
    auto restored =
        SiteSession::Restore(saved.Reveal(), session.ViewOf(site), session.keys.at(site));
    INFO(restored.status().ToString());
    REQUIRE(restored.ok());
    CHECK(restored->config() == running.config());
    CHECK(restored->advertisement() == running.advertisement());
    CHECK(restored->over() == running.over());
    CHECK(restored->Save().Equals(saved.Reveal()));
    running = *std::move(restored);
  }
}

TEST_CASE("Sites that restart before every step finish the session") {
  SmallSession session(5);
  RestartAll(session);
  session.Advertise();
  RestartAll(session);
  session.Share();
  RestartAll(session);
  session.Upload("d");
  RestartAll(session);
  session.Agree();
  RestartAll(session);
  session.Unmask();
  const auto opened = session.coordinator.Open();
  REQUIRE(opened.ok());
  CHECK(session.Cancels(*opened));
  RestartAll(session);
  CHECK(session.site('a').over());
}

TEST_CASE("A restarted site gives the same bytes for the same request") {
  SmallSession session(4);
  session.Advertise();
  const crypto::Secret before = session.site('a').Save();
  const auto shares = session.site('a').ShareWith(session.coordinator.members());
  auto restored = SiteSession::Restore(before.Reveal(), session.ViewOf(Hospital('a')),
                                       session.keys.at(Hospital('a')));
  REQUIRE(restored.ok());
  CHECK(*restored->ShareWith(session.coordinator.members()) == *shares);
}

TEST_CASE("A restarted site keeps what it has signed") {
  SmallSession session(4);
  session.Advertise();
  session.Share();
  session.Upload();
  RestartAll(session);
  CHECK(session.site('a').SignUpload(VectorHash(Hospital('b'))).status().code() ==
        absl::StatusCode::kPermissionDenied);
  REQUIRE(session.site('b').SignSurvivors(Hospitals("abcd"), {}).ok());
  RestartAll(session);
  CHECK(session.site('b').SignSurvivors(Hospitals("bcd"), {}).status().code() ==
        absl::StatusCode::kPermissionDenied);
  RestartAll(session);
  CHECK(session.site('a').over());
  CHECK(session.site('b').over());
  CHECK_FALSE(session.site('c').over());
}

void CheckDamaged(ByteView saved, const SmallSession& session) {
  const auto restored =
      SiteSession::Restore(saved, session.ViewOf(Hospital('a')), session.keys.at(Hospital('a')));
  if (restored.status().code() != absl::StatusCode::kDataLoss) {
    FAIL("taken, or refused as " << restored.status().ToString());
  }
}

TEST_CASE("Every truncated and every flipped byte of a saved session is found") {
  SmallSession session(3);
  std::vector<crypto::Secret> states;
  const auto save = [&] { states.push_back(session.site('a').Save()); };
  save();
  session.Advertise();
  session.Share();
  save();
  session.Upload();
  session.Agree();
  save();
  session.Unmask();
  save();
  for (const crypto::Secret& state : states) {
    const ByteView saved = state.Reveal();
    for (std::size_t size = 0; size < saved.size(); ++size) {
      CheckDamaged(saved.first(size), session);
    }
    Bytes changed(saved.begin(), saved.end());
    for (std::size_t i = 0; i < changed.size(); ++i) {
      changed[i] ^= static_cast<std::uint8_t>(1 << i % 8);
      CheckDamaged(changed, session);
      changed[i] ^= static_cast<std::uint8_t>(1 << i % 8);
    }
    changed.push_back(0);
    CheckDamaged(changed, session);
  }
}

TEST_CASE("A saved session is not gone on with by another site, roster or policy") {
  SmallSession session(4);
  const crypto::Secret saved = session.site('a').Save();
  const SiteId a = Hospital('a'), b = Hospital('b');
  const auto refusal = [&](const SiteView& view, const SiteId& key) {
    const auto restored = SiteSession::Restore(saved.Reveal(), view, session.keys.at(key));
    CHECK(restored.status().code() == absl::StatusCode::kPermissionDenied);
    return std::string(restored.status().message());
  };
  CHECK_THAT(
      refusal(session.ViewOf(b), b),
      ContainsText("the saved session is of site \"a-hospital\", this one is \"b-hospital\""));
  CHECK_THAT(refusal(session.ViewOf(a), b), ContainsText("another signing key"));
  SiteView view = session.ViewOf(a);
  view.roster.bytes[0] ^= 1;
  CHECK_THAT(refusal(view, a), ContainsText("this site has pinned"));
  view = session.ViewOf(a);
  view.minimum_cohort = 5;
  CHECK_THAT(refusal(view, a), ContainsText("this site's policy asks for 5"));
}

}  // namespace
}  // namespace consilium::secagg
