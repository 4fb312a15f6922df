#include "datasets/requirements.h"

#include <algorithm>
#include <cmath>

#include "common/base/text.h"

namespace consilium::datasets {
namespace {

bool IsWanted(const std::vector<std::string>& wanted, const std::string& value) {
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), value) != wanted.end();
}

bool AgeFits(const std::optional<double>& age, const plan::Data& data) {
  if (!data.minimum_age && !data.maximum_age) return true;
  if (!age) return false;
  const auto years = static_cast<std::uint32_t>(WholeYears(*age));
  return (!data.minimum_age || years >= *data.minimum_age) &&
         (!data.maximum_age || years <= *data.maximum_age);
}

}  // namespace

int WholeYears(double age) {
  constexpr double kOldest = 90;
  return static_cast<int>(std::floor(std::clamp(age, 0.0, kOldest)));
}

std::optional<Refused> Unwanted(const dicom::Header& header, const plan::Data& data,
                                const plan::Preprocessing& preprocessing) {
  if (!IsWanted(data.modalities, header.modality)) return Refused{Refusal::kUnwantedModality, ""};
  if (!IsWanted(data.views, header.view_position)) return Refused{Refusal::kUnwantedView, ""};
  if (!AgeFits(header.patient_age_years, data)) return Refused{Refusal::kUnwantedAge, ""};
  if (preprocessing.slices > 0) return std::nullopt;  // frames and spacing are the volume's
  if (preprocessing.frame == plan::FrameChoice::kOnly && header.frames > 1) {
    return Refused{Refusal::kSeveralFrames, StrCat(header.frames, " frames")};
  }
  const bool spaced = header.row_spacing_mm > 0 && header.column_spacing_mm > 0;
  if (preprocessing.spacing_mm > 0 && !spaced) return Refused{Refusal::kNoPixelSpacing, ""};
  return std::nullopt;
}

}  // namespace consilium::datasets
