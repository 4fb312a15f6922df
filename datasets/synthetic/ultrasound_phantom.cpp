// Loops of a sector transducer: speckle that fades with depth, a vessel, a diaphragm, breathing,
// and text beside the scan.

#include <algorithm>
#include <cmath>
#include <numbers>

#include "absl/strings/str_format.h"
#include "common/base/text.h"
#include "datasets/explain/bitmap_font.h"
#include "datasets/synthetic/drawing.h"
#include "datasets/synthetic/phantom.h"

namespace consilium::datasets::synthetic {
namespace {

constexpr std::uint32_t kRows = 240, kColumns = 320, kFrames = 12;
// The declared region of tissue.
constexpr std::uint32_t kLeft = 44, kTop = 32, kRight = 275, kBottom = 223;
constexpr double kApexColumn = 160, kApexRow = 22;
constexpr double kNearest = 14, kDepth = 198, kHalfAngle = 0.66;  // pixels, radians
constexpr double kPixel_cm = 0.07;

struct Scan {
  double cyst_angle, cyst_depth, cyst_radius;
  double vessel_angle, vessel_depth, gain;
  bool has_cyst;
  std::uint64_t grain_seed;

  static Scan Draw(SeededRandom& random, bool has_cyst) {
    Scan s{};
    s.cyst_angle = random.Uniform(-0.3, 0.3);
    s.cyst_depth = random.Uniform(75, 125);
    s.cyst_radius = random.Uniform(15, 23);
    s.vessel_angle = random.Uniform(-0.4, 0.4);
    s.vessel_depth = random.Uniform(140, 160);
    s.gain = random.Uniform(0.85, 1.1);
    s.has_cyst = has_cyst;
    s.grain_seed = random();
    return s;
  }
  double CystColumn() const { return kApexColumn + cyst_depth * std::sin(cyst_angle); }
  double CystRow() const { return kApexRow + cyst_depth * std::cos(cyst_angle); }
};

// Downward shift of the tissue by breathing, in pixels; 0 in the middle frame.
double Breath(std::uint32_t frame) {
  return 5 * std::sin(2 * std::numbers::pi * (static_cast<double>(frame) - kFrames / 2) / kFrames);
}

// The echo's strength at a pixel before speckle; negative outside the sector.
double Echo(const Scan& scan, const Grain& grain, double column, double row, double shift) {
  const double x = column - kApexColumn, y = row - kApexRow;
  const double depth = std::hypot(x, y), angle = std::atan2(x, y);
  if (depth < kNearest || depth > kDepth || std::abs(angle) > kHalfAngle) return -1;
  const Point tissue{column, row - shift, 0};
  double echo = 0.42 * (1 + 0.16 * grain.At(tissue)) * (1 - 0.0022 * depth);
  const double below = row - shift - (200 + 0.0016 * x * x);  // a diaphragm
  echo += 0.5 * std::exp(-below * below / 18);
  const Ellipsoid vessel{{kApexColumn + scan.vessel_depth * std::sin(scan.vessel_angle),
                          kApexRow + scan.vessel_depth * std::cos(scan.vessel_angle), 0},
                         {24, 6, 1}};
  echo *= 1 - 0.85 * vessel.Cover(tissue, 1);
  if (scan.has_cyst) {
    const Ellipsoid cyst{{scan.CystColumn(), scan.CystRow(), 0},
                         {scan.cyst_radius, scan.cyst_radius, 1e3}};
    echo *= 1 - 0.93 * cyst.Cover(tissue, 3);
    // Fluid does not weaken what passes through it.
    const double behind = row - shift - scan.CystRow() - scan.cyst_radius;
    const double beside = std::abs(column - scan.CystColumn()) / scan.cyst_radius;
    if (behind > 0) echo *= 1 + 0.5 * Smooth(1 - beside, 0.4) * std::exp(-behind / 40);
  }
  return scan.gain * echo;
}

std::vector<std::uint8_t> DrawFrame(const Scan& scan, const Grain& grain, std::uint32_t frame,
                                    SeededRandom& random) {
  std::vector<std::uint8_t> grey(kRows * kColumns, 0);
  const double shift = Breath(frame);
  for (std::uint32_t row = kTop; row <= kBottom; ++row) {
    for (std::uint32_t column = kLeft; column <= kRight; ++column) {
      const double echo = Echo(scan, grain, column, row, shift);
      if (echo < 0) continue;
      const double speckle = std::hypot(random.Normal(), random.Normal()) / 1.2533;  // Rayleigh
      const double shown = 255 * std::pow(std::max(0.0, echo * (0.55 + 0.45 * speckle)), 0.8);
      grey[row * kColumns + column] =
          static_cast<std::uint8_t>(std::clamp(std::lround(shown), 0l, 255l));
    }
  }
  return grey;
}

void WriteText(std::string_view text, int left, int top, std::vector<std::uint8_t>& grey) {
  explain::DrawText(text, 1, [&](int x, int y) {
    const int column = left + x, row = top + y;
    if (column < static_cast<int>(kColumns) && row < static_cast<int>(kRows)) {
      grey[static_cast<std::size_t>(row) * kColumns + static_cast<std::size_t>(column)] = 255;
    }
  });
}

void DescribeRegion(dicom::NewInstance* out) {
  const std::string region = "SequenceOfUltrasoundRegions[0].";
  const auto put = [&](const char* name, std::string value) {
    out->attributes.push_back({region + name, std::move(value)});
  };
  put("RegionSpatialFormat", "1");  // two-dimensional
  put("RegionDataType", "1");       // tissue
  put("RegionFlags", "2");
  put("RegionLocationMinX0", StrCat(kLeft));
  put("RegionLocationMinY0", StrCat(kTop));
  put("RegionLocationMaxX1", StrCat(kRight));
  put("RegionLocationMaxY1", StrCat(kBottom));
  put("PhysicalUnitsXDirection", "3");  // centimetres
  put("PhysicalUnitsYDirection", "3");
  put("PhysicalDeltaX", StrCat(kPixel_cm));
  put("PhysicalDeltaY", StrCat(kPixel_cm));
}

void AppendFrame(const std::vector<std::uint8_t>& grey, int samples, dicom::NewInstance* out) {
  for (const std::uint8_t value : grey) {
    if (samples == 1) {
      out->values.push_back(value);
    } else {  // slightly warm, as many machines colour their greys
      out->values.insert(out->values.end(), {value, value * 245 / 255, value * 225 / 255});
    }
  }
}

}  // namespace

std::vector<PhantomImage> DrawUltrasound(const PhantomPatient& patient, const Machine& machine,
                                         bool burned_in, SeededRandom& random) {
  const Scan scan = Scan::Draw(random, patient.finding);
  const Grain grain(scan.grain_seed, 7);
  PhantomImage image;
  image.series = "us";
  image.instance = NewPhantomInstance("US", patient, machine, "us", 1);
  dicom::NewInstance& out = image.instance;
  out.rows = kRows;
  out.columns = kColumns;
  out.frames = kFrames;
  out.bits_stored = 8;
  out.samples = machine.variant == 1 ? 1 : 3;
  out.body_part = "ABDOMEN";
  if (machine.variant == 2) out.transfer_syntax = dicom::TransferSyntax::kJpegBaseline;
  for (std::uint32_t frame = 0; frame < kFrames; ++frame) {
    std::vector<std::uint8_t> grey = DrawFrame(scan, grain, frame, random);
    WriteText(burned_in ? patient.id : "PHANTOM", 6, 6, grey);
    WriteText("MI 0.8 TIS 0.3", 228, 6, grey);
    WriteText("3.5 MHz", 6, 226, grey);
    AppendFrame(grey, out.samples, &out);
  }
  out.burned_in_annotation = burned_in;
  out.attributes.push_back({"ImageType", "ORIGINAL\\PRIMARY\\ABDOMINAL\\0001"});
  out.attributes.push_back({"PatientOrientation", ""});
  out.attributes.push_back({"FrameTime", "66.7"});
  out.attributes.push_back({"FrameIncrementPointer", "(0018,1063)"});
  DescribeRegion(&out);
  if (scan.has_cyst) {
    image.finding = true;
    image.column = scan.CystColumn() + 0.5;
    image.row = scan.CystRow() + 0.5;
    image.radius = scan.cyst_radius;
  }
  std::vector<PhantomImage> images;
  images.push_back(std::move(image));
  return images;
}

}  // namespace consilium::datasets::synthetic
