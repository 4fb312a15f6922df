// consilium-bench-agent: a site's agent, real but for the learning: its "network" is a flat vector
// of a given size, and training moves it by a little without looking at an image. What is left is
// what a round costs.

#include <poll.h>

#include <CLI/CLI.hpp>
#include <stop_token>
#include <thread>

#include "common/base/allocator.h"
#include "common/base/progress.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/identity/identity.h"
#include "site_agent/agent.h"
#include "site_agent/agent_loop.h"
#include "site_agent/grpc_channel.h"

namespace consilium::experiments {
namespace {

using site_agent::DataOffer;

constexpr std::uint64_t kExamples = 100;  // that the site says it has

class OneBlackPixel final : public datasets::Dataset {
 public:
  std::size_t size() const override { return 1; }
  std::uint32_t image_size() const override { return 1; }
  Label Get(std::size_t, std::span<float> out) const override {
    out[0] = 0;
    return {};
  }
  Label GetLabel(std::size_t) const override { return {}; }
};

class NoImages final : public site_agent::LocalData {
 public:
  absl::StatusOr<DataOffer> Count(const plan::Plan&) override {
    return DataOffer{
        .train = {.patients = kExamples, .examples = kExamples, .positives = kExamples / 2}};
  }
  absl::StatusOr<metrics::Description> Describe(const plan::Plan&, Progress&) override {
    return metrics::Description();
  }
  absl::StatusOr<std::shared_ptr<const datasets::Dataset>> Open(const plan::Plan&, datasets::Split,
                                                                Progress&) override {
    return std::make_shared<OneBlackPixel>();
  }
};

// A model of `parameters` numbers in tensors of at most a million.
class NoLearning final : public site_agent::Learner {
 public:
  explicit NoLearning(std::uint64_t parameters) : parameters_(parameters) {}

  absl::StatusOr<ModelState> InitialModel(const plan::Plan&) override {
    constexpr std::uint64_t kTensor = 1'000'000;
    Layout layout;
    for (std::uint64_t begin = 0; begin < parameters_; begin += kTensor) {
      layout.push_back({StrCat("layer", layout.size(), ".weight"),
                        {static_cast<std::int64_t>(std::min(kTensor, parameters_ - begin))}});
    }
    std::vector<float> values(parameters_);
    for (std::uint64_t i = 0; i < parameters_; ++i)
      values[i] = static_cast<float>(i % 1009) / 1009 - 0.5f;
    return ModelState::Create(std::move(layout), std::move(values));
  }

  absl::StatusOr<learning::TrainResult> Train(const ModelState& base, const datasets::Dataset&,
                                              const learning::TrainTask&, Progress&) override {
    std::vector<float> values(base.values().begin(), base.values().end());
    for (float& value : values) value *= 0.999f;
    ASSIGN_OR_RETURN(ModelState trained, ModelState::Create(base.layout(), std::move(values)));
    return learning::TrainResult{.trained = std::move(trained),
                                 .first_epoch_loss = 1,
                                 .last_epoch_loss = 1,
                                 .examples = kExamples,
                                 .patients = kExamples};
  }

  absl::StatusOr<metrics::TaskSums> Evaluate(const ModelState&, const plan::Plan&,
                                             const datasets::Dataset&, Progress&) override {
    metrics::BinarySums sums;
    for (std::uint64_t i = 0; i < kExamples; ++i) sums.Add(i % 2 == 1 ? 0.7 : 0.3, i % 2 == 1);
    sums.patients = kExamples;
    return sums;
  }

 private:
  const std::uint64_t parameters_;
};

absl::Status RunAgent(const fs::path& state_folder, std::uint64_t parameters) {
  ASSIGN_OR_RETURN(const identity::Identity identity, identity::LoadIdentity(state_folder));
  ASSIGN_OR_RETURN(identity::PinnedRoster roster,
                   identity::PinnedRoster::Load(state_folder, identity.root));
  ASSIGN_OR_RETURN(const auto state,
                   site_agent::SiteState::Open(state_folder, site_agent::SiteState::Access::kOwn));
  std::stop_source stop;
  const std::jthread watcher([&stop](std::stop_token done) {
    pollfd interrupt{InterruptDescriptor(), POLLIN, 0};
    while (!done.stop_requested() && poll(&interrupt, 1, /*timeout_ms=*/200) == 0) {
    }
    stop.request_stop();
  });
  site_agent::GrpcChannel channel(identity);
  NoLearning learner(parameters);
  NoImages data;
  const SystemClock clock;
  SystemRandom random;
  const site_agent::AgentOptions options;
  site_agent::Agent agent(identity, std::move(roster), channel, *state, learner, data, clock,
                          random, options);
  return site_agent::RunAgent(agent, channel, clock, options, stop.get_token());
}

int Main(int argc, char** argv) {
  CLI::App app("consilium-bench-agent: a site's agent that trains nothing",
               "consilium-bench-agent");
  app.require_subcommand(1);
  fs::path state;
  std::uint64_t parameters = 0;
  CLI::App* run = app.add_subcommand("run", "Work for the federation until interrupted");
  run->add_option("--state", state, "Folder of an enrolled site")->required();
  run->add_option("--parameters", parameters, "Of the model: 4 bytes each")
      ->required()
      ->check(CLI::Range(1, 1 << 30));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  KeepFreedMemory();  // as consilium-site does
  CatchInterrupts();
  return ReportAndExitCode(RunAgent(state, parameters));
}

}  // namespace
}  // namespace consilium::experiments

int main(int argc, char** argv) { return consilium::experiments::Main(argc, argv); }
