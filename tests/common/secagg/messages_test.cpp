#include "common/secagg/messages.h"

#include <functional>

#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "tests/catch.h"

namespace consilium::secagg {
namespace {

Digest Filled(std::uint8_t byte) {
  Digest digest;
  digest.bytes.fill(byte);
  return digest;
}

SessionConfig Config() {
  return {.federation = "lung-network",
          .key = {{RunId("chest-0003"), 2, 1}, Purpose::kTraining},
          .model = Filled(0x11),
          .roster = Filled(0x22),
          .cohort_size = 4,
          .threshold = 3,
          .values = 1000,
          .sums = 3,
          .layout = Filled(0x33),
          .clip_norm = 2.5,
          .total_weight = 480,
          .weight_rule = "examples"};
}

Advertisement MakeAdvertisement(const char* site, std::uint8_t byte) {
  Advertisement advertisement;
  advertisement.site = SiteId(site);
  advertisement.share_key.fill(byte);
  advertisement.mask_key.fill(static_cast<std::uint8_t>(byte + 1));
  advertisement.seed_hash = Filled(static_cast<std::uint8_t>(byte + 2));
  return advertisement;
}

std::vector<Advertisement> Members() {
  return {MakeAdvertisement("east", 0x40), MakeAdvertisement("north", 0x50),
          MakeAdvertisement("west", 0x60)};
}

const std::set<SiteId> kSharers = {SiteId("east"), SiteId("north"), SiteId("west")};

TEST_CASE("The threshold is more than two thirds of the cohort") {
  CHECK(Threshold(3) == 3);
  CHECK(Threshold(4) == 3);
  CHECK(Threshold(10) == 7);
  CHECK(Threshold(100) == 67);
  CHECK(Threshold(255) == 171);
  for (std::uint32_t n = 3; n <= 255; ++n) {
    CHECK(3 * Threshold(n) > 2 * n);
    CHECK(3 * (Threshold(n) - 1) <= 2 * n);
  }
}

// Computed in another language from the description in messages.h.
TEST_CASE("Context, transcript and the signed texts have their known values") {
  const Digest context = ContextHash(Config());
  CHECK(context.Hex() == "00aba873d35b9d52392ed21122f853ff28d5aa9b0afd65ecce5991e93d88c01d");
  CHECK(crypto::Sha256(AdvertisementText(context, Members()[1])).Hex() ==
        "d0d7fb442d3a542d5fd801bd8849aec02e9a833101e6ad762c0fbf73dab8a9f1");
  const Digest transcript = Transcript(context, Members());
  CHECK(transcript.Hex() == "6add0ec9270a3bd084afd0bddf17736abe8121e15783f0ddfc74b3c1276e7dac");
  CHECK(ToHex(UploadText(transcript, SiteId("north"), Filled(0x77))) ==
        "1a00000000000000636f6e73696c69756d207365636167672075706c6f61642076312000000000000000"
        "6add0ec9270a3bd084afd0bddf17736abe8121e15783f0ddfc74b3c1276e7dac"
        "05000000000000006e6f7274682000000000000000"
        "7777777777777777777777777777777777777777777777777777777777777777");
  CHECK(
      crypto::Sha256(SurvivorsText(transcript, kSharers, {SiteId("east"), SiteId("west")})).Hex() ==
      "1b03bc14623023c6cf91ef21aafa2ba12876d916508235ede73b4d5eb8306991");
}

TEST_CASE("Every field of the config changes the context") {
  const std::vector<std::function<void(SessionConfig&)>> changes = {
      [](SessionConfig& c) { c.federation = "lung-networks"; },
      [](SessionConfig& c) { c.key.attempt.run = RunId("chest-0004"); },
      [](SessionConfig& c) { c.key.attempt.round = 3; },
      [](SessionConfig& c) { c.key.attempt.attempt = 2; },
      [](SessionConfig& c) { c.key.purpose = Purpose::kValidation; },
      [](SessionConfig& c) { c.model = Filled(0x12); },
      [](SessionConfig& c) { c.roster = Filled(0x23); },
      [](SessionConfig& c) { c.cohort_size = 5; },
      [](SessionConfig& c) { c.threshold = 4; },
      [](SessionConfig& c) { c.values = 1001; },
      [](SessionConfig& c) { c.sums = 4; },
      [](SessionConfig& c) { c.layout = Filled(0x34); },
      [](SessionConfig& c) { c.clip_norm = 2.5000000000000004; },
      [](SessionConfig& c) { c.total_weight = 481; },
      [](SessionConfig& c) { c.weight_rule = "patients"; },
      [](SessionConfig& c) { c.privacy = "epsilon 8"; }};
  std::set<Digest> contexts = {ContextHash(Config())};
  for (const auto& change : changes) {
    SessionConfig config = Config();
    change(config);
    contexts.insert(ContextHash(config));
  }
  CHECK(contexts.size() == changes.size() + 1);
}

TEST_CASE("A byte moved from one field to the next changes the context") {
  SessionConfig one = Config(), other = Config();
  one.weight_rule = "examplesn";
  one.privacy = "one";
  other.weight_rule = "examples";
  other.privacy = "none";
  CHECK(ContextHash(one) != ContextHash(other));
}

TEST_CASE(
    "The transcript is of the set of advertisements: their order and signatures do not count") {
  const Digest context = ContextHash(Config());
  const Digest transcript = Transcript(context, Members());
  std::vector<Advertisement> members = Members();
  std::swap(members[0], members[2]);
  members[1].signature.fill(9);
  CHECK(Transcript(context, members) == transcript);

  CHECK(Transcript(Filled(1), Members()) != transcript);
  members = Members();
  members.pop_back();
  CHECK(Transcript(context, members) != transcript);
  for (const auto& change : std::vector<std::function<void(Advertisement&)>>{
           [](Advertisement& a) { a.site = SiteId("south"); },
           [](Advertisement& a) { a.share_key[31] ^= 1; },
           [](Advertisement& a) { a.mask_key[0] ^= 1; },
           [](Advertisement& a) { a.seed_hash.bytes[5] ^= 1; }}) {
    members = Members();
    change(members[1]);
    CHECK(Transcript(context, members) != transcript);
    CHECK(AdvertisementText(context, members[1]) != AdvertisementText(context, Members()[1]));
  }
}

TEST_CASE("Sharers and survivors cannot be taken for one another") {
  const std::set<SiteId> none, two = {SiteId("east"), SiteId("west")};
  const Digest transcript = Filled(7);
  CHECK(SurvivorsText(transcript, kSharers, two) != SurvivorsText(transcript, two, kSharers));
  CHECK(SurvivorsText(transcript, kSharers, none) != SurvivorsText(transcript, none, kSharers));
  CHECK(SurvivorsText(Filled(8), kSharers, two) != SurvivorsText(transcript, kSharers, two));
}

TEST_CASE("A session's key reads as run, round, attempt and purpose") {
  SessionKey key = Config().key;
  CHECK(key.ToString() == "chest-0003/2/1 training");
  key.purpose = Purpose::kValidation;
  CHECK(key.ToString() == "chest-0003/2/1 validation");
  key.purpose = Purpose::kTest;
  CHECK(key.ToString() == "chest-0003/2/1 test");
}

}  // namespace
}  // namespace consilium::secagg
