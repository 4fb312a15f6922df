#include "common/plan/plan.h"

#include <algorithm>
#include <cmath>

#include "tests/fuzz/fuzz.h"

namespace consilium::plan {
namespace {

void CheckTarget(const Target& target) {
  const std::size_t classes = target.classes.size();
  const bool several = target.task == Task::kMulticlass || target.task == Task::kMultilabel;
  const bool outlines = TaughtByMasks(target.task);
  FUZZ_EXPECT(several ? classes >= 2 && classes <= kMostClasses : outlines || classes == 0);
  FUZZ_EXPECT(!outlines || (classes >= 1 && classes <= kMostStructures));
  FUZZ_EXPECT(!target.whole || target.task == Task::kDetection);
  for (const std::string& column : target.Columns()) FUZZ_EXPECT(!column.empty());
}

void CheckTable(const Plan& plan) {
  const bool table = plan.data.source == Source::kTable;
  const bool of_tables = plan.model.architecture == Architecture::kLogistic ||
                         plan.model.architecture == Architecture::kMlp;
  FUZZ_EXPECT(!table || !plan.table.columns.empty());
  FUZZ_EXPECT(table ? of_tables || plan.model.architecture == Architecture::kTorchScript
                    : !of_tables);
  FUZZ_EXPECT(plan.data.source == Source::kDicom || plan.data.modalities.empty());
  if (plan.table.columns.empty()) return;
  FUZZ_EXPECT(plan.data.source != Source::kAudio);
  FUZZ_EXPECT(plan.aggregation.updates == Updates::kMasked);
  FUZZ_EXPECT(!TaughtByMasks(plan.target.task));
  FUZZ_EXPECT(plan.table.Inputs() >= 1 && plan.table.Inputs() <= kMostInputs);
  FUZZ_EXPECT(plan.table.name.find_first_of("./") == std::string::npos);
  const std::vector<std::string> taught = plan.target.Columns();
  for (const Column& column : plan.table.columns) {
    FUZZ_EXPECT(std::ranges::count(taught, column.name) == 0);
    FUZZ_EXPECT(column.name != "patient_id" && column.name != "split");
    if (column.kind == ColumnKind::kNumber) {
      FUZZ_EXPECT(column.minimum < column.maximum && std::isfinite(column.maximum));
    } else {
      FUZZ_EXPECT(column.values.size() >= 2);
    }
  }
}

void CheckAudio(const Audio& audio) {
  FUZZ_EXPECT(audio.Frames() >= 16 && audio.Frames() <= 4096 && audio.bands >= 8);
  FUZZ_EXPECT(audio.high_hz <= audio.sample_rate_hz / 2 && audio.hop_ms <= audio.window_ms);
  const std::vector<double> edges = audio.Edges();
  FUZZ_EXPECT(edges.size() == audio.bands + 2 && std::is_sorted(edges.begin(), edges.end()));
}

void CheckAccepted(const Plan& plan) {
  if (!plan.describe) {
    CheckTarget(plan.target);
    CheckTable(plan);
    CheckAudio(plan.audio);
  }
  FUZZ_EXPECT(CheckName("a plan", plan.name).ok());
  FUZZ_EXPECT(plan.preprocessing.image_size >= 16 && plan.preprocessing.image_size <= 1024);
  FUZZ_EXPECT(plan.training.batch_size > 0 && plan.training.local_epochs > 0);
  FUZZ_EXPECT(plan.data.validation_fraction + plan.data.test_fraction < 1);
  FUZZ_EXPECT(!plan.describe || plan.describe->smallest_count >= 5);
  FUZZ_EXPECT(!plan.describe || plan.aggregation.updates == Updates::kMasked);
  const bool masked = plan.aggregation.updates == Updates::kMasked;
  FUZZ_EXPECT(plan.cohort.minimum_sites >= (masked ? 3u : 2u));
  for (const SiteId& site : plan.cohort.sites) FUZZ_EXPECT(CheckName("a site", site.value).ok());
  for (const double number :
       {plan.training.learning_rate, plan.training.momentum, plan.training.weight_decay,
        plan.aggregation.proximal_mu, plan.aggregation.server_learning_rate,
        plan.secure_aggregation.clip_norm, plan.cohort.round_deadline_s,
        plan.cohort.absence_grace_s, plan.evaluation.at_specificity, plan.gate.minimum,
        plan.preprocessing.spacing_mm, plan.stop.wall_time_s.value_or(1),
        plan.stop.target.value_or(1)}) {
    FUZZ_EXPECT(std::isfinite(number) && number >= 0);
  }
  FUZZ_EXPECT(!Describe(plan).empty());
}

}  // namespace
}  // namespace consilium::plan

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  // A TOML node is about a hundred bytes, in vectors that double.
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(8 * size));
  const std::string_view text = AsText(fuzz::Input(data, size));
  const auto plan = plan::ParsePlan(text);
  if (!plan.ok()) {
    FUZZ_EXPECT(absl::IsInvalidArgument(plan.status()) && !plan.status().message().empty());
    return 0;
  }
  plan::CheckAccepted(*plan);
  FUZZ_EXPECT(plan::Describe(*plan::ParsePlan(text)) == plan::Describe(*plan));
  return 0;
}
