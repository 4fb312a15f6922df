#include "datasets/volumes/nifti.h"

#include <nifti1_io.h>
#include <strings.h>

#include <cmath>
#include <memory>

#include "common/base/status.h"

namespace consilium::datasets::volumes {
namespace {

// Bytes that a byte of a deflate stream can stand for at best.
constexpr std::uint64_t kMostDeflateExpansion = 1032;

struct NiftiFree {
  void operator()(nifti_image* image) const { nifti_image_free(image); }
};

absl::Status Bad(const fs::path& path, std::string_view what) {
  return absl::InvalidArgumentError(StrCat("\"", path.filename().string(), "\": ", what));
}

// The affine matrix from indices to LPS as a grid.
absl::StatusOr<Grid> GridOf(const fs::path& path, const nifti_image& image) {
  if (image.sform_code <= 0 && image.qform_code <= 0) {
    return Bad(path, "says of no place or direction (neither sform nor qform); set one of them");
  }
  const mat44& affine = image.sform_code > 0 ? image.sto_xyz : image.qto_xyz;
  double to_mm = 1;
  if (image.xyz_units == NIFTI_UNITS_METER) to_mm = 1e3;
  if (image.xyz_units == NIFTI_UNITS_MICRON) to_mm = 1e-3;
  const auto column = [&](int axis) {
    return Vec3{-affine.m[0][axis] * to_mm, -affine.m[1][axis] * to_mm, affine.m[2][axis] * to_mm};
  };
  Grid grid;
  const int sizes[3] = {image.nx, image.ny, std::max(1, image.nz)};
  for (int axis = 0; axis < 3; ++axis) {
    const auto a = static_cast<std::size_t>(axis);
    const double spacing = Norm(column(axis));
    grid.size[a] = static_cast<std::uint32_t>(std::max(0, sizes[axis]));
    grid.spacing_mm[a] = spacing;
    grid.directions[a] = column(axis) * (1 / spacing);
  }
  grid.origin = column(3);
  if (!IsSound(grid)) return Bad(path, "has impossible sizes or an impossible affine matrix");
  return grid;
}

template <class Sample>
void Append(const void* data, std::size_t count, std::vector<float>* voxels) {
  const auto* samples = static_cast<const Sample*>(data);
  voxels->assign(samples, samples + count);
}

bool ToFloats(const nifti_image& image, std::size_t count, std::vector<float>* voxels) {
  switch (image.datatype) {
    case NIFTI_TYPE_UINT8:
      Append<std::uint8_t>(image.data, count, voxels);
      return true;
    case NIFTI_TYPE_INT8:
      Append<std::int8_t>(image.data, count, voxels);
      return true;
    case NIFTI_TYPE_UINT16:
      Append<std::uint16_t>(image.data, count, voxels);
      return true;
    case NIFTI_TYPE_INT16:
      Append<std::int16_t>(image.data, count, voxels);
      return true;
    case NIFTI_TYPE_UINT32:
      Append<std::uint32_t>(image.data, count, voxels);
      return true;
    case NIFTI_TYPE_INT32:
      Append<std::int32_t>(image.data, count, voxels);
      return true;
    case NIFTI_TYPE_INT64:
      Append<std::int64_t>(image.data, count, voxels);
      return true;
    case NIFTI_TYPE_FLOAT32:
      Append<float>(image.data, count, voxels);
      return true;
    case NIFTI_TYPE_FLOAT64:
      Append<double>(image.data, count, voxels);
      return true;
    default:
      return false;
  }
}

}  // namespace

absl::StatusOr<Volume> ReadNifti(const fs::path& path) {
  ASSIGN_OR_RETURN(const std::uint64_t file_bytes, FileSize(path));
  nifti_set_debug_level(0);
  std::unique_ptr<nifti_image, NiftiFree> image(nifti_image_read(path.c_str(), 0));
  if (image == nullptr) return Bad(path, "is not a sound NIfTI file");
  ASSIGN_OR_RETURN(const Grid grid, GridOf(path, *image));
  // niftilib multiplies all dimensions, and the product may have overflowed.
  if (static_cast<std::uint64_t>(image->nvox) != grid.VoxelCount()) {
    return Bad(path, "is no single volume of three axes");
  }
  const bool compressed = strcasecmp(path.extension().c_str(), ".gz") == 0;
  if (image->nbyper < 1 || std::uint64_t{grid.VoxelCount()} * static_cast<unsigned>(image->nbyper) >
                               file_bytes * (compressed ? kMostDeflateExpansion : 1)) {
    return Bad(path, "is cut short");
  }
  if (nifti_image_load(image.get()) != 0 || image->data == nullptr) {
    return Bad(path, "is cut short");
  }
  Volume volume{grid, {}, ""};
  if (!ToFloats(*image, grid.VoxelCount(), &volume.voxels)) {
    return Bad(path, "has voxels of a type that is not read (complex, colour or extended numbers)");
  }
  const bool scaled = image->scl_slope != 0 && (image->scl_slope != 1 || image->scl_inter != 0);
  for (float& voxel : volume.voxels) {
    if (scaled) voxel = static_cast<float>(double{voxel} * image->scl_slope + image->scl_inter);
    if (!std::isfinite(voxel)) return Bad(path, "has voxels that are not numbers");
  }
  return volume;
}

}  // namespace consilium::datasets::volumes
