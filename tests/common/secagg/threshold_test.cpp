// Below the threshold nothing can be opened: the coordinator refuses, and what it has then tells
// nothing. And the witness of the simulations can accuse.

#include "common/secagg/shamir.h"
#include "tests/catch.h"
#include "tests/common/secagg/attack_stage.h"

namespace consilium::secagg {
namespace {

// A session of n sites, all in the sum but the last one, led to unmasking; and every site's answer.
struct Unmasking {
  explicit Unmasking(std::size_t sites)
      : federation(sites), host(federation, federation.Config(sites), Federation::First(sites)) {
    for (const SiteId& id : Federation::First(sites)) {
      site.try_emplace(id, federation, id, Vector::Random(host.session().config(), random), random,
                       witness);
    }
    // The last is lost after it has shared, where the threshold allows.
    const SiteId last = Federation::Name(sites - 1);
    const bool without_last = sites > host.session().config().threshold;
    while (host.session().step() != CoordinatorSession::Step::kUnmasking) {
      if (host.session().step() == CoordinatorSession::Step::kUploading && without_last)
        host.session().Lose(last);
      for (const SiteId& id : host.session().Awaited()) Must(host.Take(id, Ask(id)));
      Must(host.session().CloseStep());
    }
    for (const SiteId& id : host.session().Awaited()) answers[id] = std::get<UnmaskAnswer>(Ask(id));
  }
  Answer Ask(const SiteId& id) { return Must(site.at(id).On(host.RequestFor(id))); }

  Federation federation;
  SeededRandom random{11, "threshold"};
  Witness witness;
  Host host;
  std::map<SiteId, Site> site;
  std::map<SiteId, UnmaskAnswer> answers;
};

TEST_CASE("Below the threshold nothing is opened; with one answer more the sum is") {
  for (std::size_t sites = 3; sites <= 20; ++sites) {
    Unmasking at(sites);
    const std::uint32_t threshold = at.host.session().config().threshold;
    std::uint32_t answered = 0;
    for (const auto& [id, answer] : at.answers) {
      INFO(answered << " answers of " << sites << " sites, threshold " << threshold);
      if (answered == threshold) break;
      CHECK_FALSE(at.host.session().EnoughAnswers());
      CHECK(at.host.Open().status().code() == absl::StatusCode::kFailedPrecondition);
      Must(at.host.Take(id, answer));
      ++answered;
    }
    CHECK(at.host.session().EnoughAnswers());
    const auto sum = at.host.Open();
    REQUIRE(sum.ok());
    CHECK(*sum == PlainSum(at.host.session().config(), at.site, at.host.session().survivors()));
  }
}

// The points of the first `count` answers for one site's seed.
std::vector<Point> SeedPoints(const Unmasking& at, const SiteId& whose, std::size_t count) {
  std::vector<Point> points;
  const auto& members = at.host.session().members();
  for (std::size_t i = 0; i < members.size() && points.size() < count; ++i) {
    const auto answer = at.answers.find(members[i].site);
    if (answer == at.answers.end()) continue;
    points.push_back({static_cast<std::uint8_t>(i + 1), answer->second.seed_shares.at(whose)});
  }
  return points;
}

TEST_CASE("One share fewer than the threshold leaves every secret as possible as any other") {
  for (const std::size_t sites : {3, 4, 7, 10}) {
    Unmasking at(sites);
    const std::uint32_t threshold = at.host.session().config().threshold;
    const Advertisement& whose = at.host.session().members().front();
    const auto enough = SeedPoints(at, whose.site, threshold);
    REQUIRE(enough.size() == threshold);
    const crypto::Secret seed = Must(Combine(enough, threshold));
    CHECK(crypto::Sha256(seed.Reveal()) == whose.seed_hash);

    // What t - 1 shares say of the seed: whatever the missing share is guessed to be, each byte of
    // the seed comes out as each of its 256 values once.
    std::array<std::set<std::uint8_t>, kShareBytes> possible;
    for (int guess = 0; guess < 256; ++guess) {
      auto points = enough;
      points.back().y.fill(static_cast<std::uint8_t>(guess));
      const crypto::Secret guessed = Must(Combine(points, threshold));
      for (std::size_t i = 0; i < kShareBytes; ++i) possible[i].insert(guessed.Reveal()[i]);
    }
    for (const auto& values : possible) CHECK(values.size() == 256);
    // And put together as if they were enough, they give something else.
    const auto fewer = SeedPoints(at, whose.site, threshold - 1);
    CHECK_FALSE(Combine(fewer, threshold).ok());
    CHECK_FALSE(Must(Combine(fewer, threshold - 1)).Equals(seed.Reveal()));
  }
}

TEST_CASE("The witness accuses whoever hides two vectors under one mask") {
  const auto mask = [](bool negative) {
    std::vector<Mask> masks;
    masks.push_back({crypto::Secret::CopyOf(Bytes(32, 5)), negative});
    return masks;
  };
  const Digest one = crypto::Sha256("one"), other = crypto::Sha256("other");
  const SiteId a("a"), b("b"), c("c");
  Witness witness;
  witness.SawMasked(a, mask(false), one);
  witness.SawMasked(a, mask(false), one);  // a repeated upload
  witness.SawMasked(b, mask(true), other);
  CHECK(witness.violations().empty());
  Witness twice = witness, sign = witness, third = witness;
  twice.SawMasked(a, mask(false), other);
  CHECK(twice.violations().size() == 1);
  sign.SawMasked(a, mask(true), one);
  CHECK_FALSE(sign.violations().empty());
  third.SawMasked(c, mask(true), one);
  CHECK_FALSE(third.violations().empty());
}

TEST_CASE("The witness accuses who answers twice and who gives both kinds of share") {
  const Digest transcript = crypto::Sha256("T"), next = crypto::Sha256("next");
  const SiteId a("a"), b("b");
  UnmaskAnswer seed, key;
  seed.seed_shares[a] = {};
  key.mask_key_shares[a] = {};
  Witness witness;
  witness.SawUnmasked(a, transcript, seed);
  witness.SawUnmasked(b, transcript, seed);
  witness.SawUnmasked(a, next, key);
  CHECK(witness.violations().empty());
  Witness twice = witness, both = witness;
  twice.SawUnmasked(b, transcript, seed);
  CHECK(twice.violations().size() == 1);
  both.SawUnmasked(SiteId("c"), transcript, key);
  CHECK(both.violations().size() == 1);
}

}  // namespace
}  // namespace consilium::secagg
