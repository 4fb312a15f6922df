// Each preset on its phantom, from the file to the network's input.

#include <algorithm>
#include <cmath>

#include "common/crypto/sha256.h"
#include "datasets/pipeline/pipeline.h"
#include "tests/datasets/dicom_bytes.h"
#include "tests/datasets/synthetic/phantoms.h"

namespace consilium::datasets::pipeline {
namespace {

using plan::DefaultsOf;
using plan::Preset;
using synthetic::PhantomImage;

struct Case {
  std::string_view kind;
  Preset preset;
  // Of the finding's brightness to its surroundings' at least; negative: it is darker.
  double contrast;
};
constexpr Case kCases[] = {
    {"ct", Preset::kCt, -0.1},          {"mr", Preset::kMr, 0.2},
    {"us", Preset::kUltrasound, -0.15}, {"mg", Preset::kMammography, 0.12},
    {"op", Preset::kRetina, -0.15},     {"pt", Preset::kPet, 0.4},
};
constexpr std::string_view kHospitals[] = {"north", "south", "east"};
constexpr std::uint32_t kSize = 128;

struct Made {
  std::vector<float> input;
  Placement placement;
};

Made Make(const dicom::NewInstance& instance, const plan::Preprocessing& preprocessing) {
  const TemporaryFolder folder;
  auto file = WriteAndOpen(instance, folder / "image.dcm");
  Made made;
  auto input = MakeInput(file, preprocessing, nullptr, &made.placement);
  if (!input.ok()) FAIL(std::string(Phrase(input.refused().reason)) + input.refused().detail);
  made.input = *std::move(input);
  return made;
}

// The mean of the input between two circles around a position of the image, in the image's pixels.
double MeanAround(const Made& made, double column, double row, double from, double to) {
  double sum = 0;
  int count = 0;
  for (std::uint32_t y = 0; y < kSize; ++y) {
    for (std::uint32_t x = 0; x < kSize; ++x) {
      const double at_column = made.placement.ImageColumn(x + 0.5);
      const double at_row = made.placement.ImageRow(y + 0.5);
      const double away = std::hypot(at_column - column, at_row - row);
      if (away < from || away >= to || !made.placement.Shows(at_column, at_row)) continue;
      sum += made.input[y * kSize + x];
      ++count;
    }
  }
  REQUIRE(count > 0);
  return sum / count;
}

double LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::max<double>(largest, std::abs(a[i] - b[i]));
  }
  return largest;
}

std::string HashOf(const std::vector<float>& input) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(input.data());
  return crypto::Sha256(ByteView(bytes, input.size() * sizeof(float))).Short();
}

std::string* ValueOf(dicom::NewInstance& instance, std::string_view path) {
  for (auto& attribute : instance.attributes) {
    if (attribute.path == path) return &attribute.value;
  }
  return nullptr;
}

// The same breast seen from the other side of the glass.
dicom::NewInstance Mirrored(dicom::NewInstance instance) {
  for (std::uint32_t row = 0; row < instance.rows; ++row) {
    const auto first =
        instance.values.begin() + static_cast<std::ptrdiff_t>(row * instance.columns);
    std::reverse(first, first + instance.columns);
  }
  const bool left = instance.laterality == "L";
  instance.laterality = left ? "R" : "L";
  *ValueOf(instance, "PatientOrientation") = left ? "P\\L" : "A\\R";
  return instance;
}

}  // namespace

TEST_CASE("The finding of every machine's phantom lies inside the crop and stands out of it") {
  for (const Case& c : kCases) {
    for (const std::string_view name : kHospitals) {
      const auto images = Draw(HospitalOf(c.kind, name), true);
      const PhantomImage& image = WithFinding(images);
      const Made made = Make(image.instance, DefaultsOf(c.preset, kSize));
      INFO(c.kind << " of " << name);
      for (const double side : {-1.0, 1.0}) {
        CHECK(made.placement.Shows(image.column + side * image.radius, image.row));
        CHECK(made.placement.Shows(image.column, image.row + side * image.radius));
      }
      const double inside = MeanAround(made, image.column, image.row, 0, 0.7 * image.radius);
      const double around =
          MeanAround(made, image.column, image.row, 1.4 * image.radius, 2 * image.radius);
      CHECK((inside - around) / c.contrast > 1);
    }
  }
}

