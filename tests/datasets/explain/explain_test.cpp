#include <png.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <nlohmann/json.hpp>

#include "datasets/explain/bitmap_font.h"
#include "datasets/explain/command.h"
#include "datasets/explain/contact_sheet.h"
#include "datasets/explain/explanation.h"
#include "datasets/explain/reasons.h"
#include "tests/datasets/dicom_bytes.h"
#include "tests/datasets/synthetic/phantoms.h"

namespace consilium::datasets::explain {
namespace {

Explanation ExplainPhantom(std::string_view kind, std::string_view hospital, plan::Preset preset) {
  const TemporaryFolder folder;
  const auto images = Draw(HospitalOf(kind, hospital), true);
  auto file = WriteAndOpen(WithFinding(images).instance, folder / "image.dcm");
  return Explain(file, plan::DefaultsOf(preset, 64));
}

std::vector<std::string> NamesOf(const Explanation& explanation) {
  std::vector<std::string> names;
  for (const Step& step : explanation.steps) names.push_back(step.name);
  return names;
}

// What the command prints, and its status.
struct Printed {
  std::string text;
  absl::Status status;
};

Printed RunCommand(const std::vector<std::string>& arguments) {
  CLI::App app;
  Command command;
  command.AddTo(app);
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  reversed.push_back("explain");
  app.parse(reversed);
  const TemporaryFolder folder;
  const fs::path printed = folder / "printed";
  std::fflush(stdout);
  const int kept = dup(STDOUT_FILENO);
  FILE* file = std::fopen(printed.c_str(), "w");
  REQUIRE(file != nullptr);
  dup2(fileno(file), STDOUT_FILENO);
  const absl::Status status = command.Run();
  std::fflush(stdout);
  dup2(kept, STDOUT_FILENO);
  close(kept);
  std::fclose(file);
  return {*ReadTextFile(printed), status};
}

// (width, height) of a PNG file.
std::pair<std::uint32_t, std::uint32_t> SizeOfPng(const fs::path& path) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  REQUIRE(png_image_begin_read_from_file(&image, path.c_str()) != 0);
  const std::pair<std::uint32_t, std::uint32_t> size{image.width, image.height};
  png_image_free(&image);
  return size;
}

}  // namespace

TEST_CASE("Each preset tells its own steps") {
  using Names = std::vector<std::string>;
  CHECK(NamesOf(ExplainPhantom("ct", "north", plan::Preset::kCt)) ==
        Names{"stored values", "modality units", "brightness", "input"});
  CHECK(NamesOf(ExplainPhantom("mg", "south", plan::Preset::kMammography)) ==
        Names{"stored values", "modality units", "cropped", "mirrored", "brightness", "input"});
  CHECK(NamesOf(ExplainPhantom("us", "north", plan::Preset::kUltrasound)) ==
        Names{"stored values", "modality units", "cropped", "brightness", "input"});
  CHECK(NamesOf(ExplainPhantom("pt", "north", plan::Preset::kPet)) ==
        Names{"stored values", "modality units", "uptake", "brightness", "input"});
}

TEST_CASE("Steps give their numbers") {
  const auto ct = ExplainPhantom("ct", "north", plan::Preset::kCt);
  CHECK_THAT(ct.steps[1].what, ContainsText("intercept -1024"));
  CHECK_THAT(ct.steps[2].what, ContainsText("-160 to 240"));
  const auto mg = ExplainPhantom("mg", "south", plan::Preset::kMammography);
  CHECK_THAT(mg.steps[0].what, ContainsText("MONOCHROME1"));
  CHECK(mg.steps[0].low > mg.steps[0].high);  // shown negative
  CHECK_THAT(mg.steps[4].what, ContainsText("centre 2456, width 3280"));
  CHECK_THAT(mg.steps[4].what, ContainsText("inverted"));
  const auto us = ExplainPhantom("us", "north", plan::Preset::kUltrasound);
  CHECK_THAT(us.steps[0].what, ContainsText("frame 7 of 12"));
  CHECK_THAT(us.steps[2].what, ContainsText("columns 45 to 276 of 320, rows 33 to 224 of 240"));
}

TEST_CASE("A picture is no larger than its sheet needs, and its histogram holds every pixel") {
  for (const Step& step : ExplainPhantom("mg", "north", plan::Preset::kMammography).steps) {
    CHECK(std::max(step.picture_rows, step.picture_columns) <= kLargestPicture);
    CHECK(step.picture.size() == std::size_t{step.picture_rows} * step.picture_columns);
    double sum = 0;
    for (const float share : step.histogram) sum += share;
    CHECK(sum == Approx(1).margin(1e-4));
    CHECK(step.least <= step.mean);
    CHECK(step.mean <= step.most);
  }
}

