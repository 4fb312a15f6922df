#include "site_agent/local_training.h"

#include "common/crypto/sha256.h"
#include "common/model/adapters.h"
#include "common/model/safetensors.h"
#include "site_agent/torch_learner.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"

namespace consilium::site_agent {
namespace {

TEST_CASE("Training on one's own starts from the plan's seed, or from the model that it names") {
  TemporaryFolder folder;
  TorchLearner learner;
  plan::Plan plan;
  const fs::path file = folder / "model.safetensors";
  const auto seeded = StartOf(plan, "", learner);
  REQUIRE(seeded.ok());
  REQUIRE(SaveSafetensors(file, *seeded).ok());
  CHECK(absl::IsInvalidArgument(StartOf(plan, file, learner).status()));  // nothing asks for it

  plan.model.initial = crypto::Sha256OfFile(file).value();
  plan.seed += 1;
  const absl::Status without = StartOf(plan, "", learner).status();
  CHECK(absl::IsFailedPrecondition(without));
  CHECK_THAT(std::string(without.message()), ContainsText(plan.model.initial->Short()));
  const auto given = StartOf(plan, file, learner);
  REQUIRE(given.ok());
  CHECK(std::equal(given->values().begin(), given->values().end(), seeded->values().begin(),
                   seeded->values().end()));

  plan.model.adapter_rank = 2;
  const auto adapted = StartOf(plan, file, learner);
  REQUIRE(adapted.ok());
  CHECK_FALSE(AdaptersOf(adapted->layout())->empty());
  plan.model.initial->bytes[0] ^= 1;
  CHECK(absl::IsInvalidArgument(StartOf(plan, file, learner).status()));
}

}  // namespace
}  // namespace consilium::site_agent
