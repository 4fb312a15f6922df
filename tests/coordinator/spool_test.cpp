// What a restart of the coordinator takes up of sealed contributions.

#include "coordinator/spool.h"

#include "tests/coordinator/aggregation_bench.h"

namespace consilium::coordinator {
namespace {

ModelId MadeWithoutRestart(Bench& bench, const std::vector<SealedContribution>& sealed) {
  auto aggregator = bench.Open({Site(0), Site(1)});
  for (int i = 0; i < 2; ++i) REQUIRE(Upload(*aggregator, Site(i), sealed[i]).value());
  const ModelId made = aggregator->Report({Site(0), Site(1)}, 1.0).value().id;
  REQUIRE(RemoveTree(bench.folder / "spool").ok());
  REQUIRE(EnsureFolder(bench.folder / "spool").ok());
  return made;
}

TEST_CASE("a restart takes up what had come, and the model is the same") {
  Bench bench;
  const std::vector<SealedContribution> sealed{bench.Update(Site(0), RandomDelta(1), 331),
                                               bench.Update(Site(1), RandomDelta(2), 120)};
  const ModelId expected = MadeWithoutRestart(bench, sealed);
  const std::size_t segments = sealed[0].segments.size();
  const std::size_t stop = GENERATE(0u, 1u, 2u, 3u);
  {
    auto before = bench.Open({Site(0), Site(1)});
    REQUIRE(Upload(*before, Site(0), sealed[0]).value());
    REQUIRE(Upload(*before, Site(1), sealed[1], stop).value() == (stop == segments));
  }
  auto aggregator = bench.OpenAgain({Site(0), Site(1)});
  CHECK(aggregator->Whole().contains(Site(0)));
  CHECK(aggregator->Whole().contains(Site(1)) == (stop == segments));
  CHECK(aggregator->Begin(Site(1), sealed[1].header).value() == stop);
  REQUIRE(Upload(*aggregator, Site(1), sealed[1]).value() == (stop < segments));
  CHECK(aggregator->Report({Site(0), Site(1)}, 1.0).value().id == expected);
}

TEST_CASE("what an attempt that was opened before has in the spool is not counted in another") {
  Bench bench;
  const SealedContribution sealed = bench.Update(Site(0), RandomDelta(1), 331);
  {
    auto before = bench.Open({Site(0)});
    REQUIRE(Upload(*before, Site(0), sealed).value());
  }
  AttemptSpec spec;
  spec.key = {bench.key.run, bench.key.round, 2};
  spec.sites = {Site(0)};
  spec.weight_unit = 100;
  spec.base = bench.base;
  spec.again = true;
  const auto next =
      Aggregator::Open(std::move(spec), bench.keys, bench.folder / "spool", bench.folder / "models")
          .value();
  CHECK(next->Whole().empty());
  CHECK(bench.Open({Site(0)})->Whole().empty());  // nor when the attempt is not opened again
}

TEST_CASE("of two contributions of a site the later one is taken up") {
  Bench bench;
  const SealedContribution first = bench.Update(Site(0), RandomDelta(1), 331);
  const SealedContribution second = bench.Update(Site(0), RandomDelta(2), 331);
  const SealedContribution other = bench.Update(Site(1), RandomDelta(3), 120);
  const ModelId expected = MadeWithoutRestart(bench, {second, other});
  auto before = bench.Open({Site(0), Site(1)});
  REQUIRE(Upload(*before, Site(1), other).value());
  REQUIRE_FALSE(Upload(*before, Site(0), first, 2).value());
  REQUIRE(Upload(*before, Site(0), second).value());
  // Killed: nothing of `before` is tidied up.
  auto aggregator = bench.OpenAgain({Site(0), Site(1)});
  CHECK(aggregator->Whole() == std::set<SiteId>{Site(0), Site(1)});
  CHECK(aggregator->Report({Site(0), Site(1)}, 1.0).value().id == expected);
}

TEST_CASE("a spool header that is not whole is none") {
  TemporaryFolder folder;
  File file = File::OpenForWriting(folder / "site.sealed", /*truncate=*/true).value();
  CHECK(absl::IsDataLoss(ReadSpoolHeader(file).status()));
  SpoolEntry entry{SiteId("north"), 3, {}};
  entry.header.key = {RunId("opacity-0001"), 3, 1};
  entry.header.plaintext_size = 400;
  entry.header.weight = 12;
  REQUIRE(WriteSpoolHeader(file, entry).ok());
  const SpoolEntry read = ReadSpoolHeader(file).value();
  CHECK(read.site == entry.site);
  CHECK(read.number == 3);
  CHECK(read.header.key == entry.header.key);
  CHECK(read.header.weight == 12);
  Bytes whole(kSpoolHeaderBytes);
  REQUIRE(file.ReadAt(0, whole).ok());
  std::size_t used = whole.size();
  while (whole[used - 1] == 0) --used;
  for (std::size_t i = 0; i < used; ++i) {
    INFO("byte " << i);
    const Bytes changed{static_cast<std::uint8_t>(whole[i] ^ 0x40)};
    REQUIRE(file.WriteAt(i, changed).ok());
    CHECK(absl::IsDataLoss(ReadSpoolHeader(file).status()));
    REQUIRE(file.WriteAt(i, ByteView(whole).subspan(i, 1)).ok());
  }
}

}  // namespace
}  // namespace consilium::coordinator
