#include "datasets/explain/explanation.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "datasets/pipeline/pipeline.h"
#include "datasets/worker/message.h"

namespace consilium::datasets::explain {
namespace {

constexpr std::uint32_t kMostSteps = 16;

// The mean of the stage's pixels under a pixel of the picture.
float Mean(const pipeline::Stage& stage, std::uint32_t channel, std::uint32_t top,
           std::uint32_t bottom, std::uint32_t left, std::uint32_t right) {
  double sum = 0;
  const float* const pixels =
      stage.pixels.data() + std::size_t{channel} * stage.rows * stage.columns;
  for (std::uint32_t row = top; row < bottom; ++row) {
    for (std::uint32_t column = left; column < right; ++column) {
      sum += pixels[std::size_t{row} * stage.columns + column];
    }
  }
  return static_cast<float>(sum / (std::size_t{bottom - top} * (right - left)));
}

void Shrink(const pipeline::Stage& stage, Step* step) {
  const std::uint32_t longer = std::max(stage.rows, stage.columns);
  const double ratio = std::max(1.0, static_cast<double>(longer) / kLargestPicture);
  const auto shrunk = [&](std::uint32_t side) {
    return std::max(1u, static_cast<std::uint32_t>(side / ratio));
  };
  const auto edge = [&](std::uint32_t at, std::uint32_t side) {
    return std::min(side, static_cast<std::uint32_t>(at * ratio));
  };
  step->picture_rows = shrunk(stage.rows);
  step->picture_columns = shrunk(stage.columns);
  step->channels = stage.channels;
  for (std::uint32_t channel = 0; channel < stage.channels; ++channel) {
    for (std::uint32_t y = 0; y < step->picture_rows; ++y) {
      const std::uint32_t top = edge(y, stage.rows - 1);
      for (std::uint32_t x = 0; x < step->picture_columns; ++x) {
        const std::uint32_t left = edge(x, stage.columns - 1);
        step->picture.push_back(Mean(stage, channel, top,
                                     std::max(top + 1, edge(y + 1, stage.rows)), left,
                                     std::max(left + 1, edge(x + 1, stage.columns))));
      }
    }
  }
}

std::vector<float> Histogram(const std::vector<float>& values, float low, float high) {
  std::vector<float> shares(kHistogramBins, 0.0f);
  const double each = 1.0 / static_cast<double>(values.size());
  std::vector<std::size_t> counts(kHistogramBins, 0);
  for (const float value : values) {
    const float place = high > low ? std::clamp((value - low) / (high - low), 0.0f, 1.0f) : 0.0f;
    const auto bin = static_cast<std::size_t>(place * kHistogramBins);
    ++counts[std::min(bin, kHistogramBins - 1)];
  }
  for (std::size_t i = 0; i < kHistogramBins; ++i) {
    shares[i] = static_cast<float>(static_cast<double>(counts[i]) * each);
  }
  return shares;
}

class Recorder : public pipeline::StageObserver {
 public:
  explicit Recorder(std::vector<Step>* steps) : steps_(steps) {}
  void See(pipeline::Stage stage) override { steps_->push_back(StepOf(std::move(stage))); }

 private:
  std::vector<Step>* const steps_;
};

template <class Message, class S>
void StepFields(Message& message, S& step) {
  message.Text(step.name);
  message.Text(step.what);
  message.U32(step.rows);
  message.U32(step.columns);
  for (auto* number : {&step.least, &step.most, &step.mean, &step.low, &step.high}) {
    message.F64(*number);
  }
  message.Floats(step.histogram, kHistogramBins);
  message.U32(step.picture_rows);
  message.U32(step.picture_columns);
  message.U32(step.channels);
  message.Floats(step.picture, std::size_t{3} * kLargestPicture * kLargestPicture);
}

bool IsPrintable(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

bool IsSound(const Step& step) {
  const auto finite = [](double value) { return std::isfinite(value); };
  return finite(step.least) && finite(step.most) && finite(step.mean) && finite(step.low) &&
         finite(step.high) && step.histogram.size() == kHistogramBins && step.picture_rows >= 1 &&
         step.picture_rows <= kLargestPicture && step.picture_columns >= 1 &&
         step.picture_columns <= kLargestPicture && (step.channels == 1 || step.channels == 3) &&
         step.picture.size() ==
             std::size_t{step.channels} * step.picture_rows * step.picture_columns &&
         std::all_of(step.picture.begin(), step.picture.end(), finite) &&
         std::all_of(step.histogram.begin(), step.histogram.end(), finite) &&
         IsPrintable(step.name) && IsPrintable(step.what);
}

}  // namespace

Step StepOf(pipeline::Stage stage) {
  Step step;
  step.rows = stage.rows;
  step.columns = stage.columns;
  const auto [least, most] = std::minmax_element(stage.pixels.begin(), stage.pixels.end());
  step.least = *least;
  step.most = *most;
  step.mean = std::accumulate(stage.pixels.begin(), stage.pixels.end(), 0.0) /
              static_cast<double>(stage.pixels.size());
  step.low = stage.low;
  step.high = stage.high;
  step.histogram =
      Histogram(stage.pixels, std::min(stage.low, stage.high), std::max(stage.low, stage.high));
  Shrink(stage, &step);
  step.name = std::move(stage.name);
  step.what = std::move(stage.what);
  return step;
}

Explanation Explain(dicom::ImageFile& file, const plan::Preprocessing& preprocessing) {
  Explanation explanation;
  Recorder recorder(&explanation.steps);
  const auto input = pipeline::MakeInput(file, preprocessing, &recorder);
  if (!input.ok()) explanation.refused = input.refused();
  return explanation;
}

plan::Preset PresetFor(std::string_view modality) {
  using plan::Preset;
  static constexpr std::pair<std::string_view, Preset> kPresets[] = {
      {"CR", Preset::kRadiograph}, {"DX", Preset::kRadiograph}, {"MG", Preset::kMammography},
      {"CT", Preset::kCt},         {"MR", Preset::kMr},         {"US", Preset::kUltrasound},
      {"OP", Preset::kRetina},     {"PT", Preset::kPet},
  };
  for (const auto& [name, preset] : kPresets) {
    if (name == modality) return preset;
  }
  return Preset::kGeneric;
}

Bytes Encode(const Explanation& explanation) {
  worker::MessageWriter writer;
  const Refused refused = explanation.refused.value_or(Refused{});
  writer.U32(static_cast<std::uint32_t>(refused.reason));
  writer.Text(refused.detail);
  writer.U32(static_cast<std::uint32_t>(explanation.steps.size()));
  for (const Step& step : explanation.steps) StepFields(writer, step);
  return std::move(writer).Take();
}

std::optional<Explanation> Decode(ByteView message) {
  worker::MessageReader reader(message);
  Explanation explanation;
  std::uint32_t reason = 0, steps = 0;
  Refused refused;
  reader.U32(reason);
  reader.Text(refused.detail);
  reader.U32(steps);
  if (reader.failed() || steps > kMostSteps) return std::nullopt;
  if (reason != 0) {
    const auto known = RefusalNumbered(reason);
    if (!known || !IsPrintable(refused.detail)) return std::nullopt;
    refused.reason = *known;
    explanation.refused = std::move(refused);
  }
  explanation.steps.resize(steps);
  for (Step& step : explanation.steps) {
    StepFields(reader, step);
    if (reader.failed() || !IsSound(step)) return std::nullopt;
  }
  if (!reader.Done()) return std::nullopt;
  return explanation;
}

}  // namespace consilium::datasets::explain
