// Agents under a plan that freezes part of its initial model: what is frozen does not leave.

#include <algorithm>
#include <cmath>

#include "common/crypto/sha256.h"
#include "common/model/safetensors.h"

#include "tests/catch.h"
#include "tests/site_agent/secure_round.h"

namespace consilium::site_agent {
namespace {

const AttemptKey kFirst{kRun, 1, 1};

std::string Frozen(std::string_view updates, std::string_view frozen = "features.") {
  return StrCat("[plan]\nname = \"small\"\n[target]\nname = \"opacity\"\n[data]\n",
                "modalities = [\"DX\"]\nminimum_patients = 20\n[model]\ninitial = \"",
                std::string(64, 'a'), "\"\nfrozen = [\"", frozen,
                "\"]\n[aggregation]\nupdates = \"", updates, "\"\n");
}

}  // namespace

TEST_CASE("a sealed update holds only what is trained") {
  TestSite site;
  site.Start();
  REQUIRE(site.Accept(kRun, Frozen("sealed")).accepted);
  const ModelId base = site.coordinator.AddModel(SmallModel(1));
  site.coordinator.Send(wire::TrainRequest{kFirst, base, 7});
  site.coordinator.AwaitContribution(kFirst);
  const auto update = *site.coordinator.Contribution(kFirst);
  CHECK(update.header.plaintext_size == 7 * sizeof(float));
  CHECK(update.values == std::vector<float>(7, 0.5f));
  CHECK(update.header.base_model == base);
}

TEST_CASE("of the next model only what is trained is downloaded, when all else is the same") {
  TestSite site;
  site.Start();
  REQUIRE(site.Accept(kRun, Frozen("sealed")).accepted);
  const auto train = [&](std::uint32_t round, const ModelState& base) {
    const AttemptKey key{kRun, round, 1};
    site.coordinator.Send(wire::TrainRequest{key, site.coordinator.AddModel(base), 7});
    site.coordinator.AwaitContribution(key);
    CHECK(site.coordinator.Contribution(key)->values == std::vector<float>(7, 0.5f));
  };
  const auto with = [](std::size_t first, std::size_t count, float value) {
    const ModelState model = SmallModel(1);
    std::vector<float> values(model.values().begin(), model.values().end());
    std::fill_n(values.begin() + static_cast<std::ptrdiff_t>(first), count, value);
    return *ModelState::Create(model.layout(), std::move(values));
  };
  const auto& sizes = site.coordinator.download_sizes;
  train(1, SmallModel(1));
  const std::uint64_t whole = sizes.back();
  REQUIRE(whole > 360'000);
  const ModelState next = with(90'000, 7, 2);
  SECTION("it is put together of both") {
    train(2, next);
    CHECK(sizes == std::vector<std::uint64_t>{whole, 28});
    const fs::path file =
        site.folder / "models" / StrCat(site.coordinator.AddModel(next).Hex(), ".safetensors");
    CHECK(std::ranges::equal(LoadSafetensors(file)->values(), next.values()));
    train(3, with(90'000, 7, 3));
    CHECK(sizes.back() == 28);
  }
  SECTION("a download that breaks goes on where it stopped") {
    site.coordinator.break_download_at = 13;
    train(2, next);
    CHECK(sizes == std::vector<std::uint64_t>{whole, 13, 15});
  }
  SECTION("a byte that changes on the way is found, and all is downloaded") {
    site.coordinator.damaged_downloads = 1;
    train(2, next);
    CHECK(sizes == std::vector<std::uint64_t>{whole, 28, whole});
  }
  SECTION("a model that differs in more is downloaded whole") {
    train(2, with(0, 1, 2));
    CHECK(sizes == std::vector<std::uint64_t>{whole, 28, whole});
  }
  SECTION("so is one of another size") {
    const Layout layout = {{"features.weight", {3}}, {"head.bias", {7}}};
    train(2, *ModelState::Create(layout, std::vector<float>(10, 1)));
    CHECK(sizes.size() == 3);
    CHECK(sizes[1] == 0);
  }
  CHECK(site.coordinator.Pending<wire::TaskFailed>() == 0);
}

TEST_CASE("a plan that freezes what the model does not have fails at the site with its names") {
  TestSite site;
  site.Start();
  REQUIRE(site.Accept(kRun, Frozen("sealed", "layer1.")).accepted);
  site.coordinator.Send(wire::TrainRequest{kFirst, site.coordinator.AddModel(SmallModel(1)), 7});
  const auto failed = site.coordinator.Await<wire::TaskFailed>();
  CHECK_THAT(failed.reason, ContainsText("\"layer1.\""));
  CHECK_THAT(failed.reason, ContainsText("features., head."));
}

TEST_CASE("masked updates of what is trained add up, and a session over more is refused") {
  const bool whole = GENERATE(false, true);
  Hospitals hospitals({"north", "south", "west"}, Frozen("masked"));
  const ModelId base = hospitals.AddModel(SmallModel(1));
  secagg::SessionConfig config = SecureRound::Training(hospitals, kFirst, base);
  if (whole) {
    // As if the plan froze nothing: what a coordinator might try, to see more.
    SecureRound round(hospitals, config);
    round.Ask(hospitals[0]);
    const auto failed = hospitals[0].coordinator.Await<wire::TaskFailed>();
    CHECK_THAT(failed.reason, ContainsText("values"));
    return;
  }
  config.values = 7;
  config.layout = crypto::Sha256(WriteSafetensorsHeader({{"head.bias", {7}}}));
  SecureRound round(hospitals, config);
  round.Run();
  const std::vector<double> mean = round.Mean();
  REQUIRE(mean.size() == 7);
  for (const double value : mean) CHECK(std::abs(value - 0.2) < 2e-5);
}

}  // namespace consilium::site_agent
