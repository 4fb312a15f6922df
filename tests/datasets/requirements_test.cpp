#include "datasets/requirements.h"

#include "datasets/dicom/reader.h"
#include "datasets/index_policy.h"
#include "tests/catch.h"
#include "tests/datasets/dicom_bytes.h"

namespace consilium::datasets {
namespace {

dicom::Header Radiograph() {
  dicom::Header header;
  header.modality = "DX";
  header.view_position = "PA";
  header.patient_age_years = 17.9;
  header.row_spacing_mm = header.column_spacing_mm = 0.1;
  return header;
}

Refusal Reason(const dicom::Header& header, const plan::Data& data,
               const plan::Preprocessing& preprocessing = {}) {
  const auto refused = Unwanted(header, data, preprocessing);
  return refused ? refused->reason : Refusal::kNone;
}

// What a file of this SOP class is refused for.
Refused OfClass(std::string_view uid) {
  TemporaryFolder folder;
  DicomBytes file;
  file.Text(0x0008, 0x0016, "UI", uid).Text(0x0008, 0x0018, "UI", "1.2.3");
  file.Text(0x0008, 0x0060, "CS", "OT").Text(0x0010, 0x0020, "LO", "P").Pixels().PixelData();
  const auto header = dicom::ReadHeader(file.Save(folder / "a.dcm"));
  return header.ok() ? Refused{} : header.refused();
}

}  // namespace

TEST_CASE("An image is wanted when each of a plan's requirements is met") {
  const dicom::Header image = Radiograph();
  CHECK(Reason(image, {}) == Refusal::kNone);
  CHECK(Reason(image, {.modalities = {"CR", "DX"}, .views = {"PA"}}) == Refusal::kNone);
  CHECK(Reason(image, {.modalities = {"CR"}, .views = {"AP"}}) == Refusal::kUnwantedModality);
  CHECK(Reason(image, {.views = {"AP"}, .minimum_age = 18}) == Refusal::kUnwantedView);
  CHECK(Reason(image, {.minimum_age = 17, .maximum_age = 17}) == Refusal::kNone);
  CHECK(Reason(image, {.minimum_age = 18}) == Refusal::kUnwantedAge);
  CHECK(Reason(image, {.maximum_age = 16}) == Refusal::kUnwantedAge);
  plan::Preprocessing resampled;
  resampled.spacing_mm = 0.5;
  CHECK(Reason(image, {}, resampled) == Refusal::kNone);
  dicom::Header unsaid = image;
  unsaid.patient_age_years.reset();
  unsaid.column_spacing_mm = 0;
  CHECK(Reason(unsaid, {}) == Refusal::kNone);
  CHECK(Reason(unsaid, {.maximum_age = 150}) == Refusal::kUnwantedAge);
  CHECK(Reason(unsaid, {}, resampled) == Refusal::kNoPixelSpacing);
}

TEST_CASE("Ages above 89 are 90 wherever they are asked for") {
  CHECK(WholeYears(0.4) == 0);
  CHECK(WholeYears(89.99) == 89);
  CHECK(WholeYears(90) == 90);
  CHECK(WholeYears(104) == 90);
  dicom::Header old = Radiograph();
  old.patient_age_years = 104;
  CHECK(Reason(old, {.minimum_age = 90, .maximum_age = 90}) == Refusal::kNone);
}

TEST_CASE("Several frames are refused unless the plan takes the middle one") {
  dicom::Header cine = Radiograph();
  cine.frames = 40;
  CHECK(Reason(cine, {}) == Refusal::kSeveralFrames);
  CHECK(Unwanted(cine, {}, {})->detail == "40 frames");
  plan::Preprocessing middle;
  middle.frame = plan::FrameChoice::kMiddle;
  CHECK(Reason(cine, {}, middle) == Refusal::kNone);
}

TEST_CASE("An object that is no image of a patient is refused as what it is, by its SOP class") {
  const std::string root = "1.2.840.10008.5.1.4.1.1.";
  const std::vector<std::pair<std::string, std::string>> others = {
      {"66.4", "a segmentation"},
      {"66.7", "a label map segmentation"},
      {"481.2", "a radiotherapy dose"},
      {"481.3", "a structure set"},
      {"30", "a parametric map"},
      {"11.1", "a presentation state"},
      {"77.1.6", "a whole-slide image"},
      {"88.34", "a structured report"},
      {"104.1", "an encapsulated document"},
      {"66", "raw data"}};
  for (const auto& [uid, what] : others) {
    INFO(uid);
    CHECK(OfClass(root + uid).reason == Refusal::kNotForTraining);
    CHECK(OfClass(root + uid).detail == what);
  }
  // Radiographs, CT, secondary capture, ultrasound, mammography, ophthalmic photography, RT image.
  for (const char* uid :
       {"1.1", "2", "7", "3.1", "6.1", "1.2", "77.1.5.1", "481.1", "128", "13.1.3"}) {
    INFO(uid);
    CHECK(OfClass(root + uid).reason == Refusal::kNone);
  }
}

TEST_CASE("A site's rules for its catalog are read from its policy, and faults name their line") {
  const auto parsed = ParseIndexPolicy(
      "enabled = true\n[deidentification]\nretain = [\"device_identity\"]\n"
      "burned_in = \"accept\"\nfaces = \"refuse\"\n");
  REQUIRE(parsed.ok());
  CHECK(*parsed ==
        IndexPolicy{{plan::Retain::kDeviceIdentity}, PixelRule::kAccept, PixelRule::kRefuse});
  CHECK(*ParseIndexPolicy("") == IndexPolicy{});
  const auto fault = [](std::string_view table) {
    const auto policy = ParseIndexPolicy(StrCat("[deidentification]\n", table));
    REQUIRE(absl::IsInvalidArgument(policy.status()));
    return std::string(ToStd(policy.status().message()));
  };
  CHECK_THAT(fault("retain = [\"names\"]"), ContainsText("line 2"));
  CHECK_THAT(fault("retain = [\"device_identity\", \"device_identity\"]"), ContainsText("once"));
  CHECK_THAT(fault("retain = 1"), ContainsText("must be a list"));
  CHECK_THAT(fault("burned_in = \"clean\""), ContainsText("consilium-dataset deidentify"));
  CHECK_THAT(fault("faces = \"maybe\""), ContainsText("\"refuse\" or \"accept\""));
  CHECK_THAT(fault("hair = \"accept\""), ContainsText("unknown key"));
  CHECK(absl::IsInvalidArgument(ParseIndexPolicy("deidentification = 1").status()));
}

}  // namespace consilium::datasets
