#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <map>

#include "common/base/status.h"
#include "site_agent/learning/checks.h"
#include "site_agent/learning/tasks/boxes.h"
#include "site_agent/learning/tasks/tasks.h"

namespace consilium::learning {
namespace {

constexpr double kFocalAlpha = 0.25, kFocalGamma = 2;  // Lin et al. 2017
// Of a distance in strides: e^5 strides are more than any image's.
constexpr double kMostLogDistance = 5;
constexpr double kSmallest = 1e-7;  // of what is divided by

at::Tensor Matrix(std::vector<float>& values, std::int64_t columns) {
  return at::from_blob(values.data(), {static_cast<std::int64_t>(values.size()) / columns, columns})
      .clone();
}

// Parts of rows of an output, or of some of them.
struct Answers {
  Answers(const at::Tensor& rows, std::int64_t kinds)
      : kind_logits(rows.narrow(-1, 0, kinds)),
        log_distances(rows.narrow(-1, kinds, 4)),
        centre_logit(rows.narrow(-1, kinds + 4, 1)) {}
  at::Tensor kind_logits, log_distances, centre_logit;
};

// Left, top, right, bottom in pixels; `places`: x, y, stride.
at::Tensor BoxesAt(const at::Tensor& places, const at::Tensor& log_distances) {
  const at::Tensor distances =
      log_distances.clamp_max(kMostLogDistance).exp().mul(places.narrow(-1, 2, 1));
  const at::Tensor centres = places.narrow(-1, 0, 2);
  return at::cat({centres.sub(distances.narrow(-1, 0, 2)), centres.add(distances.narrow(-1, 2, 2))},
                 -1);
}

at::Tensor AreaOf(const at::Tensor& boxes) {
  const at::Tensor sides = boxes.narrow(-1, 2, 2).sub(boxes.narrow(-1, 0, 2)).clamp_min(0);
  return sides.select(-1, 0).mul(sides.select(-1, 1));
}

// Lin et al. 2017, the sum.
at::Tensor FocalLoss(const at::Tensor& logits, const at::Tensor& truth) {
  const at::Tensor cross_entropy = at::binary_cross_entropy_with_logits(
      logits, truth, {}, {}, static_cast<std::int64_t>(at::Reduction::None));
  const at::Tensor p = at::sigmoid(logits);
  const at::Tensor off = truth.mul(p.neg().add(1)).add(truth.neg().add(1).mul(p));  // 1 - p_t
  const at::Tensor weight = truth.mul(2 * kFocalAlpha - 1).add(1 - kFocalAlpha);
  return weight.mul(off.pow(kFocalGamma)).mul(cross_entropy).sum();
}

// 1 - generalised intersection over union (Rezatofighi et al. 2019), the sum.
at::Tensor BoxLoss(const at::Tensor& boxes, const at::Tensor& truth) {
  const auto joined = [&](const at::Tensor& low, const at::Tensor& high) {
    return AreaOf(at::cat({low, high}, -1));
  };
  const at::Tensor low = boxes.narrow(-1, 0, 2), high = boxes.narrow(-1, 2, 2);
  const at::Tensor true_low = truth.narrow(-1, 0, 2), true_high = truth.narrow(-1, 2, 2);
  const at::Tensor both = joined(at::maximum(low, true_low), at::minimum(high, true_high));
  const at::Tensor either = AreaOf(boxes).add(AreaOf(truth)).sub(both);
  const at::Tensor around = joined(at::minimum(low, true_low), at::maximum(high, true_high));
  const at::Tensor overlap = both.div(either.add(kSmallest));
  const at::Tensor gap = around.sub(either).div(around.add(kSmallest));
  return overlap.sub(gap).neg().add(1).sum();
}

class DetectionEvaluation final : public TaskEvaluation {
 public:
  DetectionEvaluation(const datasets::Dataset& data, const LearningTask& task,
                      const plan::Target& target)
      : data_(data),
        shape_(data.input_shape()),
        task_(task),
        kinds_(target.Shape().classes),
        whole_(target.whole) {}

  absl::Status Add(const at::Tensor& output, std::span<const float> targets, std::size_t first,
                   std::size_t count) override {
    RETURN_IF_ERROR(Numbers(output).status());
    RETURN_IF_ERROR(CheckMask(targets, kinds_));
    ASSIGN_OR_RETURN(const std::vector<float> answers, Numbers(task_.Predict(output)));
    const std::size_t pixels = targets.size() / count, values = answers.size() / count;
    for (std::size_t i = 0; i < count; ++i) {
      patients_[data_.GetLabel(first + i).patient].push_back(
          {.findings = FindingsIn(targets.subspan(i * pixels, pixels), shape_.height, shape_.width,
                                  kinds_, whole_),
           .boxes = BoxesOf(std::span(answers).subspan(i * values, values), kinds_)});
    }
    return absl::OkStatus();
  }

  metrics::TaskSums Finish() override {
    metrics::DetectionSums sums(kinds_);
    for (const auto& [number, images] : patients_) sums.Add(number, images);
    return sums;
  }

 private:
  const datasets::Dataset& data_;
  const datasets::InputShape shape_;
  const LearningTask& task_;
  const std::uint32_t kinds_;
  const bool whole_;
  // Boxes only, at most kMostBoxes an image, never a mask.
  std::map<std::uint64_t, std::vector<metrics::ImageFindings>> patients_;
};

class DetectionTask final : public LearningTask {
 public:
  explicit DetectionTask(const plan::Plan& plan)
      : plan_(plan),
        shape_(InputOf(plan)),
        kinds_(plan.target.Shape().classes),
        places_(PlacesOf(shape_.height, shape_.width)) {
    std::vector<float> values;
    for (const Place& place : places_) {
      values.insert(values.end(), {place.x, place.y, place.stride});
    }
    place_tensor_ = Matrix(values, 3);
  }

