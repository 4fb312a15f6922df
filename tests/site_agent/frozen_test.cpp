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
