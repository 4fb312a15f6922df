#include "site_agent/masked_update.h"

#include <cmath>
#include <limits>

#include "common/base/fixed_point.h"
#include "common/base/random.h"
#include "common/crypto/envelope.h"
#include "common/crypto/sha256.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"

namespace consilium::site_agent {
namespace {

const AttemptKey kKey{RunId("small-0001"), 3, 1};
const ModelId kBase = Digest{{1}};
const Layout kLayout = {{"stem.weight", {300, 300}}, {"body.weight", {40000, 5}}, {"bias", {7}}};
constexpr std::uint64_t kValues = 290007;  // five pieces

// One step is 1/4, so that updates of whole numbers are rounded without chance.
secagg::SessionConfig Session() {
  secagg::SessionConfig session;
  session.key = {kKey, secagg::Purpose::kTraining};
  session.model = kBase;
  session.cohort_size = 3;
  session.values = kValues;
  session.sums = wire::kUpdateSums;
  session.clip_norm = 2147483644.0 / 16;
  session.total_weight = 8;
  return session;
}

Contribution Update(float (*value)(std::size_t)) {
  std::vector<float> base(kValues), model(kValues);
  for (std::size_t i = 0; i < kValues; ++i) {
    base[i] = static_cast<float>(i % 7);
    model[i] = base[i] + value(i);
  }
  return {kKey,  *ModelState::Create(kLayout, base),
          kBase, *ModelState::Create(kLayout, model),
          2,     0.625,
          12.5};
}

float WholeNumber(std::size_t i) { return static_cast<float>(i % 2001) - 1000; }

std::vector<secagg::Mask> Masks(std::size_t count) {
  SeededRandom random(31);
  std::vector<secagg::Mask> masks;
  for (std::size_t i = 0; i < count; ++i) {
    secagg::Mask mask{crypto::Secret(32), i % 2 == 1};
    random.Fill(mask.key.RevealForWriting());
    masks.push_back(std::move(mask));
  }
  return masks;
}

absl::StatusOr<secagg::UploadProof> SignNothing(const Digest& sha256) {
  return secagg::UploadProof{sha256, crypto::Signature{7}};
}

std::vector<std::uint32_t> ValuesOf(const OutboxFile& update) {
  Bytes bytes(4 * kValues);
  REQUIRE(update.file().ReadAt(0, bytes).ok());
  std::vector<std::uint32_t> values(kValues);
  for (std::size_t i = 0; i < kValues; ++i) values[i] = LoadLe32(&bytes[4 * i]);
  return values;
}

TEST_CASE("what a masked update holds is the quantized update plus its masks") {
  const TemporaryFolder folder;
  const std::vector<secagg::Mask> masks = Masks(5);
  for (const int threads : {1, 2, 5}) {
    CAPTURE(threads);
    const auto masked =
        Mask(Update(WholeNumber), Session(), masks, SignNothing, folder.path(), threads);
    INFO(masked.status().ToString());
    REQUIRE(masked.ok());
    std::vector<std::uint32_t> values = ValuesOf(*masked);
    std::vector<std::uint64_t> sums = masked->header().masked_sums;
    std::vector<secagg::Mask> negated;
    for (const secagg::Mask& mask : masks) negated.push_back(mask.Negated());
    auto unmasker = *secagg::Masker::Create(negated, kValues);
    REQUIRE(unmasker.AddToValues(0, values).ok());
    REQUIRE(unmasker.AddToSums(0, sums).ok());
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < kValues; ++i) {
      const float steps = 4 * WholeNumber(i);  // S = 16, share = 1/4
      wrong += static_cast<std::int32_t>(values[i]) != static_cast<std::int32_t>(steps);
    }
    CHECK(wrong == 0);
    REQUIRE(sums.size() == 2);
    CHECK(FromFixedPoint(sums[0]) == 0.625 / 4);
    CHECK(FromFixedPoint(sums[1]) == 12.5 / 4);
  }
}

TEST_CASE("the proof is over the values and then the sums, and nothing personal is in the header") {
  const TemporaryFolder folder;
  std::vector<Digest> asked;
  const auto sign = [&](const Digest& sha256) {
    asked.push_back(sha256);
    return SignNothing(sha256);
  };
  const auto masked = Mask(Update(WholeNumber), Session(), Masks(3), sign, folder.path(), 2);
  REQUIRE(masked.ok());
  const wire::UploadHeader& header = masked->header();
  Bytes whole(4 * kValues);
  REQUIRE(masked->file().ReadAt(0, whole).ok());
  for (const std::uint64_t sum : header.masked_sums) {
    whole.resize(whole.size() + 8);
    StoreLe64(&whole[whole.size() - 8], sum);
  }
  CHECK(asked == std::vector<Digest>{crypto::Sha256(ByteView(whole))});
  CHECK(header.proof == secagg::UploadProof{asked[0], crypto::Signature{7}});
  CHECK(masked->sha256() == asked[0]);
  CHECK(*crypto::Sha256OfFile(masked->path()) == asked[0]);
  CHECK(header.kind == wire::ContributionKind::kMaskedUpdate);
  CHECK(header.base_model == kBase);
  CHECK(header.plaintext_size == 4 * kValues);
  CHECK(header.weight == 2);
  CHECK(header.loss == 0);
  CHECK(header.train_seconds == 0);
}

TEST_CASE("the same seed rounds the same way, another seed another, on any number of threads") {
  const auto rounded = [](std::uint64_t seed, int threads) {
    const TemporaryFolder folder;
    Contribution update = Update([](std::size_t i) { return static_cast<float>(i % 97) / 1000; });
    update.seed = seed;
    const auto masked = Mask(std::move(update), Session(), {}, SignNothing, folder.path(), threads);
    REQUIRE(masked.ok());
    return ValuesOf(*masked);
  };
  CHECK(rounded(7, 1) == rounded(7, 3));
  CHECK(rounded(7, 1) != rounded(8, 1));
}

TEST_CASE("an update longer than the clip norm is brought to it") {
  const TemporaryFolder folder;
  auto session = Session();
  session.clip_norm = 0.5;
  const auto masked = Mask(Update([](std::size_t i) { return i < 2 ? 300.0f : 0.0f; }), session, {},
                           SignNothing, folder.path(), 2);
  REQUIRE(masked.ok());
  const auto values = ValuesOf(*masked);
  const double scale = 2147483644.0 / 0.5, share = 0.25;
  for (const std::size_t i : {0u, 1u}) {
    const double steps = std::sqrt(0.5) * 0.5 * scale * share;
    CHECK(std::abs(static_cast<std::int32_t>(values[i]) - steps) < 1.001);
  }
  CHECK(std::all_of(values.begin() + 2, values.end(), [](std::uint32_t q) { return q == 0; }));
}

TEST_CASE("a masked update is sent in segments that hold its values and nothing else") {
  const TemporaryFolder folder;
  const auto masked = Mask(Update(WholeNumber), Session(), Masks(1), SignNothing, folder.path(), 1);
  REQUIRE(masked.ok());
  std::uint64_t end = 0;
  for (std::uint32_t i = 0; i < masked->SegmentCount(); ++i) {
    const auto segment = masked->SegmentAt(i);
    CHECK(segment.begin == end);
    CHECK(segment.end - segment.begin <= crypto::kSegmentBytes);
    end = segment.end;
  }
  CHECK(end == 4 * kValues);
  CHECK(masked->size() == end + 8 * wire::kUpdateSums);
}

TEST_CASE("an update that does not fit its session is not signed and leaves no file") {
  const TemporaryFolder folder;
  const auto refusal = [&](Contribution contribution, secagg::SessionConfig session) {
    const auto sign = [](const Digest&) -> absl::StatusOr<secagg::UploadProof> {
      FAIL("it was signed");
      return secagg::UploadProof{};
    };
    const auto masked = Mask(std::move(contribution), session, Masks(2), sign, folder.path(), 2);
    CHECK(absl::IsInvalidArgument(masked.status()));
    CHECK(fs::is_empty(folder.path()));
    return std::string(masked.status().message());
  };
  auto session = Session();
  session.key.attempt.attempt = 2;
  CHECK_THAT(refusal(Update(WholeNumber), session), ContainsText("small-0001/3/2"));
  session = Session();
  session.model = Digest{{2}};
  CHECK_THAT(refusal(Update(WholeNumber), session), ContainsText("another model"));
  session = Session();
  ++session.values;
  CHECK_THAT(refusal(Update(WholeNumber), session), ContainsText("290008 values"));
  session = Session();
  session.total_weight = 1;
  CHECK_THAT(refusal(Update(WholeNumber), session), ContainsText("weight is 2 of 1"));
  auto diverged = Update(WholeNumber);
  diverged.loss = std::numeric_limits<double>::quiet_NaN();
  CHECK_THAT(refusal(std::move(diverged), Session()), ContainsText("loss is nan"));
  std::vector<float> low(kValues), high(kValues);
  low[290000] = -3e38f;
  high[290000] = 3e38f;
  auto infinite = Update(WholeNumber);
  infinite.base = *ModelState::Create(kLayout, low);
  infinite.model = *ModelState::Create(kLayout, high);
  CHECK_THAT(refusal(std::move(infinite), Session()), ContainsText("infinite in tensor \"bias\""));
}

TEST_CASE("a masked update that is refused its signature leaves no file") {
  const TemporaryFolder folder;
  const auto refuse = [](const Digest&) -> absl::StatusOr<secagg::UploadProof> {
    return absl::PermissionDeniedError("one vector a session");
  };
  const auto masked = Mask(Update(WholeNumber), Session(), Masks(2), refuse, folder.path(), 2);
  CHECK(absl::IsPermissionDenied(masked.status()));
  CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("a masked update comes back from the outbox with its sums, and only as it was signed") {
  const TemporaryFolder folder;
  const auto masked = Mask(Update(WholeNumber), Session(), Masks(2), SignNothing, folder.path(), 2);
  REQUIRE(masked.ok());
  wire::UploadHeader kept = masked->header();
  kept.masked_sums.clear();
  kept.proof.sha256 = {};
  const auto restored = MaskedUpdate::Restore(kept, masked->path(), masked->sha256());
  REQUIRE(restored.ok());
  CHECK(restored->header().masked_sums == masked->header().masked_sums);
  CHECK(restored->header().proof == masked->header().proof);
  CHECK(restored->size() == masked->size());
  auto bytes = *ReadFile(masked->path());
  bytes.back() ^= 1;
  CHECK(WriteFileDurably(masked->path(), bytes).ok());
  CHECK(absl::IsDataLoss(MaskedUpdate::Restore(kept, masked->path(), masked->sha256()).status()));
  fs::remove(masked->path());
  CHECK(absl::IsNotFound(MaskedUpdate::Restore(kept, masked->path(), masked->sha256()).status()));
}

TEST_CASE("a file that was discarded is written over by the next, whatever it held") {
  const TemporaryFolder folder;
  const fs::path outbox = folder.path() / "outbox";
  REQUIRE(EnsureFolder(outbox).ok());
  const fs::path old = outbox / "old.sealed";
  REQUIRE(WriteFileDurably(old, Bytes(5 * kValues, 0xee)).ok());
  Discard(old);
  CHECK(fs::is_empty(outbox));
  const auto masked = Mask(Update(WholeNumber), Session(), Masks(2), SignNothing, outbox, 2);
  REQUIRE(masked.ok());
  CHECK(fs::file_size(masked->path()) == masked->size());
  CHECK(*crypto::Sha256OfFile(masked->path()) == masked->sha256());
  Discard(masked->path());
  RemoveSpare(outbox);
  CHECK(fs::is_empty(outbox));
  CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 1);
}

}  // namespace
}  // namespace consilium::site_agent
