// Photographs of the retina: both eyes.

#include <algorithm>
#include <cmath>
#include <numbers>

#include "absl/strings/str_format.h"
#include "common/base/text.h"
#include "datasets/synthetic/drawing.h"
#include "datasets/synthetic/phantom.h"

namespace consilium::datasets::synthetic {
namespace {

// "east" cuts the disc off above and below, as cameras with wide sensors do.
struct Camera {
  std::uint32_t rows, columns;
  double radius;
  double red, green, blue;  // of the lamp
};
constexpr Camera kCameras[] = {
    {300, 320, 138, 1.0, 1.0, 1.0},
    {320, 400, 150, 1.1, 0.9, 0.8},
    {240, 340, 148, 0.95, 1.05, 1.15},
};

struct Vessel {
  std::vector<Point> path;  // pixels
  double width;
};

struct Spot {
  Point at;
  double radius;
};

struct Retina {
  double nasal;  // where the optic disc lies: 1 right, -1 left of the centre
  Point optic_disc;
  std::vector<Vessel> vessels;
  std::vector<Spot> haemorrhages;
  double pigment;
  std::uint64_t grain_seed;

  static Retina Draw(const Camera& camera, bool left_eye, bool finding, SeededRandom& random);
};

// Arcades leave the optic disc upwards and downwards: half of them turn around the macula, the
// others run towards the nose.
std::vector<Vessel> DrawVessels(const Retina& retina, double radius, SeededRandom& random) {
  constexpr int kArcades = 8, kSteps = 130;
  constexpr double kStep = 1.6;
  std::vector<Vessel> vessels;
  for (int arcade = 0; arcade < kArcades; ++arcade) {
    const double up = arcade % 2 == 0 ? -1 : 1;
    const bool temporal = arcade % 4 < 2;
    Vessel vessel;
    vessel.width = random.Uniform(1.3, 2.8);
    // 0 is towards the temple, pi towards the nose.
    double angle = up * (temporal ? random.Uniform(1.1, 1.6) : random.Uniform(1.9, 2.6));
    const double bend = temporal ? -up * random.Uniform(0.009, 0.014) : 0;
    Point at = retina.optic_disc;
    for (int step = 0; step < kSteps && std::hypot(at.x, at.y) < radius; ++step) {
      vessel.path.push_back(at);
      at.x -= retina.nasal * kStep * std::cos(angle);
      at.y += kStep * std::sin(angle);
      angle += bend + 0.04 * random.Normal();
    }
    vessels.push_back(std::move(vessel));
  }
  return vessels;
}

Retina Retina::Draw(const Camera& camera, bool left_eye, bool finding, SeededRandom& random) {
  Retina r{};
  // In a photograph of the left eye the nose is on the left.
  r.nasal = left_eye ? -1 : 1;
  r.optic_disc = {r.nasal * random.Uniform(0.36, 0.44) * camera.radius, random.Uniform(-12, 6), 0};
  r.pigment = random.Uniform(0.8, 1.15);
  r.grain_seed = random();
  r.vessels = DrawVessels(r, camera.radius, random);
  if (!finding) return r;
  const int spots = 5 + static_cast<int>(random.Below(4));
  const double middle = random.Uniform(0, 2 * std::numbers::pi);
  for (int i = 0; i < spots; ++i) {
    const double angle = middle + 0.5 * random.Normal();
    const double reach = random.Uniform(0.25, 0.6) * camera.radius;
    r.haemorrhages.push_back(
        {{reach * std::cos(angle), 0.8 * reach * std::sin(angle), 0}, random.Uniform(4, 9)});
  }
  return r;
}

// How much a point lies in a vessel: 0 to 1, for each pixel of the image.
std::vector<float> VesselMap(const Camera& camera, const Retina& retina) {
  std::vector<float> map(std::size_t{camera.rows} * camera.columns, 0.0f);
  for (const Vessel& vessel : retina.vessels) {
    for (std::size_t i = 0; i < vessel.path.size(); ++i) {
      const double thin = 1 - 0.6 * static_cast<double>(i) / 130;
      const double width = std::max(0.8, vessel.width * thin);
      const double x = vessel.path[i].x + camera.columns / 2.0;
      const double y = vessel.path[i].y + camera.rows / 2.0;
      for (int dy = -4; dy <= 4; ++dy) {
        for (int dx = -4; dx <= 4; ++dx) {
          const auto column = static_cast<std::int64_t>(x) + dx,
                     row = static_cast<std::int64_t>(y) + dy;
          if (column < 0 || row < 0 || column >= camera.columns || row >= camera.rows) continue;
          const double far =
              std::hypot(static_cast<double>(column) - x, static_cast<double>(row) - y);
          float& cover = map[static_cast<std::size_t>(row) * camera.columns +
                             static_cast<std::size_t>(column)];
          cover = std::max(cover, static_cast<float>(Smooth(1.2 * width - far, width)));
        }
      }
    }
  }
  return map;
}

void Photograph(const Camera& camera, const Retina& retina, SeededRandom& random,
                dicom::NewInstance* out) {
  const Grain grain(retina.grain_seed, 18);
  const std::vector<float> vessels = VesselMap(camera, retina);
  for (std::uint32_t row = 0; row < camera.rows; ++row) {
    for (std::uint32_t column = 0; column < camera.columns; ++column) {
      const Point at{column - camera.columns / 2.0, row - camera.rows / 2.0, 0};
      const double far = std::hypot(at.x, at.y) / camera.radius;
      const double field = Smooth((1 - far) * camera.radius, 3);
      double rgb[3] = {4, 3, 3};
      if (field > 0) {
        const double light = (1 - 0.4 * far * far) * retina.pigment * (1 + 0.05 * grain.At(at));
        rgb[0] = 178 * light;
        rgb[1] = 96 * light;
        rgb[2] = 44 * light;
        const auto tint = [&](double cover, double red, double green, double blue) {
          rgb[0] *= 1 + cover * (red - 1);
          rgb[1] *= 1 + cover * (green - 1);
          rgb[2] *= 1 + cover * (blue - 1);
        };
        const Ellipsoid macula{{-0.12 * retina.nasal * camera.radius, 4, 0}, {22, 22, 1}};
        tint(macula.Cover(at, 1), 0.9, 0.8, 0.8);
        const Ellipsoid disc{retina.optic_disc, {17, 19, 1}};
        tint(disc.Cover({at.x, at.y, 0}, 0.6), 1.35, 1.75, 1.9);
        tint(vessels[std::size_t{row} * camera.columns + column], 0.82, 0.55, 0.7);
        for (const Spot& spot : retina.haemorrhages) {
          const Ellipsoid blood{spot.at, {spot.radius, spot.radius * 0.8, 1}};
          tint(blood.Cover(at, 0.5), 0.75, 0.3, 0.5);
        }
      }
      const double lamp[3] = {camera.red, camera.green, camera.blue};
      for (int s = 0; s < 3; ++s) {
        const double value = field * rgb[s] * lamp[s] + 2 + 1.5 * random.Normal();
        out->values.push_back(static_cast<std::int32_t>(std::clamp(std::lround(value), 0l, 255l)));
      }
    }
  }
}

void DescribeEye(bool left, dicom::NewInstance* out) {
  out->laterality = left ? "L" : "R";
  out->body_part = "EYE";
  const auto put = [&](std::string path, std::string value) {
    out->attributes.push_back({std::move(path), std::move(value)});
  };
  const auto code = [&](const std::string& sequence, std::string value, std::string meaning) {
    put(sequence + "[0].CodeValue", std::move(value));
    put(sequence + "[0].CodingSchemeDesignator", "SCT");
    put(sequence + "[0].CodeMeaning", std::move(meaning));
  };
  put("ImageType", "ORIGINAL\\PRIMARY\\\\COLOR");
  code("AcquisitionDeviceTypeCodeSequence", "409898007", "Fundus Camera");
  code("AnatomicRegionSequence", "5665001", "Retina");
  put("PatientEyeMovementCommanded", "NO");
  put("PupilDilated", "YES");
  put("DegreeOfDilation", "6");
  put("MydriaticAgentSequence", "");
  put("IntraOcularPressure", "");
  put("HorizontalFieldOfView", "45");
  put("RefractiveStateSequence", "");
  put("EmmetropicMagnification", "");
  put("DetectorType", "CCD");
  put("PatientOrientation", "L\\F");  // of somebody who faces the camera
  for (const char* unsaid : {"IlluminationTypeCodeSequence", "LightPathFilterTypeStackCodeSequence",
                             "ImagePathFilterTypeStackCodeSequence", "LensesCodeSequence"}) {
    put(unsaid, "");
  }
  // A multi-frame class, of which a photograph is one frame (PS3.3 A.41).
  put("NumberOfFrames", "1");
  put("FrameTime", "0");
  put("FrameIncrementPointer", "(0018,1063)");
  put("SynchronizationTrigger", "NO TRIGGER");
  put("AcquisitionTimeSynchronized", "N");
}

}  // namespace

std::vector<PhantomImage> DrawFundus(const PhantomPatient& patient, const Machine& machine,
                                     SeededRandom& random) {
  const Camera& camera = kCameras[machine.variant];
  std::vector<PhantomImage> images;
  for (const bool left : {false, true}) {
    const Retina retina = Retina::Draw(camera, left, patient.finding, random);
    PhantomImage image;
    image.series = left ? "left" : "right";
    image.instance = NewPhantomInstance("OP", patient, machine, image.series, 1);
    dicom::NewInstance& out = image.instance;
    out.rows = camera.rows;
    out.columns = camera.columns;
    out.bits_stored = 8;
    out.samples = 3;
    if (machine.variant == 1) out.transfer_syntax = dicom::TransferSyntax::kJpegBaseline;
    Photograph(camera, retina, random, &out);
    DescribeEye(left, &out);
    out.attributes.push_back({"AcquisitionDateTime", patient.study_date + patient.study_time});
    out.attributes.push_back(
        {"SynchronizationFrameOfReferenceUID", dicom::MakeUid(StrCat(patient.origin, "/clock"))});
    if (patient.finding) {
      const Spot& first = retina.haemorrhages.front();
      image.finding = true;
      image.column = first.at.x + camera.columns / 2.0 + 0.5;
      image.row = first.at.y + camera.rows / 2.0 + 0.5;
      image.radius = first.radius;
    }
    images.push_back(std::move(image));
  }
  return images;
}

}  // namespace consilium::datasets::synthetic
