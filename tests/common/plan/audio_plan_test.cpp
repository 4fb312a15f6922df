// Plans of recordings, and of images with a table beside them.

#include "common/plan/plan.h"
#include "tests/catch.h"
#include "tests/common/plan/parsed_plans.h"
#include "tests/common/plan/table_plans.h"
#include "tests/common/says.h"

namespace consilium::plan {
namespace {

constexpr char kRecordings[] = R"([plan]
name = "sounds"
[data]
source = "audio"
[model]
architecture = "spectrogram_cnn"
[target]
name = "abnormal"
)";
constexpr char kImages[] = R"([plan]
name = "both"
[data]
modalities = ["DX"]
[target]
name = "icu"
)";
const std::string kTable = StrCat("[table]\nname = \"patients\"\n", kAgeColumn);

absl::StatusOr<Plan> WithAudio(std::string_view keys) {
  return ParsePlan(StrCat(kRecordings, "[audio]\n", keys));
}

TEST_CASE("A plan of recordings has settings for heart sounds unless it says others") {
  const Plan plan = Read(ParsePlan(kRecordings));
  CHECK(plan.data.source == Source::kAudio);
  CHECK(plan.audio == Audio{});
  CHECK(plan.audio.Frames() == 311);
  CHECK(plan.training.augmentation == Augmentation::kRecording);

  const Plan other =
      Read(WithAudio("sample_rate_hz = 4000\nseconds = 5\nwindow_ms = 50\nhop_ms = 25\nbands = 40\n"
                     "low_hz = 50\nhigh_hz = 2000\nstandardize = false\n"));
  CHECK(other.audio == Audio{4000, 5, 50, 25, 40, 50, 2000, false});
  CHECK(other.audio.Frames() == 199);
  CHECK_THAT(Describe(other),
             ContainsText("5 s at 4000 Hz as 40 mel bands of 50 to 2000 Hz, windows of 50 ms every "
                          "25 ms (40 x 199)"));
  CHECK_THAT(Describe(other), ContainsText("recordings, named in recordings.csv"));
}

TEST_CASE("The bands lie evenly on the mel scale from the lowest frequency to the highest") {
  Audio audio;
  const std::vector<double> edges = audio.Edges();
  REQUIRE(edges.size() == audio.bands + 2);
  CHECK(edges.front() == Approx(20));
  CHECK(edges.back() == Approx(1000));
  // 1000 mel are 1000 Hz, by the scale's definition; the bands grow wider.
  audio.low_hz = 0;
  audio.high_hz = 1000;
  audio.bands = 9;
  CHECK(audio.Edges()[5] == Approx(700 * (std::pow(10, 500.0 / 2595) - 1)).epsilon(1e-3));
  for (std::size_t i = 2; i < edges.size(); ++i) {
    CHECK(edges[i] - edges[i - 1] > edges[i - 1] - edges[i - 2]);
  }
}

TEST_CASE("Settings of recordings that contradict each other are refused with the way out") {
  CHECK_THAT(OnlyFault(WithAudio("high_hz = 1500\n")),
             ContainsText("above 1000 Hz, half of the sample rate"));
  CHECK_THAT(OnlyFault(WithAudio("sample_rate_hz = 1000\n")),
             ContainsText("raise sample_rate_hz or lower high_hz"));
  CHECK_THAT(OnlyFault(WithAudio("low_hz = 1000\n")), ContainsText("needs low_hz below high_hz"));
  CHECK_THAT(OnlyFault(WithAudio("hop_ms = 80\n")),
             ContainsText("leaves out what lies between the windows"));
  CHECK_THAT(OnlyFault(WithAudio("bands = 64\n")), ContainsText("fewer bands, or a longer"));
  CHECK_THAT(OnlyFault(WithAudio("seconds = 0.5\n")),
             ContainsText("makes fewer than 16 windows of a recording"));
  CHECK_THAT(OnlyFault(WithAudio("seconds = 300\n")),
             ContainsText("makes 9374 windows of a recording, at most 4096"));
  CHECK_THAT(OnlyFault(WithAudio("seconds = 400\n")), ContainsText("seconds = 400"));
  CHECK_THAT(OnlyFault(WithAudio("loudness = 1\n")), ContainsText("audio.loudness"));
}

