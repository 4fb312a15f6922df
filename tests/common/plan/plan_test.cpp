#include "common/plan/plan.h"

#include <cstdlib>

#include "common/base/file.h"
#include "common/base/random.h"
#include "tests/catch.h"
#include "tests/common/says.h"

namespace consilium::plan {
namespace {

std::string SourceFile(std::string_view path) {
  const char* root = std::getenv("CONSILIUM_SOURCE");
  auto text = ReadTextFile(fs::path(root == nullptr ? "." : root) / path);
  INFO("set CONSILIUM_SOURCE to the root of the sources: " << text.status().ToString());
  REQUIRE(text.ok());
  return *text;
}

constexpr char kSmallest[] = R"([plan]
name = "small"
[target]
name = "opacity"
[data]
modalities = ["DX"]
)";

// The smallest plan with more lines after its last.
absl::StatusOr<Plan> With(std::string_view more) { return ParsePlan(StrCat(kSmallest, more)); }

TEST_CASE("the example plan is read whole") {
  const auto plan = ParsePlan(SourceFile("experiments/plans/chest-opacity.toml"));
  INFO(plan.status().ToString());
  REQUIRE(plan.ok());
  CHECK(plan->name == "chest-opacity");
  CHECK(plan->seed == 1);
  CHECK(plan->model.architecture == Architecture::kSmallCnn);
  CHECK(plan->model.norm == Norm::kGroup);
  CHECK_FALSE(plan->model.initial);
  CHECK(plan->target.name == "opacity");
  CHECK(plan->data.modalities == std::vector<std::string>{"DX", "CR"});
  CHECK(plan->data.minimum_patients == 100);
  CHECK(plan->preprocessing == Preprocessing{});
  CHECK(plan->training.learning_rate == 1e-3);
  CHECK(plan->aggregation.method == AggregationMethod::kFedAvg);
  CHECK(plan->cohort.minimum_sites == 3);
  CHECK(plan->cohort.round_deadline_s == 600);
  CHECK(plan->gate.minimum == 0.75);
  CHECK(plan->gate.maximum_site_drop == 0.05);
  CHECK(plan->stop.rounds == 10);
  CHECK(plan->stop.patience == 5u);
  CHECK_FALSE(plan->stop.target);
}

TEST_CASE("every fault of a bad plan is told at once, with its line, value and what is allowed") {
  const auto plan = ParsePlan(SourceFile("tests/golden/bad_plan.toml"));
  CHECK(plan.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(StrCat(plan.status().message(), "\n") == SourceFile("tests/golden/plan_errors.txt"));
}

TEST_CASE("a plan of the three required keys has the documented defaults") {
  const auto plan = With("");
  REQUIRE(plan.ok());
  CHECK(plan->training.batch_size == Training{}.batch_size);
  CHECK(plan->aggregation.updates == Updates::kMasked);
  CHECK(plan->secure_aggregation.clip_norm == 1000);
  CHECK(plan->secure_aggregation.threshold == 0);
  CHECK(plan->cohort.minimum_sites == 3);
  CHECK(plan->cohort.sites.empty());
  CHECK(plan->cohort.silence_s == 120);
  CHECK(plan->gate.minimum_sites == 3);
  CHECK(plan->stop.rounds == 10);
}

TEST_CASE("an empty plan says what is required") {
  const absl::Status status = ParsePlan("").status();
  CHECK(Says(status, "plan.name is missing"));
  CHECK(Says(status, "target.name is missing"));
  CHECK(Says(status, "data.modalities is missing"));
  CHECK(Says(ParsePlan("\n[plan]\nseed = 1\n").status(), "line 2: plan.name is missing"));
}

TEST_CASE("text that is not TOML is refused with its line") {
  CHECK(Says(With("[training\n").status(), "line 7: this is not TOML"));
  CHECK(Says(With("[training]\nbatch_size = 1\nbatch_size = 2\n").status(),
             "line 9: this is not TOML"));
  CHECK(Says(ParsePlan(std::string(2 << 20, '#')).status(), "at most 1048576 are read"));
  CHECK_FALSE(ParsePlan("\xff\xfe").ok());
  CHECK_FALSE(ParsePlan("a = " + std::string(100'000, '[')).ok());
}

TEST_CASE("every choice is read by its word") {
  const auto plan = With(R"([model]
architecture = "resnet18"
norm = "batch"
initial = "00000000000000000000000000000000000000000000000000000000000000ff"
[preprocessing]
intensity = "window"
[training]
optimizer = "sgd"
momentum = 0.5
augmentation = "none"
[aggregation]
method = "fedprox"
proximal_mu = 0.01
weight = "patients"
)");
  INFO(plan.status().ToString());
  REQUIRE(plan.ok());
  CHECK(plan->model.architecture == Architecture::kResNet18);
  CHECK(plan->model.norm == Norm::kBatch);
  CHECK(plan->model.initial->bytes[31] == 0xff);
  CHECK(plan->preprocessing.intensity == Intensity::kWindow);
  CHECK(plan->training.optimizer == Optimizer::kSgd);
  CHECK(plan->training.momentum == 0.5);
  CHECK(plan->training.augmentation == Augmentation::kNone);
  CHECK(plan->aggregation.method == AggregationMethod::kFedProx);
  CHECK(plan->aggregation.proximal_mu == 0.01);
  CHECK(plan->aggregation.weight == WeightRule::kPatients);
}

TEST_CASE("whole numbers may stand where numbers are asked for") {
  const auto plan = With("[stop]\ntarget_auroc = 1\nwall_time_s = 60\n");
  REQUIRE(plan.ok());
  CHECK(plan->stop.target == 1.0);
  CHECK(plan->stop.wall_time_s == 60.0);
}

TEST_CASE("combinations that cannot work are refused") {
  CHECK(Says(With("[aggregation]\nmethod = \"fedprox\"\n").status(),
             "line 8: aggregation.method = \"fedprox\" needs proximal_mu above 0"));
  CHECK(Says(With("[aggregation]\nmethod = \"fedavg\"\nproximal_mu = 1\n").status(),
             "line 9: aggregation.proximal_mu = 1 has no effect"));
  CHECK(Says(With("[training]\nmomentum = 0.9\n").status(), "has no effect with optimizer"));
  CHECK(Says(With("[cohort]\nsites = [\"a\"]\n").status(),
             "cohort.minimum_sites is missing: its default 3 can never be reached"));
  CHECK(Says(With("[cohort]\nsites = [\"a\", \"b\", \"c\"]\n[gate]\nminimum_sites = 4\n").status(),
             "line 10: gate.minimum_sites = 4 can never be reached: cohort.sites names 3"));
  CHECK(Says(With("[cohort]\nsites = [\"a\", 2]\n").status(), "a list of texts is expected"));
  CHECK(Says(With("[cohort]\nminimum_sites = 1\n").status(), "out of range: 2 to 255"));
}

TEST_CASE("how updates are protected is read, and masked ones need three sites") {
  const auto masked = With("[secure_aggregation]\nclip_norm = 12.5\nthreshold = 5\n");
  INFO(masked.status().ToString());
  REQUIRE(masked.ok());
  CHECK(masked->secure_aggregation.clip_norm == 12.5);
  CHECK(masked->secure_aggregation.threshold == 5);
  const auto sealed = With("[aggregation]\nupdates = \"sealed\"\n[cohort]\nminimum_sites = 2\n");
  INFO(sealed.status().ToString());
  REQUIRE(sealed.ok());
  CHECK(sealed->aggregation.updates == Updates::kSealed);
  CHECK(sealed->cohort.minimum_sites == 2);
  CHECK(sealed->gate.minimum_sites == 2);  // as many as the cohort's
  CHECK(Says(With("[cohort]\nminimum_sites = 2\n").status(),
             "line 8: cohort.minimum_sites = 2 is too few for secure aggregation"));
  CHECK(Says(
      With("[aggregation]\nupdates = \"sealed\"\n[secure_aggregation]\nthreshold = 4\n").status(),
      "line 10: secure_aggregation.threshold = 4 has no effect"));
  CHECK(Says(With("[secure_aggregation]\nthreshold = 4\n[cohort]\nsites = [\"a\", \"b\", "
                  "\"c\"]\n")
                 .status(),
             "line 8: secure_aggregation.threshold = 4 can never be reached"));
}

TEST_CASE("a plan says in words who can see what") {
  CHECK_THAT(Describe(*With("")), ContainsText("only sums over the cohort can be seen"));
  CHECK_THAT(Describe(*With("[aggregation]\nupdates = \"sealed\"\n")),
             ContainsText("it SEES each site's update and results"));
}

TEST_CASE("one fault gives one message") {
  const std::string more =
      GENERATE(as<std::string>(), "[training]\noptimizer = \"adam\"\nmomentum = 0.9\n",
               "[aggregation]\nmethod = \"fedavgm\"\nproximal_mu = 0.1\n",
               "[aggregation]\nmethod = \"fedprox\"\nproximal_mu = -1\n",
               "[preprocessing]\nimage_size = 8\n", "[cohort]\nsites = [\"a\"]\n",
               "[cohort]\nminimum_sites = 2\n", "[secure_aggregation]\nthreshold = 2\n");
  const absl::Status status = With(more).status();
  CAPTURE(more, std::string(status.message()));
  CHECK_FALSE(status.ok());
  CHECK(ToStd(status.message()).find('\n') == std::string_view::npos);
}

TEST_CASE("control characters of a plan do not reach the terminal") {
  const absl::Status status = With("[training]\noptimizer = \"\\u001b[2J\"\n").status();
  CHECK(Says(status, "\\x1b[2J"));
  CHECK(ToStd(status.message()).find('\x1b') == std::string_view::npos);
}

TEST_CASE("a plan with changed bytes is read or refused, never worse") {
  const std::uint64_t seed = 21;
  CAPTURE(seed);
  SeededRandom random(seed);
  const std::string text = SourceFile("experiments/plans/chest-opacity.toml");
  int refused = 0;
  for (int trial = 0; trial < 500; ++trial) {
    std::string changed = text;
    for (int i = 0; i < 3; ++i) {
      changed[random.Below(changed.size())] = static_cast<char>(random.Below(256));
    }
    if (random.Chance(0.2)) changed.resize(random.Below(changed.size()));
    const auto plan = ParsePlan(changed);
    if (plan.ok()) continue;
    ++refused;
    REQUIRE(plan.status().code() == absl::StatusCode::kInvalidArgument);
    REQUIRE_FALSE(plan.status().message().empty());
  }
  CHECK(refused > 100);
}

TEST_CASE("a plan is described in words") {
  const auto plan = ParsePlan(SourceFile("experiments/plans/chest-opacity.toml"));
  REQUIRE(plan.ok());
  const std::string text = Describe(*plan);
  INFO(text);
  for (const char* words :
       {"chest-opacity", "small_cnn with group norm", "\"opacity\"", "DX and CR images",
        "60 % of them to train on", "64 x 64 pixels", "1 epoch a round in batches of 32",
        "fedavg, weighted by examples", "3 or more of every enrolled site", "AUROC of 0.75 or more",
        "10 rounds, or 5 without a better validation AUROC"}) {
    CAPTURE(words);
    CHECK(text.find(words) != std::string::npos);
  }
}

}  // namespace
}  // namespace consilium::plan
