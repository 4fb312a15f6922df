#include "datasets/targets/report.h"
#include "tests/catch.h"
#include "tests/datasets/dicom_bytes.h"
#include "tests/datasets/shared_data.h"
#include "tests/datasets/volumes_files.h"

namespace consilium::datasets::targets {
namespace {

TEST_CASE("a measurement group says what was measured, where, and on which segment") {
  TemporaryFolder folder;
  WriteReport(folder / "sr.dcm", "12.5");
  const auto report = ReadReport(folder / "sr.dcm");
  REQUIRE(report.ok());
  CHECK(report->title.Is("126000", "DCM"));
  CHECK(report->completion == "COMPLETE");
  REQUIRE(report->groups.size() == 1);
  const MeasurementGroup& group = report->groups[0];
  CHECK(group.tracking_identifier == "lesion 7");
  CHECK(group.tracking_uid == "1.2.826.13");
  CHECK(group.finding.Is("4147007", "SCT"));
  CHECK(group.finding_site.Is("10200004", "SCT"));
  REQUIRE(group.measurements.size() == 1);
  CHECK(group.measurements[0].name.Is("118565006", "SCT"));
  CHECK(group.measurements[0].value == 12.5);
  CHECK(group.measurements[0].unit.Is("ml", "UCUM"));
  CHECK(group.measurements[0].method.Is("12345", "SCT"));
  REQUIRE(group.evaluations.size() == 1);
  CHECK(group.evaluations[0].name.Is("129737002", "SCT"));
  CHECK(group.evaluations[0].value.Is("129742005", "SCT"));
  REQUIRE(group.images.size() == 1);
  CHECK(group.images[0].purpose == "121191");
  CHECK(group.images[0].sop_instance_uid == "1.2.826.8");
  CHECK(group.images[0].segments == std::vector<std::uint32_t>{2});
}

TEST_CASE("a report with a value that is no number, or of another kind, is refused") {
  TemporaryFolder folder;
  WriteReport(folder / "sr.dcm", "large");
  CHECK(ReadReport(folder / "sr.dcm").refused().reason == Refusal::kDamaged);
  WriteReport(folder / "sr.dcm", "1", [](DcmItem& report) { Put(report, 0x0040, 0xa040, "TEXT"); });
  CHECK(ReadReport(folder / "sr.dcm").refused().reason == Refusal::kUnsupportedTarget);
  WriteSlice(folder / "slice.dcm", AsymmetricGrid(), 0, 1);
  CHECK(ReadReport(folder / "slice.dcm").refused().reason == Refusal::kUnsupportedTarget);
}

TEST_CASE("highdicom's reports are read: groups, tracking and units") {
  const auto folder = SharedData("dicom/highdicom_seg_sr_sm");
  if (!folder) return;
  const auto one = ReadReport(*folder / "sr_document.dcm");
  REQUIRE(one.ok());
  const auto several = ReadReport(*folder / "sr_document_with_multiple_groups.dcm");
  REQUIRE(several.ok());
  REQUIRE(one->groups.size() == 1);
  const MeasurementGroup& area = one->groups[0];
  CHECK_FALSE(area.finding_site.empty());
  REQUIRE(area.measurements.size() == 1);
  CHECK(area.measurements[0].value == 1.7);
  CHECK(area.measurements[0].unit.Is("cm2", "UCUM"));
  REQUIRE(area.regions.size() == 1);
  CHECK(area.regions[0].images.size() == 1);
  REQUIRE(several->groups.size() == 4);
  CHECK(several->groups[1].finding_category.value.size() > 2);
  CHECK(several->groups[1].measurements.at(0).value == 10);
  CHECK(several->groups[3].measurements.at(0).name.Is("118565006", "SCT"));
  CHECK(several->groups[3].measurements.at(0).unit.Is("mm3", "UCUM"));
  REQUIRE(several->groups[3].regions.size() == 1);
  CHECK(several->groups[3].regions[0].in_patient);
  CHECK(several->groups[3].images.at(0).purpose == "121233");
}

}  // namespace
}  // namespace consilium::datasets::targets
