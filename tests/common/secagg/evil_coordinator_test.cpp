// A coordinator that cheats, step by step, and what an honest site says to it. Sites 4 to 7 of the
// roster are not in the cohort; the coordinator has some of them, and some of the cohort, on its
// side: it may sign with their keys.

#include <algorithm>

#include "common/secagg/site_state.h"
#include "tests/catch.h"
#include "tests/common/secagg/attack_stage.h"

namespace consilium::secagg {
namespace {

const SiteId kVictim = SiteNumber(0);

absl::Status OpenWith(const std::function<void(SessionConfig&, SiteView&)>& lie) {
  const Federation& federation = AttackedFederation();
  SessionConfig config = federation.Config(4);
  SiteView view = federation.ViewOf(kVictim);
  lie(config, view);
  SeededRandom random(1);
  return SiteSession::Open(config, view, federation.KeyOf(kVictim), random).status();
}

// After it has refused, the site must have nothing to give any more.
absl::Status ThenOver(SiteSession& victim, absl::Status refusal) {
  if (refusal.ok()) return refusal;
  const bool silent = victim.over() && !victim.Masks().ok() && !victim.SignUpload(Digest{}).ok() &&
                      !victim.SignSurvivors(SitesNumbered({0, 1, 2}), std::nullopt).ok() &&
                      !victim.Unmask({}, [](const auto&) { return absl::OkStatus(); }).ok();
  return silent ? refusal : absl::OkStatus();
}

void AddOpening(AttackTable& table) {
  const auto add = [&](const char* attack, auto lie, const char* words) {
    table.Add(attack, OpenWith(lie), words);
  };
  add(
      "a threshold of 2 of 4", [](auto& config, auto&) { config.threshold = 2; }, "threshold");
  add(
      "a threshold of 5 of 4", [](auto& config, auto&) { config.threshold = 5; }, "threshold");
  add(
      "a cohort of two", [](auto& config, auto&) { config.cohort_size = config.threshold = 2; },
      "cohort");
  add(
      "a cohort of 256",
      [](auto& config, auto&) {
        config.cohort_size = 256;
        config.threshold = Threshold(256);
      },
      "cohort");
  add(
      "a cohort below the site's own minimum", [](auto&, auto& view) { view.minimum_cohort = 5; },
      "policy");
  add(
      "an older roster's hash",
      [](auto& config, auto&) { config.roster = crypto::Sha256("last year's roster"); }, "roster");
  add(
      "a roster without this site", [](auto&, auto& view) { view.sites.erase(kVictim); }, "roster");
  add(
      "a roster with another key for this site",
      [](auto&, auto& view) { view.sites[kVictim] = view.sites[SiteNumber(1)]; }, "key");
}

// One site is told something else than the others: what they signed does not fit.
void AddLies(AttackTable& table) {
  const std::vector<std::pair<const char*, Stage::Change>> lies = {
      {"another base model for one site",
       [](SessionConfig& c) { c.model = crypto::Sha256("a model made to measure"); }},
      {"another layout for one site",
       [](SessionConfig& c) { c.layout = crypto::Sha256("another layout"); }},
      {"another clip for one site", [](SessionConfig& c) { c.clip_norm *= 2; }},
      {"another total weight for one site", [](SessionConfig& c) { c.total_weight /= 2; }},
      {"another weight rule for one site", [](SessionConfig& c) { c.weight_rule = "equal"; }},
      {"other privacy for one site", [](SessionConfig& c) { c.privacy = "gaussian 1.5"; }},
      {"more values for one site", [](SessionConfig& c) { ++c.values; }},
      {"more sums for one site", [](SessionConfig& c) { ++c.sums; }},
      {"another purpose for one site", [](SessionConfig& c) { c.key.purpose = Purpose::kTest; }},
      {"another run for one site", [](SessionConfig& c) { c.key.attempt.run = RunId("b-0001"); }},
      {"another round for one site", [](SessionConfig& c) { ++c.key.attempt.round; }},
      {"another attempt for one site", [](SessionConfig& c) { ++c.key.attempt.attempt; }},
      {"another federation for one site", [](SessionConfig& c) { c.federation = "others"; }},
      {"a higher threshold for one site", [](SessionConfig& c) { ++c.threshold; }},
      {"a larger cohort for one site",
       [](SessionConfig& c) {
         ++c.cohort_size;
         c.threshold = Threshold(c.cohort_size);
       }},
  };
  for (const auto& [attack, lie] : lies) {
    Stage::Options options;
    options.told = lie;
    Stage stage(options);
    table.Add(attack, ThenOver(stage.victim(), stage.victim().ShareWith(stage.members()).status()),
              "sign");
  }
}

void AddMembers(AttackTable& table) {
  const auto add = [&](const char* attack, auto cheat, const char* words,
                       const Stage::Options& options = {}) {
    Stage stage(options);
    cheat(stage, stage.members());
    table.Add(attack, ThenOver(stage.victim(), stage.victim().ShareWith(stage.members()).status()),
              words);
  };
  using Members = std::vector<Advertisement>;
  add(
      "Sybil: a member that is not in the roster",
      [](Stage&, Members& members) { members.back().site = SiteId("site-nobody"); }, "roster");
  add(
      "Sybil: one member twice", [](Stage&, Members& members) { members.push_back(members[1]); },
      "");
  add(
      "Sybil: one member twice, within the cohort's size",
      [](Stage&, Members& members) { members[2] = members[1]; }, "twice");
  add(
      "Sybil: one site's keys under another's name too",
      [](Stage& stage, Members& members) { members[3] = stage.Signed(SiteNumber(3), members[2]); },
      "");
  add(
      "Sybil: one site's share key under another's name",
      [](Stage& stage, Members& members) {
        Advertisement copy = members[3];
        copy.share_key = members[2].share_key;
        members[3] = stage.Signed(SiteNumber(3), copy);
      },
      "");
  add(
      "Sybil: one site's mask key under another's name",
      [](Stage& stage, Members& members) {
        Advertisement copy = members[3];
        copy.mask_key = members[2].mask_key;
        members[3] = stage.Signed(SiteNumber(3), copy);
      },
      "");
  add(
      "Sybil: this site's own mask key under another's name",
      [](Stage& stage, Members& members) {
        Advertisement copy = members[3];
        copy.mask_key = members[0].mask_key;
        members[3] = stage.Signed(SiteNumber(3), copy);
      },
      "");
  add(
      "Sybil: a share key that is another's mask key",
      [](Stage& stage, Members& members) {
        Advertisement copy = members[3];
        copy.share_key = members[2].mask_key;
        members[3] = stage.Signed(SiteNumber(3), copy);
      },
      "");
  add(
      "Sybil: more members than the cohort",
      [](Stage& stage, Members& members) {
        Advertisement more;
        more.share_key[0] = 9;
        more.mask_key[0] = 10;
        members.push_back(stage.Signed(SiteNumber(5), more));
      },
      "");
  add(
      "a forged share key", [](Stage&, Members& m) { m[1].share_key[3] ^= 1; }, "sign");
  add(
      "a forged mask key", [](Stage&, Members& m) { m[1].mask_key[3] ^= 1; }, "sign");
  add(
      "a forged seed hash", [](Stage&, Members& m) { m[1].seed_hash.bytes[3] ^= 1; }, "sign");
  add(
      "a forged signature", [](Stage&, Members& m) { m[1].signature[3] ^= 1; }, "sign");
  add(
      "an advertisement that another site signed",
      [](Stage& stage, Members& members) {
        members[1].signature = stage.Signed(SiteNumber(3), members[1]).signature;
      },
      "sign");
  add(
      "two members' names swapped",
      [](Stage&, Members& members) { std::swap(members[1].site, members[2].site); }, "sign");
  add(
      "an advertisement of the attempt before",
      [](Stage&, Members& members) {
        Stage::Options before;
        before.attempt = 7;
        before.seed = 2;
        members[1] = Stage(before).members()[1];
      },
      "sign");
  add(
      "an advertisement of the round before",
      [](Stage&, Members& members) {
        Stage::Options before;
        before.seed = 2;
        before.everybody = [](SessionConfig& config) { --config.key.attempt.round; };
        members[1] = Stage(before).members()[1];
      },
      "sign");
  add(
      "a key of low order",
      [](Stage& stage, Members& members) {
        Advertisement weak = members[3];
        weak.share_key = {};
        members[3] = stage.Signed(SiteNumber(3), weak);
      },
      "");
  add(
      "this site left out", [](Stage&, Members& members) { members.erase(members.begin()); }, "");
  add(
      "this site's entry from an earlier session",
      [](Stage& stage, Members& members) {
        Stage::Options other;
        other.seed = 2;
        members[0] = stage.Signed(kVictim, Stage(other).members()[0]);
      },
      "");
  add(
      "fewer members than the threshold", [](Stage&, Members& members) { members.resize(2); }, "");
  Stage::Options careful;
  careful.victims_minimum = 4;
  add(
      "fewer members than the site's own minimum",
      [](Stage&, Members& members) { members.resize(3); }, "", careful);

  Stage stage;
  Must(stage.victim().ShareWith(stage.members()));
  stage.members().pop_back();
  table.Add("split view: a second list of members",
            ThenOver(stage.victim(), stage.victim().ShareWith(stage.members()).status()), "");
}

void AddShares(AttackTable& table) {
  using Shares = std::vector<SealedShare>;
  const auto add = [&](const char* attack, auto cheat, const char* words) {
    Stage stage;
    stage.Shared();
    Shares shares = stage.SharesForVictim();
    cheat(stage, shares);
    table.Add(attack, ThenOver(stage.victim(), stage.victim().TakeShares(shares)), words);
  };
  add(
      "a changed share", [](Stage&, Shares& shares) { shares[1].sealed[5] ^= 1; }, "open");
  add(
      "a share cut off", [](Stage&, Shares& shares) { shares[1].sealed.pop_back(); }, "");
  add(
      "two senders' shares swapped",
      [](Stage&, Shares& shares) { std::swap(shares[0].sealed, shares[1].sealed); }, "open");
  add(
      "a share for another site",
      [](Stage& stage, Shares& shares) { shares[1] = stage.SharesFor(SiteNumber(3))[1]; }, "");
  add(
      "a share for another site, relabelled",
      [](Stage& stage, Shares& shares) {
        shares[1].sealed = stage.SharesFor(SiteNumber(3))[2].sealed;
      },
      "open");
  add(
      "a share twice", [](Stage&, Shares& shares) { shares.push_back(shares[0]); }, "two shares");
  add(
      "a share from itself", [](Stage&, Shares& shares) { shares[1].from = kVictim; }, "");
  add(
      "a share from a site that is no member",
      [](Stage&, Shares& shares) { shares[1].from = SiteNumber(6); }, "");
  add(
      "shares of fewer than the threshold", [](Stage&, Shares& shares) { shares.resize(1); }, "");
  add(
      "replayed shares of the attempt before",
      [](Stage&, Shares& shares) {
        Stage::Options before;
        before.attempt = 7;
        before.seed = 2;
        shares[1] = Stage(before).Shared().SharesForVictim()[1];
      },
      "open");
  {
    // Five sites, t = 4: the victim is shown sites 0 to 3, the others 0 to 2 and 4.
    Stage::Options options;
    options.sites = 5;
    Stage stage(options);
    std::vector<Advertisement> for_victim = stage.members(), for_others = stage.members();
    for_victim.erase(for_victim.begin() + 4);
    for_others.erase(for_others.begin() + 3);
    Must(stage.victim().ShareWith(for_victim));
    for (const std::size_t other : {1, 2})
      stage.sent()[SiteNumber(other)] = Must(stage.site(other).ShareWith(for_others));
    stage.sent()[SiteNumber(3)] = Must(stage.site(3).ShareWith(for_victim));
    table.Add("split view: two lists of members to two halves",
              ThenOver(stage.victim(), stage.victim().TakeShares(stage.SharesForVictim())), "open");
  }
  Stage stage;
  stage.Taken();
  Shares fewer = stage.SharesForVictim();
  fewer.pop_back();
  table.Add("split view: a second set of shares",
            ThenOver(stage.victim(), stage.victim().TakeShares(fewer)), "");
}

void AddSurvivors(AttackTable& table) {
  const auto add = [&](const char* attack, const std::set<SiteId>& uploaded,
                       const std::set<SiteId>& survivors, const char* words,
                       const Stage::Options& options = {},
                       const std::optional<std::set<SiteId>>& released = std::nullopt) {
    Stage stage(options);
    stage.Uploaded(uploaded);
    table.Add(attack,
              ThenOver(stage.victim(), stage.victim().SignSurvivors(survivors, released).status()),
              words);
  };
  const auto all = SitesNumbered({0, 1, 2, 3});
  add("survivors that did not share", all, SitesNumbered({0, 1, 2, 6}), "");
  add("fewer survivors than the threshold", all, SitesNumbered({0, 1}), "");
  add("no survivors", all, {}, "");
  add("survivors without this site, whose upload they have", all, SitesNumbered({1, 2, 3}), "");
  add("survivors with this site, which did not upload", SitesNumbered({1, 2, 3}), all, "");
  Stage::Options careful;
  careful.victims_minimum = 4;
  add("fewer survivors than the site's own minimum", all, SitesNumbered({0, 1, 2}), "", careful);
  add("differencing: the same round again without one site", all, SitesNumbered({0, 1, 2}), "", {},
      all);
  add("differencing: the same round again with one site more", all, all, "", {},
      SitesNumbered({0, 1, 2}));
  {
    Stage stage;
    stage.Uploaded();
    Must(stage.victim().SignSurvivors(all, std::nullopt));
    const auto other = stage.victim().SignSurvivors(SitesNumbered({0, 1, 2}), std::nullopt);
    table.Add("two survivor sets to one site", ThenOver(stage.victim(), other.status()), "");
  }
  {
    Stage stage;
    stage.Uploaded();
    const auto other = stage.victim().SignUpload(crypto::Sha256("another vector, same masks"));
    table.Add("an upload once more with another vector", ThenOver(stage.victim(), other.status()),
              "");
  }
}

void AddUnmasking(AttackTable& table) {
  const auto all = SitesNumbered({0, 1, 2, 3}), three = SitesNumbered({0, 1, 2});
  const auto add = [&](const char* attack, auto cheat, const char* words) {
    Stage stage;
    stage.Agreed();
    cheat(stage, stage.signatures());
    table.Add(attack, ThenOver(stage.victim(), stage.AskVictimToUnmask().status()), words);
  };
  using Signatures = std::map<SiteId, crypto::Signature>;
  add(
      "unmask with no signatures", [](Stage&, Signatures& s) { s.clear(); }, "sign");
  add(
      "unmask with fewer signatures than the threshold",
      [](Stage&, Signatures& s) {
        s.erase(SiteNumber(2));
        s.erase(SiteNumber(3));
      },
      "sign");
  add(
      "one site's signature under three names",
      [](Stage&, Signatures& s) {
        s.erase(SiteNumber(3));
        s[SiteNumber(2)] = s[SiteNumber(1)];
      },
      "sign");
  add(
      "two signatures swapped",
      [](Stage&, Signatures& s) { std::swap(s[SiteNumber(1)], s[SiteNumber(2)]); }, "sign");
  add(
      "a third signature from a roster's site that did not share",
      [&](Stage& stage, Signatures& s) {
        s.erase(SiteNumber(2));
        s.erase(SiteNumber(3));
        s[SiteNumber(5)] = stage.SurvivorsSignedBy(SiteNumber(5), all);
      },
      "sign");
  add(
      "a third signature from a site that nobody knows",
      [&](Stage& stage, Signatures& s) {
        s.erase(SiteNumber(2));
        s.erase(SiteNumber(3));
        s[SiteId("site-nobody")] = stage.SurvivorsSignedBy(SiteNumber(5), all);
      },
      "sign");
  add(
      "signatures of another transcript",
      [](Stage&, Signatures& s) {
        Stage::Options other;
        other.seed = 2;
        s = Stage(other).Agreed().signatures();
      },
      "sign");
  add(
      "two survivor sets: the others signed one without site 3",
      [&](Stage& stage, Signatures& s) {
        for (const std::size_t index : {1, 2, 3})
          s[SiteNumber(index)] = stage.SurvivorsSignedBy(SiteNumber(index), three);
      },
      "sign");
  add(
      "split view of the sharers: the others believe that site 3 did not share",
      [&](Stage& stage, Signatures& s) {
        s.erase(SiteNumber(3));
        for (const std::size_t index : {1, 2}) {
          s[SiteNumber(index)] = SignAs(
              SiteNumber(index), SurvivorsText(Must(stage.victim().transcript()), three, three));
        }
      },
      "sign");
  {
    // A signature counts only of a survivor: site 3 did not deliver and is the coordinator's.
    Stage stage;
    stage.Agreed(three);
    stage.signatures().erase(SiteNumber(2));
    stage.signatures()[SiteNumber(3)] = stage.SurvivorsSignedBy(SiteNumber(3), three);
    table.Add("a third signature from a site that did not deliver",
              ThenOver(stage.victim(), stage.AskVictimToUnmask().status()), "sign");
  }
  {
    Stage stage;
    stage.Agreed();
    const auto answer = stage.victim().Unmask(
        stage.signatures(), [](const auto&) { return absl::UnavailableError("the disk is full"); });
    table.Add("unmask while the site's disk is full", ThenOver(stage.victim(), answer.status()),
              "disk");
  }
  {
    Stage stage;
    stage.Agreed();
    Must(stage.AskVictimToUnmask());
    table.Add("asking again after unmasking",
              ThenOver(stage.victim(), stage.AskVictimToUnmask().status()), "");
  }
  {
    Stage stage;
    stage.Agreed();
    Must(stage.AskVictimToUnmask());
    for (const std::size_t index : {1, 2, 3})
      stage.signatures()[SiteNumber(index)] = stage.SurvivorsSignedBy(SiteNumber(index), three);
    table.Add("both kinds of share of site 3: unmasking again as if it had not delivered",
              ThenOver(stage.victim(), stage.AskVictimToUnmask().status()), "");
  }
  {
    Stage stage;
    stage.Agreed(three);
    Must(stage.AskVictimToUnmask());
    table.Add("the masked vector of a late site signed after unmasking",
              stage.victim().SignUpload(Digest{}).status(), "");
  }
}

TEST_CASE("Every attack of an evil coordinator is refused by the honest site, with the reason") {
  AttackTable table("the honest site");
  AddOpening(table);
  AddLies(table);
  AddMembers(table);
  AddShares(table);
  AddSurvivors(table);
  AddUnmasking(table);
  table.AddElsewhere("a plan that the researcher did not sign", "site_agent");
  table.AddElsewhere("a roster of a lower version, or not signed by the root", "site_agent");
  table.AddElsewhere("the same session key opened a second time", "site_agent");
  table.AddElsewhere("unmasking again from an older backup of the site's state", "site_agent");
  CHECK(table.AllRefused("An evil coordinator"));
  CHECK(table.attacks() >= 60);
}

TEST_CASE("A site takes part when nobody cheats") {  // so that the table is no site that says no
  for (const auto& survivors : {SitesNumbered({0, 1, 2, 3}), SitesNumbered({0, 1, 2})}) {
    Stage stage;
    stage.Agreed(survivors);
    const UnmaskAnswer answer = Must(stage.AskVictimToUnmask());
    CHECK(answer.seed_shares.size() == survivors.size());
    CHECK(answer.mask_key_shares.size() == 4 - survivors.size());
    for (const auto& [site, share] : answer.seed_shares) CHECK(survivors.contains(site));
    for (const auto& [site, share] : answer.mask_key_shares) CHECK_FALSE(survivors.contains(site));
  }
}

TEST_CASE("The same quantity may be opened again with the very same sites") {
  Stage stage;
  stage.Uploaded();
  const auto all = stage.everybody();
  CHECK(stage.victim().SignSurvivors(all, all).ok());
}

TEST_CASE("The record is committed before a share leaves, and says what was opened") {
  Stage stage;
  stage.Agreed(SitesNumbered({0, 1, 2}));
  std::vector<UnmaskRecord> records;
  const auto answer = stage.victim().Unmask(stage.signatures(), [&](const UnmaskRecord& record) {
    records.push_back(record);
    return absl::OkStatus();
  });
  REQUIRE(answer.ok());
  REQUIRE(records.size() == 1);
  CHECK(records[0].key == stage.config().key);
  CHECK(records[0].model == stage.config().model);
  CHECK(records[0].transcript == Must(stage.site(1).transcript()));
  CHECK(records[0].sharers == stage.everybody());
  CHECK(records[0].survivors == SitesNumbered({0, 1, 2}));
}

TEST_CASE("With another base model the same keys make other masks, which cancel nothing") {
  const auto masks_of = [](const char* model) {
    Stage::Options options;
    options.everybody = [&](SessionConfig& config) { config.model = crypto::Sha256(model); };
    Stage stage(options);
    stage.Taken();
    return Must(stage.victim().Masks());
  };
  const auto one = masks_of("one model"), other = masks_of("another"), same = masks_of("one model");
  REQUIRE(one.size() == 4);
  for (std::size_t i = 0; i < one.size(); ++i) {
    CHECK(one[i].key.Equals(same[i].key.Reveal()));
    for (const Mask& mask : other) CHECK_FALSE(one[i].key.Equals(mask.key.Reveal()));
  }
}

TEST_CASE("A call before its step is refused and changes nothing") {
  Stage stage;
  SiteSession& victim = stage.victim();
  const auto everybody = stage.everybody();
  const auto commit = [](const UnmaskRecord&) { return absl::OkStatus(); };
  const auto too_early = [](const absl::Status& status) {
    return status.code() == absl::StatusCode::kFailedPrecondition;
  };
  CHECK(too_early(victim.transcript().status()));
  CHECK(too_early(victim.TakeShares({})));
  CHECK(too_early(victim.Masks().status()));
  CHECK(too_early(victim.SignUpload(Digest{}).status()));
  CHECK(too_early(victim.SignSurvivors(everybody, std::nullopt).status()));
  CHECK(too_early(victim.Unmask({}, commit).status()));
  stage.Shared();
  CHECK(too_early(victim.Masks().status()));
  CHECK(too_early(victim.SignUpload(Digest{}).status()));
  CHECK(too_early(victim.SignSurvivors(everybody, std::nullopt).status()));
  CHECK(too_early(victim.Unmask({}, commit).status()));
  CHECK_FALSE(victim.over());
  stage.Uploaded();
  CHECK(too_early(victim.Unmask({}, commit).status()));
  CHECK_FALSE(victim.over());
  stage.Agreed();
  CHECK(stage.AskVictimToUnmask().ok());
}

// What of the session's secrets is found in `saved`.
int SecretsIn(const SiteState& before, const crypto::Secret& saved) {
  std::vector<ByteView> secrets = {before.share_key.Reveal(), before.mask_key.Reveal(),
                                   before.seed.Reveal(), before.coefficients.Reveal()};
  for (const auto& [site, held] : before.held) {
    secrets.push_back(held.Reveal().first(kShareBytes));
    secrets.push_back(held.Reveal().last(kShareBytes));
  }
  for (const auto* keys : {&before.opening_keys, &before.masks}) {
    for (const auto& [site, key] : *keys) secrets.push_back(key.Reveal());
  }
  int found = 0;
  for (const ByteView secret : secrets) {
    const auto at =
        std::search(saved.Reveal().begin(), saved.Reveal().end(), secret.begin(), secret.end());
    found += !secret.empty() && at != saved.Reveal().end();
  }
  return found;
}

TEST_CASE("After unmasking, and after a refusal at any step, the saved state holds no secret") {
  const auto wiped_by = [](Stage& stage, int fewest, auto end) {
    const crypto::Secret saved = stage.victim().Save();
    const SiteState before = Must(ReadState(saved.Reveal()));
    CHECK(SecretsIn(before, saved) >= fewest);  // what the state holds is found in it
    end();
    CHECK(stage.victim().over());
    CHECK(SecretsIn(before, stage.victim().Save()) == 0);
  };
  {
    INFO("refused in step 1: two private keys, seed, coefficients");
    Stage stage;
    wiped_by(stage, 4, [&] { CHECK_FALSE(stage.victim().ShareWith({}).ok()); });
  }
  {
    INFO("refused when shares come: own pair, three opening keys, four masks");
    Stage stage;
    stage.Shared();
    wiped_by(stage, 9, [&] { CHECK_FALSE(stage.victim().TakeShares({}).ok()); });
  }
  {
    INFO("refused in step 3: four pairs of shares, four masks");
    Stage stage;
    stage.Uploaded();
    wiped_by(stage, 12, [&] { CHECK_FALSE(stage.victim().SignSurvivors({}, {}).ok()); });
  }
  {
    INFO("refused in step 4");
    Stage stage;
    stage.Agreed();
    stage.signatures().clear();
    wiped_by(stage, 12, [&] { CHECK_FALSE(stage.AskVictimToUnmask().ok()); });
  }
  {
    INFO("unmasked");
    Stage stage;
    stage.Agreed();
    wiped_by(stage, 12, [&] { CHECK(stage.AskVictimToUnmask().ok()); });
  }
}

TEST_CASE("A saved state with any byte changed is not gone on from") {
  Stage stage;
  stage.Taken();
  const crypto::Secret saved = stage.victim().Save();
  const Federation& federation = AttackedFederation();
  const auto restore = [&](ByteView bytes) {
    return SiteSession::Restore(bytes, federation.ViewOf(kVictim), federation.KeyOf(kVictim))
        .status();
  };
  Bytes bytes(saved.Reveal().begin(), saved.Reveal().end());
  REQUIRE(restore(bytes).ok());
  int restored = 0;
  for (std::uint8_t& byte : bytes) {
    byte ^= 0x40;
    restored += restore(bytes).code() != absl::StatusCode::kDataLoss;
    byte ^= 0x40;
  }
  CHECK(restored == 0);
  for (const std::size_t size : {std::size_t{0}, std::size_t{40}, bytes.size() - 1})
    CHECK(restore(ByteView(bytes).first(size)).code() == absl::StatusCode::kDataLoss);
}

TEST_CASE("A session does not go on under a new roster, a stricter minimum or another's name") {
  Stage stage;
  stage.Taken();
  const crypto::Secret saved = stage.victim().Save();
  const Federation& federation = AttackedFederation();
  SiteView roster = federation.ViewOf(kVictim), minimum = roster;
  roster.roster = crypto::Sha256("the next roster");
  minimum.minimum_cohort = 5;
  const auto& key = federation.KeyOf(kVictim);
  CHECK_FALSE(SiteSession::Restore(saved.Reveal(), roster, key).ok());
  CHECK_FALSE(SiteSession::Restore(saved.Reveal(), minimum, key).ok());
  CHECK_FALSE(SiteSession::Restore(saved.Reveal(), federation.ViewOf(SiteNumber(1)),
                                   federation.KeyOf(SiteNumber(1)))
                  .ok());
}

}  // namespace
}  // namespace consilium::secagg
