#include "common/base/random.h"
#include "common/wire/consilium.pb.h"
#include "common/wire/convert.h"
#include "tests/catch.h"

namespace consilium::wire {
namespace {

constexpr std::uint64_t kSeed = 20261122;

template <class Array>
Array RandomArray(SeededRandom& random) {
  Array array;
  random.Fill(array);
  return array;
}

Digest RandomDigest(SeededRandom& random) {
  return {RandomArray<std::array<std::uint8_t, 32>>(random)};
}

secagg::SessionKey SomeKey() { return {{RunId("chest-0001"), 3, 2}, secagg::Purpose::kValidation}; }

secagg::Advertisement SomeAdvertisement(SeededRandom& random, const char* site) {
  return {SiteId(site), RandomArray<crypto::X25519PublicKey>(random),
          RandomArray<crypto::X25519PublicKey>(random), RandomDigest(random),
          RandomArray<crypto::Signature>(random)};
}

secagg::SealedShare SomeShare(SeededRandom& random, const char* from, const char* to) {
  secagg::SealedShare share{SiteId(from), SiteId(to), Bytes(secagg::kSealedShareBytes)};
  random.Fill(share.sealed);
  return share;
}

template <class Answer>
Answer RoundTripAnswer(const Answer& answer) {
  v1::FromSite proto;
  ToProto(FromSite(SecureAnswer{SomeKey(), answer}), &proto);
  const auto back = FromProto(proto);
  INFO(back.status().message());
  REQUIRE(back.ok());
  const auto& secure = std::get<SecureAnswer>(*back);
  CHECK(secure.session == SomeKey());
  return std::get<Answer>(secure.answer);
}

template <class Notice>
Notice RoundTripNotice(const Notice& notice) {
  v1::ToSite proto;
  ToProto(ToSite(SecureNotice{SomeKey(), notice}), &proto);
  const auto back = FromProto(proto);
  INFO(back.status().message());
  REQUIRE(back.ok());
  const auto& secure = std::get<SecureNotice>(*back);
  CHECK(secure.session == SomeKey());
  return std::get<Notice>(secure.notice);
}

TEST_CASE("Every answer of a site in a secure session comes back as it was sent") {
  SeededRandom random(kSeed);
  const auto advertisement = SomeAdvertisement(random, "north");
  CHECK(RoundTripAnswer(advertisement) == advertisement);
  const std::vector<secagg::SealedShare> shares = {SomeShare(random, "north", "east"),
                                                   SomeShare(random, "north", "south")};
  CHECK(RoundTripAnswer(shares) == shares);
  const MaskedSums masked{{0, 1, ~0ull, 1ull << 63}, RandomArray<crypto::Signature>(random)};
  const MaskedSums back = RoundTripAnswer(masked);
  CHECK(back.sums == masked.sums);
  CHECK(back.signature == masked.signature);
  const auto signature = RandomArray<crypto::Signature>(random);
  CHECK(RoundTripAnswer(signature) == signature);
  const secagg::UnmaskAnswer unmask{{{SiteId("north"), RandomArray<secagg::Share>(random)}},
                                    {{SiteId("south"), RandomArray<secagg::Share>(random)}}};
  CHECK(RoundTripAnswer(unmask) == unmask);
}

TEST_CASE("Every notice of the coordinator in a secure session comes back as it was sent") {
  SeededRandom random(kSeed);
  const SecureNotice::Members members{
      {SomeAdvertisement(random, "east"), SomeAdvertisement(random, "north")}};
  CHECK(RoundTripNotice(members).members == members.members);
  const SecureNotice::Shares shares{{SomeShare(random, "east", "north")}};
  CHECK(RoundTripNotice(shares).shares == shares.shares);
  const SecureNotice::Survivors survivors{{SiteId("east"), SiteId("north")}};
  CHECK(RoundTripNotice(survivors).sites == survivors.sites);
  const SecureNotice::Signatures signatures{
      {{SiteId("east"), RandomArray<crypto::Signature>(random)}}};
  CHECK(RoundTripNotice(signatures).signatures == signatures.signatures);
}

TEST_CASE("A task says under which secure session it is done") {
  SeededRandom random(kSeed);
  secagg::SessionConfig config;
  config.federation = "heart";
  config.key = {{RunId("a"), 2, 1}, secagg::Purpose::kTraining};
  config.model = RandomDigest(random);
  config.roster = RandomDigest(random);
  config.cohort_size = 10;
  config.threshold = 7;
  config.values = 11'200'000;
  config.sums = kUpdateSums;
  config.layout = RandomDigest(random);
  config.clip_norm = 12.5;
  config.total_weight = 1234;
  config.weight_rule = "examples";
  v1::ToSite proto;
  ToProto(ToSite(TrainRequest{config.key.attempt, config.model, 7, 60, config}), &proto);
  CHECK(std::get<TrainRequest>(*FromProto(proto)).secure == config);
  proto.Clear();
  ToProto(ToSite(EvaluateRequest{RunId("a"), 2, config.model, EvaluationSplit::kTest, 60, config,
                                 RandomDigest(random)}),
          &proto);
  const auto evaluate = std::get<EvaluateRequest>(*FromProto(proto));
  CHECK(evaluate.secure == config);
  CHECK(evaluate.last_published.has_value());

  config.key.purpose = secagg::Purpose::kDescription;
  proto.Clear();
  ToProto(ToSite(DescribeRequest{RunId("a"), 1, 60, config}), &proto);
  const auto describe = std::get<DescribeRequest>(*FromProto(proto));
  CHECK(describe.run == RunId("a"));
  CHECK(describe.round == 1);
  CHECK(describe.seconds_left == 60);
  CHECK(describe.secure == config);
  config.key.purpose = secagg::Purpose::kTraining;

  proto.Clear();
  ToProto(ToSite(TrainRequest{config.key.attempt, config.model, 7, 60, std::nullopt}), &proto);
  CHECK_FALSE(std::get<TrainRequest>(*FromProto(proto)).secure.has_value());
  config.cohort_size = 256;
  proto.Clear();
  ToProto(ToSite(TrainRequest{config.key.attempt, config.model, 7, 60, config}), &proto);
  CHECK_THAT(std::string(FromProto(proto).status().message()), ContainsText("cohort_size"));
}

TEST_CASE("A masked update's header carries its sums, hash and signature") {
  SeededRandom random(kSeed);
  UploadHeader header;
  header.key = {RunId("a"), 2, 1};
  header.kind = ContributionKind::kMaskedUpdate;
  header.base_model = RandomDigest(random);
  header.plaintext_size = 400;
  header.weight = 10;
  header.masked_sums = {random(), random()};
  header.proof = {RandomDigest(random), RandomArray<crypto::Signature>(random)};
  v1::UploadHeader proto;
  ToProto(header, &proto);
  const auto back = FromProto(proto);
  REQUIRE(back.ok());
  CHECK(back->masked_sums == header.masked_sums);
  CHECK(back->proof == header.proof);
  proto.set_signature("short");
  CHECK_THAT(std::string(FromProto(proto).status().message()), ContainsText("signature"));
  ToProto(header, &proto);
  proto.set_masked_sums("seven b");
  CHECK_THAT(std::string(FromProto(proto).status().message()), ContainsText("masked sums"));
}

TEST_CASE("The log and its countersignatures come back as they were sent") {
  SeededRandom random(kSeed);
  LogExtension extension{RandomDigest(random),
                         {{1, Time(Duration(5)), "ada", "submit", "chest-0001", "{}"},
                          {2, Time(Duration(6)), "coordinator", "aggregate", "abc", ""}}};
  v1::ToSite proto;
  ToProto(ToSite(extension), &proto);
  const auto back = std::get<LogExtension>(*FromProto(proto));
  CHECK(back.previous == extension.previous);
  CHECK(back.entries == extension.entries);
  const LogSignature signature{2, RandomDigest(random), RandomArray<crypto::Signature>(random)};
  v1::FromSite from;
  ToProto(FromSite(signature), &from);
  const auto signed_back = std::get<LogSignature>(*FromProto(from));
  CHECK(signed_back.number == 2);
  CHECK(signed_back.head == signature.head);
  CHECK(signed_back.signature == signature.signature);
}

TEST_CASE("A message that is used again carries nothing over from the one before") {
  v1::ToSite proto;
  for (std::uint64_t number : {1, 2}) {
    ToProto(ToSite(LogExtension{Digest{}, {{number, Time{}, "ada", "submit", "", ""}}}), &proto);
    CHECK(proto.log_extension().entries_size() == 1);
  }
}

TEST_CASE("Each field of a log entry, its place and the head before it change the head") {
  const LogEntry entry{1, Time(Duration(5)), "ada", "submit", "chest-0001", "{}"};
  const Digest head = ExtendedBy(Digest{}, entry);
  std::vector<LogEntry> others(7, entry);
  others[0].number = 2;
  others[1].time += Duration(1);
  others[2].actor = "adb";
  others[3].action = "stop";
  others[4].subject = "chest-0002";
  others[5].details = "{} ";
  others[6].actor = "adas";  // the same letters, cut elsewhere
  others[6].action = "ubmit";
  for (const LogEntry& other : others) CHECK(ExtendedBy(Digest{}, other) != head);
  CHECK(ExtendedBy(head, entry) != head);
  CHECK(ExtendedBy(Digest{}, entry) == head);
}

TEST_CASE("Lists that name a site twice, or are longer than any cohort, are refused") {
  SeededRandom random(kSeed);
  v1::FromSite proto;
  ToProto(FromSite(SecureAnswer{SomeKey(), std::vector<secagg::SealedShare>(
                                               256, SomeShare(random, "north", "east"))}),
          &proto);
  CHECK_THAT(std::string(FromProto(proto).status().message()), ContainsText("at most 255"));

  ToProto(FromSite(SecureAnswer{SomeKey(),
                                secagg::UnmaskAnswer{{{SiteId("north"), secagg::Share{}}}, {}}}),
          &proto);
  auto* shares = proto.mutable_secure_answer()->mutable_unmask()->mutable_seed_shares();
  *shares->Add() = shares->Get(0);
  CHECK_THAT(std::string(FromProto(proto).status().message()), ContainsText("twice"));

  v1::ToSite to;
  ToProto(ToSite(SecureNotice{SomeKey(), SecureNotice::Survivors{{SiteId("north")}}}), &to);
  to.mutable_secure_notice()->mutable_survivors()->add_sites("north");
  CHECK_THAT(std::string(FromProto(to).status().message()), ContainsText("twice"));
  to.mutable_secure_notice()->mutable_survivors()->set_sites(0, "../etc");
  CHECK_FALSE(FromProto(to).ok());
}

TEST_CASE("An answer or notice of an unknown kind, or of an unknown purpose, is refused") {
  v1::FromSite proto;
  ToProto(FromSite(SecureAnswer{SomeKey(), crypto::Signature{}}), &proto);
  proto.mutable_secure_answer()->set_purpose(secagg::kPurposes + 1);
  CHECK_FALSE(FromProto(proto).ok());
  proto.mutable_secure_answer()->set_purpose(1);
  CHECK(FromProto(proto).ok());
  proto.mutable_secure_answer()->clear_answer();
  CHECK_FALSE(FromProto(proto).ok());
  v1::ToSite to;
  to.mutable_secure_notice()->mutable_key()->set_run("a");
  to.mutable_secure_notice()->mutable_key()->set_attempt(1);
  to.mutable_secure_notice()->set_purpose(1);
  CHECK_FALSE(FromProto(to).ok());
}

}  // namespace
}  // namespace consilium::wire
