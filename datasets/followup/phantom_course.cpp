#include "datasets/followup/phantom_course.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>

#include "absl/strings/str_format.h"
#include "common/base/progress.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "datasets/dicom/writer.h"
#include "datasets/results/segmentation_writer.h"
#include "datasets/synthetic/drawing.h"
#include "datasets/synthetic/phantom.h"
#include "datasets/volumes/series.h"

namespace consilium::datasets::followup {
namespace {

using registration::RigidTransform;
using registration::Vec3;
using synthetic::Ellipsoid;
using synthetic::Point;
using volumes::Grid;

constexpr Vec3 kExtent_mm = {186, 228, 186};
constexpr double kNoise = 12;
constexpr int kIntercept = -1024;

double Mix(double below, double above, double cover) { return below + cover * (above - below); }

double Hounsfield(const Vec3& at, const synthetic::Grain& grain,
                  const std::vector<PhantomLesion>& lesions) {
  const Point p = {at[0], at[1], at[2]};
  double skin = Ellipsoid{{0, 0, 0}, {76, 94, 86}}.Cover(p);
  skin = std::max(skin, Ellipsoid{{0, -94, -24}, {13, 16, 18}}.Cover(p));  // the nose
  skin = std::max(skin, Ellipsoid{{0, 24, -90}, {54, 56, 90}}.Cover(p));   // the neck
  if (skin <= 0) return -1000;
  double hu = Mix(-1000, 40, skin);
  hu = Mix(hu, 700, Ellipsoid{{0, -52, -74}, {44, 30, 12}}.Cover(p));  // the jaw
  hu = Mix(hu, 900, Ellipsoid{{0, 0, 0}, {70, 88, 80}}.Cover(p));
  hu = Mix(hu, 35 + 6 * grain.At(p), Ellipsoid{{0, 0, 0}, {64, 82, 74}}.Cover(p));
  for (const double side : {-1.0, 1.0}) {
    hu = Mix(hu, -80, Ellipsoid{{32 * side, -70, -14}, {19, 22, 17}}.Cover(p));     // orbits
    hu = Mix(hu, 20, Ellipsoid{{32 * side, -76, -14}, {12, 12, 12}}.Cover(p));      // eyes
    hu = Mix(hu, 800, Ellipsoid{{58 * side, 12, -38}, {16, 26, 14}}.Cover(p));      // petrous bones
    hu = Mix(hu, 5, Ellipsoid{{12.5 * side, -5, 8}, {8 + side, 29, 13}}.Cover(p));  // ventricles
  }
  hu = Mix(hu, -900, Ellipsoid{{0, -62, -40}, {18, 14, 12}}.Cover(p));  // the sinus
  for (const PhantomLesion& lesion : lesions) {
    const double radius = lesion.diameter_mm / 2;
    hu = Mix(
        hu, 80,
        Ellipsoid{{lesion.centre[0], lesion.centre[1], lesion.centre[2]}, {radius, radius, radius}}
            .Cover(p, 1));
  }
  return hu;
}

bool InLesion(const Vec3& at, const std::vector<PhantomLesion>& lesions) {
  return std::any_of(lesions.begin(), lesions.end(), [&](const PhantomLesion& lesion) {
    return Norm(at - lesion.centre) <= lesion.diameter_mm / 2;
  });
}

// The scanner's field of view stands still; only the head moves.
Grid GridOf(const PhantomScan& scan) {
  Grid grid;
  grid.spacing_mm = scan.spacing_mm;
  for (std::size_t axis = 0; axis < 3; ++axis) {
    grid.size[axis] = static_cast<std::uint32_t>(kExtent_mm[axis] / scan.spacing_mm[axis]);
    grid.origin[axis] = -scan.spacing_mm[axis] * (double{1} * grid.size[axis] - 1) / 2;
  }
  return grid;
}

std::string DateAfter(const std::string& date, int days) {
  using namespace std::chrono;
  const sys_days first = year(std::stoi(date.substr(0, 4))) /
                         static_cast<unsigned>(std::stoi(date.substr(4, 2))) /
                         static_cast<unsigned>(std::stoi(date.substr(6, 2)));
  const year_month_day day{first + std::chrono::days(days)};
  return absl::StrFormat("%04d%02d%02d", static_cast<int>(day.year()),
                         static_cast<unsigned>(day.month()), static_cast<unsigned>(day.day()));
}

synthetic::PhantomPatient PatientOf(const PhantomCourse& course, const PhantomScan& scan,
                                    std::uint64_t seed) {
  synthetic::PhantomPatient patient;
  patient.id = course.patient_id;
  patient.origin =
      StrCat("followed phantom ", course.patient_id, " seed ", seed, " day ", scan.day);
  patient.sex = "F";
  patient.age_years = 61;
  patient.birth_date = DateAfter(course.first_date, -61 * 366);
  patient.study_date = DateAfter(course.first_date, scan.day);
  patient.study_time = "101500";
  return patient;
}

dicom::NewInstance SliceOf(const Grid& grid, std::uint32_t k,
                           const synthetic::PhantomPatient& patient) {
  dicom::NewInstance out =
      synthetic::NewPhantomInstance("CT", patient, {}, "ct", static_cast<int>(k) + 1);
  out.rows = grid.size[1];
  out.columns = grid.size[0];
  out.column_spacing_mm = grid.spacing_mm[0];
  out.row_spacing_mm = grid.spacing_mm[1];
  out.body_part = "HEAD";
  out.intercept = kIntercept;
  out.bits_stored = 12;
  out.window = VoiWindow{40, 120};
  const Vec3 first = grid.ToPatient({0, 0, double{1} * k});
  const auto put = [&](std::string path, std::string value) {
    out.attributes.push_back({std::move(path), std::move(value)});
  };
  put("ImagePositionPatient", absl::StrFormat("%.4f\\%.4f\\%.4f", first[0], first[1], first[2]));
  put("ImageOrientationPatient", "1\\0\\0\\0\\1\\0");
  put("SliceThickness", absl::StrFormat("%.2f", grid.spacing_mm[2]));
  put("FrameOfReferenceUID", dicom::MakeUid(StrCat(patient.origin, "/frame")));
  put("ImageType", "ORIGINAL\\PRIMARY\\AXIAL");
  put("PatientPosition", "HFS");
  put("KVP", "120");
  put("AcquisitionNumber", "1");
  return out;
}

absl::Status WriteSegments(const fs::path& images, const fs::path& file,
                           std::vector<std::uint8_t> mask, Time now) {
  NoProgress progress;
  ASSIGN_OR_RETURN(const volumes::FolderOfSeries folder,
                   volumes::ReadFolder(images, /*threads=*/1, progress));
  CONSILIUM_CHECK(folder.series.size() == 1);
  const auto stacks = volumes::FindStacks(folder.series[0], {});
  const auto source = results::ReadSourceImage(images / folder.series[0].first_file);
  CONSILIUM_CHECK(stacks.ok() && stacks->size() == 1 && source.ok());
  results::NewSegment segment;
  segment.label = "brain lesions";
  segment.category = {"49755003", "SCT", "Morphologically Altered Structure"};
  segment.type = {"52988006", "SCT", "Lesion"};
  segment.voxels = std::move(mask);
  results::ModelDescription program;
  program.name = "Consilium phantoms";
  return results::WriteSegmentation(
      file, *source, program,
      results::NameOf(results::ResultKind::kSegmentation, program.id, *source),
      {.planes = results::PlanesOf(stacks->front(), source->sop_class_uid),
       .segments = {std::move(segment)},
       .manual = true},
      now);
}

absl::Status WriteScan(const PhantomCourse& course, const PhantomScan& scan, std::uint64_t seed,
                       const fs::path& folder) {
  const Grid grid = GridOf(scan);
  const synthetic::Grain grain(seed, 9);  // the head's own
  SeededRandom random(seed, StrCat("noise of day ", scan.day));
  const synthetic::PhantomPatient patient = PatientOf(course, scan, seed);
  const RigidTransform back = scan.motion.Inverse();
  std::vector<std::uint8_t> mask;
  mask.reserve(grid.VoxelCount());
  RETURN_IF_ERROR(EnsureFolder(folder / "ct"));
  for (std::uint32_t k = 0; k < grid.size[2]; ++k) {
    dicom::NewInstance slice = SliceOf(grid, k, patient);
    for (std::uint32_t j = 0; j < grid.size[1]; ++j) {
      for (std::uint32_t i = 0; i < grid.size[0]; ++i) {
        const Vec3 at = back(grid.ToPatient({double{1} * i, double{1} * j, double{1} * k}));
        const double hu = Hounsfield(at, grain, scan.lesions) + kNoise * random.Normal();
        slice.values.push_back(
            static_cast<std::int32_t>(std::clamp(std::lround(hu) - kIntercept, 0l, 4095l)));
        mask.push_back(InLesion(at, scan.lesions));
      }
    }
    RETURN_IF_ERROR(dicom::WriteFile(folder / "ct" / absl::StrFormat("%04d.dcm", k + 1), slice));
  }
  return WriteSegments(folder / "ct", folder / "seg.dcm", std::move(mask), SystemClock().Now());
}

RigidTransform Motion(const Vec3& degrees, const Vec3& mm) {
  return registration::MakeRigidTransform(degrees * (std::numbers::pi / 180), mm, {0, 0, 0});
}

}  // namespace

PhantomCourse ThreeScans(std::string patient_id) {
  const Vec3 frontal = {-34, -38, 26}, parietal = {36, 20, 30}, occipital = {-26, 52, 4},
             temporal = {44, -8, -12}, cerebellar = {18, 44, -36};
  PhantomCourse course{std::move(patient_id), "20260112", {}};
  course.scans = {{0,
                   Motion({1, -2, 1.5}, {2, -1, 3}),
                   {1.5, 1.5, 3},
                   {{1, frontal, 28}, {2, parietal, 18}, {3, occipital, 8}, {4, temporal, 7}}},
                  {58,
                   Motion({-5, 3, 6}, {-8, 11, -9}),
                   {1.2, 1.2, 2.5},
                   {{1, frontal, 17}, {2, parietal, 13}, {3, occipital, 9}}},
                  {121,
                   Motion({4, 5, -7}, {10, -6, 14}),
                   {1.5, 1.5, 4},
                   {{1, frontal, 12}, {2, parietal, 13}, {3, occipital, 12}, {5, cerebellar, 11}}}};
  return course;
}

absl::Status WriteCourse(const PhantomCourse& course, std::uint64_t seed, const fs::path& folder) {
  if (Exists(folder)) {
    ASSIGN_OR_RETURN(const std::vector<FolderEntry> entries, ListFolder(folder));
    if (!entries.empty()) {
      return absl::AlreadyExistsError(
          StrCat("the folder ", folder.filename().string(), " holds something already"));
    }
  }
  for (const PhantomScan& scan : course.scans) {
    RETURN_IF_ERROR(WriteScan(course, scan, seed, folder / StrCat("day-", scan.day)));
  }
  return absl::OkStatus();
}

}  // namespace consilium::datasets::followup