TEST_CASE("An explanation survives being sent, and nothing unsound does") {
  Explanation explanation = ExplainPhantom("mr", "north", plan::Preset::kMr);
  explanation.refused = Refused{Refusal::kNoPixelSpacing, "said"};
  const Bytes message = Encode(explanation);
  CHECK(message.size() < kLargestMessage);
  const auto decoded = Decode(message);
  REQUIRE(decoded);
  CHECK(NamesOf(*decoded) == NamesOf(explanation));
  CHECK(decoded->steps[1].picture == explanation.steps[1].picture);
  CHECK(decoded->refused->reason == Refusal::kNoPixelSpacing);
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{3}, message.size() / 2, message.size() - 1}) {
    CHECK_FALSE(Decode(ByteView(message).first(size)));
  }
  Explanation rude = explanation;
  rude.steps[0].what = "clears the screen: \x1b[2J";
  CHECK_FALSE(Decode(Encode(rude)));
  rude = explanation;
  rude.steps[0].low = std::nan("");
  CHECK_FALSE(Decode(Encode(rude)));
  rude = explanation;
  rude.steps[0].picture_rows += 1;
  CHECK_FALSE(Decode(Encode(rude)));
  rude = explanation;
  rude.steps[0].channels = 3;
  CHECK_FALSE(Decode(Encode(rude)));
}

TEST_CASE("A contact sheet has a picture for each step, black and white where they should be") {
  Explanation explanation = ExplainPhantom("ct", "north", plan::Preset::kCt);
  const Raster sheet = MakeContactSheet("title", explanation.steps, "verdict");
  CHECK(sheet.width == 20 + 4 * 340);
  CHECK(sheet.pixels.size() == std::size_t{sheet.width} * sheet.height);
  CHECK(std::count(sheet.pixels.begin(), sheet.pixels.end(), Colour{}) > 1000);
  CHECK(std::count(sheet.pixels.begin(), sheet.pixels.end(), Colour{255, 255, 255}) > 100);
  const auto png = ToPng(sheet);
  REQUIRE(png.ok());
  CHECK(AsText(ByteView(*png).subspan(1, 3)) == "PNG");
  // Without steps there is still the verdict.
  CHECK(MakeContactSheet("title", {}, "refused: damaged").height > 40);
}

TEST_CASE("A contact sheet shows colours, and outlines the input's structures in theirs") {
  Step input{.name = "input", .what = "made", .rows = 8, .columns = 8};
  input.histogram.assign(kHistogramBins, 0);
  input.picture_rows = input.picture_columns = 8;
  input.channels = 3;
  input.picture.assign(3 * 64, 0);
  std::fill_n(input.picture.begin() + 64, 64, 1.0f);  // all green
  Bytes structures(64, 0);
  for (const int row : {2, 3, 4}) {
    for (const int column : {2, 3, 4}) structures[static_cast<std::size_t>(8 * row + column)] = 2;
  }
  const Outlines outlines{structures, {"lung", "nodule"}};
  const auto count = [](const Raster& sheet, Colour colour) {
    return std::count(sheet.pixels.begin(), sheet.pixels.end(), colour);
  };
  constexpr Colour kGreen{0, 255, 0};
  const std::int64_t pixel = (kLargestPicture / 8) * (kLargestPicture / 8);
  const Raster plain = MakeContactSheet("title", {&input, 1}, "verdict");
  CHECK(count(plain, kGreen) == 64 * pixel);
  CHECK(count(plain, ColourOf(2)) == 0);
  const Raster outlined = MakeContactSheet("title", {&input, 1}, "verdict", &outlines);
  CHECK(count(outlined, kGreen) == (64 - 8) * pixel);  // the middle of nine is inside
  CHECK(count(outlined, ColourOf(2)) > 8 * pixel);     // and its name
  CHECK(count(outlined, ColourOf(1)) > 0);             // the name of the one that is not there
}

TEST_CASE("Letters are drawn as they are") {
  std::string drawn(5 * 8, '.');
  DrawText("L", 1, [&](int x, int y) { drawn[static_cast<std::size_t>(y * 5 + x)] = '#'; });
  CHECK(drawn == "#....#....#....#....#....#....#####.....");
  CHECK(IsInked('\xff', 2, 6) == IsInked('?', 2, 6));
}

