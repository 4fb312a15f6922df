// Images (or rows of a table) a second that training reaches, as one number on standard output: the
// median over the timed steps, or, with --whole, of whole epochs through Train with data loading
// and augmentation. experiments/bench/training/run compares it with the same networks in Python.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "common/base/random.h"
#include "common/base/status.h"
#include "datasets/dataset.h"
#include "site_agent/learning/step_benchmark.h"
#include "site_agent/learning/trainer.h"

namespace consilium {
namespace {

// Noise in memory, as a site's pixel cache is once it has been read, or its table.
class NoiseDataset final : public datasets::Dataset {
 public:
  NoiseDataset(std::size_t count, const plan::Plan& plan)
      : shape_{.height = plan.preprocessing.image_size, .width = plan.preprocessing.image_size},
        masks_(plan.target.task == Task::kSegmentation),
        count_(count) {
    if (plan.data.source == plan::Source::kTable) {
      shape_ = {.channels = 0, .columns = plan.table.Inputs()};
    }
    pixels_.resize(count * shape_.Elements());
    SeededRandom random(1, "benchmark data");
    for (float& pixel : pixels_) pixel = static_cast<float>(random.Normal());
  }
  std::size_t size() const override { return count_; }
  std::uint32_t image_size() const override { return shape_.width; }
  datasets::InputShape input_shape() const override { return shape_; }
  std::size_t target_elements() const override { return masks_ ? shape_.ImageElements() : 1; }
  void GetTarget(std::size_t index, std::span<float> out) const override {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>((index + i) % 2);
  }
  Label Get(std::size_t index, std::span<float> out) const override {
    std::copy_n(pixels_.begin() + static_cast<std::ptrdiff_t>(index * out.size()), out.size(),
                out.begin());
    return GetLabel(index);
  }
  Label GetLabel(std::size_t index) const override {
    return {.target = static_cast<int>(index % 2), .patient = index};
  }

 private:
  datasets::InputShape shape_;
  bool masks_;
  std::size_t count_;
  std::vector<float> pixels_;
};

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
  const NoiseDataset data(examples, plan);
  ASSIGN_OR_RETURN(const ModelState base, learning::InitialModel(plan));
  StepClock clock;
  RETURN_IF_ERROR(learning::Train(base, data, {.plan = plan}, clock).status());
  return plan.training.batch_size / Median(clock.StepSeconds(static_cast<std::size_t>(warm_up)));
}

constexpr plan::Architecture kArchitectures[] = {
    plan::Architecture::kSmallCnn,    plan::Architecture::kResNet18,
    plan::Architecture::kResNet34,    plan::Architecture::kResNet50,
    plan::Architecture::kDenseNet121, plan::Architecture::kEfficientNetB0,
    plan::Architecture::kUnet,        plan::Architecture::kLogistic,
    plan::Architecture::kMlp};

// The plan's network, with the data it is for: a U-Net outlines two structures, a table has 32
// numbers.
void Choose(std::string_view architecture, plan::Plan& plan) {
  for (const plan::Architecture one : kArchitectures) {
    if (plan::Name(one) == architecture) plan.model.architecture = one;
  }
  if (plan.model.architecture == plan::Architecture::kUnet) {
    plan.target.task = Task::kSegmentation;
    plan.target.classes = {"core", "rim"};
  }
  if (plan.model.architecture == plan::Architecture::kLogistic ||
      plan.model.architecture == plan::Architecture::kMlp) {
    plan.data.source = plan::Source::kTable;
    plan.table.columns.assign(32, {});
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
