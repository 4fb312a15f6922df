// Mammograms: both breasts, each from above (CC) and from the side (MLO).

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "common/base/text.h"
#include "datasets/explain/bitmap_font.h"
#include "datasets/synthetic/drawing.h"
#include "datasets/synthetic/phantom.h"

namespace consilium::datasets::synthetic {
namespace {

constexpr std::uint32_t kRows = 320, kColumns = 240;
constexpr double kSpacing_mm = 0.7;
constexpr int kTop = 4095;

struct Breast {
  double depth_mm, half_height_mm, density;
  std::uint64_t grain_seed;
  bool has_mass;
  // From the chest wall; to the outside; upwards.
  double mass_depth_mm, mass_out_mm, mass_up_mm, mass_radius_mm;

  static Breast Draw(SeededRandom& random, bool has_mass) {
    Breast b{};
    b.depth_mm = random.Uniform(78, 118);
    b.half_height_mm = random.Uniform(62, 86);
    b.density = random.Uniform(0.3, 0.8);
    b.grain_seed = random();
    b.has_mass = has_mass;
    b.mass_depth_mm = b.depth_mm * random.Uniform(0.35, 0.65);
    b.mass_out_mm = b.half_height_mm * random.Uniform(-0.35, 0.35);
    b.mass_up_mm = b.half_height_mm * random.Uniform(-0.3, 0.3);
    b.mass_radius_mm = random.Uniform(8, 13);
    return b;
  }
};

// Brightness, 0 to 1, at `depth` from the chest wall and `across` (mm) from the middle.
double Brightness(const Breast& b, const Grain& coarse, const Grain& fine, bool oblique,
                  double depth, double across) {
  const double u = depth / b.depth_mm, v = across / b.half_height_mm;
  const double inside = 1 - (u * u + v * v);
  double light = 0;
  if (inside > 0) {
    const Point at{depth, across, oblique ? 500.0 : 0.0};
    const double gland = Smooth(0.75 - std::hypot(u - 0.42, v) + 0.09 * coarse.At(at), 0.5);
    light = Smooth(inside, 0.18) *
            (0.3 + 0.3 * b.density * gland + 0.035 * coarse.At(at) + 0.025 * fine.At(at));
    if (b.has_mass) {
      const double from_mass = oblique ? across - b.mass_up_mm : across - b.mass_out_mm;
      const double angle = std::atan2(from_mass, depth - b.mass_depth_mm);
      const double spicules = 1 + 0.16 * std::cos(9 * angle) + 0.1 * std::cos(5 * angle + 1);
      const double radius = b.mass_radius_mm * spicules;
      const double distance = std::hypot(depth - b.mass_depth_mm, from_mass);
      light += 0.3 * Smooth(1 - distance / radius, 0.6);
    }
  }
  if (oblique) {  // the pectoral muscle: across runs downwards
    const double muscle = 34 * (1 - (across + b.half_height_mm) / (1.1 * b.half_height_mm));
    const double grain = 0.02 * coarse.At({across, depth, 900});
    light = std::max(light, (0.5 + grain) * Smooth(muscle - depth, 14));
  }
  return light;
}

struct View {
  bool left, oblique;
  std::string_view name() const { return oblique ? "MLO" : "CC"; }
  std::string series() const { return StrCat(left ? "l" : "r", oblique ? "mlo" : "cc"); }
  // Rows of a left breast run to the front: its chest wall is on the left (PS3.3 C.7.6.1.1.1).
  std::string orientation() const {
    if (oblique) return left ? "A\\FR" : "P\\FL";
    return left ? "A\\R" : "P\\L";
  }
};

std::vector<double> Project(const Breast& breast, const View& view, SeededRandom& random) {
  const Grain coarse(breast.grain_seed, 11), fine(breast.grain_seed + 1, 2.2);
  std::vector<double> image(kRows * kColumns);
  for (std::uint32_t row = 0; row < kRows; ++row) {
    for (std::uint32_t column = 0; column < kColumns; ++column) {
      const std::uint32_t away = view.left ? column : kColumns - 1 - column;
      const double light = Brightness(breast, coarse, fine, view.oblique, away * kSpacing_mm,
                                      (static_cast<double>(row) - kRows / 2.0) * kSpacing_mm);
      image[row * kColumns + column] = 0.02 + light + 0.008 * random.Normal();
    }
  }
  // A lead marker, away from the chest wall.
  const std::string marker = StrCat(view.left ? "L " : "R ", view.name());
  const int left = view.left ? static_cast<int>(kColumns) - 84 : 12;
  explain::DrawText(marker, 2, [&](int x, int y) {
    image[static_cast<std::size_t>(14 + y) * kColumns + static_cast<std::size_t>(left + x)] = 1;
  });
  return image;
}

// "north": as seen. "south": MONOCHROME1. "east": a VOI LUT, and padding beside the breast.
void Store(const std::vector<double>& image, int variant, dicom::NewInstance* out) {
  constexpr int kPadding = 0;
  for (const double light : image) {
    const auto value = static_cast<int>(std::lround(std::clamp(light, 0.0, 1.0) * (kTop - 1))) + 1;
    out->values.push_back(variant == 1 ? kTop - value : value);
  }
  if (variant == 0) out->window = VoiWindow{1640, 3280};
  if (variant == 1) {
    out->monochrome1 = true;
    out->window = VoiWindow{kTop + 1 - 1640.0, 3280};
  }
  if (variant == 2) {
    VoiLut lut{0, {}};
    for (int value = 0; value <= kTop; ++value) {
      const double x = static_cast<double>(value) / 3280;
      lut.brightness.push_back(
          static_cast<float>(std::min(1.0, x * x * (3 - 2 * std::min(1.0, x)))));
    }
    out->voi_lut = std::move(lut);
    out->padding = kPadding;
    for (std::uint32_t row = 0; row < kRows; ++row) {
      if (row >= 10 && row < kRows - 10) continue;
      std::fill_n(out->values.begin() + static_cast<std::ptrdiff_t>(row * kColumns), kColumns,
                  kPadding);
    }
  }
}

void DescribeView(const View& view, dicom::NewInstance* out) {
  out->view_position = view.name();
  out->laterality = view.left ? "L" : "R";
  out->body_part = "BREAST";
  const auto put = [&](std::string path, std::string value) {
    out->attributes.push_back({std::move(path), std::move(value)});
  };
  put("PatientOrientation", view.orientation());
  put("ImageType", "DERIVED\\PRIMARY");
  put("DetectorType", "DIRECT");
  put("OrganExposed", "BREAST");
  put("BreastImplantPresent", "NO");
  put("PartialView", "NO");
  put("PixelIntensityRelationship", "LOG");
  put("PixelIntensityRelationshipSign", "-1");
  put("ViewCodeSequence[0].CodeValue", view.oblique ? "399368009" : "399162004");
  put("ViewCodeSequence[0].CodingSchemeDesignator", "SCT");
  put("ViewCodeSequence[0].ViewModifierCodeSequence", "");
  put("ViewCodeSequence[0].CodeMeaning", view.oblique ? "medio-lateral oblique" : "cranio-caudal");
}

}  // namespace

std::vector<PhantomImage> DrawMammograms(const PhantomPatient& patient, const Machine& machine,
                                         SeededRandom& random) {
  const bool mass_left = random.Chance(0.5);
  // Both breasts of a woman are alike, but for the mass.
  Breast left = Breast::Draw(random, patient.finding && mass_left);
  Breast right = left;
  right.grain_seed = random();
  right.half_height_mm *= random.Uniform(0.96, 1.04);
  right.has_mass = patient.finding && !mass_left;
  std::vector<PhantomImage> images;
  int number = 0;
  for (const View view :
       {View{true, false}, View{false, false}, View{true, true}, View{false, true}}) {
    const Breast& breast = view.left ? left : right;
    PhantomImage image;
    image.series = view.series();
    image.instance = NewPhantomInstance("MG", patient, machine, image.series, ++number);
    dicom::NewInstance& out = image.instance;
    out.rows = kRows;
    out.columns = kColumns;
    out.bits_stored = 12;
    out.row_spacing_mm = out.column_spacing_mm = kSpacing_mm;
    Store(Project(breast, view, random), machine.variant, &out);
    DescribeView(view, &out);
    if (breast.has_mass) {
      image.finding = true;
      const double away = breast.mass_depth_mm / kSpacing_mm;
      image.column = (view.left ? away : kColumns - 1 - away) + 0.5;
      image.row =
          (view.oblique ? breast.mass_up_mm : breast.mass_out_mm) / kSpacing_mm + kRows / 2.0 + 0.5;
      image.radius = breast.mass_radius_mm / kSpacing_mm;
    }
    images.push_back(std::move(image));
  }
  return images;
}

}  // namespace consilium::datasets::synthetic
