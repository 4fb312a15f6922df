// A site that cheats, step by step, and what the coordinator says to it. Site 0 is the evil one; it
// has its own signing key and no other's. Whatever is refused changes nothing.

#include "common/secagg/site_state.h"
#include "tests/catch.h"
#include "tests/common/secagg/attack_stage.h"

namespace consilium::secagg {
namespace {

const SiteId kEvil = SiteNumber(0), kHonest = SiteNumber(1);
using Step = CoordinatorSession::Step;

CoordinatorSession Coordinator(const Stage& stage) {
  return CoordinatorSession(stage.config(), AttackedFederation().KeysOf(stage.everybody()));
}

// A coordinator with four sites in front of it, led honestly to a step. Site 3 has not delivered
// when `three` is true.
class Hall {
 public:
  explicit Hall(Step step, bool three = false) : coordinator_(Coordinator(stage_)) {
    if (step == Step::kAdvertising) return;
    for (const Advertisement& member : stage_.members()) Must(coordinator_.Take(member));
    Must(coordinator_.CloseStep());
    stage_.Shared();
    if (step == Step::kSharing) return;
    for (const auto& [site, shares] : stage_.sent()) Must(coordinator_.Take(site, shares));
    Must(coordinator_.CloseStep());
    const auto survivors = three ? SitesNumbered({0, 1, 2}) : stage_.everybody();
    stage_.Agreed(survivors);
    if (step == Step::kUploading) return;
    for (const SiteId& site : survivors) Must(coordinator_.Take(site, Proof(site)));
    Must(coordinator_.CloseStep());
    if (step == Step::kAgreeing) return;
    for (const auto& [site, signature] : stage_.signatures())
      Must(coordinator_.Take(site, signature));
    Must(coordinator_.CloseStep());
  }

  Stage& stage() { return stage_; }
  CoordinatorSession& coordinator() { return coordinator_; }
  const Advertisement& ad(std::size_t index) { return stage_.members()[index]; }
  UploadProof Proof(const SiteId& site) { return ProofOf(site, Stage::HashOf(site), site); }
  UploadProof ProofOf(const SiteId& site, const Digest& hash, const SiteId& signer) {
    return {hash, SignAs(signer, UploadText(coordinator_.transcript(), site, hash))};
  }
  UnmaskAnswer AnswerOf(std::size_t index) {
    return Must(stage_.site(index).Unmask(stage_.signatures(),
                                          [](const auto&) { return absl::OkStatus(); }));
  }

  // What the coordinator says to `attack`; an accusation that changed something is none.
  template <class Attack>
  absl::Status Try(const Attack& attack) {
    const auto before = Shown();
    const absl::Status said = attack(coordinator_);
    if (before != Shown()) return absl::OkStatus();
    return said;
  }

 private:
  std::tuple<Step, std::set<SiteId>, std::set<SiteId>> Shown() const {
    return {coordinator_.step(), coordinator_.Awaited(), coordinator_.Members()};
  }

