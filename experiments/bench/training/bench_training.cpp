// Images (or rows of a table) a second that training reaches, as one number on standard output: the
// median over the timed steps, or, with --whole, of whole epochs through Train with data loading
// and augmentation. experiments/bench/training/run compares it with the same networks in Python.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "common/base/status.h"
#include "site_agent/learning/step_benchmark.h"
#include "site_agent/learning/trainer.h"

namespace consilium {
namespace {

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

absl::StatusOr<double> StepThroughput(const plan::Plan& plan, int warm_up, int steps) {
  ASSIGN_OR_RETURN(std::vector<double> seconds, learning::TimeTrainingSteps(plan, warm_up, steps));
  return plan.training.batch_size / Median(std::move(seconds));
}

// From the time between progress reports, which come one a step, so that the median leaves out what
// starts and ends training, as the step benchmark does.
class StepClock final : public Progress {
 public:
  void Report(std::string_view, std::uint64_t, std::uint64_t, std::string_view) override {
    times_.push_back(std::chrono::steady_clock::now());
  }
  std::vector<double> StepSeconds(std::size_t warm_up) const {
    std::vector<double> seconds;
    for (std::size_t i = std::max<std::size_t>(1, warm_up); i < times_.size(); ++i) {
      seconds.push_back(std::chrono::duration<double>(times_[i] - times_[i - 1]).count());
    }
    return seconds;
  }

 private:
  std::vector<std::chrono::steady_clock::time_point> times_;
};

absl::StatusOr<double> WholeThroughput(const plan::Plan& plan, int warm_up, int steps) {
  const std::size_t examples = static_cast<std::size_t>(warm_up + steps) * plan.training.batch_size;
  const auto data = learning::NoiseData(plan, examples);
  ASSIGN_OR_RETURN(const ModelState base, learning::InitialModel(plan));
  StepClock clock;
  RETURN_IF_ERROR(learning::Train(base, *data, {.plan = plan}, clock).status());
  return plan.training.batch_size / Median(clock.StepSeconds(static_cast<std::size_t>(warm_up)));
}

constexpr plan::Architecture kArchitectures[] = {
    plan::Architecture::kSmallCnn,    plan::Architecture::kResNet18,
    plan::Architecture::kResNet34,    plan::Architecture::kResNet50,
    plan::Architecture::kDenseNet121, plan::Architecture::kEfficientNetB0,
    plan::Architecture::kUnet,        plan::Architecture::kUnet3d,
    plan::Architecture::kFcos,        plan::Architecture::kSpectrogramCnn,
    plan::Architecture::kLogistic,    plan::Architecture::kMlp};

// The plan's network, with the data it is for: a U-Net outlines two structures (the one of volumes
// in cubes), the detector finds one kind, a spectrogram is a plan's default, a table has 32 numbers.
void Choose(std::string_view name, plan::Plan& plan) {
  using plan::Architecture;
  for (const Architecture one : kArchitectures) {
    if (plan::Name(one) == name) plan.model.architecture = one;
  }
  switch (plan.model.architecture) {
    case Architecture::kUnet3d:
      plan.preprocessing.slices = plan.preprocessing.image_size;
      [[fallthrough]];
    case Architecture::kUnet:
      plan.target.task = Task::kSegmentation;
      plan.target.classes = {"core", "rim"};
      break;
    case Architecture::kFcos:
      plan.target.task = Task::kDetection;
      plan.target.classes = {"nodule"};
      break;
    case Architecture::kSpectrogramCnn:
      plan.data.source = plan::Source::kAudio;
      break;
    case Architecture::kLogistic:
    case Architecture::kMlp:
      plan.data.source = plan::Source::kTable;
      plan.table.columns.assign(32, {});
      break;
    default:
      break;
  }
}

int Main(int argc, char** argv) {
  plan::Plan plan;
  plan.training.learning_rate = 0.01;
  std::string architecture = "resnet18", norm = "batch", optimizer = "sgd";
  int threads = 0, steps = 20, warm_up = 3;
  bool whole = false, untuned = false;
  CLI::App app("Measures the throughput of a training step.");
  std::vector<std::string> architectures;
  for (const plan::Architecture one : kArchitectures) architectures.emplace_back(plan::Name(one));
  app.add_option("--architecture", architecture)->check(CLI::IsMember(architectures));
  app.add_option("--norm", norm)->check(CLI::IsMember({"group", "batch"}));
  app.add_option("--optimizer", optimizer)->check(CLI::IsMember({"sgd", "adamw"}));
  app.add_option("--batch", plan.training.batch_size)->check(CLI::Range(2, 4096));
  app.add_option("--size", plan.preprocessing.image_size, "pixels of a side")
      ->check(CLI::Range(32, 1024));
  app.add_option("--steps", steps)->check(CLI::Range(1, 100000));
  app.add_option("--warm-up", warm_up)->check(CLI::Range(0, 1000));
  app.add_option("--threads", threads, "0: every core")->check(CLI::Range(0, 1024));
  app.add_flag("--whole", whole, "time Train itself, with data loading and augmentation");
  app.add_flag("--untuned", untuned, "leave out ConfigureRuntime, to see what it brings");
  CLI11_PARSE(app, argc, argv);
  Choose(architecture, plan);
  if (norm == "batch") plan.model.norm = plan::Norm::kBatch;
  if (optimizer == "sgd") plan.training.optimizer = plan::Optimizer::kSgd;

  if (!untuned) learning::ConfigureRuntime(threads);
  const absl::StatusOr<double> images_a_second =
      whole ? WholeThroughput(plan, warm_up, steps) : StepThroughput(plan, warm_up, steps);
  if (!images_a_second.ok()) return ReportAndExitCode(images_a_second.status());
  std::printf("%.2f\n", *images_a_second);
  return 0;
}

}  // namespace
}  // namespace consilium

int main(int argc, char** argv) { return consilium::Main(argc, argv); }
