#include "coordinator/aggregator.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <thread>

#include "coordinator/exact_sum.h"
#include "tests/coordinator/aggregation_bench.h"

namespace consilium::coordinator {
namespace {

TEST_CASE("the candidate is the weighted mean, to the grid's error bound") {
  Bench bench;
  const std::vector<std::vector<float>> deltas{RandomDelta(1), RandomDelta(2), RandomDelta(3)};
  const std::vector<double> weights{331, 120, 77};
  auto aggregator = bench.Open({Site(0), Site(1), Site(2)});
  for (int i = 0; i < 3; ++i) {
    REQUIRE(Upload(*aggregator, Site(i), bench.Update(Site(i), deltas[i], weights[i])).value());
  }
  const auto made = aggregator->Report({Site(0), Site(1), Site(2)}, 1.0);
  REQUIRE(made.ok());
  CHECK(made->id == crypto::Sha256OfFile(made->file).value());
  CHECK(made->parameters == kParameters);
  const ModelState model = LoadSafetensors(made->file).value();
  double worst = 0;
  for (std::size_t i = 0; i < kParameters; ++i) {
    const double mean =
        (331.0 * deltas[0][i] + 120.0 * deltas[1][i] + 77.0 * deltas[2][i]) / (331 + 120 + 77);
    worst = std::max(worst, std::abs(model.values()[i] - (bench.base_values[i] + mean)) -
                                std::abs(bench.base_values[i] + mean) * 0x1p-24);
  }
  CHECK(worst <= 0x1p-37 * 3 / 5.28);
}

TEST_CASE("the candidate is the same to the bit whatever the order of arrival") {
  const std::uint64_t seed = std::random_device{}();
  INFO("seed " << seed);
  SeededRandom random(seed);
  Bench bench;
  std::vector<SealedContribution> sealed;
  std::set<SiteId> sites;
  for (int i = 0; i < 5; ++i) {
    sealed.push_back(bench.Update(Site(i), RandomDelta(seed + i), 1 + random.Uniform() * 500));
    sites.insert(Site(i));
  }
  std::optional<ModelId> first;
  for (int permutation = 0; permutation < 6; ++permutation) {
    // Segments of all sites interleave at random, each site's own stay in order.
    std::vector<int> order;
    for (int i = 0; i < 5; ++i) order.insert(order.end(), sealed[i].segments.size(), i);
    std::shuffle(order.begin(), order.end(), random);
    auto aggregator = bench.Open(sites);
    std::vector<std::uint32_t> next(5);
    for (int i = 0; i < 5; ++i) REQUIRE(aggregator->Begin(Site(i), sealed[i].header).value() == 0);
    for (const int i : order) {
      REQUIRE(aggregator->AddSegment(Site(i), next[i], sealed[i].segments[next[i]]).ok());
      ++next[i];
    }
    const ModelId id = aggregator->Report(sites, 0.7).value().id;
    if (!first) first = id;
    CHECK(id == *first);
  }
}

TEST_CASE("sites that upload at once from their own threads give the same candidate") {
  Bench bench;
  std::set<SiteId> sites;
  std::vector<SealedContribution> sealed;
  for (int i = 0; i < 4; ++i) {
    sites.insert(Site(i));
    sealed.push_back(bench.Update(Site(i), RandomDelta(40 + i), 10 + i));
  }
  auto in_turn = bench.Open(sites);
  for (int i = 0; i < 4; ++i) REQUIRE(Upload(*in_turn, Site(i), sealed[i]).value());
  auto at_once = bench.Open(sites);
  std::atomic<int> whole = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] { whole += Upload(*at_once, Site(i), sealed[i]).value_or(false); });
  }
  for (std::thread& thread : threads) thread.join();
  REQUIRE(whole == 4);
  CHECK(in_turn->Report(sites, 1.0)->id == at_once->Report(sites, 1.0)->id);
}

TEST_CASE("a contribution that is not counted leaves no trace, whole or half sent") {
  Bench bench;
  const std::set<SiteId> all{Site(0), Site(1), Site(2)};
  const auto a = bench.Update(Site(0), RandomDelta(1), 100);
  const auto b = bench.Update(Site(1), RandomDelta(2), 311);
  const auto lost = bench.Update(Site(2), RandomDelta(3), 997);
  auto without = bench.Open(all);
  REQUIRE(Upload(*without, Site(0), a).value());
  REQUIRE(Upload(*without, Site(1), b).value());
  const ModelId expected = without->Report({Site(0), Site(1)}, 1.0).value().id;
  const std::size_t sent = GENERATE(1, 2, 3);
  auto with = bench.Open(all);
  REQUIRE(Upload(*with, Site(0), a).value());
  REQUIRE(Upload(*with, Site(2), lost, sent).ok());
  REQUIRE(Upload(*with, Site(1), b).value());
  with->Drop(Site(2));
  CHECK(with->Report({Site(0), Site(1)}, 1.0).value().id == expected);
}

