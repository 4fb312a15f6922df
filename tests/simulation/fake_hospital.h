#pragma once

// A hospital without images: what it learns and how it judges a model are cheap functions of its
// name, the round's seed and the model, so that what the federation must come to can be computed
// without it.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "common/metrics/preparation.h"
#include "common/metrics/task_sums.h"
#include "common/model/model_state.h"
#include "common/wire/protocol.h"
#include "site_agent/learner.h"

namespace consilium::simulation {

std::uint64_t HashOf(std::span<const float> values);
// Number columns of the plan's table that are to be brought to one scale; 0 of a plan of images.
std::size_t NumbersOf(const plan::Plan& plan);
// Parameters of the model that the plan begins with.
ModelState FirstModel(const plan::Plan& plan, std::size_t parameters);
// New minus base, before the float rounding of base + delta. `seed`: as the site mixes it.
std::vector<float> Trained(std::span<const float> base, std::uint64_t seed);
// Of plans of binary targets and of survival.
metrics::TaskSums Evaluated(const SiteId& site, std::span<const float> model,
                            wire::EvaluationSplit split, Task task);
// An image of each patient.
metrics::Description Described(std::uint64_t patients, bool with_label);
// A row of each patient; the numbers lie elsewhere at each site.
metrics::PreparationSums Prepared(const SiteId& site, std::uint64_t patients, std::size_t numbers);
// The site's seed of a round (site_agent/task_runner.cpp).
std::uint64_t SeedOf(std::uint64_t round_seed, const SiteId& site);

class FakeData final : public site_agent::LocalData {
 public:
  FakeData(SiteId site, std::uint64_t patients, std::uint64_t examples)
      : site_(std::move(site)), offer_{{patients, examples, examples / 2}, 0} {}
  absl::StatusOr<site_agent::DataOffer> Count(const plan::Plan&) override { return offer_; }
  absl::StatusOr<metrics::Description> Describe(const plan::Plan& plan,
                                                Progress& progress) override;
  absl::StatusOr<metrics::PreparationSums> Prepare(const plan::Plan& plan,
                                                   Progress& progress) override;
  absl::StatusOr<std::shared_ptr<const datasets::Dataset>> Open(const plan::Plan& plan,
                                                                datasets::Split split,
                                                                Progress& progress) override;
  std::uint64_t patients() const { return offer_.train.patients; }
  std::uint64_t examples() const { return offer_.train.examples; }

 private:
  const SiteId site_;
  const site_agent::DataOffer offer_;
};

class FakeLearner final : public site_agent::Learner {
 public:
  // `work`: lets the time pass that training takes; false: it was cut short. `trained`: told of
  // every training that came to its end.
  struct Hooks {
    std::function<bool()> work;
    std::function<void(std::span<const float> base, std::uint64_t seed)> trained;
  };
  FakeLearner(SiteId site, const FakeData& data, std::size_t parameters, Hooks hooks)
      : site_(std::move(site)), data_(data), parameters_(parameters), hooks_(std::move(hooks)) {}

  absl::StatusOr<ModelState> InitialModel(const plan::Plan& plan) override;
  absl::StatusOr<learning::TrainResult> Train(const ModelState& base, const datasets::Dataset& data,
                                              const learning::TrainTask& task,
                                              Progress& progress) override;
  absl::StatusOr<metrics::TaskSums> Evaluate(const ModelState& model, const plan::Plan& plan,
                                             const datasets::Dataset& data,
                                             Progress& progress) override;

 private:
  const SiteId site_;
  const FakeData& data_;
  const std::size_t parameters_;
  const Hooks hooks_;
};

}  // namespace consilium::simulation
