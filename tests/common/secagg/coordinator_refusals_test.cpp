// What the coordinator does not take, what it says, and what it does with wrong shares.

#include "common/base/status.h"
#include "tests/catch.h"
#include "tests/common/secagg/small_session.h"

namespace consilium::secagg {
namespace {

using Step = CoordinatorSession::Step;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kUnauthenticated = absl::StatusCode::kUnauthenticated;
constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;

void CheckRefused(const absl::Status& status, absl::StatusCode code, const std::string& text) {
  CHECK(status.code() == code);
  CHECK_THAT(std::string(status.message()), ContainsText(text));
}

void SignAgain(const SmallSession& session, Advertisement& advertisement) {
  advertisement.signature =
      *crypto::Sign(session.keys.at(advertisement.site),
                    AdvertisementText(ContextHash(session.config), advertisement));
}

TEST_CASE("The coordinator refuses advertisements that sites would refuse, and nothing changes") {
  SmallSession session(4);
  CoordinatorSession& coordinator = session.coordinator;
  const Advertisement good = session.site('a').advertisement();

  Advertisement bad = good;
  bad.site = SiteId("sybil");
  CheckRefused(coordinator.Take(bad), kInvalid, "site \"sybil\" was not asked to take part");
  bad = good;
  bad.mask_key[3] ^= 1;
  CheckRefused(coordinator.Take(bad), kUnauthenticated,
               "the advertisement of site \"a-hospital\" is not signed by its key");
  bad = good;
  bad.mask_key = bad.share_key;
  SignAgain(session, bad);
  CheckRefused(coordinator.Take(bad), kInvalid,
               "a key or seed of site \"a-hospital\" is used twice");
  bad = good;
  bad.share_key.fill(0);
  SignAgain(session, bad);
  CheckRefused(coordinator.Take(bad), kInvalid, "has low order");
  CHECK_FALSE(coordinator.Answered(Hospital('a')));

  REQUIRE(coordinator.Take(good).ok());
  CHECK(coordinator.Take(good).ok());
  Advertisement copied = session.site('b').advertisement();
  copied.seed_hash = good.seed_hash;
  SignAgain(session, copied);
  CheckRefused(coordinator.Take(copied), kInvalid, "\"b-hospital\" is used twice");
  Advertisement second = good;
  second.mask_key[3] ^= 1;
  SignAgain(session, second);
  CheckRefused(coordinator.Take(second), kInvalid,
               "a second advertisement of site \"a-hospital\", different from its first");
}

TEST_CASE("The coordinator refuses what comes too early, too late or from a lost site") {
  SmallSession session(4);
  CoordinatorSession& coordinator = session.coordinator;
  CheckRefused(coordinator.Take(Hospital('a'), UploadProof{}), kPrecondition,
               "does not belong to the present step, advertising: it is too early");
  coordinator.Lose(Hospital('d'));
  CheckRefused(coordinator.Take(session.site('d').advertisement()), kPrecondition,
               "site \"d-hospital\" is not in this session any more");
  for (const char letter : {'a', 'b', 'c'}) {
    REQUIRE(coordinator.Take(session.site(letter).advertisement()).ok());
  }
  REQUIRE(coordinator.CloseStep().ok());
  CheckRefused(coordinator.Take(session.site('d').advertisement()), kPrecondition,
               "the present step, sharing: it is too late");
  CHECK(coordinator.Take(session.site('a').advertisement()).ok());
  CheckRefused(coordinator.Open().status(), kPrecondition, "cannot be opened in the step sharing");
}

TEST_CASE(
    "The coordinator refuses lists of shares that are not exactly one for every other member") {
  SmallSession session(4);
  session.Advertise();
  const SiteId a = Hospital('a');
  const std::vector<SealedShare> good = *session.site('a').ShareWith(session.coordinator.members());
  const auto refused = [&](const std::function<void(std::vector<SealedShare>&)>& change,
                           const std::string& text) {
    std::vector<SealedShare> shares = good;
    change(shares);
    CheckRefused(session.coordinator.Take(a, shares), kInvalid, text);
    CHECK_FALSE(session.coordinator.Answered(a));
  };
  refused([](auto& shares) { shares.pop_back(); }, "sent 2 shares, the other members are 3");
  refused([](auto& shares) { shares[2] = shares[1]; }, "sent no share for \"d-hospital\"");
  refused([](auto& shares) { shares[0].to = Hospital('a'); }, "sent no share for \"b-hospital\"");
  refused([](auto& shares) { shares[0].from = Hospital('c'); }, "sent a share of \"c-hospital\"");
  refused([](auto& shares) { shares[0].sealed.resize(64); }, "has 64 bytes, not 80");
  std::vector<SealedShare> turned(good.rbegin(), good.rend());
  CHECK(session.coordinator.Take(a, turned).ok());
  CHECK(session.coordinator.Take(a, good).ok());
  turned[0].sealed[0] ^= 1;
  CheckRefused(session.coordinator.Take(a, turned), kInvalid, "a second list of shares");
}

TEST_CASE("The coordinator hands out every sealed share once, to whom it is for") {
  SmallSession session(5);
  session.Advertise();
  session.Share("e");
  CHECK(session.coordinator.sharers() == Hospitals("abcd"));
  for (const SiteId& site : session.coordinator.sharers()) {
    std::set<SiteId> from;
    for (const SealedShare& share : session.coordinator.SharesFor(site)) {
      CHECK(share.to == site);
      from.insert(share.from);
    }
    std::set<SiteId> others = session.coordinator.sharers();
    others.erase(site);
    CHECK(from == others);
  }
}

TEST_CASE("The coordinator refuses an upload or survivors that the site did not sign") {
  SmallSession session(4);
  session.Advertise();
  session.Share();
  const SiteId a = Hospital('a');
  SiteSession& site = session.site('a');
  REQUIRE(site.TakeShares(session.coordinator.SharesFor(a)).ok());
  UploadProof proof = *site.SignUpload(VectorHash(a));
  CheckRefused(session.coordinator.Take(Hospital('b'), proof), kUnauthenticated,
               "the upload of site \"b-hospital\" is not signed by its key");
  proof.sha256.bytes[0] ^= 1;
  CheckRefused(session.coordinator.Take(a, proof), kUnauthenticated, "the upload of site");
  session.Upload("d");
  const crypto::Signature of_others = *crypto::Sign(
      session.keys.at(a),
      SurvivorsText(session.coordinator.transcript(), Hospitals("abcd"), Hospitals("abcd")));
  CheckRefused(session.coordinator.Take(a, of_others), kUnauthenticated,
               "the list of survivors of site \"a-hospital\" is not signed");
  CheckRefused(session.coordinator.Take(Hospital('d'), of_others), kPrecondition,
               "site \"d-hospital\" is not in this session any more");
}

// Seven of ten are needed; "abcdefghij" shared, without `late`, who did not upload.
struct Answers : SmallSession {
  explicit Answers(std::string_view late, std::string_view silent = "") : SmallSession(10) {
    Advertise();
    Share();
    Upload(late);
    Agree();
    for (const SiteId& site : coordinator.Members()) {
      if (Hospitals(silent).contains(site)) continue;
      answers[site] = *sites.at(site).Unmask(coordinator.survivor_signatures(),
                                             [](const auto&) { return absl::OkStatus(); });
    }
  }
  void TakeAll() {
    for (const auto& [site, answer] : answers) REQUIRE(coordinator.Take(site, answer).ok());
  }
  std::map<SiteId, UnmaskAnswer> answers;
};

TEST_CASE("The coordinator refuses answers for other sites than it must have") {
  Answers session("j");
  const SiteId a = Hospital('a'), j = Hospital('j');
  UnmaskAnswer answer = session.answers.at(a);
  answer.seed_shares.erase(Hospital('c'));
  CheckRefused(session.coordinator.Take(a, answer), kInvalid,
               "site \"a-hospital\": its shares of seeds are not those of exactly the sites that "
               "delivered");
  answer = session.answers.at(a);
  answer.seed_shares[j] = answer.mask_key_shares.at(j);
  CheckRefused(session.coordinator.Take(a, answer), kInvalid, "shares of seeds");
  answer = session.answers.at(a);
  answer.mask_key_shares.clear();
  CheckRefused(session.coordinator.Take(a, answer), kInvalid, "shares of mask keys");
  CHECK(session.coordinator.Take(a, session.answers.at(a)).ok());
}

TEST_CASE("Wrong shares are left out as far as the others suffice") {
  for (const char* liars : {"a", "d", "h", "ag", "ef", "abc", "fgh", "adh"}) {
    INFO("wrong: " << liars);
    Answers session("");
    for (const SiteId& liar : Hospitals(liars)) {
      for (auto& [site, share] : session.answers.at(liar).seed_shares) share[3] ^= 0x40;
    }
    session.TakeAll();
    const auto opened = session.coordinator.Open();
    INFO(opened.status().ToString());
    REQUIRE(opened.ok());
    CHECK(session.Cancels(*opened));
  }
}

TEST_CASE("Wrong shares of a lost site's mask key are left out too") {
  Answers session("bj");
  session.answers.at(Hospital('c')).mask_key_shares.at(Hospital('j'))[0] ^= 1;
  session.TakeAll();
  const auto opened = session.coordinator.Open();
  REQUIRE(opened.ok());
  CHECK(session.Cancels(*opened));
}

TEST_CASE("More wrong shares than there are answers to spare fail the session, and say whose") {
  Answers session("", "ij");  // eight answers: one to spare
  session.answers.at(Hospital('a')).seed_shares.at(Hospital('f'))[31] ^= 1;
  session.answers.at(Hospital('b')).seed_shares.at(Hospital('f'))[31] ^= 2;
  session.TakeAll();
  const absl::Status status = session.coordinator.Open().status();
  CheckRefused(status, absl::StatusCode::kDataLoss,
               "the seed of site \"f-hospital\" that the sites' shares give is not the one it "
               "advertised");
  CHECK(session.coordinator.step() == Step::kUnmasking);
}

TEST_CASE("A site that shared another mask key than it advertised is named") {
  Answers session("c");
  for (auto& [site, answer] : session.answers) {
    answer.mask_key_shares.at(Hospital('c'))[10] ^= 1;
  }
  session.TakeAll();
  CheckRefused(session.coordinator.Open().status(), absl::StatusCode::kDataLoss,
               "the mask key of site \"c-hospital\"");
}

TEST_CASE("After a failed opening a late answer can still help") {
  Answers session("", "hi");  // a to g and j
  session.answers.at(Hospital('b')).seed_shares.at(Hospital('f'))[31] ^= 1;
  const UnmaskAnswer late = session.answers.at(Hospital('j'));
  session.answers.erase(Hospital('j'));
  session.TakeAll();
  CHECK(session.coordinator.Open().status().code() == absl::StatusCode::kDataLoss);
  REQUIRE(session.coordinator.Take(Hospital('j'), late).ok());
  const auto opened = session.coordinator.Open();
  REQUIRE(opened.ok());
  CHECK(session.Cancels(*opened));
}

TEST_CASE("The sum is opened once, and closing has no step after that") {
  Answers session("");
  CheckRefused(session.coordinator.CloseStep(), kPrecondition, "ended by opening the sum");
  session.TakeAll();
  REQUIRE(session.coordinator.Open().ok());
  CheckRefused(session.coordinator.Open().status(), kPrecondition, "in the step opened");
  CheckRefused(session.coordinator.CloseStep(), kPrecondition, "opened already");
  CHECK(session.coordinator.Take(Hospital('a'), session.answers.at(Hospital('a'))).ok());
}

}  // namespace
}  // namespace consilium::secagg