TEST_CASE("Every choice of a preset has its reason") {
  for (int i = 0; i <= static_cast<int>(plan::Preset::kPet); ++i) {
    const auto preprocessing = plan::DefaultsOf(static_cast<plan::Preset>(i), 64);
    CHECK_FALSE(Reason("brightness", preprocessing).empty());
    if (preprocessing.crop != plan::Crop::kNone) {
      CHECK_FALSE(Reason("cropped", preprocessing).empty());
    }
  }
  CHECK(PresetFor("MG") == plan::Preset::kMammography);
  CHECK(PresetFor("XX") == plan::Preset::kGeneric);
}

TEST_CASE("The command explains in words and as JSON, draws, and tells no identifier") {
  const TemporaryFolder folder;
  const auto images = Draw(HospitalOf("mg", "south"), true);
  dicom::NewInstance instance = WithFinding(images).instance;
  instance.patient_id = "PLANTED-ID";
  instance.description = "PLANTED description";
  instance.attributes.push_back({"PatientName", "PLANTED^NAME"});
  instance.attributes.push_back({"RescaleType", "PLANTED"});
  const fs::path file = folder / "PLANTED.dcm", sheet = folder / "sheet.png";
  REQUIRE(dicom::WriteFile(file, instance).ok());
  const Printed words = RunCommand({file.string(), "--out", sheet.string()});
  CHECK(words.status.ok());
  CHECK_THAT(words.text, ContainsText("mammography, by the modality MG"));
  CHECK_THAT(words.text, ContainsText("accepted"));
  CHECK(words.text.find("PLANTED") == std::string::npos);
  CHECK(words.text.find(instance.sop_instance_uid) == std::string::npos);
  CHECK(SizeOfPng(sheet).first == 20 + 3 * 340);
  const Printed json = RunCommand({file.string(), "--json"});
  const auto parsed = nlohmann::json::parse(json.text);
  CHECK(parsed["steps"].size() == 6);
  CHECK(parsed["accepted"] == true);
  CHECK(json.text.find("PLANTED") == std::string::npos);
}

TEST_CASE("The command says why an image is refused, and shows how far it came") {
  const TemporaryFolder folder;
  const auto loop = Draw(HospitalOf("us", "south"), false).front().instance;
  REQUIRE(dicom::WriteFile(folder / "us.dcm", loop).ok());
  const Printed frames = RunCommand({(folder / "us.dcm").string(), "--preset", "generic"});
  CHECK(frames.status.code() == absl::StatusCode::kPermissionDenied);
  CHECK_THAT(frames.text, ContainsText("12 frames"));
  const auto ct = Draw(HospitalOf("ct"), false).front().instance;
  REQUIRE(dicom::WriteFile(folder / "ct.dcm", ct).ok());
  const Printed uptake = RunCommand({(folder / "ct.dcm").string(), "--preset", "pet"});
  CHECK_FALSE(uptake.status.ok());
  CHECK_THAT(uptake.text, ContainsText("only a PET"));
  CHECK_THAT(uptake.text, ContainsText("2 modality units"));
  REQUIRE(WriteFileDurably(folder / "text.dcm", "no image at all").ok());
  CHECK_FALSE(RunCommand({(folder / "text.dcm").string()}).status.ok());
  CHECK(RunCommand({(folder / "none.dcm").string()}).status.code() == absl::StatusCode::kNotFound);
}

TEST_CASE("The command reads a plan, whose requirements count too") {
  const TemporaryFolder folder;
  const auto images = Draw(HospitalOf("mg"), true);
  REQUIRE(dicom::WriteFile(folder / "mg.dcm", images.front().instance).ok());  // a CC view
  const auto plan = [&](std::string_view view) {
    const std::string text = StrCat(R"([plan]
name = "breasts"
[target]
name = "mass"
[data]
modalities = ["MG"]
views = [")",
                                    view, R"("]
[preprocessing]
preset = "mammography"
image_size = 96
)");
    REQUIRE(WriteFileDurably(folder / "plan.toml", text).ok());
    return (folder / "plan.toml").string();
  };
  const Printed wanted = RunCommand({(folder / "mg.dcm").string(), "--plan", plan("CC")});
  CHECK(wanted.status.ok());
  CHECK_THAT(wanted.text, ContainsText("96 x 96"));
  CHECK_THAT(wanted.text, ContainsText("by the plan breasts"));
  const Printed other = RunCommand({(folder / "mg.dcm").string(), "--plan", plan("MLO")});
  CHECK(other.status.code() == absl::StatusCode::kPermissionDenied);
}

}  // namespace consilium::datasets::explain