  Stage stage_;
  CoordinatorSession coordinator_;
};

void AddAdvertising(AttackTable& table) {
  const auto add = [&](const char* attack, auto advertise, const char* words) {
    Hall hall(Step::kAdvertising);
    Must(hall.coordinator().Take(hall.ad(1)));
    const Advertisement forged = advertise(hall);
    table.Add(attack, hall.Try([&](auto& to) { return to.Take(forged); }), words);
  };
  add(
      "advertises as a site outside the cohort",
      [](Hall& hall) { return hall.stage().Signed(SiteNumber(6), hall.ad(0)); }, "not asked");
  add(
      "advertises as another site",
      [](Hall& hall) {
        Advertisement forged = hall.ad(0);
        forged.site = SiteNumber(2);
        return forged;
      },
      "not signed");
  add(
      "advertises as another site that has advertised",
      [](Hall& hall) {
        Advertisement forged = hall.ad(0);
        forged.site = kHonest;
        return forged;
      },
      "second");
  add(
      "advertises keys that it has not signed",
      [](Hall& hall) {
        Advertisement forged = hall.ad(0);
        forged.mask_key[4] ^= 1;
        return forged;
      },
      "not signed");
  add(
      "advertises for another session",
      [](Hall&) {
        Stage::Options other;
        other.attempt = 9;
        return Stage(other).members()[0];
      },
      "not signed");
  add(
      "advertises with another's mask key",
      [](Hall& hall) {
        Advertisement copy = hall.ad(0);
        copy.mask_key = hall.ad(1).mask_key;
        return hall.stage().Signed(kEvil, copy);
      },
      "used twice");
  add(
      "advertises with another's share key as its mask key",
      [](Hall& hall) {
        Advertisement copy = hall.ad(0);
        copy.mask_key = hall.ad(1).share_key;
        return hall.stage().Signed(kEvil, copy);
      },
      "used twice");
  add(
      "advertises with another's seed hash",
      [](Hall& hall) {
        Advertisement copy = hall.ad(0);
        copy.seed_hash = hall.ad(1).seed_hash;
        return hall.stage().Signed(kEvil, copy);
      },
      "used twice");
  add(
      "advertises one key for both purposes",
      [](Hall& hall) {
        Advertisement copy = hall.ad(0);
        copy.mask_key = copy.share_key;
        return hall.stage().Signed(kEvil, copy);
      },
      "used twice");
  add(
      "advertises different keys a second time",
      [](Hall& hall) {
        Must(hall.coordinator().Take(hall.ad(0)));
        Stage::Options other;
        other.seed = 2;
        return hall.stage().Signed(kEvil, Stage(other).members()[0]);
      },
      "second");

  // The points of low order of Curve25519, in every encoding (RFC 7748, section 7; the list of
  // D. J. Bernstein, "Curve25519: new Diffie-Hellman speed records", FAQ).
  const char* low_order[] = {
      "0000000000000000000000000000000000000000000000000000000000000000",
      "0100000000000000000000000000000000000000000000000000000000000000",
      "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
      "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  };
  for (const char* hex : low_order) {
    for (const bool mask : {false, true}) {
      const std::string attack =
          StrCat("a ", mask ? "mask" : "share", " key of low order, ", std::string(hex, 8), "...");
      add(
          attack.c_str(),
          [&](Hall& hall) {
            Advertisement weak = hall.ad(0);
            const Bytes point = Must(FromHex(hex));
            auto& key = mask ? weak.mask_key : weak.share_key;
            std::copy(point.begin(), point.end(), key.begin());
            return hall.stage().Signed(kEvil, weak);
          },
          "low order");
    }
  }
}

void AddSharing(AttackTable& table) {
  using Shares = std::vector<SealedShare>;
  const auto add = [&](const char* attack, auto cheat, const char* words,
                       const SiteId& sender = kEvil) {
    Hall hall(Step::kSharing);
    Shares shares = hall.stage().sent()[kEvil];
    cheat(shares);
    table.Add(attack, hall.Try([&](auto& to) { return to.Take(sender, shares); }), words);
  };
  add(
      "shares as a site outside the cohort", [](Shares&) {}, "not asked", SiteNumber(6));
  add(
      "shares in another's name", [](Shares&) {}, "", kHonest);
  add(
      "a share for a foreign site", [](Shares& s) { s[2].to = SiteNumber(6); }, "no share for");
  add(
      "a share for itself", [](Shares& s) { s[0].to = kEvil; }, "no share for");
  add(
      "a share said to be another's", [](Shares& s) { s[0].from = SiteNumber(2); }, "a share of");
  add(
      "a share for one site missing", [](Shares& s) { s.pop_back(); }, "other members");
  add(
      "two shares for one site", [](Shares& s) { s[1] = s[0]; }, "no share for");
  add(
      "one share more", [](Shares& s) { s.push_back(s[0]); }, "other members");
  add(
      "a share that is too short", [](Shares& s) { s[0].sealed.pop_back(); }, "bytes");
  add(
      "a share of a megabyte", [](Shares& s) { s[0].sealed.resize(1 << 20); }, "bytes");

  Hall early(Step::kAdvertising);
  table.Add("shares before the members are known",
            early.Try([](auto& to) { return to.Take(kEvil, Shares{}); }), "too early");
  Hall hall(Step::kSharing);
  Shares shares = hall.stage().sent()[kEvil];
  Must(hall.coordinator().Take(kEvil, shares));
  shares[0].sealed[0] ^= 1;
  table.Add("other shares a second time",
            hall.Try([&](auto& to) { return to.Take(kEvil, shares); }), "second");

  // Site 3 is in the cohort, but was late in the first step.
  Stage stage;
  CoordinatorSession coordinator = Coordinator(stage);
  for (const std::size_t index : {0, 1, 2}) Must(coordinator.Take(stage.members()[index]));
  Must(coordinator.CloseStep());
  table.Add("shares of a site that is not a member", coordinator.Take(SiteNumber(3), Shares{}),
            "not in this session");
  table.Add("advertises when the members are known", coordinator.Take(stage.members()[3]),
            "too late");
}

void AddUploading(AttackTable& table) {
  const auto add = [&](const char* attack, auto proof, const char* words,
                       const SiteId& sender = kEvil) {
    Hall hall(Step::kUploading);
    const UploadProof forged = proof(hall);
    table.Add(attack, hall.Try([&](auto& to) { return to.Take(sender, forged); }), words);
  };
  const Digest other = crypto::Sha256("another vector");
  add(
      "an upload's proof for another hash",
      [&](Hall& hall) {
        return UploadProof{other, hall.Proof(kEvil).signature};
      },
      "not signed");
  add(
      "another's proof as its own", [](Hall& hall) { return hall.Proof(kHonest); }, "not signed");
  add(
      "a proof in another's name, signed by itself",
      [&](Hall& hall) { return hall.ProofOf(kHonest, other, kEvil); }, "not signed", kHonest);
  add(
      "a proof of another session",
      [&](Hall&) {
        return UploadProof{other, SignAs(kEvil, UploadText(crypto::Sha256("T"), kEvil, other))};
      },
      "not signed");
  add(
      "a proof of a site outside the cohort", [](Hall& hall) { return hall.Proof(kEvil); },
      "not asked", SiteNumber(6));
  add(
      "an upload of another vector a second time",
      [&](Hall& hall) {
        Must(hall.coordinator().Take(kEvil, hall.Proof(kEvil)));
        return hall.ProofOf(kEvil, other, kEvil);
      },
      "second");
  add(
      "an upload of a site that was lost",
      [](Hall& hall) {
        hall.coordinator().Lose(kEvil);
        return hall.Proof(kEvil);
      },
      "not in this session");
  Hall late(Step::kAgreeing, true);
  table.Add("an upload when the survivors are known",
            late.Try([&](auto& to) { return to.Take(SiteNumber(3), late.Proof(SiteNumber(3))); }),
            "too late");
}

void AddAgreeing(AttackTable& table) {
  const auto add = [&](const char* attack, auto sign, const char* words,
                       const SiteId& sender = kEvil) {
    Hall hall(Step::kAgreeing, true);
    const crypto::Signature forged = sign(hall);
    table.Add(attack, hall.Try([&](auto& to) { return to.Take(sender, forged); }), words);
  };
  const auto survivors = SitesNumbered({0, 1, 2});
  const auto everybody = SitesNumbered({0, 1, 2, 3});
  add(
      "another's signature as its own",
      [](Hall& hall) { return hall.stage().signatures()[kHonest]; }, "not signed");
  add(
      "its signature as another's", [](Hall& hall) { return hall.stage().signatures()[kEvil]; },
      "not signed", kHonest);
  add(
      "signs other survivors",
      [&](Hall& hall) {
        return SignAs(kEvil, SurvivorsText(hall.coordinator().transcript(), everybody, everybody));
      },
      "not signed");
  add(
      "signs another transcript",
      [&](Hall&) {
        return SignAs(kEvil, SurvivorsText(crypto::Sha256("T"), everybody, survivors));
      },
      "not signed");
  add(
      "a signature of a site that did not deliver",
      [&](Hall& hall) {
        return SignAs(SiteNumber(3),
                      SurvivorsText(hall.coordinator().transcript(), everybody, survivors));
      },
      "not in this session", SiteNumber(3));
  add(
      "a signature of zeros", [](Hall&) { return crypto::Signature{}; }, "not signed");
}

void AddUnmasking(AttackTable& table) {
  const auto add = [&](const char* attack, auto cheat, const char* words,
                       const SiteId& sender = kEvil) {
    Hall hall(Step::kUnmasking, true);
    UnmaskAnswer answer = hall.AnswerOf(0);
    cheat(hall, answer);
    table.Add(attack, hall.Try([&](auto& to) { return to.Take(sender, answer); }), words);
  };
  const SiteId gone = SiteNumber(3), foreign = SiteNumber(6);
  add(
      "a share of a foreign site's seed",
      [&](Hall&, UnmaskAnswer& a) { a.seed_shares[foreign] = {}; }, "exactly");
  add(
      "a share of a foreign site's mask key",
      [&](Hall&, UnmaskAnswer& a) { a.mask_key_shares[foreign] = {}; }, "exactly");
  add(
      "the wrong kind of share of a site that delivered",
      [&](Hall&, UnmaskAnswer& a) {
        a.mask_key_shares[kHonest] = a.seed_shares[kHonest];
        a.seed_shares.erase(kHonest);
      },
      "exactly");
  add(
      "the wrong kind of share of a site that did not deliver",
      [&](Hall&, UnmaskAnswer& a) {
        a.seed_shares[gone] = a.mask_key_shares[gone];
        a.mask_key_shares.erase(gone);
      },
      "exactly");
  add(
      "both kinds of share of one site",
      [&](Hall&, UnmaskAnswer& a) { a.mask_key_shares[kHonest] = {}; }, "exactly");
  add(
      "a share left out", [&](Hall&, UnmaskAnswer& a) { a.seed_shares.erase(kHonest); }, "exactly");
  add(
      "no shares", [&](Hall&, UnmaskAnswer& a) { a = {}; }, "exactly");
  add(
      "an answer of a site that did not sign", [](Hall&, UnmaskAnswer&) {}, "not in this session",
      gone);
  add(
      "other shares a second time",
      [&](Hall& hall, UnmaskAnswer& a) {
        Must(hall.coordinator().Take(kEvil, a));
        a.seed_shares[kHonest][0] ^= 1;
      },
      "second");
  Hall early(Step::kAgreeing, true);
  table.Add("an answer before the survivors are agreed",
            early.Try([](auto& to) { return to.Take(kEvil, UnmaskAnswer{}); }), "too early");
}

TEST_CASE("Every attack of an evil site is refused by the coordinator, with the reason") {
  AttackTable table("the coordinator");
  AddAdvertising(table);
  AddSharing(table);
  AddUploading(table);
  AddAgreeing(table);
  AddUnmasking(table);
  table.AddElsewhere("a vector that is not what its proof says", "aggregator");
  table.AddElsewhere("an update of enormous norm", "quantizer, release gate");
  CHECK(table.AllRefused("An evil site"));
  CHECK(table.attacks() >= 45);
}

TEST_CASE("A site's very same message again is no error at any later step") {
  Hall hall(Step::kUnmasking);
  CoordinatorSession& coordinator = hall.coordinator();
  CHECK(coordinator.Take(hall.ad(0)).ok());
  CHECK(coordinator.Take(kEvil, hall.stage().sent()[kEvil]).ok());
  CHECK(coordinator.Take(kEvil, hall.Proof(kEvil)).ok());
  CHECK(coordinator.Take(kEvil, hall.stage().signatures()[kEvil]).ok());
  CHECK(coordinator.step() == Step::kUnmasking);
  CHECK(coordinator.Awaited() == hall.stage().everybody());
}

// The masks that the sites added and those that Open() gives make nothing.
bool Cancels(Stage& stage, const std::vector<std::vector<Mask>>& added,
             const std::vector<Mask>& opened) {
  Vector sum = Vector::Zeros(stage.config());
  for (const auto& masks : added) Must(sum.AddMasks(masks));
  const bool hidden = sum != Vector::Zeros(stage.config());
  Must(sum.AddMasks(opened));
  return hidden && sum == Vector::Zeros(stage.config());
}

TEST_CASE("Wrong shares at unmasking are left out when the others suffice, and never believed") {
  for (const bool three : {false, true}) {
    for (const bool mask_key : {false, true}) {
      INFO("without site 3: " << three << ", a wrong share of a mask key: " << mask_key);
      Hall hall(Step::kUnmasking, three);
      std::vector<std::vector<Mask>> added;
      const auto survivors = hall.coordinator().survivors();
      for (std::size_t i = 0; i < survivors.size(); ++i)
        added.push_back(Must(hall.stage().site(i).Masks()));
      for (std::size_t i = 0; i < survivors.size(); ++i) {
        UnmaskAnswer answer = hall.AnswerOf(i);
        auto& shares = mask_key ? answer.mask_key_shares : answer.seed_shares;
        if (i == 0 && !shares.empty()) shares.begin()->second[7] ^= 0x80;
        Must(hall.coordinator().Take(SiteNumber(i), answer));
      }
      const auto opened = hall.coordinator().Open();
      // Four answers and t = 3 can do without one; three answers cannot.
      if (three) {
        CHECK(opened.status().code() == absl::StatusCode::kDataLoss);
        CHECK(hall.coordinator().step() == Step::kUnmasking);  // more answers may still come
      } else {
        REQUIRE(opened.ok());
        CHECK(Cancels(hall.stage(), added, *opened));
      }
    }
  }
}

TEST_CASE("A site that shared another seed than it advertised is named and nothing is opened") {
  Hall honest(Step::kAdvertising);
  Stage& stage = honest.stage();
  CoordinatorSession& coordinator = honest.coordinator();
  SiteState state = Must(ReadState(stage.site(0).Save().Reveal()));
  state.seed = crypto::Secret::CopyOf(Bytes(32, 7));
  stage.site(0) =
      Must(SiteSession::Restore(SaveState(state).Reveal(), AttackedFederation().ViewOf(kEvil),
                                AttackedFederation().KeyOf(kEvil)));
  for (const Advertisement& member : stage.members()) Must(coordinator.Take(member));
  Must(coordinator.CloseStep());
  stage.Agreed();
  for (const auto& [site, shares] : stage.sent()) Must(coordinator.Take(site, shares));
  Must(coordinator.CloseStep());
  for (const SiteId& site : stage.everybody()) Must(coordinator.Take(site, honest.Proof(site)));
  Must(coordinator.CloseStep());
  for (const auto& [site, signature] : stage.signatures()) Must(coordinator.Take(site, signature));
  Must(coordinator.CloseStep());
  for (std::size_t i = 0; i < 4; ++i) Must(coordinator.Take(SiteNumber(i), honest.AnswerOf(i)));
  const auto opened = coordinator.Open();
  CHECK(opened.status().code() == absl::StatusCode::kDataLoss);
  CHECK_THAT(std::string(opened.status().message()), ContainsText(kEvil.value));
}

}  // namespace
}  // namespace consilium::secagg