  absl::StatusOr<Population> Survey(const datasets::Dataset& data) const override {
    ASSIGN_OR_RETURN(const Population population, CountExamples(data, plan_));
    std::vector<float> mask(data.target_elements());
    bool any = false;
    for (std::size_t i = 0; i < data.size(); ++i) {
      data.GetTarget(i, mask);
      RETURN_IF_ERROR(WithContext(CheckMask(mask, kinds_), "a training example"));
      any = any || !Findings(mask).empty();
    }
    if (plan_.training.class_weighting && !any) {
      return absl::InvalidArgumentError(
          StrCat("none of the ", population.examples,
                 " training examples has a finding in its mask (a part of ", kFewestPixels,
                 " pixels or more)", kOneClassAdvice));
    }
    return population;
  }

  at::Tensor Loss(const at::Tensor& output, const at::Tensor& targets,
                  const Population&) const override {
    const at::Tensor rows = output.to(at::kFloat).reshape({-1, kinds_ + 5});
    const Lesson lesson = LessonOf(targets);
    const auto on_device = [&](const at::Tensor& tensor) { return tensor.to(rows.device()); };
    const at::Tensor all = FocalLoss(rows.narrow(1, 0, kinds_), on_device(lesson.kinds));
    const Answers answers(rows.index_select(0, on_device(lesson.taught)), kinds_);
    const at::Tensor boxes = BoxesAt(on_device(lesson.places), answers.log_distances);
    const at::Tensor centres =
        at::binary_cross_entropy_with_logits(answers.centre_logit, on_device(lesson.centreness), {},
                                             {}, static_cast<std::int64_t>(at::Reduction::Sum));
    const auto taught = static_cast<double>(std::max<std::int64_t>(1, lesson.taught.size(0)));
    return all.add(BoxLoss(boxes, on_device(lesson.boxes))).add(centres).div(taught);
  }

  at::Tensor Predict(const at::Tensor& output) const override {
    const Answers answers(output.to(at::kFloat), kinds_);
    const at::Tensor scores =
        at::sigmoid(answers.kind_logits).mul(at::sigmoid(answers.centre_logit)).sqrt();
    const at::Tensor boxes = BoxesAt(place_tensor_.to(output.device()), answers.log_distances);
    const at::Tensor x = at::stack({boxes.select(-1, 0), boxes.select(-1, 2)}, -1);
    const at::Tensor y = at::stack({boxes.select(-1, 1), boxes.select(-1, 3)}, -1);
    const at::Tensor in_x = x.clamp(0, std::int64_t{shape_.width});
    const at::Tensor in_y = y.clamp(0, std::int64_t{shape_.height});
    return at::cat({scores, at::stack({in_x, in_y}, -1).flatten(-2)}, -1);
  }

  std::unique_ptr<TaskEvaluation> Evaluate(const datasets::Dataset& data) const override {
    return std::make_unique<DetectionEvaluation>(data, *this, plan_.target);
  }

 private:
  // What a batch teaches: of all places of all images the kinds (0 or 1), and of those that are in
  // a finding which they are, where they lie, and its box and centre-ness.
  struct Lesson {
    at::Tensor kinds, taught, places, boxes, centreness;
  };

  std::vector<metrics::Finding> Findings(std::span<const float> mask) const {
    return FindingsIn(mask, shape_.height, shape_.width, kinds_, plan_.target.whole);
  }

  Lesson LessonOf(const at::Tensor& targets) const {
    const at::Tensor masks = targets.to(at::kCPU).contiguous();
    const auto count = static_cast<std::size_t>(masks.size(0));
    const std::size_t pixels = std::size_t{shape_.height} * shape_.width;
    const std::span<const float> all(masks.data_ptr<float>(), count * pixels);
    std::vector<float> kinds(count * places_.size() * kinds_), places, boxes, centreness;
    std::vector<std::int64_t> taught;
    for (std::size_t i = 0; i < count; ++i) {
      const auto lesson = Assign(places_, Findings(all.subspan(i * pixels, pixels)));
      for (std::size_t p = 0; p < lesson.size(); ++p) {
        const PlaceTarget& target = lesson[p];
        if (target.kind < 0) continue;
        const std::size_t row = i * places_.size() + p;
        kinds[row * kinds_ + static_cast<std::size_t>(target.kind)] = 1;
        taught.push_back(static_cast<std::int64_t>(row));
        places.insert(places.end(), {places_[p].x, places_[p].y, places_[p].stride});
        boxes.insert(boxes.end(),
                     {target.box.left, target.box.top, target.box.right, target.box.bottom});
        centreness.push_back(target.centreness);
      }
    }
    const auto rows = static_cast<std::int64_t>(taught.size());
    return {.kinds = Matrix(kinds, kinds_),
            .taught = at::from_blob(taught.data(), {rows}, at::kLong).clone(),
            .places = Matrix(places, 3),
            .boxes = Matrix(boxes, 4),
            .centreness = Matrix(centreness, 1)};
  }

  const plan::Plan plan_;
  const datasets::InputShape shape_;
  const std::int64_t kinds_;
  const std::vector<Place> places_;
  at::Tensor place_tensor_;  // places x (x, y, stride)
};

}  // namespace

std::unique_ptr<LearningTask> MakeDetectionTask(const plan::Plan& plan) {
  return std::make_unique<DetectionTask>(plan);
}

}  // namespace consilium::learning