TEST_CASE("an upload goes on at the segment where it stopped") {
  Bench bench;
  const auto sealed = bench.Update(Site(0), RandomDelta(1), 100);
  auto aggregator = bench.Open({Site(0)});
  REQUIRE_FALSE(Upload(*aggregator, Site(0), sealed, 2).value());
  CHECK(aggregator->Begin(Site(0), sealed.header).value() == 2);
  CHECK(absl::IsOutOfRange(aggregator->AddSegment(Site(0), 0, sealed.segments[0]).status()));
  CHECK(Upload(*aggregator, Site(0), sealed).value());
  CHECK(aggregator->Begin(Site(0), sealed.header).value() == 3);  // nothing is left to send
}

TEST_CASE("an update that is sealed anew replaces the unfinished one") {
  Bench bench;
  auto aggregator = bench.Open({Site(0)});
  REQUIRE(Upload(*aggregator, Site(0), bench.Update(Site(0), RandomDelta(8), 100), 2).ok());
  const auto again = bench.Update(Site(0), RandomDelta(1), 100);
  CHECK(aggregator->Begin(Site(0), again.header).value() == 0);
  REQUIRE(Upload(*aggregator, Site(0), again).value());
  auto only = bench.Open({Site(0)});
  const ModelId replaced = aggregator->Report({Site(0)}, 1.0).value().id;
  REQUIRE(Upload(*only, Site(0), again).value());
  CHECK(only->Report({Site(0)}, 1.0).value().id == replaced);
}

