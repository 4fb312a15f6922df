#include <ATen/ops/argmax.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "common/base/status.h"
#include "site_agent/learning/tasks/tasks.h"

namespace consilium::learning {
namespace {

constexpr double kDiceSmoothing = 1;  // pixels

// What one structure's pixels came to in the images of one patient.
struct Found {
  std::uint64_t intersection = 0, predicted = 0, truth = 0;
  double hd95_mm = 0;
  std::uint64_t with_distance = 0;  // images
};

struct PatientImages {
  explicit PatientImages(std::uint32_t structures) : found(structures) {}
  std::vector<Found> found;
  std::uint64_t images = 0;
  // Images may differ in spacing: a patient's pixel is the mean of those that anything was in.
  double weighted_ml = 0, any_ml = 0;
  std::uint64_t weight = 0;
  bool spacing_known = true;

  double VoxelMl() const {
    if (!spacing_known) return 0;
    return weight == 0 ? any_ml : weighted_ml / static_cast<double>(weight);
  }
};

class SegmentationEvaluation final : public TaskEvaluation {
 public:
  SegmentationEvaluation(const datasets::Dataset& data, std::uint32_t structures)
      : data_(data), shape_(data.input_shape()), structures_(structures) {}

  absl::Status Add(const at::Tensor& output, std::span<const float> targets, std::size_t first,
                   std::size_t count) override {
    if (!at::isfinite(output).all().item<bool>()) {
      return absl::InvalidArgumentError(
          "the model gives a score that is not a number: its weights are out of range");
    }
    RETURN_IF_ERROR(CheckMask(targets, structures_));
    const at::Tensor predicted = output.argmax(1).to(at::kCPU).contiguous();
    const std::size_t pixels = targets.size() / count;
    CONSILIUM_CHECK(static_cast<std::size_t>(predicted.numel()) == targets.size());
    const auto* const classes = predicted.data_ptr<std::int64_t>();
    for (std::size_t i = 0; i < count; ++i) {
      AddImage(std::span(classes + i * pixels, pixels), targets.subspan(i * pixels, pixels),
               first + i);
    }
    return absl::OkStatus();
  }

  metrics::TaskSums Finish() override {
    metrics::SegmentationSums sums(structures_);
    for (const auto& [number, patient] : patients_) {
      std::vector<metrics::PatientOverlap> overlaps;
      for (const Found& found : patient.found) {
        metrics::PatientOverlap overlap{.intersection = found.intersection,
                                        .predicted = found.predicted,
                                        .truth = found.truth,
                                        .voxel_ml = patient.VoxelMl()};
        if (found.with_distance > 0) {
          overlap.hd95_mm = found.hd95_mm / static_cast<double>(found.with_distance);
        }
        overlaps.push_back(overlap);
      }
      sums.Add(overlaps, patient.images);
    }
    return sums;
  }

 private:
  void AddImage(std::span<const std::int64_t> predicted, std::span<const float> truth,
                std::size_t index) {
    PatientImages& patient =
        patients_.try_emplace(data_.GetLabel(index).patient, structures_).first->second;
    ++patient.images;
    const double spacing = data_.spacing_mm(index);
    // A flat image counts as one millimetre thick.
    const double slice_spacing = shape_.depth > 1 ? data_.slice_spacing_mm(index) : 1;
    const bool spacing_known = spacing > 0 && slice_spacing > 0;
    std::uint64_t marked = 0;
    for (std::uint32_t s = 0; s < structures_; ++s) {
      Found& found = patient.found[s];
      std::vector<std::uint8_t> a(predicted.size()), b(truth.size());
      std::uint64_t in_both = 0, in_a = 0, in_b = 0;
      for (std::size_t i = 0; i < a.size(); ++i) {
        a[i] = predicted[i] == s + 1;
        b[i] = truth[i] == static_cast<float>(s + 1);
        in_both += a[i] & b[i];
        in_a += a[i];
        in_b += b[i];
      }
      found.intersection += in_both;
      found.predicted += in_a;
      found.truth += in_b;
      marked += in_a + in_b;
      if (in_a > 0 && in_b > 0 && spacing_known) {
        AddDistance(a, b, spacing, slice_spacing, &found);
      }
    }
    const double voxel_ml = spacing * spacing * slice_spacing / 1000;
    patient.spacing_known = patient.spacing_known && spacing_known;
    patient.any_ml = voxel_ml;
    patient.weighted_ml += voxel_ml * static_cast<double>(marked);
    patient.weight += marked;
  }