TEST_CASE("With and without the finding, inputs differ where it is and nowhere else") {
  for (const Case& c : kCases) {
    if (c.kind == "op") continue;  // other noise is drawn after the haemorrhages
    const auto with = Draw(HospitalOf(c.kind), true), without = Draw(HospitalOf(c.kind), false);
    const PhantomImage& image = WithFinding(with);
    const auto index = static_cast<std::size_t>(&image - with.data());
    const auto preprocessing = DefaultsOf(c.preset, kSize);
    const Made seen = Make(image.instance, preprocessing);
    Made change = Make(without[index].instance, preprocessing);
    for (std::size_t i = 0; i < change.input.size(); ++i) {
      change.input[i] = std::abs(change.input[i] - seen.input[i]);
    }
    INFO(c.kind);
    const double there = MeanAround(change, image.column, image.row, 0, 0.7 * image.radius);
    const double elsewhere = MeanAround(change, image.column, image.row, 3 * image.radius, 1e4);
    CHECK(there > 0.1);
    CHECK(elsewhere < 0.1 * there);
  }
}

TEST_CASE("A mirrored mammogram coincides with its original, in all views of all machines") {
  for (const std::string_view name : kHospitals) {
    for (const PhantomImage& image : Draw(HospitalOf("mg", name), true)) {
      const auto mammography = DefaultsOf(Preset::kMammography, kSize);
      const Made once = Make(image.instance, mammography);
      const Made other = Make(Mirrored(image.instance), mammography);
      INFO(name << " " << image.series);
      CHECK(LargestDifference(once.input, other.input) < 1e-5);
      CHECK(once.placement.mirrored == (image.instance.laterality == "R"));
      CHECK(other.placement.mirrored != once.placement.mirrored);
      // All tissue is on the left: the breast's own half is the brighter one.
      double left = 0, right = 0;
      for (std::size_t i = 0; i < once.input.size(); ++i) {
        (i % kSize < kSize / 2 ? left : right) += once.input[i];
      }
      CHECK(left > right);
    }
  }
}

TEST_CASE("MONOCHROME1 and MONOCHROME2 files of one mammogram give the same input") {
  const auto images = Draw(HospitalOf("mg", "south"), true);
  for (const PhantomImage& image : images) {
    REQUIRE(image.instance.monochrome1);
    dicom::NewInstance positive = image.instance;
    positive.monochrome1 = false;
    for (std::int32_t& value : positive.values) value = 4095 - value;
    positive.window->center = 4096 - positive.window->center;
    const auto mammography = DefaultsOf(Preset::kMammography, kSize);
    CHECK(LargestDifference(Make(image.instance, mammography).input,
                            Make(positive, mammography).input) < 1e-5);
  }
}

TEST_CASE("A uniform cylinder of the mean activity has an uptake value of 1") {
  for (const std::string_view name : kHospitals) {
    auto images = Draw(HospitalOf("pt", name), false);
    dicom::NewInstance cylinder = images.front().instance;
    const double dose = std::stod(
        *ValueOf(cylinder, "RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose"));
    const double grams = 1000 * std::stod(*ValueOf(cylinder, "PatientWeight"));
    // F-18 loses a factor of 2^(-3600 / 6586.2) in the hour before the scan.
    const double activity = dose * std::exp2(-3600 / 6586.2) / grams;
    const double value = *ValueOf(cylinder, "Units") == "GML" ? 1.0 : activity;
    const auto stored = static_cast<std::int32_t>(std::lround(value / cylinder.slope));
    for (std::uint32_t row = 0; row < cylinder.rows; ++row) {
      for (std::uint32_t column = 0; column < cylinder.columns; ++column) {
        const double away =
            std::hypot(column + 0.5 - cylinder.columns / 2.0, row + 0.5 - cylinder.rows / 2.0);
        cylinder.values[row * cylinder.columns + column] = away < 30 ? stored : 0;
      }
    }
    auto pet = DefaultsOf(Preset::kPet, kSize);
    pet.high = 2;
    const Made made = Make(cylinder, pet);
    INFO(name);
    CHECK(made.input[kSize / 2 * kSize + kSize / 2] == Approx(0.5).epsilon(0.01));
    CHECK(made.input[0] == 0);
  }
}

TEST_CASE("A PET without weight or dose, and what is no PET, has no uptake values") {
  auto pet = Draw(HospitalOf("pt"), false).front().instance;
  const TemporaryFolder folder;
  *ValueOf(pet, "PatientWeight") = "";
  auto weightless = WriteAndOpen(pet, folder / "pt.dcm");
  const auto preprocessing = DefaultsOf(Preset::kPet, kSize);
  const auto refused = MakeInput(weightless, preprocessing);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.refused().reason == Refusal::kNoSuvFactor);
  CHECK_THAT(refused.refused().detail, ContainsText("weight"));
  auto ct = WriteAndOpen(Draw(HospitalOf("ct"), false).front().instance, folder / "ct.dcm");
  CHECK(MakeInput(ct, preprocessing).refused().reason == Refusal::kNoSuvFactor);
}

