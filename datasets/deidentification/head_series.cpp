#include "datasets/deidentification/head_series.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "common/base/status.h"
#include "datasets/deidentification/defacing.h"
#include "datasets/deidentification/instance_file.h"
#include "datasets/deidentification/pixel_risk.h"
#include "datasets/deidentification/pixels.h"
#include "datasets/dicom/data_set.h"
#include "datasets/dicom/library.h"
#include "dcmtk/config/osconfig.h"
// osconfig.h must come first.
#include "dcmtk/dcmdata/dctk.h"

namespace consilium::datasets::deidentification {
namespace {

using Vector = std::array<double, 3>;

constexpr std::size_t kFewestSlices = 8;
constexpr double kThickestMm = 12;

Refused NoVolume(std::string_view why) {
  return {Refusal::kRecognizableFace, StrCat("it cannot be removed: ", why)};
}

struct Slice {
  std::size_t file = 0;  // of the list that was given
  std::size_t rows = 0, columns = 0;
  Vector row_direction{}, column_direction{}, position{};  // PS3.3 C.7.6.2.1.1
  double row_spacing_mm = 0, column_spacing_mm = 0;
  double height = 0;  // along the normal
  std::vector<std::int32_t> values;
};

bool Numbers(DcmItem& item, const DcmTagKey& tag, std::span<double> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (item.findAndGetFloat64(tag, out[i], static_cast<unsigned long>(i)).bad()) return false;
  }
  return true;
}

Vector Cross(const Vector& a, const Vector& b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

double Dot(const Vector& a, const Vector& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

OrRefused<Slice> ReadSlice(const File& file) {
  auto bytes = ContentOf(file);
  if (!bytes.ok()) return bytes.refused();
  const auto scanned = dicom::DataSet::Read(dicom::ByteSource(*bytes));
  if (!scanned.ok()) return scanned.refused();
  DcmFileFormat parsed;
  if (!Parse(*bytes, Extent::kAll, &parsed)) return Refused{Refusal::kDamaged, ""};
  DcmDataset& data_set = *parsed.getDataset();
  Slice slice;
  std::array<double, 6> orientation{};
  std::array<double, 2> spacing{};
  if (!Numbers(data_set, DCM_ImageOrientationPatient, orientation) ||
      !Numbers(data_set, DCM_ImagePositionPatient, slice.position) ||
      !Numbers(data_set, DCM_PixelSpacing, spacing)) {
    return NoVolume("an image does not say where it lies");
  }
  std::copy_n(orientation.begin(), 3, slice.row_direction.begin());
  std::copy_n(orientation.begin() + 3, 3, slice.column_direction.begin());
  slice.row_spacing_mm = spacing[0];
  slice.column_spacing_mm = spacing[1];
  auto values = StoredValues(data_set);
  if (!values) return NoVolume("an image has no single grey frame that can be decompressed");
  slice.values = std::move(*values);
  Uint16 size = 0;
  if (data_set.findAndGetUint16(DCM_Rows, size).good()) slice.rows = size;
  if (data_set.findAndGetUint16(DCM_Columns, size).good()) slice.columns = size;
  slice.height = Dot(Cross(slice.row_direction, slice.column_direction), slice.position);
  return slice;
}

bool Fits(const Slice& a, const Slice& b) {
  return a.rows == b.rows && a.columns == b.columns &&
         Dot(a.row_direction, b.row_direction) > 0.9999 &&
         Dot(a.column_direction, b.column_direction) > 0.9999 &&
         std::abs(a.row_spacing_mm - b.row_spacing_mm) < 1e-3 &&
         std::abs(a.column_spacing_mm - b.column_spacing_mm) < 1e-3;
}

OrRefused<std::vector<Slice>> ReadSlices(std::span<const File> files) {
  if (files.size() < kFewestSlices) return NoVolume("the series has too few images of a head");
  std::vector<Slice> slices;
  for (std::size_t i = 0; i < files.size(); ++i) {
    auto slice = ReadSlice(files[i]);
    if (!slice.ok()) return slice.refused();
    slice->file = i;
    if (!slices.empty() && !Fits(slices.front(), *slice)) {
      return NoVolume("the series has images of several orientations or sizes");
    }
    if (slice->values.size() * files.size() > kMostVoxels) return NoVolume("it is too large");
    slices.push_back(std::move(*slice));
  }
  std::sort(slices.begin(), slices.end(),
            [](const Slice& a, const Slice& b) { return a.height < b.height; });
  return slices;
}

}  // namespace

bool IsHeadImage(Bytes& file) {
  dicom::InitialiseLibrary();
  if (!dicom::DataSet::Read(dicom::ByteSource(file)).ok()) return false;
  DcmFileFormat parsed;
  return Parse(file, Extent::kBeforePixels, &parsed) && ShowsHead(*parsed.getDataset());
}

OrRefused<std::vector<Bytes>> FaceMasks(std::span<const File> files) {
  auto slices = ReadSlices(files);
  if (!slices.ok()) return slices.refused();
  const Slice& first = slices->front();
  const double depth = slices->back().height - first.height;
  const double spacing = depth / static_cast<double>(slices->size() - 1);
  for (std::size_t i = 1; i < slices->size(); ++i) {
    const double gap = (*slices)[i].height - (*slices)[i - 1].height;
    if (gap < 0.01) return NoVolume("two images lie in the same place");
    if (std::abs(gap - spacing) > 0.1 * spacing) return NoVolume("an image is missing between two");
  }
  if (spacing > kThickestMm) return NoVolume("its images lie too far apart");

  HeadVolume volume;
  volume.columns = first.columns;
  volume.rows = first.rows;
  volume.slices = slices->size();
  volume.spacing_mm = {first.column_spacing_mm, first.row_spacing_mm, spacing};
  volume.axes = {first.row_direction, first.column_direction,
                 Cross(first.row_direction, first.column_direction)};
  const std::size_t pixels = volume.columns * volume.rows;
  std::vector<std::int32_t> values;
  values.reserve(pixels * volume.slices);
  for (Slice& slice : *slices) {
    values.insert(values.end(), slice.values.begin(), slice.values.end());
    slice.values = {};
  }
  volume.values = values;
  auto mask = FaceMask(volume);
  if (!mask.ok()) return mask.refused();
  std::vector<Bytes> masks(files.size());
  for (std::size_t i = 0; i < slices->size(); ++i) {
    const auto start = mask->begin() + static_cast<std::ptrdiff_t>(i * pixels);
    masks[(*slices)[i].file].assign(start, start + static_cast<std::ptrdiff_t>(pixels));
  }
  return masks;
}

}  // namespace consilium::datasets::deidentification
