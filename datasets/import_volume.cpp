#include "datasets/import_volume.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "datasets/dicom/writer.h"
#include "datasets/volumes/nifti.h"
#include "datasets/volumes/series.h"

namespace consilium::datasets {
namespace {

using volumes::Grid;
using volumes::Vec3;
using volumes::Volume;

// Directions of columns, rows and slices in the patient (x to the left, y to the back, z to the
// head) as such slices are usually shown; each right-handed.
struct Orientation {
  SlicePlane plane;
  std::array<Vec3, 3> directions;
};
constexpr Orientation kOrientations[] = {
    {SlicePlane::kSagittal, {{{0, 1, 0}, {0, 0, -1}, {-1, 0, 0}}}},
    {SlicePlane::kCoronal, {{{1, 0, 0}, {0, 0, -1}, {0, 1, 0}}}},
    {SlicePlane::kAxial, {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}}},
};

std::size_t NearestAxis(const Grid& grid, const Vec3& direction) {
  std::size_t nearest = 0;
  for (std::size_t axis = 1; axis < 3; ++axis) {
    if (std::abs(Dot(grid.directions[axis], direction)) >
        std::abs(Dot(grid.directions[nearest], direction))) {
      nearest = axis;
    }
  }
  return nearest;
}

const Orientation& OrientationOf(const Grid& grid, SlicePlane plane) {
  for (const Orientation& known : kOrientations) {
    const bool chosen = plane == SlicePlane::kAsItLies ? NearestAxis(grid, known.directions[2]) == 2
                                                       : plane == known.plane;
    if (chosen) return known;
  }
  return kOrientations[2];
}

// The same voxels in another order: along the patient's axes that the plane's slices have.
absl::StatusOr<Volume> Turned(const Volume& volume, SlicePlane plane) {
  const Grid& from = volume.grid;
  if (!from.IsOrthogonal()) {
    return absl::InvalidArgumentError("the volume's axes are not perpendicular");
  }
  const Orientation& wanted = OrientationOf(from, plane);
  std::array<std::size_t, 3> axis{};
  std::array<bool, 3> flipped{};
  Vec3 first{};  // the new first voxel's old index
  Volume turned;
  for (std::size_t i = 0; i < 3; ++i) {
    axis[i] = NearestAxis(from, wanted.directions[i]);
    flipped[i] = Dot(from.directions[axis[i]], wanted.directions[i]) < 0;
    turned.grid.size[i] = from.size[axis[i]];
    turned.grid.spacing_mm[i] = from.spacing_mm[axis[i]];
    turned.grid.directions[i] = from.directions[axis[i]] * (flipped[i] ? -1 : 1);
    if (flipped[i]) first[axis[i]] = from.size[axis[i]] - 1.0;
  }
  if (axis[0] == axis[1] || axis[0] == axis[2] || axis[1] == axis[2]) {
    return absl::InvalidArgumentError(
        "the volume's axes lie half way between the patient's: resample it first");
  }
  turned.grid.origin = from.ToPatient(first);
  turned.voxels.reserve(volume.voxels.size());
  std::array<std::size_t, 3> at{};
  const auto old = [&](std::size_t i, std::size_t index) {
    at[axis[i]] = flipped[i] ? from.size[axis[i]] - 1 - index : index;
  };
  for (std::size_t slice = 0; slice < turned.grid.size[2]; ++slice) {
    old(2, slice);
    for (std::size_t row = 0; row < turned.grid.size[1]; ++row) {
      old(1, row);
      for (std::size_t column = 0; column < turned.grid.size[0]; ++column) {
        old(0, column);
        turned.voxels.push_back(volume.At(at[0], at[1], at[2]));
      }
    }
  }
  return turned;
}

// How the volume's values are stored in 16 bits: whole numbers as they are, others spread.
struct Storing {
  double slope = 1, intercept = 0, low = 0, high = 0;
};

Storing StoringOf(const std::vector<float>& values) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  Storing storing{.low = *least, .high = *most};
  const double span = storing.high - storing.low;
  const bool whole =
      std::all_of(values.begin(), values.end(), [](float v) { return v == std::floor(v); });
  if (whole && storing.low >= 0 && storing.high <= 65535) return storing;
  storing.intercept = storing.low;
  if (!(whole && span <= 65535) && span > 0) storing.slope = span / 65535;
  return storing;
}

dicom::NewInstance SliceOf(const NewSeries& series, const Volume& volume, const Storing& storing,
                           std::uint32_t slice) {
  const Grid& grid = volume.grid;
  dicom::NewInstance out;
  out.modality = series.modality;
  out.patient_id = series.patient;
  out.study_instance_uid = dicom::MakeUid(StrCat("import/study/", series.patient));
  out.series_instance_uid = SeriesUid(series);
  out.sop_instance_uid = dicom::MakeUid(StrCat("import/slice/", series.name, "/", slice));
  out.instance_number = static_cast<int>(slice) + 1;
  out.manufacturer = "Consilium import";
  out.model = "consilium-dataset";
  out.description = "Imported from a research set";
  out.rows = grid.size[1];
  out.columns = grid.size[0];
  out.row_spacing_mm = grid.spacing_mm[1];
  out.column_spacing_mm = grid.spacing_mm[0];
  out.slope = storing.slope;
  out.intercept = storing.intercept;
  out.window = VoiWindow{(storing.low + storing.high) / 2,
                         std::max(1.0, storing.high - storing.low), VoiWindow::Function::kLinear};
  const float* value = volume.voxels.data() + slice * grid.PlaneCount();
  for (std::size_t i = 0; i < grid.PlaneCount(); ++i) {
    const double stored = (value[i] - storing.intercept) / storing.slope;
    out.values.push_back(
        static_cast<std::int32_t>(std::clamp<long>(std::lround(stored), 0, 65535)));
  }
  const Vec3 at = grid.ToPatient({0, 0, double{1} * slice});
  const Vec3 &row = grid.directions[0], &column = grid.directions[1];
  const auto put = [&](std::string path, std::string text) {
    out.attributes.push_back({std::move(path), std::move(text)});
  };
  put("SeriesNumber", StrCat(series.number));
  // Not known: empty, as type 2 allows.
  put("PatientPosition", "");
  put("Laterality", "");
  put("ImagePositionPatient", absl::StrFormat("%.6g\\%.6g\\%.6g", at[0], at[1], at[2]));
  put("ImageOrientationPatient", absl::StrFormat("%.8g\\%.8g\\%.8g\\%.8g\\%.8g\\%.8g", row[0],
                                                 row[1], row[2], column[0], column[1], column[2]));
  put("SliceThickness", absl::StrFormat("%.6g", grid.spacing_mm[2]));
  put("FrameOfReferenceUID", dicom::MakeUid(StrCat("import/frame/", series.name)));
  return out;
}

