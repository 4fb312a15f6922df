#include "site_agent/policy.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(8 * size));
  const auto policy = site_agent::ParsePolicy(AsText(fuzz::Input(data, size)));
  if (!policy.ok()) {
    FUZZ_EXPECT(absl::IsInvalidArgument(policy.status()) && !policy.status().message().empty());
    return 0;
  }
  FUZZ_EXPECT(policy->minimum_cohort >= 2);  // masked sessions ask for three themselves
  plan::Plan plan;
  plan.name = "chest-opacity";
  plan.target.name = "opacity";
  plan.data.modalities = {"DX"};
  const bool allowed = policy->Check(plan, "ada").ok();
  FUZZ_EXPECT(!allowed || policy->enabled);
  // What one may not see unless the site says so.
  plan.aggregation.updates = plan::Updates::kSealed;
  FUZZ_EXPECT(policy->sealed_updates || !policy->Check(plan, "ada").ok());
  plan.aggregation.updates = plan::Updates::kMasked;
  plan.cohort.minimum_sites = policy->minimum_cohort - 1;
  FUZZ_EXPECT(!policy->Check(plan, "ada").ok());
  return 0;
}
