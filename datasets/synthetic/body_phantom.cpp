// Trunks for CT, PET and both: lungs, heart, liver, spleen, aorta, spine and ribs.

#include <algorithm>
#include <cmath>
#include <numbers>

#include "absl/strings/str_format.h"
#include "common/base/text.h"
#include "datasets/synthetic/drawing.h"
#include "datasets/synthetic/phantom.h"

namespace consilium::datasets::synthetic {
namespace {

constexpr double kFluorineHalfLife_s = 6586.2;
constexpr double kUptakeMinutes = 60;

struct Body {
  Ellipsoid skin, fat, left_lung, right_lung, heart, liver, spleen, aorta, spine;
  double liver_hu = 110, heart_uptake = 2;
  Ellipsoid lesion;  // in the liver
  bool has_lesion = false;
  std::uint64_t grain_seed = 0;

  static Body Draw(SeededRandom& random, bool has_lesion);
  // The share of the radius at which a plane at `z` cuts the lesion; 0 where it does not.
  double LesionRadius(double distance) const {
    const double r = lesion.radii.x;
    return std::abs(distance) < r ? std::sqrt(r * r - distance * distance) : 0;
  }
};

Body Body::Draw(SeededRandom& random, bool has_lesion) {
  constexpr double kLong = 1e4;
  Body b;
  const double size = random.Uniform(0.88, 1.08);
  b.skin = {{0, 0, 0}, {162 * size, 112 * size, kLong}};
  const double fat_mm = random.Uniform(8, 24);
  b.fat = {{0, 0, 0}, {b.skin.radii.x - fat_mm, b.skin.radii.y - fat_mm * 0.8, kLong}};
  b.right_lung = {{-72 * size, -4, 62}, {52 * size, 74 * size, 78}};
  b.left_lung = {{74 * size, -4, 62}, {50 * size, 74 * size, 74}};
  b.heart = {{22, -24, 42}, {48 * size, 44 * size, 46}};
  b.liver = {{-58 * size, -8, -48}, {80 * size, 66 * size, 62}};
  b.spleen = {{92 * size, 34, -40}, {30, 26, 36}};
  b.aorta = {{14, 46, 0}, {11, 11, kLong}};
  b.spine = {{0, 72 * size, 0}, {20, 17, kLong}};
  b.liver_hu = random.Uniform(96, 124);
  b.heart_uptake = random.Uniform(1.2, 4);
  b.has_lesion = has_lesion;
  const double radius = random.Uniform(13, 21);
  const double angle = random.Uniform(0, 2 * std::numbers::pi), reach = random.Uniform(0, 0.4);
  b.lesion = {{b.liver.centre.x + reach * b.liver.radii.x * std::cos(angle),
               b.liver.centre.y + reach * b.liver.radii.y * std::sin(angle),
               b.liver.centre.z + random.Uniform(-14, 14)},
              {radius, radius, radius}};
  b.grain_seed = random();
  return b;
}

double Mix(double below, double above, double cover) { return below + cover * (above - below); }

// Ribs: short arcs of a ring that winds along the body.
double RibCover(const Body& body, const Point& at) {
  const double u = at.x / body.fat.radii.x, v = at.y / body.fat.radii.y;
  const double ring = std::sqrt(u * u + v * v);
  const double turn = std::cos(7 * std::atan2(v, u) + at.z / 7);
  return Smooth(0.05 - std::abs(ring - 0.93), 0.03) * Smooth(turn - 0.3, 0.4);
}

double Hounsfield(const Body& b, const Grain& grain, const Point& at) {
  double hu = Mix(-1000, -100, b.skin.Cover(at));
  const double inside = b.fat.Cover(at);
  if (inside <= 0) return hu;
  double tissue = 45;
  tissue = Mix(tissue, b.liver_hu, b.liver.Cover(at));
  tissue = Mix(tissue, 118, b.spleen.Cover(at));
  const double lung = std::max(b.left_lung.Cover(at), b.right_lung.Cover(at)) *
                      (1 - b.liver.Cover(at)) * (1 - b.spleen.Cover(at));
  tissue = Mix(tissue, -830, lung);
  tissue = Mix(tissue, 130, b.heart.Cover(at));
  tissue = Mix(tissue, 165, b.aorta.Cover(at));
  tissue = Mix(tissue, 320, b.spine.Cover(at));
  tissue = Mix(tissue, 520, RibCover(b, at) * (1 - lung));
  if (b.has_lesion) tissue = Mix(tissue, 38, b.lesion.Cover(at, 3));
  return Mix(hu, tissue + 5 * grain.At(at), inside);
}

double Uptake(const Body& b, const Grain& grain, const Point& at) {
  const double inside = b.skin.Cover(at, 8);
  if (inside <= 0) return 0;
  double suv = Mix(0.4, 0.9, b.fat.Cover(at, 8));
  suv = Mix(suv, 0.45, std::max(b.left_lung.Cover(at, 8), b.right_lung.Cover(at, 8)));
  suv = Mix(suv, 2.1, b.liver.Cover(at, 8));
  suv = Mix(suv, 1.8, b.spleen.Cover(at, 8));
  suv = Mix(suv, b.heart_uptake, b.heart.Cover(at, 8));
  suv = Mix(suv, 1.6, b.aorta.Cover(at, 6));
  suv = Mix(suv, 1.4, b.spine.Cover(at, 8));
  if (b.has_lesion) suv = Mix(suv, 8.5, b.lesion.Cover(at, 7));
  return inside * suv * (1 + 0.05 * grain.At(at));
}

// A stack of axial slices, all tilted about the x axis by `tilt_degrees`.
struct Stack {
  std::uint32_t rows = 128, columns = 128, slices = 20;
  double spacing_mm = 2.9, distance_mm = 10, tilt_degrees = 0, lowest_z = -105;

