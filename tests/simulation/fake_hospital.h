#pragma once

// A hospital without images: what it learns and how it judges a model are cheap functions of its
// name, the round's seed and the model, so that what the federation must come to can be computed
// without it.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "common/metrics/binary_metrics.h"
#include "common/model/model_state.h"
#include "common/wire/protocol.h"
#include "site_agent/learner.h"

namespace consilium::simulation {

std::uint64_t HashOf(std::span<const float> values);
// Parameters of the model that every plan begins with.
ModelState FirstModel(std::uint64_t plan_seed, std::size_t parameters);
// New minus base, before the float rounding of base + delta. `seed`: as the site mixes it.
std::vector<float> Trained(std::span<const float> base, std::uint64_t seed);
metrics::BinarySums Evaluated(const SiteId& site, std::span<const float> model,
                              wire::EvaluationSplit split);
// An image of each patient.
metrics::Description Described(std::uint64_t patients, bool with_label);
// The site's seed of a round (site_agent/task_runner.cpp).
std::uint64_t SeedOf(std::uint64_t round_seed, const SiteId& site);

class FakeData final : public site_agent::LocalData {
 public:
  FakeData(std::uint64_t patients, std::uint64_t examples)
      : offer_{{patients, examples, examples / 2}, 0} {}
  absl::StatusOr<site_agent::DataOffer> Count(const plan::Plan&) override { return offer_; }
  absl::StatusOr<metrics::Description> Describe(const plan::Plan& plan,
                                                Progress& progress) override;
  absl::StatusOr<std::shared_ptr<const datasets::Dataset>> Open(const plan::Plan& plan,
                                                                datasets::Split split,
                                                                Progress& progress) override;
  std::uint64_t patients() const { return offer_.train.patients; }
  std::uint64_t examples() const { return offer_.train.examples; }

 private:
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
  absl::StatusOr<metrics::BinarySums> Evaluate(const ModelState& model, const plan::Plan& plan,
                                               const datasets::Dataset& data,
                                               Progress& progress) override;

 private:
  const SiteId site_;
  const FakeData& data_;
  const std::size_t parameters_;
  const Hooks hooks_;
};

}  // namespace consilium::simulation