absl::Status WriteMask(const NewSeries& series, const Grid& grid, const fs::path& slices) {
  ASSIGN_OR_RETURN(const Volume read, volumes::ReadNifti(series.mask));
  ASSIGN_OR_RETURN(const Volume mask, Turned(read, series.plane));
  const double least = *std::min_element(grid.spacing_mm.begin(), grid.spacing_mm.end());
  if (!(volumes::LargestDistance(mask.grid, grid) < least / 2)) {
    return absl::InvalidArgumentError(
        StrCat("the mask has ", mask.grid.size[0], "x", mask.grid.size[1], "x", mask.grid.size[2],
               " voxels and the image ", grid.size[0], "x", grid.size[1], "x", grid.size[2],
               ", or it lies elsewhere"));
  }
  NoProgress progress;
  ASSIGN_OR_RETURN(const volumes::FolderOfSeries folder, volumes::ReadFolder(slices, 1, progress));
  CONSILIUM_CHECK(folder.series.size() == 1);
  const auto stacks = volumes::FindStacks(folder.series[0], {});
  if (!stacks.ok() || stacks->size() != 1) {
    return absl::InvalidArgumentError("the volume has no slices that make one stack");
  }
  const auto source = results::ReadSourceImage(slices / folder.series[0].first_file);
  CONSILIUM_CHECK(source.ok());
  results::NewSegmentation segmentation;
  segmentation.planes = results::PlanesOf(stacks->front(), source->sop_class_uid);
  segmentation.manual = true;
  ASSIGN_OR_RETURN(segmentation.segments, SegmentsOf(series.segments, mask.voxels));
  const results::ResultName name{
      .sop_instance_uid = dicom::MakeUid(StrCat("import/mask/", source->series_instance_uid)),
      .series_instance_uid = dicom::MakeUid(StrCat("import/masks/", source->series_instance_uid)),
      .series_number = 1000 + series.number,
      .instance_number = 1};
  results::ModelDescription program;
  program.name = "consilium-dataset import";
  constexpr Time kDrawn{std::chrono::sys_days{std::chrono::January / 1 / 2000} +
                        std::chrono::hours(12)};
  return results::WriteSegmentation(series.folder / StrCat(series.number, "-mask.dcm"), *source,
                                    program, name, segmentation, kDrawn);
}

}  // namespace

std::string SeriesUid(const NewSeries& series) {
  return dicom::MakeUid(StrCat("import/volume/", series.name));
}

absl::Status ImportVolume(const NewSeries& series) {
  ASSIGN_OR_RETURN(const Volume read, volumes::ReadNifti(series.image));
  ASSIGN_OR_RETURN(const Volume volume, Turned(read, series.plane));
  const fs::path slices = series.folder / StrCat(series.number);
  RETURN_IF_ERROR(EnsureFolder(slices));
  const Storing storing = StoringOf(volume.voxels);
  for (std::uint32_t slice = 0; slice < volume.grid.size[2]; ++slice) {
    RETURN_IF_ERROR(dicom::WriteFile(slices / absl::StrFormat("%04d.dcm", slice + 1),
                                     SliceOf(series, volume, storing, slice)));
  }
  if (series.mask.empty()) return absl::OkStatus();
  return WriteMask(series, volume.grid, slices);
}

absl::StatusOr<std::vector<results::NewSegment>> SegmentsOf(const std::vector<std::string>& labels,
                                                            std::span<const float> mask) {
  std::vector<results::NewSegment> segments;
  for (const std::string& label : labels) {
    segments.push_back({.label = label,
                        .category = {"49755003", "SCT", "Morphologically Altered Structure"},
                        .type = {"49755003", "SCT", "Morphologically Altered Structure"},
                        .voxels = std::vector<std::uint8_t>(mask.size())});
  }
  for (std::size_t i = 0; i < mask.size(); ++i) {
    const float value = mask[i];
    if (value == 0) continue;
    const float segment = segments.size() == 1 ? 1 : value;
    if (segment < 1 || segment != std::floor(segment) ||
        segment > static_cast<float>(segments.size())) {
      return absl::InvalidArgumentError(StrCat("the mask holds the value ", value, "; ",
                                               segments.size(), " segments are 1 to ",
                                               segments.size(), " and 0 is none of them"));
    }
    segments[static_cast<std::size_t>(segment) - 1].voxels[i] = 1;
  }
  return segments;
}

}  // namespace consilium::datasets
