#include "datasets/pipeline/hints.h"

#include <algorithm>
#include <cmath>

#include "common/base/text.h"

namespace consilium::datasets::pipeline {
namespace {

using dicom::DataSet;
using dicom::Tag;

constexpr std::uint32_t kPatientOrientation = Tag(0x0020, 0x0020);
constexpr std::uint32_t kUltrasoundRegions = Tag(0x0018, 0x6011);
constexpr std::uint32_t kSpatialFormat = Tag(0x0018, 0x6012);
constexpr std::uint32_t kDataType = Tag(0x0018, 0x6014);
constexpr std::uint32_t kMinX = Tag(0x0018, 0x6018), kMinY = Tag(0x0018, 0x601a);
constexpr std::uint32_t kMaxX = Tag(0x0018, 0x601c), kMaxY = Tag(0x0018, 0x601e);
constexpr std::uint32_t kUnitsX = Tag(0x0018, 0x6024), kUnitsY = Tag(0x0018, 0x6026);
constexpr std::uint32_t kDeltaX = Tag(0x0018, 0x602c), kDeltaY = Tag(0x0018, 0x602e);
constexpr std::uint16_t kTwoDimensional = 1, kTissue = 1, kCentimetres = 3;
constexpr std::uint32_t kSmallestSide = 16;  // less is no scan

// The corners of a region lie inside it (PS3.3 C.8.5.5.1.3).
std::optional<Box> BoxOf(const DataSet& region, const dicom::Header& header) {
  const auto x0 = region.Unsigned32(kMinX), y0 = region.Unsigned32(kMinY);
  const auto x1 = region.Unsigned32(kMaxX), y1 = region.Unsigned32(kMaxY);
  if (!x0 || !y0 || !x1 || !y1 || *x1 < *x0 || *y1 < *y0) return std::nullopt;
  const Box box{std::min(*x0, header.columns), std::min(*y0, header.rows),
                std::min(*x1, header.columns - 1) + 1, std::min(*y1, header.rows - 1) + 1};
  if (box.right < box.left + kSmallestSide || box.bottom < box.top + kSmallestSide) {
    return std::nullopt;
  }
  return box;
}

double Millimetres(const DataSet& region, std::uint32_t units, std::uint32_t delta) {
  if (region.Unsigned16(units) != kCentimetres) return 0;
  const double mm = 10 * std::abs(region.Number(delta, 0, "FD").value_or(0));
  return std::isfinite(mm) && mm < 100 ? mm : 0;
}

void ReadScanRegion(const DataSet& data_set, const dicom::Header& header, Hints* hints) {
  const auto regions = data_set.Sequence(kUltrasoundRegions);
  if (!regions.ok()) return;
  for (const DataSet& region : *regions) {
    if (region.Unsigned16(kSpatialFormat) != kTwoDimensional) continue;
    if (region.Unsigned16(kDataType) != kTissue) continue;
    hints->scan_region = BoxOf(region, header);
    if (!hints->scan_region) continue;
    const double row_mm = Millimetres(region, kUnitsY, kDeltaY);
    const double column_mm = Millimetres(region, kUnitsX, kDeltaX);
    if (row_mm > 0 && column_mm > 0) {
      hints->region_row_mm = row_mm;
      hints->region_column_mm = column_mm;
    }
    return;
  }
}

// Going to the right along a row leads towards the front of the patient, or away from it: the chest
// wall lies on the other side (PS3.3 C.7.6.1.1.1).
void ReadFacing(const DataSet& data_set, const dicom::Header& header, Hints* hints) {
  const std::string along_row = data_set.Text(kPatientOrientation, 0);
  if (!along_row.empty() && (along_row[0] == 'A' || along_row[0] == 'P')) {
    const bool front = along_row[0] == 'A';
    hints->facing = front ? Facing::kLeft : Facing::kRight;
    hints->facing_source = front ? "patient orientation (rows run to the front)"
                                 : "patient orientation (rows run to the back)";
  } else if (header.laterality == "L" || header.laterality == "R") {
    hints->facing = header.laterality == "L" ? Facing::kLeft : Facing::kRight;
    hints->facing_source = StrCat("laterality ", header.laterality);
  }
}

}  // namespace

Hints ReadHints(const DataSet& data_set, const dicom::Header& header) {
  Hints hints;
  ReadScanRegion(data_set, header, &hints);
  ReadFacing(data_set, header, &hints);
  return hints;
}

}  // namespace consilium::datasets::pipeline
