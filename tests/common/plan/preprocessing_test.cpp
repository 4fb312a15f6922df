#include <algorithm>
#include <cstdlib>

#include "common/base/file.h"
#include "common/base/text.h"
#include "common/plan/plan.h"
#include "tests/catch.h"

namespace consilium::plan {
namespace {

absl::StatusOr<Plan> WithPreprocessing(std::string_view keys) {
  return ParsePlan(StrCat(R"([plan]
name = "p"
[target]
name = "t"
[data]
modalities = ["CT"]
[preprocessing]
)",
                          keys));
}

Preprocessing Read(std::string_view keys) {
  const auto plan = WithPreprocessing(keys);
  INFO(plan.status().ToString());
  REQUIRE(plan.ok());
  return plan->preprocessing;
}

std::string Fault(std::string_view keys) {
  const auto plan = WithPreprocessing(keys);
  REQUIRE_FALSE(plan.ok());
  return std::string(plan.status().message());
}

}  // namespace

TEST_CASE("A preset chooses the defaults of all keys, and a key beside it counts") {
  CHECK(Read("") == Preprocessing{});
  const Preprocessing breast = Read("preset = \"mammography\"\nimage_size = 128");
  CHECK(breast == DefaultsOf(Preset::kMammography, 128));
  CHECK(breast.crop == Crop::kForeground);
  CHECK(breast.face_left);
  CHECK(breast.blank_padding);
  const Preprocessing own =
      Read("preset = \"mammography\"\nface_left = false\nblank_padding = false");
  CHECK_FALSE(own.face_left);
  CHECK_FALSE(own.blank_padding);
  CHECK(own.crop == Crop::kForeground);
}

TEST_CASE("Only a generic plan maps padding as it maps all values") {
  for (int i = 0; i <= static_cast<int>(Preset::kPet); ++i) {
    const auto preset = static_cast<Preset>(i);
    CHECK(DefaultsOf(preset, 64).blank_padding == (preset != Preset::kGeneric));
  }
  CHECK(DefaultsOf(Preset::kGeneric, 64) == Preprocessing{});
}

TEST_CASE("A window of CT has a name or its two ends") {
  const Preprocessing lung = Read("preset = \"ct\"\nwindow = \"lung\"");
  CHECK(lung.low == -1000);
  CHECK(lung.high == 400);
  CHECK(Read("preset = \"ct\"").low == -160);
  CHECK(Read("preset = \"ct\"\nlow = 0\nhigh = 100").high == 100);
  CHECK(Read("intensity = \"fixed\"\nwindow = \"brain\"").high == 80);
  for (const HounsfieldWindow& window : HounsfieldWindows()) CHECK(window.low < window.high);
}

TEST_CASE(
    "A window that is unknown, said twice or without effect is refused with what is allowed") {
  CHECK_THAT(Fault("preset = \"ct\"\nwindow = \"lungs\""),
             ContainsText("\"soft_tissue\", \"lung\", \"bone\", \"brain\", \"liver\""));
  CHECK_THAT(Fault("preset = \"ct\"\nwindow = \"lung\"\nlow = 3"), ContainsText("keep one"));
  CHECK_THAT(Fault("window = \"lung\""), ContainsText("needs intensity = \"fixed\""));
}

TEST_CASE("Two settings that make other pixels are told apart, standardising is not one") {
  const Preprocessing base;
  CHECK(PixelSettings(base) == PixelSettings(DefaultsOf(Preset::kGeneric, 64)));
  Preprocessing p = base;
  p.standardize = false;
  CHECK(PixelSettings(p) == PixelSettings(base));
  std::vector<std::string> seen = {PixelSettings(base)};
  const auto differs = [&](auto change) {
    Preprocessing changed = base;
    change(changed);
    const std::string settings = PixelSettings(changed);
    CHECK(std::find(seen.begin(), seen.end(), settings) == seen.end());
    seen.push_back(settings);
  };
  differs([](Preprocessing& c) { c.image_size = 65; });
  differs([](Preprocessing& c) { c.frame = FrameChoice::kMiddle; });
  differs([](Preprocessing& c) { c.channel = Channel::kGreen; });
  differs([](Preprocessing& c) { c.units = Units::kSuv; });
  differs([](Preprocessing& c) { c.crop = Crop::kDisc; });
  differs([](Preprocessing& c) { c.face_left = true; });
  differs([](Preprocessing& c) { c.intensity = Intensity::kRange; });
  differs([](Preprocessing& c) { c.low = 1; });
  differs([](Preprocessing& c) { c.high = 1; });
  differs([](Preprocessing& c) { c.blank_padding = true; });
  differs([](Preprocessing& c) { c.spacing_mm = 1; });
}

TEST_CASE("The example plan of each preset is read, and says its preset in words") {
  const char* source = std::getenv("CONSILIUM_SOURCE");
  REQUIRE(source != nullptr);
  std::vector<Preset> seen;
  for (const auto& entry :
       fs::directory_iterator(fs::path(source) / "experiments" / "plans" / "presets")) {
    const auto text = ReadTextFile(entry.path());
    REQUIRE(text.ok());
    const auto plan = ParsePlan(*text);
    INFO(entry.path().filename() << ": " << plan.status().ToString());
    REQUIRE(plan.ok());
    CHECK(plan->name == entry.path().stem().string());
    CHECK(plan->preprocessing ==
          DefaultsOf(plan->preprocessing.preset, plan->preprocessing.image_size));
    CHECK_THAT(Describe(*plan),
               ContainsText(StrCat("by the preset ", Name(plan->preprocessing.preset))));
    seen.push_back(plan->preprocessing.preset);
  }
  CHECK(seen.size() == 6);
}

}  // namespace consilium::plan
