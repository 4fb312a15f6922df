// Plans of volumes.

#include "common/plan/plan.h"
#include "tests/catch.h"
#include "tests/common/plan/parsed_plans.h"
#include "tests/common/says.h"

namespace consilium::plan {
namespace {

constexpr char kModel[] = R"([plan]
name = "parts"
[model]
architecture = "unet3d"
)";
constexpr char kTarget[] = R"([target]
task = "segmentation"
name = "hippocampus"
classes = ["anterior", "posterior"]
[data]
modalities = ["MR"]
)";

absl::StatusOr<Plan> With(std::string_view preprocessing, std::string_view training = "",
                          std::string_view model = "") {
  return ParsePlan(
      StrCat(kModel, model, kTarget, "[preprocessing]\n", preprocessing, "[training]\n", training));
}

constexpr char kVolumes[] = "image_size = 48\nslices = 56\n";

TEST_CASE("A plan of volumes says how many slices, how far apart, and how it trains on them") {
  const Plan plan = Read(
      With(StrCat(kVolumes, "spacing_mm = 1\nslice_spacing_mm = 1.5\n"),
           "batch_size = 4\naccumulation = 2\ncheckpointing = true\nblock = 32\n", "width = 24\n"));
  CHECK(plan.model.architecture == Architecture::kUnet3d);
  CHECK(plan.model.width == 24);
  CHECK(plan.preprocessing.slices == 56);
  CHECK(plan.preprocessing.slice_spacing_mm == 1.5);
  CHECK(plan.training.accumulation == 2);
  CHECK(plan.training.checkpointing);
  CHECK(plan.training.block == 32);
  const std::string text = Describe(plan);
  CHECK_THAT(text, ContainsText("56 slices of 48 x 48 pixels"));
  CHECK_THAT(text, ContainsText("slices 1.5 mm apart"));
  CHECK_THAT(text, ContainsText("each in 2 parts, on blocks of 32 voxels a side, checkpointing"));
}

TEST_CASE("What decides a flat image's pixels has no word of volumes, a volume's has") {
  Preprocessing flat;
  const std::string before = PixelSettings(flat);
  CHECK(before.find("volume") == std::string::npos);
  flat.slice_spacing_mm = 3;  // means nothing without slices
  CHECK(PixelSettings(flat) == before);
  Preprocessing deep = flat, deeper = flat;
  deep.slices = 16;
  deeper.slices = 24;
  CHECK(PixelSettings(deep) != before);
  CHECK(PixelSettings(deep) != PixelSettings(deeper));
  deeper = deep;
  deeper.slice_spacing_mm = 4;
  CHECK(PixelSettings(deep) != PixelSettings(deeper));
}

TEST_CASE("What does not go with volumes is refused with what to do") {
  const auto fault = [](std::string_view preprocessing, std::string_view training = "",
                        std::string_view model = "") {
    return OnlyFault(With(preprocessing, training, model));
  };
  CHECK_THAT(fault("image_size = 48\n"), ContainsText("how many slices"));
  CHECK_THAT(fault("image_size = 48\nslices = 20\n"), ContainsText("a multiple of 8"));
  CHECK_THAT(fault("image_size = 50\nslices = 24\n"), ContainsText("a multiple of 8"));
  CHECK_THAT(fault("image_size = 1024\nslices = 64\n"), ContainsText("at most 16 Mi"));
  CHECK_THAT(fault(StrCat(kVolumes, "crop = \"foreground\"\n")), ContainsText("crop = \"none\""));
  CHECK_THAT(fault(StrCat(kVolumes, "face_left = true\n")), ContainsText("face_left = false"));
  CHECK_THAT(fault(StrCat(kVolumes, "channel = \"rgb\"\n")), ContainsText("grey"));
  CHECK_THAT(fault(StrCat(kVolumes, "intensity = \"window\"\n")), ContainsText("percentile"));
  CHECK_THAT(fault(kVolumes, "block = 20\n"), ContainsText("a multiple of 8"));
  CHECK_THAT(fault(kVolumes, "block = 56\n"), ContainsText("at most that"));
  CHECK_THAT(fault(kVolumes, "checkpointing = true\n", "norm = \"batch\"\n"),
             ContainsText("norm \"group\""));
  CHECK_THAT(fault(kVolumes, "batch_size = 2\naccumulation = 3\n"),
             ContainsText("at most batch_size"));
}

TEST_CASE("What only volumes have is refused of flat images") {
  const auto flat = [](std::string_view preprocessing, std::string_view training) {
    return OnlyFault(
        ParsePlan(StrCat("[plan]\nname = \"flat\"\n[model]\narchitecture = \"unet\"\n", kTarget,
                         "[preprocessing]\n", preprocessing, "[training]\n", training)));
  };
  CHECK_THAT(flat("slices = 16\n", ""), ContainsText("use \"unet3d\""));
  CHECK_THAT(flat("slice_spacing_mm = 2\n", ""), ContainsText("need slices"));
  CHECK_THAT(flat("", "block = 32\n"), ContainsText("slices is 0"));
  CHECK_THAT(flat("", "checkpointing = true\n"), ContainsText("only \"unet3d\""));
}

}  // namespace
}  // namespace consilium::plan