TEST_CASE(
    "Recordings go with their own tasks, networks and augmentation, and with no images' keys") {
  const auto with = [](std::string_view model, std::string_view more) {
    return ParsePlan(StrCat("[plan]\nname = \"s\"\n[data]\nsource = \"audio\"\n[model]\n",
                            "architecture = \"", model, "\"\n[target]\n", more));
  };
  Read(with("resnet18", "name = \"a\"\n"));
  Read(with("small_cnn", "task = \"multiclass\"\nname = \"a\"\nclasses = [\"x\", \"y\"]\n"));
  Read(with("spectrogram_cnn", "task = \"multilabel\"\nclasses = [\"x\", \"y\"]\n"));
  CHECK_THAT(OnlyFault(with("logistic", "name = \"a\"\n")),
             ContainsText("does not suit data.source \"audio\""));
  CHECK_THAT(OnlyFault(with("resnet18", "name = \"a\"\n[audio]\nbands = 16\n")),
             ContainsText("too small for resnet18, which needs 32 bands"));
  CHECK_THAT(OnlyFault(with("spectrogram_cnn",
                            "task = \"segmentation\"\nname = \"a\"\nclasses = [\"x\"]\n")),
             ContainsText("needs images: data.source is \"audio\""));
  CHECK_THAT(OnlyFault(with("spectrogram_cnn", "name = \"a\"\n[preprocessing]\nimage_size = 64\n")),
             ContainsText("it is of images, and data.source is \"audio\""));
  CHECK_THAT(OnlyFault(with("spectrogram_cnn",
                            "name = \"a\"\n[training]\naugmentation = "
                            "\"mirrored\"\n")),
             ContainsText("\"recording\" or \"none\""));
  CHECK_THAT(OnlyFault(ParsePlan("[plan]\nname = \"s\"\n[data]\nsource = \"audio\"\nmodalities = "
                                 "[\"DX\"]\n[model]\narchitecture = \"spectrogram_cnn\"\n"
                                 "[target]\nname = \"a\"\n")),
             ContainsText("it is of DICOM images, and data.source is \"audio\""));
  CHECK_THAT(OnlyFault(ParsePlan(StrCat(kImages, "[audio]\nbands = 16\n"))),
             ContainsText("it is of recordings, and data.source is \"dicom\""));
  CHECK_THAT(OnlyFault(ParsePlan(StrCat(kImages, "[training]\naugmentation = \"recording\"\n"))),
             ContainsText("is of recordings"));
  CHECK_THAT(OnlyFault(ParsePlan(StrCat(kImages, "[model]\narchitecture = \"spectrogram_cnn\"\n"))),
             ContainsText("does not suit target.task \"binary\""));
}

TEST_CASE("Images may have each patient's row of a table beside them") {
  const Plan plan = Read(ParsePlan(StrCat(kImages, kTable)));
  CHECK(plan.data.source == Source::kDicom);
  CHECK(plan.table.Inputs() == 1);
  CHECK_THAT(Describe(plan), ContainsText("DX images with each patient's row of the table "
                                          "patients.csv"));
  CHECK_THAT(Describe(plan), ContainsText("learns icu from age (0 to 120)"));
}

TEST_CASE("A table beside images needs a built-in classifier and masked updates") {
  CHECK_THAT(OnlyFault(ParsePlan(StrCat(kImages, kTable, "[aggregation]\nupdates = \"sealed\"\n"))),
             ContainsText("use \"masked\""));
  CHECK_THAT(OnlyFault(ParsePlan(StrCat(kImages, kTable,
                                        "[model]\narchitecture = \"torchscript\"\nmodule = \"",
                                        std::string(64, 'a'), "\"\n"))),
             ContainsText("need a built-in classifier"));
  const std::string outlines =
      "[plan]\nname = \"o\"\n[data]\nmodalities = [\"MR\"]\n[model]\narchitecture = \"unet\"\n"
      "[target]\ntask = \"segmentation\"\nname = \"t\"\nclasses = [\"tumour\"]\n";
  CHECK_THAT(OnlyFault(ParsePlan(StrCat(outlines, kTable))),
             ContainsText("beside images it serves the tasks"));
}

}  // namespace
}  // namespace consilium::plan
