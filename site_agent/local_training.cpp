#include "site_agent/local_training.h"

#include <algorithm>
#include <utility>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/model/adapters.h"
#include "common/model/prepared_model.h"
#include "common/model/safetensors.h"

namespace consilium::site_agent {
namespace {

class PooledDataset final : public datasets::Dataset {
 public:
  explicit PooledDataset(std::vector<std::shared_ptr<const datasets::Dataset>> parts)
      : parts_(std::move(parts)) {
    for (const auto& part : parts_) ends_.push_back(size() + part->size());
  }

  std::size_t size() const override { return ends_.empty() ? 0 : ends_.back(); }
  std::uint32_t image_size() const override { return parts_.front()->image_size(); }
  datasets::InputShape input_shape() const override { return parts_.front()->input_shape(); }
  std::size_t target_elements() const override { return parts_.front()->target_elements(); }
  Label Get(std::size_t index, std::span<float> out) const override {
    const auto [part, within] = Find(index);
    return Apart(part, parts_[part]->Get(within, out));
  }
  Label GetAnyPart(std::size_t index, SeededRandom& random, std::span<float> out) const override {
    const auto [part, within] = Find(index);
    return Apart(part, parts_[part]->GetAnyPart(within, random, out));
  }
  Label GetLabel(std::size_t index) const override {
    const auto [part, within] = Find(index);
    return Apart(part, parts_[part]->GetLabel(within));
  }
  void GetTarget(std::size_t index, std::span<float> out) const override {
    const auto [part, within] = Find(index);
    parts_[part]->GetTarget(within, out);
  }
  bool IsPositive(std::size_t index) const override {
    const auto [part, within] = Find(index);
    return parts_[part]->IsPositive(within);
  }
  float spacing_mm(std::size_t index) const override {
    const auto [part, within] = Find(index);
    return parts_[part]->spacing_mm(within);
  }
  float slice_spacing_mm(std::size_t index) const override {
    const auto [part, within] = Find(index);
    return parts_[part]->slice_spacing_mm(within);
  }

 private:
  std::pair<std::size_t, std::size_t> Find(std::size_t index) const {
    const auto end = std::upper_bound(ends_.begin(), ends_.end(), index);
    const auto part = static_cast<std::size_t>(end - ends_.begin());
    return {part, part == 0 ? index : index - ends_[part - 1]};
  }
  // Two sites may both call a patient "0001".
  static Label Apart(std::size_t part, Label label) {
    label.patient = StableHash(StrCat(part, "/", label.patient));
    return label;
  }

