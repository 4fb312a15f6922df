#include <nifti1_io.h>

#include <cmath>
#include <map>

#include "common/base/progress.h"
#include "datasets/volumes/nifti.h"
#include "datasets/volumes/series.h"
#include "tests/catch.h"
#include "tests/datasets/dicom_bytes.h"
#include "tests/datasets/shared_data.h"
#include "tests/datasets/volumes_files.h"

namespace consilium::datasets::volumes {
namespace {

// A float volume of 4 x 3 x 2 voxels, each its own number, with the header as `change` makes it.
template <class Change>
fs::path Written(const TemporaryFolder& folder, const Change& change) {
  const int dims[8] = {3, 4, 3, 2, 1, 1, 1, 1};
  nifti_image* image = nifti_make_new_nim(dims, NIFTI_TYPE_INT16, 1);
  for (std::size_t i = 0; i < image->nvox; ++i) {
    static_cast<std::int16_t*>(image->data)[i] = static_cast<std::int16_t>(i);
  }
  change(*image);
  const fs::path path = folder / "volume.nii.gz";
  nifti_set_filenames(image, path.c_str(), 0, 1);
  nifti_image_write(image);
  nifti_image_free(image);
  return path;
}

void SetAffine(nifti_image& image, const std::array<std::array<float, 4>, 3>& rows) {
  image.sform_code = NIFTI_XFORM_SCANNER_ANAT;
  image.xyz_units = NIFTI_UNITS_MM;
  for (std::size_t row = 0; row < 3; ++row) {
    for (std::size_t column = 0; column < 4; ++column) {
      image.sto_xyz.m[row][column] = rows[row][column];
    }
  }
}

TEST_CASE("a NIfTI volume lies where its sform says, in the patient's LPS") {
  TemporaryFolder folder;
  const auto volume = ReadNifti(Written(folder, [](nifti_image& image) {
    SetAffine(image, {{{0, -2, 0, 10}, {1.5f, 0, 0, 20}, {0, 0, 3, 30}}});
    image.scl_slope = 2;
    image.scl_inter = -5;
  }));
  REQUIRE(volume.ok());
  CHECK(volume->grid.size == std::array<std::uint32_t, 3>{4, 3, 2});
  // Voxel (1, 2, 1) is at RAS (6, 21.5, 33).
  const Vec3 place = volume->grid.ToPatient({1, 2, 1});
  CHECK(Norm(place - Vec3{-6, -21.5, 33}) < 1e-5);
  CHECK(volume->At(1, 2, 1) == 2 * (1 + 4 * 2 + 12 * 1) - 5);
}

TEST_CASE("a sheared sform is kept, and a volume goes to a straight grid from it") {
  TemporaryFolder folder;
  const auto volume = ReadNifti(Written(folder, [](nifti_image& image) {
    SetAffine(image, {{{-1, 0, 0, 0}, {0, -1, -0.5f, 0}, {0, 0, 2, 0}}});
  }));
  REQUIRE(volume.ok());
  CHECK(volume->grid.TiltDegrees() == Approx(14.0362));
  const auto straight = Resample(*volume, StraightGrid(volume->grid), Interpolation::kLinear, -1);
  REQUIRE(straight.ok());
  CHECK(straight->At(2, 1, 0) == volume->At(2, 1, 0));
}

TEST_CASE("without an sform the qform counts, and without both the volume is refused") {
  TemporaryFolder folder;
  const auto volume = ReadNifti(Written(folder, [](nifti_image& image) {
    image.qform_code = NIFTI_XFORM_ALIGNED_ANAT;
    image.quatern_b = image.quatern_c = 0;
    image.quatern_d = 1;  // half a turn about the third axis: RAS to LPS directions
    image.dx = image.pixdim[1] = 0.5f;
    image.qfac = 1;
    image.qoffset_x = 7;
    image.qto_xyz = nifti_quatern_to_mat44(0, 0, 1, 7, 0, 0, 0.5f, 1, 1, 1);
  }));
  REQUIRE(volume.ok());
  CHECK(Norm(volume->grid.ToPatient({2, 0, 0}) - Vec3{-6, 0, 0}) < 1e-5);
  const auto nowhere = ReadNifti(Written(folder, [](nifti_image&) {}));
  REQUIRE_FALSE(nowhere.ok());
  CHECK_THAT(std::string(nowhere.status().message()), ContainsText("neither sform nor qform"));
}

TEST_CASE("damaged NIfTI files are refused") {
  TemporaryFolder folder;
  const fs::path path = folder / "broken.nii";
  REQUIRE(WriteFileDurably(path, std::string_view("not a volume at all")).ok());
  CHECK_FALSE(ReadNifti(path).ok());
  CHECK_FALSE(ReadNifti(folder / "missing.nii").ok());
  const auto singular = ReadNifti(Written(folder, [](nifti_image& image) {
    SetAffine(image, {{{1, 1, 0, 0}, {0, 0, 0, 0}, {0, 0, 1, 0}}});
  }));
  CHECK_FALSE(singular.ok());
}

TEST_CASE("the CT of the shared data is read with its geometry") {
  const auto folder = SharedData("volumes/totalsegmentator_example");
  if (!folder) return;
  const auto volume = ReadNifti(*folder / "example_ct_sm.nii.gz");
  REQUIRE(volume.ok());
  CHECK(volume->grid.size == std::array<std::uint32_t, 3>{122, 101, 30});
  CHECK(volume->grid.spacing_mm[1] == Approx(3));
  CHECK(volume->grid.directions[0][0] == Approx(-1));  // to the right, from NIfTI's left
  CHECK(volume->grid.origin[0] == Approx(177.95633));
  CHECK(volume->grid.origin[1] == Approx(-11.319));
}

TEST_CASE("a NIfTI mask of the shared data lands on the voxels of its DICOM series") {
  const auto masks = SharedData("volumes/totalsegmentator_example");
  const auto images = SharedData("dicom/series_ct_totalsegmentator");
  if (!masks || !images) return;
  NoProgress progress;
  const auto folder = ReadFolder(*images, 2, progress);
  REQUIRE(folder.ok());
  const auto stacks = FindStacks(folder->series.at(0), {});
  REQUIRE(stacks.ok());
  const auto mask = ReadNifti(*masks / "example_seg_dicom.nii.gz");
  REQUIRE(mask.ok());
  // The same voxels, with rows in the other order: nothing may be lost or interpolated.
  const auto moved = Resample(*mask, stacks->front().grid, Interpolation::kNearest, -1);
  REQUIRE(moved.ok());
  std::map<float, std::size_t> before, after;
  for (const float label : mask->voxels) ++before[label];
  for (const float label : moved->voxels) ++after[label];
  CHECK(before.size() > 2);
  CHECK(before == after);
  CHECK(moved->At(100, 200, 7) == mask->At(100, 511 - 200, 7));
}

}  // namespace
}  // namespace consilium::datasets::volumes
