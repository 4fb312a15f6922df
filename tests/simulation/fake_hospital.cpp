#include "tests/simulation/fake_hospital.h"

#include <utility>

#include "common/base/bytes.h"
#include "common/base/random.h"
#include "common/base/status.h"

namespace consilium::simulation {
namespace {

constexpr float kStep = 0.125f;

class FakeDataset final : public datasets::Dataset {
 public:
  FakeDataset(datasets::Split split, std::size_t size) : split_(split), size_(size) {}
  std::size_t size() const override { return size_; }
  std::uint32_t image_size() const override { return 1; }
  Label Get(std::size_t index, std::span<float>) const override { return GetLabel(index); }
  Label GetLabel(std::size_t index) const override { return {index % 2 == 0 ? 1 : 0, index}; }
  datasets::Split split() const { return split_; }

 private:
  const datasets::Split split_;
  const std::size_t size_;
};

}  // namespace

std::uint64_t HashOf(std::span<const float> values) {
  return StableHash({reinterpret_cast<const char*>(values.data()), values.size_bytes()});
}

std::size_t NumbersOf(const plan::Plan& plan) {
  return plan.data.source == plan::Source::kTable ? plan.table.Numbers() : 0;
}

ModelState FirstModel(const plan::Plan& plan, std::size_t parameters) {
  SeededRandom random(plan.seed, "first model");
  std::vector<float> values(parameters);
  for (float& value : values) value = static_cast<float>(random.Uniform(-1, 1));
  const auto numbers = static_cast<std::int64_t>(NumbersOf(plan));
  const auto rows = static_cast<std::int64_t>(parameters) - 2 * numbers - 3;
  Layout layout;
  if (numbers > 0) layout = {{"prepare.mean", {numbers}}, {"prepare.deviation", {numbers}}};
  layout.push_back({"body.weight", {rows, 1}});
  layout.push_back({"head.bias", {3}});
  return *ModelState::Create(std::move(layout), std::move(values));
}

std::vector<float> Trained(std::span<const float> base, std::uint64_t seed) {
  SeededRandom random(seed ^ HashOf(base));
  std::vector<float> delta(base.size());
  for (float& value : delta) value = kStep * static_cast<float>(random.Uniform(-1, 1));
  return delta;
}

metrics::TaskSums Evaluated(const SiteId& site, std::span<const float> model,
                            wire::EvaluationSplit split, Task task) {
  const std::uint64_t hash = HashOf(model);
  // How good the model is, the sites agree about; each has its own images.
  SeededRandom quality(hash, "quality"), random(hash, StrCat(site.value, static_cast<int>(split)));
  const double margin = quality.Uniform(0, 0.5);
  constexpr std::uint64_t kExamples = 24;
  if (task == Task::kSurvival) {
    std::vector<metrics::Survivor> patients(kExamples);
    for (std::uint64_t i = 0; i < kExamples; ++i) {
      patients[i] = {.days = 30.0 * static_cast<double>(i + 1),
                     .event = i % 2 == 0,
                     .risk = random.Uniform(-1, 1) - margin * static_cast<double>(i) / 4};
    }
    return metrics::SurvivalSums::Of(patients);
  }
  metrics::BinarySums sums;
  for (std::uint64_t i = 0; i < kExamples; ++i) {
    const bool target = i % 2 == 0;
    const double middle = target ? 0.25 + margin / 2 : 0.25 - margin / 4;
    sums.Add(middle + random.Uniform(0, 0.5), target);
  }
  sums.patients = kExamples;
  return sums;
}

metrics::Description Described(std::uint64_t patients, bool with_label) {
  metrics::DescriptionBuilder builder(with_label);
  for (std::uint64_t i = 0; i < patients; ++i) {
    const std::string name = StrCat(i);
    builder.Add({.patient = name,
                 .modality = "DX",
                 .sex = i % 3 == 0 ? "F" : "M",
                 .age_years = static_cast<double>(i % 100),
                 .manufacturer = "",
                 .view = "PA",
                 .rows = 512,
                 .columns = 512,
                 .label = static_cast<int>(i % 2)});
  }
  return builder.description();
}

metrics::PreparationSums Prepared(const SiteId& site, std::uint64_t patients, std::size_t numbers) {
  SeededRandom random(StableHash(site.value), "table");
  metrics::PreparationSums sums(numbers);
  sums.examples = sums.patients = patients;
  for (metrics::ColumnSums& column : sums.columns) {
    const double middle = random.Uniform(0.2, 0.8);
    for (std::uint64_t i = 0; i < patients; ++i) {
      if (random.Chance(0.2)) {
        ++column.missing;
        continue;
      }
      const double u = middle + random.Uniform(-0.2, 0.2);
      ++column.present;
      column.sum += u;
      column.squares += u * u;
    }
  }
  return sums;
}

absl::StatusOr<metrics::PreparationSums> FakeData::Prepare(const plan::Plan& plan, Progress&) {
  return Prepared(site_, patients(), NumbersOf(plan));
}

absl::StatusOr<metrics::Description> FakeData::Describe(const plan::Plan& plan, Progress&) {
  return Described(patients(), !plan.target.name.empty());
}

std::uint64_t SeedOf(std::uint64_t round_seed, const SiteId& site) {
  return SeededRandom(round_seed, StrCat("site ", site.value))();
}

absl::StatusOr<std::shared_ptr<const datasets::Dataset>> FakeData::Open(const plan::Plan&,
                                                                        datasets::Split split,
                                                                        Progress&) {
  return std::make_shared<FakeDataset>(split, offer_.train.examples);
}

absl::StatusOr<ModelState> FakeLearner::InitialModel(const plan::Plan& plan) {
  return FirstModel(plan, parameters_);
}

absl::StatusOr<learning::TrainResult> FakeLearner::Train(const ModelState& base,
                                                         const datasets::Dataset&,
                                                         const learning::TrainTask& task,
                                                         Progress& progress) {
  progress.Report("epoch 1 of 1", 0, 1, "loss 0.5000");
  if (!hooks_.work() || progress.Cancelled()) return absl::CancelledError("cancelled");
  std::vector<float> values = Trained(base.values(), task.seed);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] += base.values()[i];
  progress.Report("epoch 1 of 1", 1, 1, "loss 0.4000");
  hooks_.trained(base.values(), task.seed);
  ASSIGN_OR_RETURN(ModelState trained, ModelState::Create(base.layout(), std::move(values)));
  // Rarely an example cannot be read any more: the site enlisted with one more than it trained on.
  const std::uint64_t unreadable = task.seed % 64 == 0 ? 1 : 0;
  return learning::TrainResult{std::move(trained), 0.5, 0.4, data_.examples() - unreadable,
                               data_.patients() - unreadable};
}

absl::StatusOr<metrics::TaskSums> FakeLearner::Evaluate(const ModelState& model,
                                                        const plan::Plan& plan,
                                                        const datasets::Dataset& data, Progress&) {
  const auto& fake = static_cast<const FakeDataset&>(data);
  return Evaluated(site_, model.values(),
                   fake.split() == datasets::Split::kTest ? wire::EvaluationSplit::kTest
                                                          : wire::EvaluationSplit::kValidation,
                   plan.target.task);
}

}  // namespace consilium::simulation