  void AddDistance(std::span<const std::uint8_t> predicted, std::span<const std::uint8_t> truth,
                   double spacing, double slice_spacing, Found* found) const {
    const auto distance = metrics::Hd95(predicted, truth, shape_.depth, shape_.height, shape_.width,
                                        spacing, slice_spacing);
    if (!distance) return;
    found->hd95_mm += *distance;
    ++found->with_distance;
  }

  const datasets::Dataset& data_;
  const datasets::InputShape shape_;
  const std::uint32_t structures_;
  std::map<std::uint64_t, PatientImages> patients_;  // counts only, never a mask
};

class SegmentationTask final : public LearningTask {
 public:
  explicit SegmentationTask(const plan::Plan& plan)
      : plan_(plan), structures_(plan.target.Shape().classes) {}

  absl::StatusOr<Population> Survey(const datasets::Dataset& data) const override {
    ASSIGN_OR_RETURN(const Population population, CountExamples(data, plan_));
    std::vector<float> mask(data.target_elements());
    bool any = false;
    for (std::size_t i = 0; i < data.size(); ++i) {
      data.GetTarget(i, mask);
      RETURN_IF_ERROR(WithContext(CheckMask(mask, structures_), "a training example"));
      any = any || std::any_of(mask.begin(), mask.end(), [](float v) { return v > 0; });
    }
    if (plan_.training.class_weighting && !any) {
      return absl::InvalidArgumentError(
          StrCat("none of the ", population.examples,
                 " training examples has a structure in its mask; training needs the background "
                 "and one structure or more",
                 kOneClassAdvice));
    }
    return population;
  }

  at::Tensor Loss(const at::Tensor& output, const at::Tensor& targets,
                  const Population&) const override {
    const at::Tensor log_probabilities = at::log_softmax(output, 1);
    std::vector<std::int64_t> one_channel = output.sizes().vec();
    one_channel[1] = 1;
    const at::Tensor truth = at::zeros_like(log_probabilities.detach())
                                 .scatter_(1, targets.reshape(one_channel).to(at::kLong), 1);
    const at::Tensor cross_entropy = log_probabilities.mul(truth).sum(1).mean().neg();

    std::vector<std::int64_t> all_but_channels(static_cast<std::size_t>(output.dim()) - 1);
    std::iota(all_but_channels.begin(), all_but_channels.end(), std::int64_t{1});
    all_but_channels[0] = 0;
    const at::Tensor p = log_probabilities.exp().narrow(1, 1, structures_);
    const at::Tensor g = truth.narrow(1, 1, structures_);
    const at::Tensor overlap = p.mul(g).sum(all_but_channels);
    const at::Tensor total = p.sum(all_but_channels).add(g.sum(all_but_channels));
    const at::Tensor dice = overlap.mul(2).add(kDiceSmoothing).div(total.add(kDiceSmoothing));
    return cross_entropy.add(1).sub(dice.mean());
  }

  at::Tensor Predict(const at::Tensor& output) const override { return at::softmax(output, 1); }

  std::unique_ptr<TaskEvaluation> Evaluate(const datasets::Dataset& data) const override {
    return std::make_unique<SegmentationEvaluation>(data, structures_);
  }

 private:
  const plan::Plan plan_;
  const std::uint32_t structures_;
};

}  // namespace

std::unique_ptr<LearningTask> MakeSegmentationTask(const plan::Plan& plan) {
  return std::make_unique<SegmentationTask>(plan);
}

}  // namespace consilium::learning
