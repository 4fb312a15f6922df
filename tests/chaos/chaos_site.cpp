// consilium-chaos-site: a site's agent that tests may kill thousands of times. Agent, connection
// and state are those of consilium-site; the learning is tests/chaos/chaos_learning.h. Takes the
// options of `consilium-site run` that experiments/federation.h gives.
//
// Into --trainings FILE go a line "began SEED BEFORE" when the agent has something trained, BEFORE
// being what site.db says about a training with this seed ("-": nothing finished), and "ended SEED"
// before the result is handed to the agent.

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <stop_token>
#include <thread>

#include "common/base/file.h"
#include "common/base/progress.h"
#include "common/base/random.h"
#include "common/base/smooth_clock.h"
#include "common/base/status.h"
#include "common/identity/identity.h"
#include "site_agent/agent.h"
#include "site_agent/agent_loop.h"
#include "site_agent/grpc_channel.h"
#include "site_agent/site_state.h"
#include "tests/chaos/chaos_learning.h"

namespace consilium::chaos {
namespace {

using site_agent::DataOffer;

struct Options {
  fs::path state, trainings;
  std::uint64_t parameters = 0, examples = 0;
  int training_ms = 0;
};

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
  explicit NoImages(std::uint64_t examples) : examples_(examples) {}
  absl::StatusOr<DataOffer> Count(const plan::Plan&) override {
    return DataOffer{
        .train = {.patients = examples_, .examples = examples_, .positives = examples_ / 2}};
  }
  absl::StatusOr<metrics::Description> Describe(const plan::Plan&, Progress&) override {
    return metrics::Description();
  }
  absl::StatusOr<std::shared_ptr<const datasets::Dataset>> Open(const plan::Plan&, datasets::Split,
                                                                Progress&) override {
    return std::make_shared<OneBlackPixel>();
  }

 private:
  const std::uint64_t examples_;
};

class ChaosLearner final : public site_agent::Learner {
 public:
  ChaosLearner(const Options& options, std::string site, site_agent::SiteState& state)
      : options_(options), site_(std::move(site)), state_(state) {
    trainings_ = open(options_.trainings.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (trainings_ < 0) std::perror("--trainings");
  }
  ~ChaosLearner() override { close(trainings_); }

  absl::StatusOr<ModelState> InitialModel(const plan::Plan&) override {
    return FirstModel(options_.parameters);
  }

  absl::StatusOr<learning::TrainResult> Train(const ModelState& base, const datasets::Dataset&,
                                              const learning::TrainTask& task,
                                              Progress& progress) override {
    Note(StrCat("began ", task.seed, " ", FinishedBefore(task.seed), "\n"));
    for (int waited = 0; waited < options_.training_ms && !progress.Cancelled(); ++waited) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (progress.Cancelled()) return absl::CancelledError("training was stopped");
    ASSIGN_OR_RETURN(ModelState trained,
                     ModelState::Create(base.layout(), Trained(base.values(), task.seed)));
    Note(StrCat("ended ", task.seed, "\n"));
    return learning::TrainResult{.trained = std::move(trained),
                                 .first_epoch_loss = 1,
                                 .last_epoch_loss = 0.5,
                                 .examples = options_.examples,
                                 .patients = options_.examples};
  }

  absl::StatusOr<metrics::TaskSums> Evaluate(const ModelState& model, const plan::Plan&,
                                             const datasets::Dataset&, Progress&) override {
    return Evaluated(model.values());
  }

 private:
  // A kill cannot tear it: it is one write(2).
  void Note(const std::string& line) const {
    if (write(trainings_, line.data(), line.size()) < 0) std::perror("--trainings");
  }

  // What the site remembers of a finished training with this seed.
  std::string FinishedBefore(std::uint64_t seed) const {
    const auto tasks = state_.Tasks();
    if (!tasks.ok()) return "unreadable";
    for (const site_agent::TaskRecord& task : *tasks) {
      if (SeededRandom(task.seed, StrCat("site ", site_))() != seed) continue;
      const auto kept = state_.FindTrained(task.header.key.run, task.header.key.round,
                                           task.header.base_model, task.seed);
      if (!kept.ok()) return "unreadable";
      if (*kept) return "trained";
      // Cut off, or over before there was anything to keep.
      if (task.state == site_agent::TaskState::kTraining ||
          task.state == site_agent::TaskState::kFailed ||
          task.state == site_agent::TaskState::kNotCounted) {
        continue;
      }
      std::string name(Name(task.state));
      std::replace(name.begin(), name.end(), ' ', '-');
      return name;
    }
    return "-";
  }

  const Options& options_;
  const std::string site_;
  site_agent::SiteState& state_;
  int trainings_ = -1;
};

absl::Status Work(const Options& options) {
  ASSIGN_OR_RETURN(const identity::Identity identity, identity::LoadIdentity(options.state));
  ASSIGN_OR_RETURN(identity::PinnedRoster roster,
                   identity::PinnedRoster::Load(options.state, identity.root));
  ASSIGN_OR_RETURN(const auto state,
                   site_agent::SiteState::Open(options.state, site_agent::SiteState::Access::kOwn));
  std::stop_source stop;
  const std::jthread watcher([&stop](std::stop_token done) {
    pollfd interrupt{InterruptDescriptor(), POLLIN, 0};
    while (!done.stop_requested() && poll(&interrupt, 1, /*timeout_ms=*/200) == 0) {
    }
    stop.request_stop();
  });
  site_agent::GrpcChannel channel(identity);
  ChaosLearner learner(options, identity.name, *state);
  NoImages data(options.examples);
  const SystemClock system;
  const SteadyClock steady;
  const SmoothClock clock(system, steady);
  site_agent::AgentOptions agent_options;
  // So that more kills fit into an hour; consilium-site waits up to 30 s.
  agent_options.first_wait = FromSeconds(0.02);
  agent_options.longest_wait = FromSeconds(0.5);
  SystemRandom().Fill({reinterpret_cast<std::uint8_t*>(&agent_options.backoff_seed),
                       sizeof agent_options.backoff_seed});
  SystemRandom random;
  site_agent::Agent agent(identity, std::move(roster), channel, *state, learner, data, clock,
                          random, agent_options);
  return site_agent::RunAgent(agent, channel, clock, agent_options, stop.get_token());
}

int Main(int argc, char** argv) {
  CLI::App app("consilium-chaos-site: a site's agent for tests/chaos", "consilium-chaos-site");
  app.require_subcommand(1);
  Options options;
  CLI::App* run = app.add_subcommand("run", "Work for the federation until interrupted");
  run->add_option("--state", options.state, "Folder of an enrolled site")->required();
  run->add_option("--trainings", options.trainings, "File for what was trained")->required();
  run->add_option("--parameters", options.parameters, "Of the model")->required();
  run->add_option("--examples", options.examples, "That the site says it has")->required();
  run->add_option("--training-ms", options.training_ms, "That a training takes")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  CatchInterrupts();
  return ReportAndExitCode(Work(options));
}

}  // namespace
}  // namespace consilium::chaos

int main(int argc, char** argv) { return consilium::chaos::Main(argc, argv); }
