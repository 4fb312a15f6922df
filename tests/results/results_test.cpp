#include "datasets/dicom/image_file.h"
#include "datasets/results/activation.h"
#include "datasets/results/report_writer.h"
#include "datasets/results/secondary_capture_writer.h"
#include "datasets/results/segmentation_writer.h"
#include "datasets/targets/report.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/datasets/shared_data.h"
#include "tests/results/judges.h"
#include "tests/results/result_sources.h"

namespace consilium::datasets::results {
namespace {

void RequireOk(const absl::Status& status) {
  INFO(status.message());
  REQUIRE(status.ok());
}

// Rises from the left: 0 in the first column, 255 in the last.
NewSegment Activation(const SourceImage& source) {
  NewSegment segment;
  segment.label = "class activation (not an outline)";
  segment.description = "What spoke for the finding, relative to its own maximum";
  segment.category = {"309825002", "SCT", "Spatial and Relational Concept"};
  segment.type = {"class-activation", kOurScheme, "Class activation"};
  for (std::uint32_t row = 0; row < source.rows; ++row) {
    for (std::uint32_t column = 0; column < source.columns; ++column) {
      segment.voxels.push_back(static_cast<std::uint8_t>(255 * column / (source.columns - 1)));
    }
  }
  return segment;
}

struct Written {
  fs::path segmentation, report, picture;
};

// One of each kind about one image, as the command writes them.
Written WriteAll(const fs::path& folder, const fs::path& image, const SourceImage& source,
                 const std::optional<OperatingPoint>& point) {
  const ModelDescription model = TestModel();
  const Written written = {folder / "seg.dcm", folder / "sr.dcm", folder / "sc.dcm"};
  const ResultName seg = NameOf(ResultKind::kSegmentation, model.id, source);
  NewSegmentation segmentation{.kind = SegmentationKind::kFractionalProbability,
                               .planes = PlanesOf(source),
                               .segments = {Activation(source)}};
  RequireOk(WriteSegmentation(written.segmentation, source, model, seg, segmentation, TestTime()));
  NewReport report;
  report.findings = {{.code = FindingNamed(model.target),
                      .classification = Classification{0.8125, point},
                      .measurements = {{{"42798000", "SCT", "Area"}, 12.5, {"cm2", "UCUM", "cm2"}}},
                      .segment = 1}};
  report.images = {ReferenceTo(source)};
  report.segmentation = FrameReference{"1.2.840.10008.5.1.4.1.1.66.4", seg.sop_instance_uid, 0};
  RequireOk(WriteReport(written.report, source, model,
                        NameOf(ResultKind::kReport, model.id, source), report, TestTime()));
  auto file = dicom::ImageFile::Open(image);
  REQUIRE(file.ok());
  const auto pixels = file->ReadModality(0);
  REQUIRE(pixels.ok());
  RequireOk(WriteSecondaryCapture(
      written.picture, source, model, NameOf(ResultKind::kPicture, model.id, source),
      Draw(MakeBackdrop(*pixels), {}, {kResearchUse}), {ReferenceTo(source)}, TestTime()));
  return written;
}

void Judge(const Written& written, const fs::path& image) {
  for (const fs::path& object : {written.segmentation, written.report, written.picture}) {
    CheckWithDciodvfy(object);
    CheckWithPydicom({"same-patient-and-study", image.string(), object.string()});
  }
  if (HasProgram("dsrdump")) DumpReport(written.report);
}

TEST_CASE("results about images of every modality are what the standard says") {
  for (const std::string modality : {"CR", "DX", "CT", "MR", "MG", "US", "OP"}) {
    TemporaryFolder folder;
    INFO(modality);
    WriteSource(folder / "image.dcm", modality);
    const SourceImage source = SourceOf(folder / "image.dcm");
    CHECK(source.plane.has_value() == (modality == "CT" || modality == "MR"));
    Judge(WriteAll(folder.path(), folder / "image.dcm", source,
                   OperatingPoint{0.5, "specificity 0.90"}),
          folder / "image.dcm");
  }
}

TEST_CASE("results about scanners' own files are what the standard says") {
  const auto shared = SharedData("dicom");
  if (!shared) return;
  for (const std::string name :
       {"CT_small.dcm", "MR_small.dcm", "MR_small_bigendian.dcm", "JPGExtended.dcm"}) {
    INFO(name);
    const fs::path image = *shared / "pydicom_test_files" / name;
    TemporaryFolder folder;
    Judge(WriteAll(folder.path(), image, SourceOf(image), std::nullopt), image);
  }
}

TEST_CASE("pydicom reads from a fractional segmentation what was written") {
  TemporaryFolder folder;
  WriteSource(folder / "image.dcm", "DX");
  const Written written =
      WriteAll(folder.path(), folder / "image.dcm", SourceOf(folder / "image.dcm"), std::nullopt);
  CheckWithPydicom({"activation", written.segmentation.string(), (folder / "image.dcm").string()});
  CheckWithPydicom({"picture", written.picture.string(), (folder / "image.dcm").string()});
}

TEST_CASE("a report with an operating point calls the finding present, coded") {
  TemporaryFolder folder;
  WriteSource(folder / "image.dcm", "DX");
  const SourceImage source = SourceOf(folder / "image.dcm");
  const Written written =
      WriteAll(folder.path(), folder / "image.dcm", source, OperatingPoint{0.5, "at 0.90"});
  const auto report = targets::ReadReport(written.report);
  REQUIRE(report.ok());
  CHECK(report->completion == "COMPLETE");
  CHECK(report->verification == "UNVERIFIED");
  REQUIRE(report->groups.size() == 1);
  const targets::MeasurementGroup& group = report->groups[0];
  CHECK(group.finding.Is("opacity", "99CONSILIUM"));
  REQUIRE(group.evaluations.size() >= 1);
  CHECK(group.evaluations[0].name.Is("opacity", "99CONSILIUM"));
  CHECK(group.evaluations[0].value.Is("52101004", "SCT"));
  REQUIRE(group.measurements.size() == 2);
  CHECK(group.measurements[0].name.Is("122157", "DCM"));
  CHECK(group.measurements[0].value == 0.8125);
  CHECK(group.measurements[0].unit.Is("1", "UCUM"));
  CHECK(group.measurements[1].value == 12.5);
  REQUIRE(group.images.size() == 2);
  CHECK(group.images[0].sop_instance_uid == source.sop_instance_uid);
  CHECK(group.images[1].segments == std::vector<std::uint32_t>{1});
  if (!HasProgram("dsrdump")) return;
  const std::string text = DumpReport(written.report);
  CHECK_THAT(text, ContainsText("research use only"));
  CHECK_THAT(text, ContainsText(TestModel().id.Hex()));
  CHECK_THAT(text, ContainsText("threshold 0.5000 (at 0.90)"));
}

TEST_CASE("a report without an operating point gives the score and calls nothing present") {
  TemporaryFolder folder;
  WriteSource(folder / "image.dcm", "DX");
  const Written written =
      WriteAll(folder.path(), folder / "image.dcm", SourceOf(folder / "image.dcm"), std::nullopt);
  const auto report = targets::ReadReport(written.report);
  REQUIRE(report.ok());
  REQUIRE(report->groups.size() == 1);
  CHECK(report->groups[0].evaluations.empty());
  CHECK(report->groups[0].measurements[0].value == 0.8125);
}

TEST_CASE("the same model and image give objects of the same name, others of another") {
  TemporaryFolder folder;
  WriteSource(folder / "dx.dcm", "DX");
  WriteSource(folder / "mg.dcm", "MG");
  const SourceImage dx = SourceOf(folder / "dx.dcm"), mg = SourceOf(folder / "mg.dcm");
  const ModelDescription model = TestModel();
  ModelDescription other = model;
  other.id.bytes[0] = 1;
  const ResultName name = NameOf(ResultKind::kReport, model.id, dx);
  CHECK(name.sop_instance_uid == NameOf(ResultKind::kReport, model.id, dx).sop_instance_uid);
  CHECK(name.instance_number == 5);
  CHECK(name.sop_instance_uid != NameOf(ResultKind::kPicture, model.id, dx).sop_instance_uid);
  CHECK(name.sop_instance_uid != NameOf(ResultKind::kReport, other.id, dx).sop_instance_uid);
  CHECK(name.sop_instance_uid != NameOf(ResultKind::kReport, model.id, mg).sop_instance_uid);
  CHECK(name.series_instance_uid != NameOf(ResultKind::kReport, model.id, mg).series_instance_uid);
}

TEST_CASE("what contradicts itself is not written") {
  TemporaryFolder folder;
  WriteSource(folder / "image.dcm", "DX");
  const SourceImage source = SourceOf(folder / "image.dcm");
  const ModelDescription model = TestModel();
  const ResultName name = NameOf(ResultKind::kSegmentation, model.id, source);
  NewSegmentation segmentation{.kind = SegmentationKind::kFractionalProbability,
                               .planes = PlanesOf(source),
                               .segments = {Activation(source)}};
  const auto refused = [&](const NewSegmentation& faulty) {
    const auto status =
        WriteSegmentation(folder / "seg.dcm", source, model, name, faulty, TestTime());
    return absl::IsInvalidArgument(status) && !Exists(folder / "seg.dcm");
  };
  NewSegmentation binary = segmentation;
  binary.kind = SegmentationKind::kBinary;
  CHECK(refused(binary));
  NewSegmentation short_of_one = segmentation;
  short_of_one.segments[0].voxels.pop_back();
  CHECK(refused(short_of_one));
  NewSegmentation no_source = segmentation;
  no_source.planes.sources = {{}};
  CHECK(refused(no_source));
  NewReport report;
  report.findings = {{.code = FindingNamed("opacity"), .classification = Classification{1.5, {}}}};
  report.images = {ReferenceTo(source)};
  CHECK(absl::IsInvalidArgument(
      WriteReport(folder / "sr.dcm", source, model, name, report, TestTime())));
}

}  // namespace
}  // namespace consilium::datasets::results
