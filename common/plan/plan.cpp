#include "common/plan/plan.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <numbers>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/text.h"

namespace consilium::plan {
namespace {

constexpr HounsfieldWindow kHounsfieldWindows[] = {
    {"soft_tissue", -160, 240}, {"lung", -1000, 400}, {"bone", -450, 1050},
    {"brain", 0, 80},           {"liver", -45, 105},
};

// Not "none", "-" and "unknown", which may be categories.
constexpr std::array<std::string_view, 7> kMissing = {"na", "n/a", "#n/a", "nan", "null", "?", "."};

}  // namespace

std::vector<std::string> Target::Columns() const {
  switch (task) {
    case Task::kBinary:
    case Task::kMulticlass:
      return {name};
    case Task::kMultilabel:
      return classes;
    case Task::kSegmentation:
    case Task::kDetection:
      return {};
    case Task::kSurvival:
      return {time, event};
  }
  return {};
}

std::string Target::Title() const {
  if (task == Task::kMultilabel) return absl::StrJoin(classes, ", ");
  if (task == Task::kSurvival) return StrCat(event, " after ", time);
  return name;
}

std::string Comparable(std::string_view value) {
  double number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error == std::errc() && end == value.data() + value.size() && std::isfinite(number)) {
    return absl::StrFormat("%.17g", number == 0 ? 0.0 : number);  // -0 is 0
  }
  return absl::AsciiStrToLower(ForAbsl(value));
}

std::uint32_t Audio::Frames() const {
  return static_cast<std::uint32_t>(1 + std::floor((1000 * seconds - window_ms) / hop_ms));
}

std::vector<double> Audio::Edges() const {
  const auto mel = [](double hz) { return 2595 * std::log10(1 + hz / 700); };
  const double low = mel(low_hz), step = (mel(high_hz) - low) / (bands + 1);
  std::vector<double> edges;
  for (std::uint32_t i = 0; i < bands + 2; ++i) {
    edges.push_back(700 * (std::pow(10, (low + i * step) / 2595) - 1));
  }
  return edges;
}

double LearningRateAt(const Training& training, double done) {
  if (training.schedule == Schedule::kConstant) return training.learning_rate;
  return training.learning_rate * (1 + std::cos(std::numbers::pi * done)) / 2;
}

std::uint32_t Table::Numbers() const {
  return static_cast<std::uint32_t>(
      std::count_if(columns.begin(), columns.end(),
                    [](const Column& column) { return column.kind == ColumnKind::kNumber; }));
}

std::uint32_t Table::Inputs() const {
  const std::uint32_t numbers = Numbers();
  std::uint32_t inputs = missing_indicators ? 2 * numbers : numbers;
  for (const Column& column : columns) {
    if (column.kind == ColumnKind::kCategory) {
      inputs += static_cast<std::uint32_t>(column.values.size());
    }
  }
  return inputs;
}

bool IsMissing(std::string_view cell) {
  return cell.empty() || std::any_of(kMissing.begin(), kMissing.end(), [&](std::string_view word) {
           return absl::EqualsIgnoreCase(ForAbsl(cell), ForAbsl(word));
         });
}

std::span<const HounsfieldWindow> HounsfieldWindows() { return kHounsfieldWindows; }

std::string PixelSettings(const Preprocessing& p) {
  const auto bits = [](double value) { return std::bit_cast<std::uint64_t>(value); };
  const std::string flat =
      StrCat(p.image_size, " ", Name(p.frame), " ", Name(p.channel), " ", Name(p.units), " ",
             Name(p.crop), " ", p.face_left ? "left " : "", Name(p.intensity), " ", bits(p.low),
             " ", bits(p.high), " ", p.blank_padding ? "blank " : "", bits(p.spacing_mm));
  if (p.slices == 0) return flat;
  return StrCat(flat, " volume ", p.slices, " ", bits(p.slice_spacing_mm));
}

Preprocessing DefaultsOf(Preset preset, std::uint32_t image_size) {
  Preprocessing p;
  p.preset = preset;
  p.image_size = image_size;
  p.blank_padding = preset != Preset::kGeneric;
  const auto fixed = [&p](double low, double high) {
    p.intensity = Intensity::kFixed;
    p.low = low;
    p.high = high;
    p.standardize = false;  // the units mean the same in every image
  };
  switch (preset) {
    case Preset::kGeneric:
    case Preset::kRadiograph:
    case Preset::kMr:
      break;
    case Preset::kMammography:
      p.crop = Crop::kForeground;
      p.face_left = true;
      p.intensity = Intensity::kWindow;
      break;
    case Preset::kCt:
      fixed(kHounsfieldWindows[0].low, kHounsfieldWindows[0].high);
      break;
    case Preset::kUltrasound:
      p.frame = FrameChoice::kMiddle;
      p.crop = Crop::kScanRegion;
      p.intensity = Intensity::kRange;
      break;
    case Preset::kRetina:
      p.channel = Channel::kGreen;
      p.crop = Crop::kDisc;
      break;
    case Preset::kPet:
      p.units = Units::kSuv;
      fixed(0, 10);
      break;
  }
  return p;
}

}  // namespace consilium::plan
