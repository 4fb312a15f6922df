#include <atomic>
#include <random>
#include <thread>

#include "tests/coordinator/aggregation_bench.h"

namespace consilium::coordinator {
namespace {

constexpr double kClipNorm = 5, kTotalWeight = 1000;

// A cohort of four whose sites have masked their updates as a session would have them do.
struct Cohort {
  static constexpr int kSites = 4;
  static constexpr double kWeights[kSites] = {331, 120, 77, 472};

  Bench bench;
  std::set<SiteId> sites;
  std::vector<crypto::Secret> self_keys;
  std::map<std::pair<int, int>, crypto::Secret> pair_keys;
  std::vector<std::vector<std::uint32_t>> quantized;
  std::vector<MaskedContribution> masked;

  explicit Cohort(std::uint64_t seed = 60) {
    SeededRandom random(seed);
    const auto key = [&] {
      crypto::Secret secret(32);
      random.Fill(secret.RevealForWriting());
      return secret;
    };
    for (int i = 0; i < kSites; ++i) {
      sites.insert(Site(i));
      self_keys.push_back(key());
      for (int j = i + 1; j < kSites; ++j) pair_keys.emplace(std::pair(i, j), key());
    }
    for (int i = 0; i < kSites; ++i) {
      quantized.push_back(Quantized(i, random));
      masked.push_back(Masked(i, quantized.back()));
    }
  }

  Quantizer QuantizerOf(int i) const {
    return Quantizer::Create(kClipNorm, kSites, kWeights[i] / kTotalWeight).value();
  }
  std::vector<std::uint32_t> Quantized(int i, SeededRandom& random) const {
    const std::vector<float> delta = RandomDelta(70 + static_cast<std::uint64_t>(i));
    Bytes bits(2 * delta.size());
    random.Fill(bits);
    std::vector<std::uint32_t> q(delta.size());
    const Quantizer quantizer = QuantizerOf(i);
    quantizer.Quantize(delta, quantizer.ClipFactor(delta).value(), bits, q);
    return q;
  }

  secagg::Mask PairMask(int i, int j) const {  // as site i adds it
    const crypto::Secret& key = pair_keys.at(std::minmax(i, j));
    return {crypto::Secret::CopyOf(key.Reveal()), j < i};
  }
  MaskedContribution Masked(int i, std::vector<std::uint32_t> values) const {
    std::vector<secagg::Mask> masks;
    masks.push_back({crypto::Secret::CopyOf(self_keys[i].Reveal()), false});
    for (int j = 0; j < kSites; ++j) {
      if (j != i) masks.push_back(PairMask(i, j));
    }
    MaskedContribution made;
    made.header.key = bench.key;
    made.header.kind = wire::ContributionKind::kMaskedUpdate;
    made.header.base_model = bench.base.id;
    made.header.weight = kWeights[i];
    made.header.plaintext_size = 4 * values.size();
    made.header.masked_sums = {7, 8};
    auto masker = secagg::Masker::Create(masks, values.size()).value();
    REQUIRE(masker.AddToValues(0, values).ok());
    REQUIRE(masker.AddToSums(0, made.header.masked_sums).ok());
    made.header.proof.sha256 = HashOfMasked(values, made.header.masked_sums);
    for (std::size_t at = 0; at < values.size(); at += crypto::kSegmentBytes / 4) {
      const std::size_t n = std::min(crypto::kSegmentBytes / 4, values.size() - at);
      Bytes& segment = made.segments.emplace_back(4 * n);
      for (std::size_t k = 0; k < n; ++k) StoreLe32(&segment[4 * k], values[at + k]);
    }
    return made;
  }

  std::unique_ptr<Aggregator> Open(int threads = 2, bool again = false) {
    AttemptSpec spec{bench.key, sites, 100, bench.base, /*masked=*/true, threads, again};
    return Aggregator::Open(std::move(spec), bench.keys, bench.folder / "spool",
                            bench.folder / "models")
        .value();
  }

