#include "datasets/audio/recording_data.h"

#include <algorithm>
#include <set>

#include "common/base/status.h"
#include "datasets/worker/sandboxed_reader.h"
#include "tests/catch.h"
#include "tests/datasets/audio/wave_bytes.h"
#include "tests/datasets/dicom_bytes.h"

namespace consilium::datasets::audio {
namespace {

plan::Plan PlanOf(std::string_view more = "") {
  const auto plan = plan::ParsePlan(StrCat(R"([plan]
name = "sounds"
[data]
source = "audio"
[model]
architecture = "spectrogram_cnn"
[target]
name = "abnormal"
[audio]
seconds = 1
)",
                                           more));
  INFO(plan.status().ToString());
  REQUIRE(plan.ok());
  return *plan;
}

// A folder of recordings whose tone tells which they are.
struct Site {
  TemporaryFolder folder;
  deidentification::Pseudonymiser pseudonyms =
      *deidentification::Pseudonymiser::Create(crypto::Secret(32));
  std::unique_ptr<ImageReader> reader = ReadInThisProcess();

  RecordingSource Source() const { return {folder.path(), pseudonyms, *reader, 2}; }
  void Add(const std::string& name, double hz, double seconds) const {
    REQUIRE(EnsureFolder((folder.path() / name).parent_path()).ok());
    WaveBytes{.data = Pcm16(Tone(hz, 2000, seconds))}.Save(folder.path() / name);
  }
  void Csv(std::string_view rows) const {
    REQUIRE(WriteFileDurably(folder.path() / "recordings.csv",
                             StrCat("file,patient_id,abnormal,split\n", rows))
                .ok());
  }
  absl::StatusOr<RecordingData> Open(const plan::Plan& plan) const {
    NoProgress progress;
    return RecordingData::Open(Source(), plan, progress);
  }
};

TEST_CASE("Recordings become examples with their patient, split and target") {
  const Site site;
  site.Add("one.wav", 100, 1);
  site.Add("below/two.wav", 400, 2);
  site.Add("three.wav", 800, 1);
  site.Csv("one.wav,P1,0,train\nbelow/two.wav,P1,1,train\nthree.wav,P2,1,test\n");
  const plan::Plan plan = PlanOf();
  const auto data = site.Open(plan);
  INFO(data.status().ToString());
  REQUIRE(data.ok());
  const auto train = data->Examples(Split::kTrain), test = data->Examples(Split::kTest);
  REQUIRE(train->size() == 2);
  REQUIRE(test->size() == 1);
  CHECK(data->Examples(Split::kValidation)->size() == 0);
  CHECK(train->input_shape() == InputShape{1, 1, 32, plan.audio.Frames(), 0});
  CHECK(train->GetLabel(0).patient == train->GetLabel(1).patient);
  CHECK(train->GetLabel(0).patient != test->GetLabel(0).patient);
  CHECK(train->GetLabel(0).target + train->GetLabel(1).target == 1);
  CHECK(data->summary().train.patients == 1);
  CHECK(data->summary().train.positives == 1);
  CHECK(data->summary().total.examples == 3);
  const auto survey = SurveyRecordings(site.Source(), plan);
  REQUIRE(survey.ok());
  CHECK(survey->train.examples == 2);
  CHECK(survey->refusals.empty());
}

TEST_CASE("Survival of recordings is read from two columns of the list") {
  const Site site;
  for (const char* name : {"one.wav", "two.wav", "three.wav"}) site.Add(name, 100, 1);
  REQUIRE(WriteFileDurably(site.folder.path() / "recordings.csv",
                           std::string_view("file,patient_id,days,death,split\n"
                                            "one.wav,P1,30.5,1,train\ntwo.wav,P2,400,0,train\n"
                                            "three.wav,P3,0,1,train\n"))
              .ok());
  plan::Plan plan = PlanOf();
  plan.target = {.task = Task::kSurvival, .time = "days", .event = "death"};
  const auto survey = SurveyRecordings(site.Source(), plan);
  INFO(survey.status().ToString());
  REQUIRE(survey.ok());
  CHECK(survey->train.examples == 2);
  CHECK(survey->train.positives == 1);
  CHECK(survey->refusals.size() == 1);
  const auto data = site.Open(plan);
  REQUIRE(data.ok());
  const auto train = data->Examples(Split::kTrain);
  REQUIRE(train->target_elements() == 2);
  CHECK(Count(*train).positives == 1);
  std::set<std::pair<float, float>> found;
  for (std::size_t i = 0; i < train->size(); ++i) {
    float target[2] = {};
    train->GetTarget(i, target);
    found.emplace(target[0], target[1]);
    CHECK(train->IsPositive(i) == (target[1] == 1));
  }
  CHECK(found == std::set<std::pair<float, float>>{{30.5f, 1.0f}, {400.0f, 0.0f}});
}

TEST_CASE("An evaluation sees the middle of a longer recording, training any part of it") {
  const Site site;
  std::vector<float> sound = Tone(100, 2000, 2);
  for (const double hz : {400.0, 800.0}) {
    const std::vector<float> more = Tone(hz, 2000, 2);
    sound.insert(sound.end(), more.begin(), more.end());
  }
  WaveBytes{.data = Pcm16(sound)}.Save(site.folder.path() / "a.wav");
  site.Csv("a.wav,P1,0,train\n");
  const auto data = site.Open(PlanOf("standardize = false\n"));
  REQUIRE(data.ok());
  const auto train = data->Examples(Split::kTrain);
  const InputShape shape = train->input_shape();
  std::vector<float> input(shape.Elements());
  const auto loudest = [&] {  // the row of the middle frame
    std::uint32_t best = 0;
    for (std::uint32_t row = 0; row < shape.height; ++row) {
      if (input[row * shape.width + shape.width / 2] >
          input[best * shape.width + shape.width / 2]) {
        best = row;
      }
    }
    return best;
  };
  train->Get(0, input);
  const std::uint32_t middle = loudest();
  std::set<std::uint32_t> seen;
  SeededRandom random(1);
  for (int i = 0; i < 50; ++i) {
    train->GetAnyPart(0, random, input);
    seen.insert(loudest());
  }
  CHECK(seen.size() == 3);
  CHECK(*std::next(seen.begin()) == middle);  // 400 Hz lies between the others
}

TEST_CASE("What cannot be used is counted by its reason, and the rest is used") {
  const Site site;
  site.Add("good.wav", 100, 1);
  site.Add("short.wav", 100, 0.05);
  REQUIRE(WriteFileDurably(site.folder.path() / "noise.wav", "no sound at all").ok());
  site.Csv(
      "good.wav,P1,1,train\nshort.wav,P2,1,train\nnoise.wav,P3,0,train\nlost.wav,P4,0,train\n"
      ",P5,1,train\ngone.wav,,1,train\nunknown.wav,P7,,train\n");
  const std::map<std::string, std::uint64_t> expected = {
      {"too-short", 1},    {"not-a-recording", 1}, {"unreadable", 1},
      {"missing-file", 1}, {"missing-patient", 1}, {"missing-target", 1}};
  const auto data = site.Open(PlanOf());
  REQUIRE(data.ok());
  CHECK(data->summary().refusals == expected);
  CHECK(data->Examples(Split::kTrain)->size() == 1);
  const auto survey = SurveyRecordings(site.Source(), PlanOf());
  REQUIRE(survey.ok());
  CHECK(survey->refusals == expected);
}

TEST_CASE("A list that leads out of the folder, or names a file twice, is refused without a name") {
  const Site site;
  const auto message = [&](std::string_view rows) {
    site.Csv(rows);
    const auto data = site.Open(PlanOf());
    REQUIRE(data.status().code() == absl::StatusCode::kInvalidArgument);
    return std::string(data.status().message());
  };
  const std::string outside = message("../smith-john.wav,P1,1,train\n");
  CHECK_THAT(outside, ContainsText("line 2, column \"file\": is no file below"));
  CHECK(outside.find("smith") == std::string::npos);
  CHECK_THAT(message("/etc/passwd,P1,1,train\n"), ContainsText("is no file below"));
  CHECK_THAT(message("a.wav,P1,1,train\na.wav,P2,0,train\n"),
             ContainsText("line 3, column \"file\": names the file of a line before"));
}

TEST_CASE("A site without a list says which it needs") {
  const Site site;
  const auto data = site.Open(PlanOf());
  CHECK(absl::IsFailedPrecondition(data.status()));
  CHECK_THAT(std::string(data.status().message()), ContainsText("there is no recordings.csv"));
}

TEST_CASE("A sandboxed worker reads the same spectrogram, and dies of nothing") {
  const Site site;
  site.Add("one.wav", 300, 3);
  const auto sandboxed = SandboxedReader::Create({.workers = 1});
  INFO(sandboxed.status().ToString());
  REQUIRE(sandboxed.ok());
  const fs::path path = site.folder.path() / "one.wav";
  const plan::Audio audio = PlanOf().audio;
  const auto here = site.reader->ReadRecording(path, audio);
  const auto there = (*sandboxed)->ReadRecording(path, audio);
  REQUIRE((here.ok() && there.ok()));
  CHECK(there->spectrogram.values == here->spectrogram.values);
  CHECK(there->spectrogram.frames == here->spectrogram.frames);
  CHECK(there->form.frames == 6000);
  const auto form = (*sandboxed)->ReadRecording(path, std::nullopt);
  REQUIRE(form.ok());
  CHECK(form->spectrogram.values.empty());
  CHECK_FALSE((*sandboxed)->ReadRecording(site.folder.path() / "none", audio).ok());
}

}  // namespace
}  // namespace consilium::datasets::audio
