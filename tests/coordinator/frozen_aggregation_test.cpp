// A round of a plan that freezes tensors: updates hold the others, and the model made differs from
// its base in no other bit.

#include "common/model/adapters.h"
#include "tests/common/says.h"
#include "tests/coordinator/aggregation_bench.h"

namespace consilium::coordinator {
namespace {

// Of the bench's three tensors the second stays: it lies over the border of two segments.
constexpr std::size_t kBefore = 90'000, kFrozen = 59'990, kAfter = 10;

AttemptSpec SpecOf(const Bench& bench, std::vector<std::string> frozen) {
  AttemptSpec spec{bench.key, {Site(0), Site(1)}, 100, bench.base};
  spec.frozen = std::move(frozen);
  return spec;
}

absl::StatusOr<std::unique_ptr<Aggregator>> Open(Bench& bench, AttemptSpec spec) {
  return Aggregator::Open(std::move(spec), bench.keys, bench.folder / "spool",
                          bench.folder / "models");
}

std::vector<float> DeltaOf(std::size_t size, float first) {
  std::vector<float> delta(size);
  for (std::size_t i = 0; i < size; ++i) delta[i] = first + static_cast<float>(i % 1000) / 1000;
  return delta;
}

}  // namespace

TEST_CASE("the frozen part of a candidate is the base's to the bit, the rest the mean") {
  Bench bench;
  auto aggregator = *Open(bench, SpecOf(bench, {"second."}));
  const std::size_t size = kBefore + kAfter;
  for (int i = 0; i < 2; ++i) {
    const float first = i == 0 ? 1.0f : 3.0f;
    REQUIRE(Upload(*aggregator, Site(i), bench.Update(Site(i), DeltaOf(size, first), 50)).value());
  }
  const auto made = aggregator->Report({Site(0), Site(1)}, 1.0);
  INFO(made.status());
  REQUIRE(made.ok());
  CHECK(made->id == crypto::Sha256OfFile(made->file).value());
  CHECK(made->parameters == kParameters);
  const ModelState model = LoadSafetensors(made->file).value();
  CHECK(model.layout() == bench.base.header.layout);
  const std::vector<float> mean = DeltaOf(size, 2.0f);
  bool as_it_should = true;
  for (std::size_t i = 0; i < kParameters; ++i) {
    const float value = model.values()[i], before = bench.base_values[i];
    if (i >= kBefore && i < kBefore + kFrozen) {
      as_it_should = as_it_should && value == before;
    } else {
      const float added = mean[i < kBefore ? i : i - kFrozen];
      as_it_should = as_it_should && value == Approx(before + added).margin(1e-5);
    }
  }
  CHECK(as_it_should);
}

TEST_CASE("an update of another size than what is trained is refused") {
  Bench bench;
  auto aggregator = *Open(bench, SpecOf(bench, {"second."}));
  const auto whole = bench.Update(Site(0), RandomDelta(1), 50);
  CHECK(Says(aggregator->Begin(Site(0), whole.header).status(),
             "what is trained of the model has 360040"));
}

TEST_CASE("a value that is no number is named by its tensor in an update without frozen ones") {
  Bench bench;
  auto aggregator = *Open(bench, SpecOf(bench, {"second."}));
  std::vector<float> delta(kBefore + kAfter);
  delta[kBefore + 3] = std::numeric_limits<float>::infinity();
  CHECK(Says(Upload(*aggregator, Site(0), bench.Update(Site(0), delta, 50)).status(), "\"bias\""));
}

TEST_CASE("an attempt that freezes what its base does not have is not opened") {
  Bench bench;
  CHECK(Says(Open(bench, SpecOf(bench, {"third."})).status(), "first., second., bias"));
  CHECK(Says(Open(bench, SpecOf(bench, {"first", "second", "bias"})).status(), "nothing is left"));
}

TEST_CASE("a restart takes up updates of what is trained where they stopped") {
  Bench bench;
  const auto sent = bench.Update(Site(0), DeltaOf(kBefore + kAfter, 1), 50);
  const auto other = bench.Update(Site(1), DeltaOf(kBefore + kAfter, 2), 50);
  {
    auto aggregator = *Open(bench, SpecOf(bench, {"second."}));
    REQUIRE(Upload(*aggregator, Site(0), sent).value());
    REQUIRE_FALSE(Upload(*aggregator, Site(1), other, 1).value());
  }
  AttemptSpec again = SpecOf(bench, {"second."});
  again.again = true;
  auto aggregator = *Open(bench, std::move(again));
  CHECK(aggregator->Whole() == std::set<SiteId>{Site(0)});
  CHECK(Upload(*aggregator, Site(1), other).value());
  const auto made = aggregator->Report({Site(0), Site(1)}, 1.0);
  REQUIRE(made.ok());
  const ModelState model = LoadSafetensors(made->file).value();
  CHECK(model.values()[kBefore] == bench.base_values[kBefore]);
  CHECK(model.values()[0] == Approx(bench.base_values[0] + 1.5f).margin(1e-5));
}

}  // namespace consilium::coordinator
