#include "datasets/dicom/frame_description.h"

#include <algorithm>
#include <cmath>

#include "common/base/text.h"
#include "datasets/dicom/tags.h"

namespace consilium::datasets::dicom {
namespace {

constexpr double kLargestSpacing = 1e3;

bool ReadPair(const DataSet& data_set, std::uint32_t tag, double* down, double* across) {
  const auto first = data_set.Number(tag, 0), second = data_set.Number(tag, 1);
  if (!first || !second || !(*first > 0) || !(*second > 0) || *first >= kLargestSpacing ||
      *second >= kLargestSpacing) {
    return false;
  }
  *down = *first;
  *across = *second;
  return true;
}

template <std::size_t kCount>
std::optional<std::array<double, kCount>> Exactly(const std::vector<double>& numbers) {
  if (numbers.size() != kCount) return std::nullopt;
  std::array<double, kCount> out{};
  for (std::size_t i = 0; i < kCount; ++i) {
    if (!std::isfinite(numbers[i])) return std::nullopt;
    out[i] = numbers[i];
  }
  return out;
}

// `item` where it has the attribute, else what is said for the whole image.
const DataSet& Holding(std::uint32_t tag, const DataSet& item, const DataSet& whole) {
  return item.Has(tag) ? item : whole;
}

std::optional<RealWorldMapping> ReadMapping(const DataSet& item, bool is_signed) {
  const std::string_view whole = is_signed ? "SS" : "US";
  const auto number = [&](std::uint32_t tag, std::uint32_t in_double) {
    const auto value = item.Number(tag, 0, whole);
    return value ? value : item.Number(in_double, 0, "FD");
  };
  const auto first = number(tags::kRealWorldValueFirstValueMapped,
                            tags::kDoubleFloatRealWorldValueFirstValueMapped);
  const auto last =
      number(tags::kRealWorldValueLastValueMapped, tags::kDoubleFloatRealWorldValueLastValueMapped);
  RealWorldMapping mapping;
  mapping.table = item.Numbers(tags::kRealWorldValueLutData, "FD");
  const auto slope = item.Number(tags::kRealWorldValueSlope, 0, "FD");
  const auto intercept = item.Number(tags::kRealWorldValueIntercept, 0, "FD");
  if (!first || !last || *first > *last) return std::nullopt;
  if (mapping.table.empty() && (!slope || !intercept)) return std::nullopt;
  mapping.first = *first;
  mapping.last = *last;
  mapping.slope = slope.value_or(1);
  mapping.intercept = intercept.value_or(0);
  mapping.unit = item.FirstItem(tags::kMeasurementUnitsCodeSequence).Text(tags::kCodeValue);
  return mapping;
}

std::vector<RealWorldMapping> ReadMappings(const DataSet& holder, bool is_signed) {
  std::vector<RealWorldMapping> mappings;
  const auto items = holder.Sequence(tags::kRealWorldValueMappingSequence);
  if (!items.ok()) return mappings;
  for (const DataSet& item : *items) {
    if (auto mapping = ReadMapping(item, is_signed)) mappings.push_back(*std::move(mapping));
  }
  return mappings;
}

}  // namespace

std::optional<double> RealWorldMapping::operator()(double stored) const {
  if (!(stored >= first && stored <= last)) return std::nullopt;
  if (table.empty()) return slope * stored + intercept;
  const auto index = static_cast<std::size_t>(stored - first);
  if (index >= table.size()) return std::nullopt;
  return table[index];
}

void ReadSpacing(const DataSet& data_set, double* row_spacing_mm, double* column_spacing_mm) {
  for (const auto tag :
       {tags::kPixelSpacing, tags::kImagerPixelSpacing, tags::kNominalScannedPixelSpacing}) {
    if (ReadPair(data_set, tag, row_spacing_mm, column_spacing_mm)) return;
  }
}

OrRefused<FunctionalGroups> FunctionalGroups::Of(const DataSet& data_set, std::uint32_t frames) {
  FunctionalGroups groups(data_set.FirstItem(tags::kSharedFunctionalGroupsSequence));
  auto per_frame = data_set.Sequence(tags::kPerFrameFunctionalGroupsSequence);
  if (!per_frame.ok()) return per_frame.refused();
  groups.per_frame_ = std::move(*per_frame);
  if (!groups.per_frame_.empty() && groups.per_frame_.size() < frames) {
    return Refused{Refusal::kDamaged, StrCat("functional groups of ", groups.per_frame_.size(),
                                             " frames where there are ", frames)};
  }
  return groups;
}

DataSet FunctionalGroups::Macro(std::uint32_t frame, std::uint32_t sequence) const {
  if (frame < per_frame_.size() && per_frame_[frame].Has(sequence)) {
    return per_frame_[frame].FirstItem(sequence);
  }
  return shared_.FirstItem(sequence);
}

OrRefused<FrameDescription> FunctionalGroups::Describe(const DataSet& data_set, std::uint32_t frame,
                                                       bool is_signed) const {
  FrameDescription out;
  const DataSet measures = Macro(frame, tags::kPixelMeasuresSequence);
  if (!ReadPair(measures, tags::kPixelSpacing, &out.row_spacing_mm, &out.column_spacing_mm)) {
    ReadSpacing(data_set, &out.row_spacing_mm, &out.column_spacing_mm);
  }
  out.slice_thickness_mm =
      Holding(tags::kSliceThickness, measures, data_set).Number(tags::kSliceThickness).value_or(0);
  const DataSet position = Macro(frame, tags::kPlanePositionSequence);
  out.position = Exactly<3>(Holding(tags::kImagePositionPatient, position, data_set)
                                .Numbers(tags::kImagePositionPatient));
  const DataSet orientation = Macro(frame, tags::kPlaneOrientationSequence);
  out.orientation = Exactly<6>(Holding(tags::kImageOrientationPatient, orientation, data_set)
                                   .Numbers(tags::kImageOrientationPatient));
  const DataSet transformation = Macro(frame, tags::kPixelValueTransformationSequence);
  const DataSet& rescale = Holding(tags::kRescaleSlope, transformation, data_set);
  auto modality = ReadModalityLut(rescale, is_signed);
  if (!modality.ok()) return modality.refused();
  out.modality = std::move(*modality);
  out.rescale_type = rescale.Text(tags::kRescaleType);
  const DataSet voi = Macro(frame, tags::kFrameVoiLutSequence);
  out.windows = ReadWindows(Holding(tags::kWindowCenter, voi, data_set));
  out.voi_lut = ReadVoiLut(Holding(tags::kVoiLutSequence, voi, data_set), is_signed);
  const bool of_frame =
      frame < per_frame_.size() && per_frame_[frame].Has(tags::kRealWorldValueMappingSequence);
  const bool of_all = shared_.Has(tags::kRealWorldValueMappingSequence);
  out.real_world = ReadMappings(of_frame ? per_frame_[frame]
                                : of_all ? shared_
                                         : data_set,
                                is_signed);
  return out;
}

}  // namespace consilium::datasets::dicom
