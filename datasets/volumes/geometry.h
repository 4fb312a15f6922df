#pragma once

// Points and grids in the patient's coordinate system: LPS, millimetres (PS3.3 C.7.6.2.1.1).
// Pure values; all functions are thread-safe.

#include <array>
#include <cstddef>
#include <cstdint>

namespace consilium::datasets::volumes {

struct Vec3 : std::array<double, 3> {};

Vec3 operator+(const Vec3& a, const Vec3& b);
Vec3 operator-(const Vec3& a, const Vec3& b);
Vec3 operator*(const Vec3& a, double factor);
double Dot(const Vec3& a, const Vec3& b);
Vec3 Cross(const Vec3& a, const Vec3& b);
double Norm(const Vec3& a);
bool IsFinite(const Vec3& a);
double AngleDegrees(const Vec3& a, const Vec3& b);  // 0 to 180; of vectors that are not zero

// Where the voxels of a volume lie. The centre of voxel (column i, row j, slice k) is
//   origin + directions[0] * spacing_mm[0] * i + directions[1] * spacing_mm[1] * j
//          + directions[2] * spacing_mm[2] * k.
// The directions have length 1 and do not lie in one plane, but need not be perpendicular: a stack
// scanned with a tilted gantry is a sheared grid. Grids built from DICOM are right-handed; those of
// other formats may be left-handed.
struct Grid {
  std::array<std::uint32_t, 3> size = {0, 0, 0};  // columns, rows, slices
  Vec3 spacing_mm = {1, 1, 1};                    // along the directions
  std::array<Vec3, 3> directions = {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
  Vec3 origin = {0, 0, 0};  // the centre of voxel (0, 0, 0)

  // Does not overflow for a grid that IsSound.
  std::size_t VoxelCount() const { return std::size_t{size[0]} * size[1] * size[2]; }
  std::size_t PlaneCount() const { return std::size_t{size[0]} * size[1]; }
  Vec3 ToPatient(const Vec3& index) const;
  // The normal of rows and columns: directions[0] x directions[1].
  Vec3 Normal() const;
  // The angle between the normal and the line on which the slices are stacked; 0 when straight.
  double TiltDegrees() const;
  bool IsOrthogonal() const;  // within a ten thousandth of a radian
};

// Between 1 and kMaxVoxels voxels, spacings above 0, directions of length 1 and independent, and
// everything finite.
inline constexpr std::size_t kMaxVoxels = 256ull << 20;
bool IsSound(const Grid& grid);

// Indices on the grid (whole numbers at the centres of voxels) of points, and of points of another
// grid. Requires a sound grid.
class PatientToIndex {
 public:
  explicit PatientToIndex(const Grid& grid);
  Vec3 operator()(const Vec3& point) const;
  Vec3 Direction(const Vec3& vector) const;  // without the origin

 private:
  std::array<Vec3, 3> rows_;
  Vec3 origin_;
};

// The corners' largest distance in millimetres, infinite when the sizes differ.
double LargestDistance(const Grid& a, const Grid& b);

// A grid with perpendicular axes and the same planes of slices, wide enough for all of `grid`: what
// a tilted stack is resampled to, so that nothing is interpolated between slices.
Grid StraightGrid(const Grid& grid);

// The same extent (from outer edge to outer edge, at least) with voxels of `spacing_mm` in all
// directions, about the same centre. A sheared grid becomes a straight one.
Grid IsotropicGrid(const Grid& grid, double spacing_mm);

// The same voxels with the slices in the other order.
Grid ReversedSlices(const Grid& grid);

}  // namespace consilium::datasets::volumes