  double Cosine() const { return std::cos(tilt_degrees * std::numbers::pi / 180); }
  double Sine() const { return std::sin(tilt_degrees * std::numbers::pi / 180); }
  Point FirstPixel(std::uint32_t slice) const {
    const double half = (rows - 1) / 2.0 * spacing_mm, across = (columns - 1) / 2.0 * spacing_mm;
    return {-across, -half * Cosine(), lowest_z + slice * distance_mm - half * Sine()};
  }
  Point At(std::uint32_t slice, double row, double column) const {
    const Point first = FirstPixel(slice);
    return {first.x + column * spacing_mm, first.y + row * spacing_mm * Cosine(),
            first.z + row * spacing_mm * Sine()};
  }
};

void Place(const Stack& stack, std::uint32_t slice, const PhantomPatient& patient,
           dicom::NewInstance* out) {
  out->rows = stack.rows;
  out->columns = stack.columns;
  out->row_spacing_mm = out->column_spacing_mm = stack.spacing_mm;
  out->body_part = "ABDOMEN";
  const Point first = stack.FirstPixel(slice);
  const auto put = [&](std::string path, std::string value) {
    out->attributes.push_back({std::move(path), std::move(value)});
  };
  put("ImagePositionPatient", absl::StrFormat("%.4f\\%.4f\\%.4f", first.x, first.y, first.z));
  put("ImageOrientationPatient",
      absl::StrFormat("1\\0\\0\\0\\%.6f\\%.6f", stack.Cosine(), stack.Sine()));
  put("SliceThickness", absl::StrFormat("%.1f", stack.distance_mm));
  put("SliceLocation", absl::StrFormat("%.2f", stack.lowest_z + slice * stack.distance_mm));
  put("FrameOfReferenceUID", dicom::MakeUid(StrCat(patient.origin, "/frame")));
}

// Where the lesion is to be seen in a slice.
void MarkLesion(const Body& body, const Stack& stack, std::uint32_t slice, double smallest_mm,
                PhantomImage* image) {
  if (!body.has_lesion) return;
  const Point first = stack.FirstPixel(slice);
  const Point& at = body.lesion.centre;
  const double down = (at.y - first.y) * stack.Cosine() + (at.z - first.z) * stack.Sine();
  const double away = (at.z - first.z) * stack.Cosine() - (at.y - first.y) * stack.Sine();
  const double radius = body.LesionRadius(away);
  if (radius < smallest_mm) return;
  image->finding = true;
  image->column = (at.x - first.x) / stack.spacing_mm + 0.5;
  image->row = down / stack.spacing_mm + 0.5;
  image->radius = radius / stack.spacing_mm;
}

std::vector<PhantomImage> DrawCtSeries(const PhantomPatient& patient, const Machine& machine,
                                       const Body& body, const Stack& stack, SeededRandom& random) {
  constexpr int kIntercept = -1024;
  static constexpr double kNoise[] = {14, 22, 18};
  const Grain grain(body.grain_seed, 14);
  std::vector<PhantomImage> images;
  for (std::uint32_t slice = 0; slice < stack.slices; ++slice) {
    PhantomImage image;
    image.series = "ct";
    image.instance = NewPhantomInstance("CT", patient, machine, "ct", static_cast<int>(slice) + 1);
    dicom::NewInstance& out = image.instance;
    Place(stack, slice, patient, &out);
    out.intercept = kIntercept;
    out.bits_stored = 12;
    out.window = VoiWindow{40, 400};
    for (std::uint32_t row = 0; row < stack.rows; ++row) {
      for (std::uint32_t column = 0; column < stack.columns; ++column) {
        const double hu = Hounsfield(body, grain, stack.At(slice, row, column)) +
                          kNoise[machine.variant] * random.Normal();
        out.values.push_back(
            static_cast<std::int32_t>(std::clamp(std::lround(hu) - kIntercept, 0l, 4095l)));
      }
    }
    out.attributes.push_back({"ImageType", "ORIGINAL\\PRIMARY\\AXIAL"});
    out.attributes.push_back({"PatientPosition", "HFS"});
    out.attributes.push_back({"KVP", machine.variant == 1 ? "100" : "120"});
    out.attributes.push_back({"AcquisitionNumber", "1"});
    out.attributes.push_back({"GantryDetectorTilt", absl::StrFormat("%.1f", stack.tilt_degrees)});
    MarkLesion(body, stack, slice, 5, &image);
    images.push_back(std::move(image));
  }
  return images;
}

// Seconds after midnight, as DICOM has them.
std::string TimeOf(int seconds) {
  return absl::StrFormat("%02d%02d%02d", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

int SecondsOf(const std::string& time) {
  return std::stoi(time.substr(0, 2)) * 3600 + std::stoi(time.substr(2, 2)) * 60 +
         std::stoi(time.substr(4, 2));
}

void DescribeTracer(const PhantomPatient& patient, double dose_bq, bool in_uptake_units,
                    dicom::NewInstance* out) {
  const std::string tracer = "RadiopharmaceuticalInformationSequence[0].";
  const auto put = [&](std::string path, std::string value) {
    out->attributes.push_back({std::move(path), std::move(value)});
  };
  const int scan = SecondsOf(patient.study_time);
  const std::string injected = TimeOf(scan - static_cast<int>(60 * kUptakeMinutes));
  put(tracer + "Radiopharmaceutical", "Fluorodeoxyglucose");
  put(tracer + "RadiopharmaceuticalStartTime", injected);
  put(tracer + "RadiopharmaceuticalStartDateTime", patient.study_date + injected);
  put(tracer + "RadionuclideTotalDose", absl::StrFormat("%.0f", dose_bq));
  put(tracer + "RadionuclideHalfLife", absl::StrFormat("%.1f", kFluorineHalfLife_s));
  put(tracer + "RadionuclidePositronFraction", "0.967");
  put("Units", in_uptake_units ? "GML" : "BQML");
  if (in_uptake_units) put("SUVType", "BW");
  put("CountsSource", "EMISSION");
  put("SeriesType", "WHOLE BODY\\IMAGE");
  put("DecayCorrection", "START");
  put("DecayFactor", "1");
  put("CorrectedImage", "DECY\\ATTN\\SCAT\\RAN\\NORM");
  const auto code = [&](const std::string& sequence, std::string value, std::string meaning) {
    put(sequence + "[0].CodeValue", std::move(value));
    put(sequence + "[0].CodingSchemeDesignator", "SCT");
    put(sequence + "[0].CodeMeaning", std::move(meaning));
  };
  code("PatientOrientationCodeSequence", "102538003", "recumbent");
  code("PatientOrientationCodeSequence[0].PatientOrientationModifierCodeSequence", "40199007",
       "supine");
  code("PatientGantryRelationshipCodeSequence", "102540001", "headfirst");
  code(tracer + "RadionuclideCodeSequence", "77004003", "^18^Fluorine");
  code(tracer + "RadiopharmaceuticalCodeSequence", "35321007", "Fluorodeoxyglucose F^18^");
  put("CollimatorType", "NONE");
  put("AttenuationCorrectionMethod", "measured");
  put("ActualFrameDuration", "180000");
  put("FrameReferenceTime", "0");
}

std::vector<PhantomImage> DrawPetSeries(const PhantomPatient& patient, const Machine& machine,
                                        const Body& body, const Stack& stack,
                                        SeededRandom& random) {
  const Grain grain(body.grain_seed, 20);
  const bool in_uptake_units = machine.variant == 2;
  const double dose = random.Uniform(180e6, 350e6);
  const double at_scan = dose * std::exp2(-kUptakeMinutes * 60 / kFluorineHalfLife_s);
  // What one uptake unit (g/ml) is in the file's units.
  const double unit = in_uptake_units ? 1 : at_scan / (patient.weight_kg * 1000);
  std::vector<PhantomImage> images;
  for (std::uint32_t slice = 0; slice < stack.slices; ++slice) {
    PhantomImage image;
    image.series = "pt";
    image.instance = NewPhantomInstance("PT", patient, machine, "pt", static_cast<int>(slice) + 1);
    dicom::NewInstance& out = image.instance;
    Place(stack, slice, patient, &out);
    out.is_signed = true;
    out.slope = 25 * unit / 32767;  // up to 25 g/ml
    for (std::uint32_t row = 0; row < stack.rows; ++row) {
      for (std::uint32_t column = 0; column < stack.columns; ++column) {
        const double suv =
            Uptake(body, grain, stack.At(slice, row, column)) * (1 + 0.06 * random.Normal());
        out.values.push_back(
            static_cast<std::int32_t>(std::clamp(std::lround(suv * unit / out.slope), 0l, 32767l)));
      }
    }
    out.attributes.push_back({"ImageType", "ORIGINAL\\PRIMARY"});
    out.attributes.push_back({"ImageIndex", StrCat(slice + 1)});
    out.attributes.push_back({"NumberOfSlices", StrCat(stack.slices)});
    DescribeTracer(patient, dose, in_uptake_units, &out);
    MarkLesion(body, stack, slice, 7, &image);
    images.push_back(std::move(image));
  }
  return images;
}

Stack PetStack(int variant) {
  Stack stack;
  stack.rows = stack.columns = variant == 1 ? 112 : 96;
  stack.spacing_mm = variant == 1 ? 3.4 : 4.07;
  stack.slices = 24;
  stack.distance_mm = 8;
  return stack;
}

}  // namespace

std::vector<PhantomImage> DrawBodyCt(const PhantomPatient& patient, const Machine& machine,
                                     SeededRandom& random) {
  const Body body = Body::Draw(random, patient.finding);
  Stack stack;
  if (machine.variant == 1) stack.tilt_degrees = 12;
  if (machine.variant == 2) stack.spacing_mm = 3.2;
  return DrawCtSeries(patient, machine, body, stack, random);
}

std::vector<PhantomImage> DrawBodyPet(const PhantomPatient& patient, const Machine& machine,
                                      bool with_ct, SeededRandom& random) {
  const Body body = Body::Draw(random, patient.finding);
  std::vector<PhantomImage> images =
      DrawPetSeries(patient, machine, body, PetStack(machine.variant), random);
  if (!with_ct) return images;
  for (PhantomImage& image : DrawCtSeries(patient, machine, body, Stack{}, random)) {
    images.push_back(std::move(image));
  }
  return images;
}

}  // namespace consilium::datasets::synthetic
