// Every check that a site makes, and what it says when the check fails.

#include <algorithm>

#include "common/base/status.h"
#include "tests/catch.h"
#include "tests/common/secagg/small_session.h"

namespace consilium::secagg {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kDenied = absl::StatusCode::kPermissionDenied;
constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;

void CheckRefused(const absl::Status& status, absl::StatusCode code, const std::string& text) {
  CHECK(status.code() == code);
  CHECK_THAT(std::string(status.message()), ContainsText(text));
}

const auto kCommit = [](const UnmaskRecord&) { return absl::OkStatus(); };

// After a refusal nothing is answered, and no secret is left in what would be saved: an over
// session is much smaller than a going one.
void CheckOver(SiteSession& session, const std::string& why) {
  CHECK(session.over());
  CheckRefused(session.ShareWith({}).status(), kPrecondition, "is over: ");
  CheckRefused(session.TakeShares({}), kPrecondition, why);
  CheckRefused(session.Masks().status(), kPrecondition, why);
  CheckRefused(session.SignUpload({}).status(), kPrecondition, why);
  CheckRefused(session.SignSurvivors({}, {}).status(), kPrecondition, why);
  CheckRefused(session.Unmask({}, kCommit).status(), kPrecondition, why);
}

// ---- step 0

absl::Status OpenWith(const std::function<void(SessionConfig&, SiteView&)>& change,
                      char signing = 'a') {
  SmallSession session(4);
  SessionConfig config = session.config;
  SiteView view = session.ViewOf(Hospital('a'));
  change(config, view);
  SeededRandom random(1);
  return SiteSession::Open(config, view, session.keys.at(Hospital(signing)), random).status();
}

TEST_CASE("A site refuses a session that it cannot take part in, and says why") {
  CHECK(OpenWith([](auto&, auto&) {}).ok());
  CheckRefused(OpenWith([](auto& config, auto&) { config.cohort_size = config.threshold = 2; }),
               kInvalid, "a cohort of 2 sites: secure aggregation needs 3 or more");
  CheckRefused(OpenWith([](auto& config, auto&) { config.cohort_size = config.threshold = 256; }),
               kInvalid, "a cohort of 256 sites: secure aggregation takes at most 255");
  CheckRefused(OpenWith([](auto&, auto& view) { view.minimum_cohort = 5; }), kDenied,
               "a cohort of 4 sites: this site's policy asks for 5 or more");
  CheckRefused(OpenWith([](auto& config, auto&) { config.threshold = 2; }), kInvalid,
               "a threshold of 2 for a cohort of 4 sites: it must be 3 to 4");
  CheckRefused(OpenWith([](auto& config, auto&) { config.threshold = 5; }), kInvalid,
               "a threshold of 5 for a cohort of 4 sites");
  CheckRefused(OpenWith([](auto& config, auto&) { config.roster.bytes[0] ^= 1; }), kDenied,
               "this site has pinned");
  CheckRefused(OpenWith([](auto&, auto& view) { view.sites.erase(view.self); }), kDenied,
               "this site, \"a-hospital\", is not in the roster");
  CheckRefused(OpenWith([](auto&, auto&) {}, 'b'), kDenied,
               "the roster has another signing key of this site");
}

TEST_CASE("Every session draws fresh keys and a fresh seed") {
  SmallSession one(3, 1), other(3, 2);
  const Advertisement &a = one.site('a').advertisement(), &b = other.site('a').advertisement();
  CHECK(a.share_key != b.share_key);
  CHECK(a.mask_key != b.mask_key);
  CHECK(a.seed_hash != b.seed_hash);
  CHECK(a.share_key != a.mask_key);
}

TEST_CASE("A call before its step has come is refused and changes nothing") {
  SmallSession session(3);
  SiteSession& a = session.site('a');
  const auto out_of_order = [](const absl::Status& status) {
    CheckRefused(status, kPrecondition, "out of order");
  };
  out_of_order(a.transcript().status());
  out_of_order(a.TakeShares({}));
  out_of_order(a.Masks().status());
  session.Advertise();
  session.Share();
  out_of_order(a.Masks().status());
  out_of_order(a.SignUpload({}).status());
  out_of_order(a.SignSurvivors(Hospitals("abc"), {}).status());
  session.Upload();
  out_of_order(a.Unmask({}, kCommit).status());
  CHECK_FALSE(a.over());
  session.Agree();
  session.Unmask();
  CHECK(session.coordinator.Open().ok());
}

// ---- step 1

// Site a's answer to a list of members that was changed.
void CheckShareRefused(
    const std::function<void(SmallSession&, std::vector<Advertisement>&)>& change,
    absl::StatusCode code, const std::string& text) {
  SmallSession session(4);
  session.Advertise();
  std::vector<Advertisement> members = session.coordinator.members();
  change(session, members);
  SiteSession& a = session.site('a');
  CheckRefused(a.ShareWith(members).status(), code, text);
  CheckOver(a, text);
}

// Another session's advertisement of the site: signed for another context.
Advertisement OfOtherAttempt(char letter) {
  return SmallSession(4, 2).site(letter).advertisement();
}

// What the site would advertise if it were hostile: signed over whatever it says.
void SignAgain(const SmallSession& session, Advertisement& advertisement) {
  advertisement.signature =
      *crypto::Sign(session.keys.at(advertisement.site),
                    AdvertisementText(ContextHash(session.config), advertisement));
}

TEST_CASE("A site refuses to share when more sites advertised than were asked") {
  CheckShareRefused(
      [](SmallSession&, auto& members) {
        members.push_back(members.back());
        members.back().site = SiteId("z-hospital");
      },
      kInvalid, "5 sites advertised, but only 4 were asked to");
}

TEST_CASE("A site refuses to share with fewer members than the threshold") {
  CheckShareRefused([](SmallSession&, auto& members) { members.resize(2); }, kPrecondition,
                    "only 2 sites advertised, 3 are needed");
}

TEST_CASE("A site refuses to share with fewer members than its own minimum") {
  SmallSession session(4);
  session.Advertise("d");
  SiteView view = session.ViewOf(Hospital('a'));
  view.minimum_cohort = 4;
  SeededRandom random(1, Hospital('a').value);
  auto a = SiteSession::Open(session.config, view, session.keys.at(Hospital('a')), random);
  REQUIRE(a.ok());
  CheckRefused(a->ShareWith(session.coordinator.members()).status(), kPrecondition,
               "only 3 sites advertised, 4 are needed (threshold 3, this site's minimum 4)");
}

TEST_CASE("A site refuses to share when a member is twice in the list") {
  CheckShareRefused([](SmallSession&, auto& members) { members[3] = members[2]; }, kInvalid,
                    "site \"c-hospital\" is twice in the list of members");
}

TEST_CASE("A site refuses to share when it is not itself in the list") {
  CheckShareRefused([](SmallSession&, auto& members) { members.erase(members.begin()); }, kDenied,
                    "this site is not in the list of members");
}

TEST_CASE("A site refuses to share when its own entry was changed") {
  CheckShareRefused([](SmallSession&, auto& members) { members[0] = OfOtherAttempt('a'); }, kDenied,
                    "this site's own entry in the list of members is not what it advertised");
}

TEST_CASE("A site refuses to share when a key or a seed is used twice") {
  CheckShareRefused(
      [](SmallSession& session, auto& members) {
        members[2].share_key = members[1].share_key;
        SignAgain(session, members[2]);
      },
      kDenied, "a key or seed of site \"c-hospital\" is used twice");
  CheckShareRefused(
      [](SmallSession& session, auto& members) {
        members[2].mask_key = members[1].mask_key;
        SignAgain(session, members[2]);
      },
      kDenied, "used twice (the other time by \"b-hospital\")");
  CheckShareRefused(
      [](SmallSession& session, auto& members) {
        members[3].seed_hash = members[0].seed_hash;
        SignAgain(session, members[3]);
      },
      kDenied, "used twice (the other time by \"a-hospital\")");
  CheckShareRefused(
      [](SmallSession& session, auto& members) {
        members[1].mask_key = members[1].share_key;
        SignAgain(session, members[1]);
      },
      kDenied, "a key or seed of site \"b-hospital\" is used twice");
}

TEST_CASE("A site refuses to share with a member that is not in its pinned roster") {
  CheckShareRefused(
      [](SmallSession& session, auto& members) {
        const SiteId sybil("sybil");
        session.keys.emplace(sybil, KeyFor(sybil));
        members[3] = OfOtherAttempt('d');
        members[3].site = sybil;
        SignAgain(session, members[3]);
      },
      kDenied, "site \"sybil\" is not in the roster this site has pinned");
}

TEST_CASE("A site refuses to share when a member's signature is of another session") {
  CheckShareRefused([](SmallSession&, auto& members) { members[2] = OfOtherAttempt('c'); }, kDenied,
                    "the advertisement of site \"c-hospital\" is not signed by its key");
}

TEST_CASE("A site refuses to share when a member's key was replaced") {
  CheckShareRefused(
      [](SmallSession&, auto& members) { members[1].share_key = OfOtherAttempt('b').share_key; },
      kDenied, "the advertisement of site \"b-hospital\" is not signed by its key");
}

TEST_CASE("A site refuses to share with a member whose key has low order") {
  CheckShareRefused(
      [](SmallSession& session, auto& members) {
        members[1].share_key.fill(0);
        SignAgain(session, members[1]);
      },
      kInvalid, "the share key of site \"b-hospital\"");
  CheckShareRefused(
      [](SmallSession& session, auto& members) {
        members[1].mask_key.fill(0);
        SignAgain(session, members[1]);
      },
      kInvalid, "the mask key of site \"b-hospital\"");
}

TEST_CASE("A site shares with one list of members only") {
  SmallSession session(4);
  session.Advertise();
  SiteSession& a = session.site('a');
  std::vector<Advertisement> members = session.coordinator.members();
  REQUIRE(a.ShareWith(members).ok());
  members.pop_back();
  CheckRefused(a.ShareWith(members).status(), kDenied, "a second list of members");
  CheckOver(a, "a second list of members");
}

// ---- the shares

void CheckTakeRefused(const std::function<void(std::vector<SealedShare>&)>& change,
                      absl::StatusCode code, const std::string& text) {
  SmallSession session(4);
  session.Advertise();
  session.Share();
  std::vector<SealedShare> shares = session.coordinator.SharesFor(Hospital('a'));
  change(shares);
  SiteSession& a = session.site('a');
  CheckRefused(a.TakeShares(shares), code, text);
  CheckOver(a, text);
}

TEST_CASE("A site refuses shares of fewer sites than the threshold") {
  CheckTakeRefused([](auto& shares) { shares.resize(1); }, kPrecondition,
                   "only 2 sites shared (this one among them), the threshold is 3");
}

TEST_CASE("A site refuses a share for somebody else") {
  CheckTakeRefused([](auto& shares) { shares[1].to = Hospital('d'); }, kInvalid,
                   "a share of site \"c-hospital\" is for site \"d-hospital\", not for this one");
}

TEST_CASE("A site refuses a share of somebody who is no member") {
  CheckTakeRefused([](auto& shares) { shares[1].from = SiteId("sybil"); }, kInvalid,
                   "a share of site \"sybil\", which is not a member of the session");
  CheckTakeRefused([](auto& shares) { shares[1].from = Hospital('a'); }, kInvalid,
                   "a share that is said to be from this site itself");
}

TEST_CASE("A site refuses two shares of one site") {
  CheckTakeRefused([](auto& shares) { shares.push_back(shares[2]); }, kInvalid,
                   "two shares of site \"d-hospital\"");
}

TEST_CASE("A site refuses a share of the wrong size") {
  CheckTakeRefused([](auto& shares) { shares[0].sealed.pop_back(); }, kInvalid,
                   "the sealed share of site \"b-hospital\" has 79 bytes, not 80");
}

TEST_CASE("A site refuses a share that was changed or exchanged") {
  CheckTakeRefused([](auto& shares) { shares[0].sealed[40] ^= 1; }, kDenied,
                   "the share of site \"b-hospital\" does not open");
  CheckTakeRefused([](auto& shares) { std::swap(shares[0].sealed, shares[1].sealed); }, kDenied,
                   "the share of site \"b-hospital\" does not open");
}

TEST_CASE("A site refuses its own sealed share sent back to it") {
  SmallSession session(4);
  session.Advertise();
  session.Share();
  std::vector<SealedShare> shares = session.coordinator.SharesFor(Hospital('a'));
  shares[0].sealed = session.coordinator.SharesFor(Hospital('b'))[0].sealed;  // a's for b
  CheckRefused(session.site('a').TakeShares(shares), kDenied, "does not open");
}

TEST_CASE("A site refuses the shares of a site that saw another list of members") {
  SmallSession session(4);
  session.Advertise();
  std::vector<Advertisement> fewer = session.coordinator.members();
  fewer.pop_back();
  std::vector<SealedShare> for_a;
  for (const char letter : {'b', 'c'}) {
    const auto sent = session.site(letter).ShareWith(fewer);
    REQUIRE(sent.ok());
    for (const SealedShare& share : *sent) {
      if (share.to == Hospital('a')) for_a.push_back(share);
    }
  }
  SiteSession& a = session.site('a');
  REQUIRE(a.ShareWith(session.coordinator.members()).ok());
  CheckRefused(a.TakeShares(for_a), kDenied, "the share of site \"b-hospital\" does not open");
}

TEST_CASE("A site takes one list of shares only") {
  SmallSession session(4);
  session.Advertise();
  session.Share();
  SiteSession& a = session.site('a');
  std::vector<SealedShare> shares = session.coordinator.SharesFor(Hospital('a'));
  REQUIRE(a.TakeShares(shares).ok());
  shares.pop_back();
  CheckRefused(a.TakeShares(shares), kDenied, "other shares than those this site has already");
  CheckOver(a, "other shares");
}

// ---- steps 2 and 3

TEST_CASE("A site signs one vector only") {
  SmallSession session(4);
  session.Advertise();
  session.Share();
  session.Upload();
  SiteSession& a = session.site('a');
  CheckRefused(a.SignUpload(VectorHash(Hospital('b'))).status(), kDenied,
               "a second vector under the same masks");
  CheckOver(a, "a second vector");
}

void CheckSurvivorsRefused(std::string_view survivors,
                           const std::optional<std::set<SiteId>>& released, absl::StatusCode code,
                           const std::string& text) {
  SmallSession session(7);
  session.Advertise();
  session.Share("e");
  session.Upload("d");
  SiteSession& a = session.site('a');
  CheckRefused(a.SignSurvivors(Hospitals(survivors), released).status(), code, text);
  CheckOver(a, text);
}

TEST_CASE("A site refuses survivors that have not shared") {
  CheckSurvivorsRefused("abcefg", {}, kInvalid,
                        "site \"e-hospital\" is said to have delivered, but has not shared");
}

TEST_CASE("A site refuses fewer survivors than the threshold") {
  CheckSurvivorsRefused("abcf", {}, kPrecondition, "only 4 sites delivered, 5 are needed");
}

TEST_CASE("A site refuses to open the same quantity again with another set") {
  CheckSurvivorsRefused("abcfg", Hospitals("abcfgd"), kDenied,
                        "the same quantity was opened before with another set of survivors");
}

TEST_CASE("A site that delivered refuses survivors without it") {
  SmallSession session(4);
  session.Advertise();
  session.Share();
  session.Upload();
  SiteSession& a = session.site('a');
  CheckRefused(a.SignSurvivors(Hospitals("bcd"), {}).status(), kDenied,
               "this site has signed its upload, but the survivors leave it out");
  CheckOver(a, "leave it out");
}

TEST_CASE("A site that did not deliver refuses survivors with it") {
  SmallSession session(4);
  session.Advertise();
  session.Share();
  session.Upload("d");
  SiteSession& d = session.site('d');
  CheckRefused(d.SignSurvivors(Hospitals("abcd"), {}).status(), kDenied,
               "this site has signed no upload, but is said to have delivered");
}

TEST_CASE("A site refuses fewer survivors than its own minimum") {
  SmallSession session(5);
  SiteView view = session.ViewOf(Hospital('a'));
  view.minimum_cohort = 5;
  SeededRandom random(1, Hospital('a').value);
  auto careful = SiteSession::Open(session.config, view, session.keys.at(Hospital('a')), random);
  REQUIRE(careful.ok());
  session.sites.at(Hospital('a')) = *std::move(careful);
  session.Advertise();
  session.Share();
  session.Upload("d");
  CheckRefused(session.site('a').SignSurvivors(session.coordinator.survivors(), {}).status(),
               kPrecondition,
               "only 4 sites delivered, 5 are needed (threshold 4, this site's minimum 5)");
}

TEST_CASE("A site signs one set of survivors only") {
  SmallSession session(4);
  session.Advertise();
  session.Share();
  session.Upload();
  SiteSession& a = session.site('a');
  REQUIRE(a.SignSurvivors(Hospitals("abcd"), {}).ok());
  CheckRefused(a.SignSurvivors(Hospitals("abc"), {}).status(), kDenied,
               "a second set of survivors, different from the one this site has signed");
  CheckOver(a, "a second set");
}

// ---- step 4

struct Agreed : SmallSession {
  Agreed() : SmallSession(4) {
    Advertise();
    Share();
    Upload("d");
    Agree();
    signatures = coordinator.survivor_signatures();
  }
  absl::Status UnmaskWith(const std::map<SiteId, crypto::Signature>& some) {
    return site('a')
        .Unmask(some,
                [&](const UnmaskRecord& record) {
                  committed.push_back(record);
                  return absl::OkStatus();
                })
        .status();
  }
  std::map<SiteId, crypto::Signature> signatures;
};

TEST_CASE("A site gives no share with fewer signatures than the threshold") {
  Agreed session;
  session.signatures.erase(Hospital('c'));
  CheckRefused(session.UnmaskWith(session.signatures), kDenied,
               "2 of 2 signatures are survivors' over the very sharers and survivors");
  CHECK(session.committed.empty());
  CheckOver(session.site('a'), "3 are needed");
}

TEST_CASE("A site counts only signatures over the very sets that it signed") {
  Agreed session;
  session.signatures[Hospital('c')] = *crypto::Sign(
      session.keys.at(Hospital('c')),
      SurvivorsText(session.coordinator.transcript(), Hospitals("abcd"), Hospitals("abcd")));
  CheckRefused(session.UnmaskWith(session.signatures), kDenied, "not such: c-hospital");
  CHECK(session.committed.empty());
}

TEST_CASE("A site does not count the signature of one that is no survivor") {
  Agreed session;
  session.signatures.erase(Hospital('c'));
  session.signatures[Hospital('d')] = *crypto::Sign(
      session.keys.at(Hospital('d')),
      SurvivorsText(session.coordinator.transcript(), Hospitals("abcd"), Hospitals("abc")));
  CheckRefused(session.UnmaskWith(session.signatures), kDenied, "not such: d-hospital");
  CHECK(session.committed.empty());
}

TEST_CASE("A site does not count one signature twice") {
  Agreed session;
  session.signatures[Hospital('c')] = session.signatures.at(Hospital('b'));
  CheckRefused(session.UnmaskWith(session.signatures), kDenied, "not such: c-hospital");
}

TEST_CASE("When the record cannot be committed the site gives nothing, then or later") {
  Agreed session;
  SiteSession& a = session.site('a');
  const auto full_disk = [](const UnmaskRecord&) { return absl::UnavailableError("disk full"); };
  CheckRefused(a.Unmask(session.signatures, full_disk).status(), absl::StatusCode::kUnavailable,
               "disk full");
  CheckOver(a, "disk full");
}

TEST_CASE("A site answers once, and has no secrets after that") {
  Agreed session;
  const std::size_t before = session.site('a').Save().size();
  REQUIRE(session.UnmaskWith(session.signatures).ok());
  CHECK(session.committed.size() == 1);
  CheckOver(session.site('a'), "this site has given its shares for it");
  // Four masks' keys and four pairs of shares less.
  CHECK(session.site('a').Save().size() < before - 4 * 32 - 4 * 64);
}

}  // namespace
}  // namespace consilium::secagg