TEST_CASE("a value that is not finite, or too large, is refused with its tensor's name") {
  Bench bench;
  const auto [value, index, tensor] =
      GENERATE(table<float, std::size_t, std::string>({{NAN, 0, "first.weight"},
                                                       {INFINITY, 89'999, "first.weight"},
                                                       {-INFINITY, 90'000, "second.weight"},
                                                       {1e6f, 149'999, "bias"}}));
  std::vector<float> delta = RandomDelta(1);
  delta[index] = value;
  auto aggregator = bench.Open({Site(0), Site(1)});
  const auto status = Upload(*aggregator, Site(0), bench.Update(Site(0), delta, 100)).status();
  CHECK(absl::IsInvalidArgument(status));
  CHECK_THAT(std::string(status.message()), ContainsText(tensor));
  // What had been added before the bad value is gone, and the site is not counted.
  const auto good = bench.Update(Site(1), RandomDelta(2), 100);
  REQUIRE(Upload(*aggregator, Site(1), good).value());
  auto only = bench.Open({Site(1)});
  REQUIRE(Upload(*only, Site(1), good).value());
  CHECK(aggregator->Report({Site(1)}, 1.0)->id == only->Report({Site(1)}, 1.0)->id);
}

TEST_CASE(
    "a contribution of the wrong size, base, weight, site or attempt is refused at its header") {
  Bench bench;
  auto aggregator = bench.Open({Site(0)});
  const auto sealed = bench.Update(Site(0), RandomDelta(1), 100);
  auto header = sealed.header;
  header.plaintext_size -= 4;
  CHECK(absl::IsInvalidArgument(aggregator->Begin(Site(0), header).status()));
  header = sealed.header;
  header.base_model.bytes[0] ^= 1;
  CHECK(absl::IsInvalidArgument(aggregator->Begin(Site(0), header).status()));
  for (const double weight : {0.0, -1.0, double{NAN}, double{INFINITY}}) {
    header = sealed.header;
    header.weight = weight;
    CHECK(absl::IsInvalidArgument(aggregator->Begin(Site(0), header).status()));
  }
  header = sealed.header;
  header.kind = wire::ContributionKind::kInitialModel;
  CHECK(absl::IsInvalidArgument(aggregator->Begin(Site(0), header).status()));
  CHECK(absl::IsPermissionDenied(aggregator->Begin(Site(9), sealed.header).status()));
  header = sealed.header;
  ++header.key.attempt;
  CHECK(absl::IsFailedPrecondition(aggregator->Begin(Site(0), header).status()));
}

TEST_CASE(
    "a tampered, truncated, swapped or foreign segment is refused and drops its contribution") {
  Bench bench;
  auto sealed = bench.Update(Site(0), RandomDelta(1), 100);
  const std::string what = GENERATE("tampered", "truncated", "swapped", "foreign");
  if (what == "tampered") sealed.segments[0][1000] ^= 1;
  if (what == "truncated") sealed.segments[0].pop_back();
  if (what == "swapped") std::swap(sealed.segments[0], sealed.segments[1]);
  if (what == "foreign") sealed = bench.Update(Site(1), RandomDelta(1), 100);
  auto aggregator = bench.Open({Site(0)});
  const auto status = Upload(*aggregator, Site(0), sealed).status();
  CHECK((absl::IsUnauthenticated(status) || absl::IsInvalidArgument(status)));
  CHECK(absl::IsFailedPrecondition(aggregator->Begin(Site(0), sealed.header).status()));
  CHECK_FALSE(aggregator->Report({Site(0)}, 1.0).ok());
}

TEST_CASE("a candidate that could not be written is made when there is room again") {
  Bench bench;
  auto aggregator = bench.Open({Site(0), Site(1)});
  REQUIRE(Upload(*aggregator, Site(0), bench.Update(Site(0), RandomDelta(1), 100)).value());
  REQUIRE(Upload(*aggregator, Site(1), bench.Update(Site(1), RandomDelta(2), 100), 2).ok());
  fs::rename(bench.folder / "models", bench.folder / "elsewhere");
  CHECK_FALSE(aggregator->Report({Site(0)}, 1.0).ok());
  fs::rename(bench.folder / "elsewhere", bench.folder / "models");
  auto only = bench.Open({Site(0)});
  REQUIRE(Upload(*only, Site(0), bench.Update(Site(0), RandomDelta(1), 100)).value());
  CHECK(aggregator->Report({Site(0)}, 1.0).value().id == only->Report({Site(0)}, 1.0).value().id);
}

TEST_CASE("nothing is taken once the attempt is closed") {
  Bench bench;
  auto aggregator = bench.Open({Site(0), Site(1)});
  const auto sealed = bench.Update(Site(0), RandomDelta(1), 100);
  REQUIRE(Upload(*aggregator, Site(0), sealed, 1).ok());
  aggregator->Close();
  CHECK(
      absl::IsFailedPrecondition(aggregator->AddSegment(Site(0), 1, sealed.segments[1]).status()));
  CHECK(absl::IsFailedPrecondition(aggregator->Begin(Site(0), sealed.header).status()));
}

TEST_CASE("the first model comes through as it is") {
  Bench bench;
  wire::UploadHeader header;
  header.key = {bench.key.run, 0, 1};
  header.kind = wire::ContributionKind::kInitialModel;
  header.layout_header = WriteSafetensorsHeader(bench.base.header.layout);
  const auto open = [&] {
    return Aggregator::Open({header.key, {Site(0)}, 1, std::nullopt}, bench.keys,
                            bench.folder / "spool", bench.folder / "models")
        .value();
  };
  auto aggregator = open();
  REQUIRE(
      Upload(*aggregator, Site(0), Seal(Site(0), header, bench.base_values, bench.keys.public_key))
          .value());
  const auto made = aggregator->Report({Site(0)}, 1.0);
  REQUIRE(made.ok());
  CHECK(made->id == bench.base.id);
  CHECK(made->parameters == kParameters);

  SECTION("but not with a value that is not finite") {
    std::vector<float> values = bench.base_values;
    values[149'995] = NAN;
    auto refusing = open();
    const auto status =
        Upload(*refusing, Site(0), Seal(Site(0), header, values, bench.keys.public_key)).status();
    CHECK_THAT(std::string(status.message()), ContainsText("bias"));
  }
  SECTION("nor with a header that is not canonical, or of another size") {
    auto refusing = open();
    auto sealed = Seal(Site(0), header, bench.base_values, bench.keys.public_key);
    sealed.header.layout_header.back() = sealed.header.layout_header.back() == ' ' ? '\n' : ' ';
    CHECK(absl::IsInvalidArgument(refusing->Begin(Site(0), sealed.header).status()));
    sealed.header.layout_header = header.layout_header;
    sealed.header.plaintext_size += 4;
    CHECK(absl::IsInvalidArgument(refusing->Begin(Site(0), sealed.header).status()));
  }
}

TEST_CASE("a model that would hold infinities is not made, and leaves no file") {
  Bench bench;
  std::vector<float> delta(kParameters, 0.0f);
  delta[90'001] = 400;
  auto aggregator = bench.Open({Site(0)}, 1);
  REQUIRE(Upload(*aggregator, Site(0), bench.Update(Site(0), delta, 1)).value());
  const auto made = aggregator->Report({Site(0)}, 1e38);
  CHECK(absl::IsFailedPrecondition(made.status()));
  CHECK_THAT(std::string(made.status().message()), ContainsText("second.weight"));
  CHECK(std::distance(fs::directory_iterator(bench.folder / "models"), {}) == 1);
}

TEST_CASE("the sum is exact on its grid and ties go to even") {
  ExactSum sum(2);
  const std::vector<float> grid{0x1p-36f, 0x1.8p-36f};
  REQUIRE(sum.Add(0, grid, 1.0).ok());
  std::vector<double> mean(2);
  sum.Mean(0, 1.0, mean);
  CHECK(mean == std::vector<double>{0x1p-36, 0x1p-35});
  sum.Subtract(0, grid, 1.0);
  sum.Mean(0, 1.0, mean);
  CHECK(mean == std::vector<double>{0, 0});
}

TEST_CASE("255 contributions of the largest size still add exactly") {
  ExactSum sum(1);
  const std::vector<float> largest{512.0f}, small{0x1p-36f};
  for (int i = 0; i < 254; ++i) REQUIRE(sum.Add(0, largest, 1.0).ok());
  REQUIRE(sum.Add(0, small, 1.0).ok());
  std::vector<double> mean(1);
  sum.Mean(0, 1.0, mean);
  CHECK(mean[0] == 254 * 512.0 + 0x1p-36);
}

}  // namespace
}  // namespace consilium::coordinator