  // What the session gives when the survivors are these.
  Unmasking UnmaskingOf(const std::set<int>& survivors) const {
    Unmasking unmasking;
    unmasking.scale = QuantizerOf(0).scale();
    unmasking.survivors_share = 0;
    for (const int i : survivors) {
      unmasking.survivors_share += kWeights[i] / kTotalWeight;
      unmasking.masks.push_back({crypto::Secret::CopyOf(self_keys[i].Reveal()), true});
      for (int lost = 0; lost < kSites; ++lost) {
        if (!survivors.contains(lost)) unmasking.masks.push_back(PairMask(i, lost).Negated());
      }
    }
    return unmasking;
  }
  absl::StatusOr<MadeModel> Report(Aggregator& aggregator, const std::set<int>& survivors) const {
    std::set<SiteId> counted;
    for (const int i : survivors) counted.insert(Site(i));
    const Unmasking unmasking = UnmaskingOf(survivors);
    return aggregator.Report(counted, 0.7, &unmasking);
  }

  // base + 0.7 * mean, from the quantized vectors as they were before any mask.
  std::vector<float> Expected(const std::set<int>& survivors) const {
    std::vector<std::uint32_t> sum(kParameters);
    double share = 0;
    for (const int i : survivors) {
      secagg::Add(sum, quantized[i]);
      share += kWeights[i] / kTotalWeight;
    }
    std::vector<double> mean(kParameters);
    Dequantize(sum, QuantizerOf(0).scale(), share, mean);
    std::vector<float> model(kParameters);
    for (std::size_t i = 0; i < kParameters; ++i) {
      model[i] = static_cast<float>(static_cast<double>(bench.base_values[i]) + 0.7 * mean[i]);
    }
    return model;
  }
  bool IsExpected(const absl::StatusOr<MadeModel>& made, const std::set<int>& survivors) const {
    INFO(made.status().ToString());
    REQUIRE(made.ok());
    CHECK(made->id == crypto::Sha256OfFile(made->file).value());
    CHECK(made->parameters == kParameters);
    const ModelState model = LoadSafetensors(made->file).value();
    const std::vector<float> expected = Expected(survivors);
    return std::equal(expected.begin(), expected.end(), model.values().begin());
  }
};

TEST_CASE("a masked sum is the plain sum of the quantized updates to the bit") {
  Cohort cohort;
  const int threads = GENERATE(1, 2, 5);
  auto aggregator = cohort.Open(threads);
  for (int i = 0; i < 4; ++i) {
    REQUIRE(Upload(*aggregator, Site(i), cohort.masked[i]).value());
  }
  CHECK(cohort.IsExpected(cohort.Report(*aggregator, {0, 1, 2, 3}), {0, 1, 2, 3}));
}

TEST_CASE("a restart takes up masked updates where they stopped") {
  Cohort cohort;
  {
    auto before = cohort.Open();
    REQUIRE(Upload(*before, Site(0), cohort.masked[0]).value());
    REQUIRE_FALSE(Upload(*before, Site(1), cohort.masked[1], 2).value());
    REQUIRE_FALSE(Upload(*before, Site(2), cohort.masked[2], 1).value());
  }
  auto aggregator = cohort.Open(1, /*again=*/true);
  CHECK(aggregator->Whole() == std::set<SiteId>{Site(0)});
  CHECK(aggregator->Begin(Site(0), cohort.masked[0].header).value() == 3);
  CHECK(aggregator->Begin(Site(1), cohort.masked[1].header).value() == 2);
  // Still one vector a session.
  CHECK(absl::IsInvalidArgument(aggregator->Begin(Site(1), cohort.masked[0].header).status()));
  REQUIRE(Upload(*aggregator, Site(1), cohort.masked[1]).value());
  REQUIRE(Upload(*aggregator, Site(2), cohort.masked[2]).value());
  CHECK(cohort.IsExpected(cohort.Report(*aggregator, {0, 1, 2}), {0, 1, 2}));
}

TEST_CASE("of a damaged spool file counts what was before the damage") {
  Cohort cohort;
  {
    auto before = cohort.Open();
    for (int i = 0; i < 3; ++i) REQUIRE(Upload(*before, Site(i), cohort.masked[i]).value());
  }
  const auto damage = [&](int site, std::uint64_t offset) {
    File file = File::OpenForWriting(
                    cohort.bench.folder / "spool" / StrCat(Site(site).value, ".masked"), false)
                    .value();
    Bytes byte(1);
    REQUIRE(file.ReadAt(offset, byte).ok());
    byte[0] ^= 1;
    REQUIRE(file.WriteAt(offset, byte).ok());
  };
  damage(0, SpoolOffset(1) + 100);  // a value
  damage(1, SpoolOffset(2) - 1);    // a tag
  damage(2, 30);                    // the header
  auto aggregator = cohort.Open(1, /*again=*/true);
  CHECK(aggregator->Whole().empty());
  CHECK(aggregator->Begin(Site(0), cohort.masked[0].header).value() == 1);
  CHECK(aggregator->Begin(Site(1), cohort.masked[1].header).value() == 1);
  CHECK(aggregator->Begin(Site(2), cohort.masked[2].header).value() == 0);
  for (int i = 0; i < 3; ++i) REQUIRE(Upload(*aggregator, Site(i), cohort.masked[i]).value());
  CHECK(cohort.IsExpected(cohort.Report(*aggregator, {0, 1, 2}), {0, 1, 2}));
}

TEST_CASE("masked updates in any order, at once, give the same candidate") {
  const std::uint64_t seed = std::random_device{}();
  INFO("seed " << seed);
  SeededRandom random(seed);
  Cohort cohort(seed);
  std::vector<int> order;
  for (int i = 0; i < 4; ++i) order.insert(order.end(), cohort.masked[i].segments.size(), i);
  std::shuffle(order.begin(), order.end(), random);
  auto mixed = cohort.Open();
  std::vector<std::uint32_t> next(4);
  for (int i = 0; i < 4; ++i) {
    REQUIRE(mixed->Begin(Site(i), cohort.masked[i].header).value() == 0);
  }
  for (const int i : order) {
    REQUIRE(mixed->AddSegment(Site(i), next[i], cohort.masked[i].segments[next[i]]).ok());
    ++next[i];
  }
  CHECK(cohort.IsExpected(cohort.Report(*mixed, {0, 1, 2, 3}), {0, 1, 2, 3}));

  auto at_once = cohort.Open();
  std::atomic<int> whole = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back(
        [&, i] { whole += Upload(*at_once, Site(i), cohort.masked[i]).value_or(false); });
  }
  for (std::thread& thread : threads) thread.join();
  REQUIRE(whole == 4);
  CHECK(cohort.IsExpected(cohort.Report(*at_once, {0, 1, 2, 3}), {0, 1, 2, 3}));
}

TEST_CASE("a site lost in the middle of its masked upload leaves no trace") {
  Cohort cohort;
  const std::size_t sent = GENERATE(0, 1, 2, 3);
  auto aggregator = cohort.Open();
  REQUIRE(Upload(*aggregator, Site(0), cohort.masked[0]).value());
  REQUIRE(Upload(*aggregator, Site(2), cohort.masked[2], sent).ok());
  REQUIRE(Upload(*aggregator, Site(1), cohort.masked[1]).value());
  aggregator->Drop(Site(2));
  REQUIRE(Upload(*aggregator, Site(3), cohort.masked[3]).value());
  CHECK(cohort.IsExpected(cohort.Report(*aggregator, {0, 1, 3}), {0, 1, 3}));
}

TEST_CASE("a masked upload goes on at the segment where it stopped") {
  Cohort cohort;
  auto aggregator = cohort.Open();
  for (int i = 0; i < 4; ++i) {
    REQUIRE_FALSE(Upload(*aggregator, Site(i), cohort.masked[i], 2).value());
    CHECK(absl::IsOutOfRange(
        aggregator->AddSegment(Site(i), 1, cohort.masked[i].segments[1]).status()));
    CHECK(aggregator->Begin(Site(i), cohort.masked[i].header).value() == 2);
    REQUIRE(Upload(*aggregator, Site(i), cohort.masked[i]).value());
    CHECK(aggregator->Begin(Site(i), cohort.masked[i].header).value() == 3);  // nothing left
    CHECK(absl::IsFailedPrecondition(
        aggregator->AddSegment(Site(i), 2, cohort.masked[i].segments[2]).status()));
  }
  CHECK(cohort.IsExpected(cohort.Report(*aggregator, {0, 1, 2, 3}), {0, 1, 2, 3}));
}

TEST_CASE("a masked update that is not the one that was signed is refused and leaves no trace") {
  Cohort cohort;
  MaskedContribution wrong = cohort.masked[2];
  const std::string what = GENERATE("value", "last value", "sum", "proof", "order");
  if (what == "value") wrong.segments[0][1000] ^= 1;
  if (what == "last value") wrong.segments.back().back() ^= 0x80;
  if (what == "sum") wrong.header.masked_sums[1] += 1;
  if (what == "proof") wrong.header.proof.sha256.bytes[31] ^= 1;
  if (what == "order") std::swap(wrong.segments[0], wrong.segments[1]);
  CAPTURE(what);
  auto aggregator = cohort.Open();
  REQUIRE(Upload(*aggregator, Site(0), cohort.masked[0]).value());
  CHECK(absl::IsUnauthenticated(Upload(*aggregator, Site(2), wrong).status()));
  CHECK(absl::IsFailedPrecondition(aggregator->Begin(Site(2), wrong.header).status()));
  REQUIRE(Upload(*aggregator, Site(1), cohort.masked[1]).value());
  REQUIRE(Upload(*aggregator, Site(3), cohort.masked[3]).value());
  CHECK_FALSE(cohort.Report(*aggregator, {0, 1, 2, 3}).ok());
  CHECK(cohort.IsExpected(cohort.Report(*aggregator, {0, 1, 3}), {0, 1, 3}));
}

TEST_CASE("a second masked update of a site is refused and the first goes on") {
  Cohort cohort;
  SeededRandom random(61);
  const MaskedContribution second = cohort.Masked(0, cohort.Quantized(0, random));
  REQUIRE(second.header.proof != cohort.masked[0].header.proof);
  auto aggregator = cohort.Open();
  REQUIRE_FALSE(Upload(*aggregator, Site(0), cohort.masked[0], 1).value());
  const auto refused = aggregator->Begin(Site(0), second.header).status();
  CHECK(absl::IsInvalidArgument(refused));
  CHECK_THAT(std::string(refused.message()), ContainsText("second"));
  for (int i = 0; i < 4; ++i) {
    REQUIRE(Upload(*aggregator, Site(i), cohort.masked[i]).value());
  }
  CHECK(absl::IsInvalidArgument(aggregator->Begin(Site(0), second.header).status()));
  CHECK(cohort.IsExpected(cohort.Report(*aggregator, {0, 1, 2, 3}), {0, 1, 2, 3}));
}

TEST_CASE("a masked attempt takes masked updates only, a sealed one sealed updates only") {
  Cohort cohort;
  auto masked = cohort.Open();
  const auto sealed_update = cohort.bench.Update(Site(0), RandomDelta(1), 100);
  CHECK(absl::IsInvalidArgument(masked->Begin(Site(0), sealed_update.header).status()));
  auto sealed = cohort.bench.Open(cohort.sites);
  CHECK(absl::IsInvalidArgument(sealed->Begin(Site(0), cohort.masked[0].header).status()));
  auto header = cohort.masked[0].header;
  header.masked_sums.push_back(9);
  CHECK(absl::IsInvalidArgument(masked->Begin(Site(0), header).status()));
  header = cohort.masked[0].header;
  header.plaintext_size += 4;
  CHECK(absl::IsInvalidArgument(masked->Begin(Site(0), header).status()));
  header = cohort.masked[0].header;
  header.weight = 0;
  CHECK(absl::IsInvalidArgument(masked->Begin(Site(0), header).status()));
  CHECK(masked->Begin(Site(0), cohort.masked[0].header).value() == 0);
  Bytes longer = cohort.masked[0].segments[0];
  longer.push_back(0);
  CHECK(absl::IsInvalidArgument(masked->AddSegment(Site(0), 0, longer).status()));
}

TEST_CASE("without the masks the sum says nothing: the candidate is another") {
  Cohort cohort;
  auto aggregator = cohort.Open();
  for (int i = 0; i < 4; ++i) {
    REQUIRE(Upload(*aggregator, Site(i), cohort.masked[i]).value());
  }
  Unmasking others = cohort.UnmaskingOf({0, 1, 2, 3});
  others.masks.pop_back();
  const auto made = aggregator->Report(cohort.sites, 0.7, &others);
  REQUIRE(made.ok());
  const ModelState model = LoadSafetensors(made->file).value();
  const std::vector<float> expected = cohort.Expected({0, 1, 2, 3});
  std::size_t same = 0;
  for (std::size_t i = 0; i < kParameters; ++i) same += model.values()[i] == expected[i];
  CHECK(same < kParameters / 1000);
}

}  // namespace
}  // namespace consilium::coordinator