  const std::vector<std::shared_ptr<const datasets::Dataset>> parts_;
  std::vector<std::size_t> ends_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const datasets::Dataset>> OpenPooled(
    const std::vector<std::unique_ptr<LocalData>>& sites, const plan::Plan& plan,
    datasets::Split split, Progress& progress) {
  return OpenPooled(sites, plan, std::span(&split, 1), progress);
}

absl::StatusOr<std::shared_ptr<const datasets::Dataset>> OpenPooled(
    const std::vector<std::unique_ptr<LocalData>>& sites, const plan::Plan& plan,
    std::span<const datasets::Split> splits, Progress& progress) {
  std::vector<std::shared_ptr<const datasets::Dataset>> parts;
  for (const auto& site : sites) {
    for (const datasets::Split split : splits) {
      ASSIGN_OR_RETURN(auto part, site->Open(plan, split, progress));
      parts.push_back(std::move(part));
    }
  }
  if (parts.size() == 1) return parts.front();
  return std::shared_ptr<const datasets::Dataset>(
      std::make_shared<PooledDataset>(std::move(parts)));
}

absl::StatusOr<std::vector<metrics::Scale>> PrepareLocally(
    const std::vector<std::unique_ptr<LocalData>>& sites, const plan::Plan& plan,
    Progress& progress) {
  const std::size_t numbers = plan.table.Numbers();
  if (numbers == 0) return std::vector<metrics::Scale>();
  metrics::PreparationSums sums(numbers);
  for (const auto& site : sites) {
    ASSIGN_OR_RETURN(const metrics::PreparationSums own, site->Prepare(plan, progress));
    sums += own;
  }
  std::vector<metrics::Range> ranges;
  for (const plan::Column& column : plan.table.columns) {
    if (column.kind == plan::ColumnKind::kNumber)
      ranges.push_back({column.minimum, column.maximum});
  }
  return metrics::Scales(sums, ranges);
}

absl::StatusOr<ModelState> StartOf(const plan::Plan& plan, const fs::path& file, Learner& learner) {
  if (!plan.model.initial) {
    if (file.empty()) return learner.InitialModel(plan);
    return absl::InvalidArgumentError(
        "--initial has no effect: the plan starts from its seed; say model.initial in it");
  }
  const ModelId& id = *plan.model.initial;
  if (file.empty()) {
    return absl::FailedPreconditionError(
        StrCat("the plan starts from model ", id.Short(),
               ": give its file with --initial (`consilium model fetch` gets it)"));
  }
  ASSIGN_OR_RETURN(const Digest found, crypto::Sha256OfFile(file));
  if (found != id) {
    return absl::InvalidArgumentError(
        StrCat("--initial is another model than the plan's, which is ", id.Short()));
  }
  ASSIGN_OR_RETURN(ModelState model, LoadSafetensors(file));
  if (plan.model.adapter_rank == 0) return model;
  ASSIGN_OR_RETURN(const std::vector<Adapter> adapters, AdaptersOf(model.layout()));
  if (!adapters.empty()) return model;
  return WithAdapters(model, plan.model.adapter_rank, plan.seed);
}

absl::StatusOr<LocalModel> TrainLocally(Learner& learner, const plan::Plan& plan, ModelState start,
                                        std::span<const metrics::Scale> scales,
                                        const datasets::Dataset& train,
                                        const datasets::Dataset& validation, std::uint32_t epochs,
                                        std::uint64_t seed,
                                        const std::function<void(const Epoch&)>& after_epoch,
                                        Progress& progress) {
  ModelState model = std::move(start);
  if (!scales.empty()) {
    std::vector<double> means, deviations;
    for (const metrics::Scale& scale : scales) {
      means.push_back(scale.mean);
      deviations.push_back(scale.deviation);
    }
    ASSIGN_OR_RETURN(model, WithPreparation(model, means, deviations));
  }
  LocalModel kept{model};
  std::optional<double> best;
  std::optional<learning::OptimizerMoments> moments;
  SeededRandom seeds(seed, "local epochs");
  for (std::uint32_t number = 1; number <= epochs; ++number) {
    learning::TrainTask task{plan, seeds(), 1};
    task.plan.training.learning_rate = plan::LearningRateAt(plan.training, (number - 1.0) / epochs);
    task.moments = std::move(moments);
    ASSIGN_OR_RETURN(auto trained, learner.Train(model, train, task, progress));
    model = std::move(trained.trained);
    moments = std::move(trained.moments);
    ASSIGN_OR_RETURN(const auto sums, learner.Evaluate(model, plan, validation, progress));
    Epoch epoch{.number = number,
                .loss = trained.last_epoch_loss,
                .seconds = trained.seconds,
                .waited_for_batches_s = trained.waited_for_batches_s};
    if (auto metrics = metrics::Compute(sums, plan.evaluation.at_specificity); metrics.ok()) {
      epoch.validation = *std::move(metrics);
    }
    epoch.best = !epoch.validation || !best || epoch.validation->headline > *best;
    if (epoch.best) {
      if (epoch.validation) best = epoch.validation->headline;
      kept.model = model;
      kept.best_epoch = number;
    }
    after_epoch(epoch);
    kept.epochs.push_back(std::move(epoch));
  }
  return kept;
}

}  // namespace consilium::site_agent
