#include <algorithm>

#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "tests/catch.h"
#include "tests/common/secagg/small_session.h"

namespace consilium::secagg {
namespace {

using Step = CoordinatorSession::Step;

// Opens after Unmask and checks that what is opened takes all masks out of the survivors' sum.
std::vector<Mask> OpenAll(SmallSession& session) {
  auto opened = session.coordinator.Open();
  INFO(opened.status().ToString());
  REQUIRE(opened.ok());
  CHECK(session.coordinator.step() == Step::kOpened);
  CHECK(session.Cancels(*opened));
  return *std::move(opened);
}

TEST_CASE("With 3 to 10 sites and no dropout the masks cancel") {
  for (std::size_t n = 3; n <= 10; ++n) {
    INFO("n = " << n);
    SmallSession session(n);
    session.Advertise();
    session.Share();
    session.Upload();
    session.Agree();
    session.Unmask();
    const std::vector<Mask> opened = OpenAll(session);
    CHECK(opened.size() == n);  // a seed's mask for each site, nothing else
    for (const auto& [site, masks] : session.masks) CHECK(masks.size() == n);
  }
}

TEST_CASE("A site's own mask and each pair's mask have keys of their own in every session") {
  std::set<Digest> keys;
  std::size_t own = 0, pairs = 0;
  for (const std::uint32_t attempt : {1u, 2u}) {
    SmallSession session(4, attempt);
    session.Advertise();
    session.Share();
    session.Upload();
    for (const auto& [site, masks] : session.masks) {
      for (const Mask& mask : masks) {
        keys.insert(crypto::Sha256(mask.key.Reveal()));
      }
    }
    own += 4;
    pairs += 6;
  }
  CHECK(keys.size() == own + pairs);
}

TEST_CASE("Of two sites the one with the smaller name adds their mask and the other subtracts it") {
  SmallSession session(3);
  session.Advertise();
  session.Share();
  session.Upload();
  const auto pluses = [&](char letter) {
    const std::vector<Mask>& masks = session.masks.at(Hospital(letter));
    return std::count_if(masks.begin(), masks.end(), [](const Mask& m) { return !m.negative; });
  };
  CHECK(pluses('a') == 3);  // its own mask and both pairs'
  CHECK(pluses('b') == 2);
  CHECK(pluses('c') == 1);
}

TEST_CASE("Sites may be lost in every step as long as the threshold is left") {
  struct Losses {
    const char *advertising, *sharing, *uploading, *agreeing, *unmasking;
  };
  const std::vector<Losses> all = {
      {"a", "", "", "", ""},   {"", "a", "", "", ""},   {"", "", "a", "", ""},
      {"", "", "", "a", ""},   {"", "", "", "", "a"},   {"j", "e", "a", "", ""},
      {"", "", "abj", "", ""}, {"", "", "", "chi", ""}, {"", "", "", "", "bdf"},
      {"", "d", "e", "f", ""}, {"c", "", "j", "", "a"}};
  for (const Losses& losses : all) {
    SmallSession session(10);
    session.Advertise(losses.advertising);
    session.Share(losses.sharing);
    session.Upload(losses.uploading);
    session.Agree(losses.agreeing);
    session.Unmask(losses.unmasking);
    CHECK(session.coordinator.EnoughAnswers());
    const std::vector<Mask> opened = OpenAll(session);
    const std::size_t lost =
        session.coordinator.sharers().size() - session.coordinator.survivors().size();
    CHECK(opened.size() == session.coordinator.survivors().size() * (1 + lost));
  }
}

TEST_CASE("A threshold above the least is kept") {
  SmallSession session(5);
  session.config.threshold = 5;
  session.coordinator = CoordinatorSession(session.config, session.roster);
  session.sites.clear();
  for (const auto& [site, key] : session.keys) {
    SeededRandom random(1, site.value);
    auto opened = SiteSession::Open(session.config, session.ViewOf(site), key, random);
    REQUIRE(opened.ok());
    session.sites.emplace(site, *std::move(opened));
  }
  session.Advertise();
  session.Share();
  session.Upload();
  session.Agree();
  session.Unmask();
  OpenAll(session);
}

TEST_CASE("One site less than the threshold fails the session in each step, with the numbers") {
  const auto failure = [](SmallSession& session, std::string_view step) {
    const absl::Status closed = session.coordinator.CloseStep();
    CHECK(closed.code() == absl::StatusCode::kFailedPrecondition);
    CHECK_THAT(std::string(closed.message()),
               ContainsText("after " + std::string(step) + " 2 of 4 sites are left, 3 are needed"));
  };
  SmallSession advertising(4);
  for (const char letter : {'b', 'c'}) {
    REQUIRE(advertising.coordinator.Take(advertising.site(letter).advertisement()).ok());
  }
  failure(advertising, "advertising");

  SmallSession sharing(4);
  sharing.Advertise();
  for (const char letter : {'b', 'c'}) {
    auto shares = sharing.site(letter).ShareWith(sharing.coordinator.members());
    REQUIRE(sharing.coordinator.Take(Hospital(letter), *shares).ok());
  }
  failure(sharing, "sharing");

  SmallSession uploading(4);
  uploading.Advertise();
  uploading.Share();
  for (const char letter : {'b', 'c'}) {
    REQUIRE(
        uploading.site(letter).TakeShares(uploading.coordinator.SharesFor(Hospital(letter))).ok());
    const auto proof = uploading.site(letter).SignUpload(VectorHash(Hospital(letter)));
    REQUIRE(uploading.coordinator.Take(Hospital(letter), *proof).ok());
  }
  failure(uploading, "uploading");

  SmallSession agreeing(4);
  agreeing.Advertise();
  agreeing.Share();
  agreeing.Upload();
  for (const char letter : {'b', 'c'}) {
    const auto signature = agreeing.site(letter).SignSurvivors(Hospitals("abcd"), std::nullopt);
    REQUIRE(agreeing.coordinator.Take(Hospital(letter), *signature).ok());
  }
  failure(agreeing, "agreeing");

  SmallSession unmasking(4);
  unmasking.Advertise();
  unmasking.Share();
  unmasking.Upload();
  unmasking.Agree();
  unmasking.Unmask("ad");
  const auto opened = unmasking.coordinator.Open();
  CHECK(opened.status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(std::string(opened.status().message()), ContainsText("2 answers, 3 are needed"));
}

TEST_CASE("The unmask record names the session, the model and both sets") {
  SmallSession session(4);
  session.Advertise();
  session.Share();
  session.Upload("b");
  session.Agree();
  session.Unmask();
  REQUIRE(session.committed.size() == 3);
  for (const UnmaskRecord& record : session.committed) {
    CHECK(record.key == session.config.key);
    CHECK(record.model == session.config.model);
    CHECK(record.transcript == session.coordinator.transcript());
    CHECK(record.sharers == Hospitals("abcd"));
    CHECK(record.survivors == Hospitals("acd"));
  }
}

TEST_CASE("A site answers with exactly one kind of share for each sharer") {
  SmallSession session(4);
  session.Advertise();
  session.Share();
  session.Upload("c");
  session.Agree();
  const auto answer = session.site('a').Unmask(session.coordinator.survivor_signatures(),
                                               [](const auto&) { return absl::OkStatus(); });
  REQUIRE(answer.ok());
  CHECK(answer->seed_shares.size() == 3);
  CHECK_FALSE(answer->seed_shares.contains(Hospital('c')));
  CHECK(answer->mask_key_shares.size() == 1);
  CHECK(answer->mask_key_shares.contains(Hospital('c')));
}

TEST_CASE("The same request again gets the same answer, until the session is over") {
  SmallSession session(4);
  session.Advertise();
  std::vector<Advertisement> members = session.coordinator.members();
  SiteSession& a = session.site('a');
  const auto shares = a.ShareWith(members);
  std::reverse(members.begin(), members.end());
  CHECK(*a.ShareWith(members) == *shares);
  session.Share();
  std::vector<SealedShare> for_a = session.coordinator.SharesFor(Hospital('a'));
  REQUIRE(a.TakeShares(for_a).ok());
  std::reverse(for_a.begin(), for_a.end());
  CHECK(a.TakeShares(for_a).ok());
  session.Upload();
  CHECK(*a.ShareWith(members) == *shares);
  CHECK(a.TakeShares(for_a).ok());
  CHECK(a.SignUpload(VectorHash(Hospital('a')))->signature ==
        a.SignUpload(VectorHash(Hospital('a')))->signature);
  session.Agree();
  const auto signature = a.SignSurvivors(Hospitals("abcd"), std::nullopt);
  CHECK(*signature == session.coordinator.survivor_signatures().at(Hospital('a')));
  CHECK(a.SignSurvivors(Hospitals("abcd"), Hospitals("abcd")).ok());
  session.Unmask();
  CHECK(a.ShareWith(members).status().code() == absl::StatusCode::kFailedPrecondition);
}

TEST_CASE(
    "A site that did not upload in time may agree to a set without itself, and is then bound") {
  SmallSession session(4);
  session.Advertise();
  session.Share();
  session.Upload("d");
  SiteSession& late = session.site('d');
  REQUIRE(late.SignSurvivors(Hospitals("abc"), std::nullopt).ok());
  const auto proof = late.SignUpload(VectorHash(Hospital('d')));
  CHECK(proof.status().code() == absl::StatusCode::kPermissionDenied);
  CHECK_THAT(std::string(proof.status().message()),
             ContainsText("already signed that it did not deliver"));
}

TEST_CASE("The coordinator knows whom it waits for and who has answered") {
  SmallSession session(4);
  CoordinatorSession& coordinator = session.coordinator;
  CHECK(coordinator.step() == Step::kAdvertising);
  CHECK(coordinator.Awaited() == Hospitals("abcd"));
  REQUIRE(coordinator.Take(session.site('b').advertisement()).ok());
  CHECK(coordinator.Answered(Hospital('b')));
  CHECK_FALSE(coordinator.Answered(Hospital('a')));
  CHECK(coordinator.Awaited() == Hospitals("acd"));
  coordinator.Lose(Hospital('a'));
  CHECK(coordinator.Awaited() == Hospitals("cd"));
  CHECK(coordinator.Members() == Hospitals("bcd"));
  CHECK_FALSE(coordinator.EnoughAnswers());
}

TEST_CASE("Three of four signatures and answers are enough to go on at once") {
  SmallSession session(4);
  session.Advertise();
  session.Share();
  session.Upload();
  CoordinatorSession& coordinator = session.coordinator;
  for (const char letter : {'a', 'b', 'c'}) {
    CHECK_FALSE(coordinator.EnoughAnswers());
    const auto signature = session.site(letter).SignSurvivors(Hospitals("abcd"), std::nullopt);
    REQUIRE(coordinator.Take(Hospital(letter), *signature).ok());
  }
  CHECK(coordinator.EnoughAnswers());
  REQUIRE(coordinator.CloseStep().ok());
  CHECK(coordinator.Members() == Hospitals("abc"));
  session.Unmask();
  const auto opened = coordinator.Open();
  REQUIRE(opened.ok());
  CHECK(session.Cancels(*opened));
}

TEST_CASE("A site lost while uploading is taken out even after it delivered") {
  SmallSession session(4);
  session.Advertise();
  session.Share();
  for (const SiteId& site : session.coordinator.Members()) {
    REQUIRE(session.sites.at(site).TakeShares(session.coordinator.SharesFor(site)).ok());
    session.masks[site] = *session.sites.at(site).Masks();
    REQUIRE(
        session.coordinator.Take(site, *session.sites.at(site).SignUpload(VectorHash(site))).ok());
  }
  session.coordinator.Lose(Hospital('b'));
  REQUIRE(session.coordinator.CloseStep().ok());
  CHECK(session.coordinator.survivors() == Hospitals("acd"));
  session.Agree();
  session.Unmask();
  OpenAll(session);
}

TEST_CASE("A site lost after it delivered still counts in the sum") {
  SmallSession session(4);
  session.Advertise();
  session.Share();
  session.Upload();
  session.coordinator.Lose(Hospital('b'));
  CHECK(session.coordinator.Awaited() == Hospitals("acd"));
  session.Agree();
  CHECK(session.coordinator.survivors() == Hospitals("abcd"));
  session.Unmask();
  OpenAll(session);
}

TEST_CASE("Two sites that were told other configs cannot take part in one session") {
  SmallSession honest(3), other_model(3);
  other_model.config.model = other_model.config.layout;
  SeededRandom random(5);
  const SiteId c = Hospital('c');
  auto told_otherwise =
      SiteSession::Open(other_model.config, honest.ViewOf(c), honest.keys.at(c), random);
  REQUIRE(told_otherwise.ok());
  const absl::Status status = honest.coordinator.Take(told_otherwise->advertisement());
  CHECK(status.code() == absl::StatusCode::kUnauthenticated);
}

}  // namespace
}  // namespace consilium::secagg
