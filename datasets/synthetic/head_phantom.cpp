// Heads as FLAIR magnetic resonance shows them: bright fat and brain, dark fluid and bone, a coil's
// uneven sensitivity, and values in no unit that two scanners share.

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "common/base/text.h"
#include "datasets/synthetic/drawing.h"
#include "datasets/synthetic/phantom.h"

namespace consilium::datasets::synthetic {
namespace {

struct Head {
  Ellipsoid scalp, skull, brain, white_matter, left_ventricle, right_ventricle, lesion;
  bool has_lesion = false;
  double bias[4] = {};  // of the coil: along x, y, z, and x times y
  std::uint64_t grain_seed = 0;

  static Head Draw(SeededRandom& random, bool has_lesion) {
    Head h;
    const double size = random.Uniform(0.92, 1.05);
    h.scalp = {{0, 0, 0}, {74 * size, 94 * size, 90 * size}};
    h.skull = {{0, 0, 0}, {67 * size, 87 * size, 83 * size}};
    h.brain = {{0, 0, 0}, {60 * size, 79 * size, 75 * size}};
    h.white_matter = {{0, 0, 0}, {46 * size, 63 * size, 58 * size}};
    const double wide = random.Uniform(5, 9);
    h.left_ventricle = {{11, -4, 8}, {wide, 26, 15}};
    h.right_ventricle = {{-11, -4, 8}, {wide, 26, 15}};
    h.has_lesion = has_lesion;
    const double side = random.Chance(0.5) ? 1 : -1, radius = random.Uniform(8, 13);
    h.lesion = {
        {side * random.Uniform(26, 33) * size, random.Uniform(-32, 30), random.Uniform(-8, 24)},
        {radius, radius * random.Uniform(0.9, 1.3), radius}};
    for (double& slope : h.bias) slope = random.Uniform(-0.22, 0.22);
    h.grain_seed = random();
    return h;
  }

  double Signal(const Grain& grain, const Point& at) const {
    const auto mix = [](double below, double above, double cover) {
      return below + cover * (above - below);
    };
    double signal = mix(0, 0.8, scalp.Cover(at));
    signal = mix(signal, 0.06, skull.Cover(at));
    // The cortex folds.
    const double fold = 0.05 * grain.At(at);
    signal = mix(signal, 0.56 + fold, brain.Cover(at));
    signal = mix(signal, 0.46 + 0.3 * fold, white_matter.Cover({at.x + 60 * fold, at.y, at.z}, 6));
    signal = mix(signal, 0.1, std::max(left_ventricle.Cover(at), right_ventricle.Cover(at)));
    if (has_lesion) signal = mix(signal, 0.92, lesion.Cover(at, 4));
    const double u = at.x / 90, v = at.y / 90, w = at.z / 90;
    return signal * (1 + bias[0] * u + bias[1] * v + bias[2] * w + bias[3] * u * v);
  }
};

struct Protocol {
  std::uint32_t side, slices;
  double spacing_mm, thickness_mm, gap_mm, scale, noise;
  const char* field_strength;
};
constexpr Protocol kProtocols[] = {
    {128, 16, 1.7, 5, 1, 420, 0.022, "1.5"},
    {112, 16, 2.0, 5, 1, 1900, 0.035, "1.5"},
    {144, 16, 1.5, 5, 1, 12000, 0.016, "3"},
};

void DescribeSequence(const Protocol& protocol, dicom::NewInstance* out) {
  const auto put = [&](std::string path, std::string value) {
    out->attributes.push_back({std::move(path), std::move(value)});
  };
  put("ImageType", "ORIGINAL\\PRIMARY\\OTHER");
  put("ScanningSequence", "SE\\IR");
  put("SequenceVariant", "SK");
  put("ScanOptions", "");
  put("MRAcquisitionType", "2D");
  put("EchoTime", "110");
  put("EchoTrainLength", "16");
  put("RepetitionTime", "9000");
  put("InversionTime", "2500");
  put("MagneticFieldStrength", protocol.field_strength);
  put("SliceThickness", absl::StrFormat("%.1f", protocol.thickness_mm));
  put("SpacingBetweenSlices", absl::StrFormat("%.1f", protocol.thickness_mm + protocol.gap_mm));
  put("PatientPosition", "HFS");
}

}  // namespace

std::vector<PhantomImage> DrawHeadMr(const PhantomPatient& patient, const Machine& machine,
                                     SeededRandom& random) {
  const Head head = Head::Draw(random, patient.finding);
  const Grain grain(head.grain_seed, 9);
  const Protocol& protocol = kProtocols[machine.variant];
  const double scale = protocol.scale * random.Uniform(0.8, 1.25);
  const double step = protocol.thickness_mm + protocol.gap_mm;
  const double half = (protocol.side - 1) / 2.0 * protocol.spacing_mm;
  std::vector<PhantomImage> images;
  for (std::uint32_t slice = 0; slice < protocol.slices; ++slice) {
    PhantomImage image;
    image.series = "mr";
    image.instance = NewPhantomInstance("MR", patient, machine, "mr", static_cast<int>(slice) + 1);
    dicom::NewInstance& out = image.instance;
    out.rows = out.columns = protocol.side;
    out.row_spacing_mm = out.column_spacing_mm = protocol.spacing_mm;
    out.body_part = "BRAIN";
    const double z = -40 + slice * step;
    for (std::uint32_t row = 0; row < protocol.side; ++row) {
      for (std::uint32_t column = 0; column < protocol.side; ++column) {
        const Point at{column * protocol.spacing_mm - half, row * protocol.spacing_mm - half, z};
        // Magnitudes of two noisy channels (Rice).
        const double real = head.Signal(grain, at) + protocol.noise * random.Normal();
        const double magnitude = std::hypot(real, protocol.noise * random.Normal());
        out.values.push_back(
            static_cast<std::int32_t>(std::clamp(std::lround(scale * magnitude), 0l, 65535l)));
      }
    }
    DescribeSequence(protocol, &out);
    out.attributes.push_back(
        {"ImagePositionPatient", absl::StrFormat("%.3f\\%.3f\\%.3f", -half, -half, z)});
    out.attributes.push_back(
        {"FrameOfReferenceUID", dicom::MakeUid(StrCat(patient.origin, "/frame"))});
    const double away = std::abs(head.lesion.centre.z - z) / head.lesion.radii.z;
    if (head.has_lesion && away < 0.8) {
      image.finding = true;
      image.column = (head.lesion.centre.x + half) / protocol.spacing_mm + 0.5;
      image.row = (head.lesion.centre.y + half) / protocol.spacing_mm + 0.5;
      image.radius = head.lesion.radii.y * std::sqrt(1 - away * away) / protocol.spacing_mm;
    }
    images.push_back(std::move(image));
  }
  return images;
}

}  // namespace consilium::datasets::synthetic