TEST_CASE("The middle frame of a loop is taken, and a plan for single frames refuses the loop") {
  auto loop = Draw(HospitalOf("us", "south"), false).front().instance;
  const std::size_t frame_size = std::size_t{loop.rows} * loop.columns;
  for (std::uint32_t frame = 0; frame < loop.frames; ++frame) {
    std::fill_n(loop.values.begin() + static_cast<std::ptrdiff_t>(frame * frame_size), frame_size,
                static_cast<std::int32_t>(frame) * 10);
  }
  auto ultrasound = DefaultsOf(Preset::kUltrasound, kSize);
  ultrasound.intensity = plan::Intensity::kFixed;
  ultrasound.low = 0;
  ultrasound.high = 255;
  const Made made = Make(loop, ultrasound);
  CHECK(made.placement.frame == 6);
  CHECK(made.input[kSize / 2 * kSize + kSize / 2] == Approx(60 / 255.0));
  const TemporaryFolder folder;
  auto file = WriteAndOpen(loop, folder / "us.dcm");
  ultrasound.frame = plan::FrameChoice::kOnly;
  CHECK(MakeInput(file, ultrasound).refused().reason == Refusal::kSeveralFrames);
}

TEST_CASE("Text beside the scan does not reach the input") {
  auto hospital = HospitalOf("us", "south");
  const auto clean = Draw(hospital, true).front().instance;
  hospital.burned_in = true;
  const auto named = Draw(hospital, true).front().instance;
  REQUIRE(clean.values != named.values);
  CHECK(named.burned_in_annotation);
  auto ultrasound = DefaultsOf(Preset::kUltrasound, kSize);
  CHECK(Make(clean, ultrasound).input == Make(named, ultrasound).input);
  ultrasound.crop = plan::Crop::kNone;
  CHECK(Make(clean, ultrasound).input != Make(named, ultrasound).input);
}

TEST_CASE("The declared region says how large an ultrasound image's pixels are") {
  auto scan = Draw(HospitalOf("us", "south"), true).front().instance;
  auto ultrasound = DefaultsOf(Preset::kUltrasound, kSize);
  ultrasound.spacing_mm = 1.4;  // twice the 0.07 cm of the phantom
  CHECK(Make(scan, ultrasound).placement.columns_a_pixel == Approx(2));
}

TEST_CASE("The green channel is read from RGB and from JPEG alike") {
  auto photograph = Draw(HospitalOf("op"), true).front().instance;
  const auto retina = DefaultsOf(Preset::kRetina, kSize);
  const Made native = Make(photograph, retina);
  photograph.transfer_syntax = dicom::TransferSyntax::kJpegBaseline;
  const Made jpeg = Make(photograph, retina);
  double sum = 0;
  for (std::size_t i = 0; i < native.input.size(); ++i) {
    sum += std::abs(native.input[i] - jpeg.input[i]);
  }
  CHECK(sum / static_cast<double>(native.input.size()) < 0.02);
  // Luminance of this red tissue differs from green.
  auto luminance = retina;
  luminance.channel = plan::Channel::kLuminance;
  CHECK(LargestDifference(Make(Draw(HospitalOf("op"), true).front().instance, luminance).input,
                          native.input) > 0.01);
}

// Whoever changes a preset or the pipeline on purpose writes the new hash here, by hand.
TEST_CASE("Each preset's input of its phantom has the bits it always had") {
  const auto hash = [](std::string_view kind, std::string_view name, Preset preset) {
    const auto images = Draw(HospitalOf(kind, name), true);
    return HashOf(Make(WithFinding(images).instance, DefaultsOf(preset, 64)).input);
  };
  CHECK(hash("ct", "south", Preset::kCt) == "f6204198bf85");
  CHECK(hash("mr", "north", Preset::kMr) == "966f253b44a9");
  CHECK(hash("us", "south", Preset::kUltrasound) == "6a6499c8d7fe");
  CHECK(hash("mg", "south", Preset::kMammography) == "74b9edda3a5d");
  CHECK(hash("mg", "east", Preset::kMammography) == "f94254906567");
  CHECK(hash("op", "east", Preset::kRetina) == "b4c061c07d66");
  CHECK(hash("pt", "north", Preset::kPet) == "bbd8b872482d");
  CHECK(hash("ct", "north", Preset::kGeneric) == "ea0f12548eef");
}

}  // namespace consilium::datasets::pipeline
