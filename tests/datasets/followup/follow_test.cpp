// A drawn patient of three scans, from files to the report.

#include "datasets/followup/follow.h"

#include <cstdio>
#include <cstdlib>

#include "datasets/dicom/writer.h"
#include "datasets/followup/measurement_report.h"
#include "datasets/followup/phantom_course.h"
#include "datasets/results/segmentation_writer.h"
#include "datasets/targets/report.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/results/judges.h"

namespace consilium::datasets::followup {
namespace {

using enum LesionState;

void RequireOk(const absl::Status& status) {
  INFO(status.ToString());
  REQUIRE(status.ok());
}

std::unique_ptr<worker::WorkerPool> Pool() {
  auto pool = worker::WorkerPool::Create({.workers = 2});
  RequireOk(pool.status());
  return *std::move(pool);
}

Patient OnlyPatientOf(worker::WorkerPool& pool, const fs::path& folder,
                      const std::optional<std::string>& id = std::nullopt) {
  NoProgress progress;
  auto found = FindPatients(pool, folder, id, progress);
  RequireOk(found.status());
  REQUIRE(found->patients.size() == 1);
  return std::move(found->patients.front());
}

// Of all of the test's cases: drawing takes a while.
const fs::path& DrawnCourse() {
  static const TemporaryFolder folder;
  static const fs::path course = [] {
    RequireOk(WriteCourse(ThreeScans("followed"), 7, folder / "scans"));
    return folder / "scans";
  }();
  return course;
}

const FollowUp& Followed() {
  static const FollowUp follow_up = [] {
    const auto pool = Pool();
    NoProgress progress;
    auto result = Follow(*pool, OnlyPatientOf(*pool, DrawnCourse()), {}, progress);
    RequireOk(result.status());
    return *std::move(result);
  }();
  return follow_up;
}

TEST_CASE("a patient's studies are found in the order of time") {
  const auto pool = Pool();
  const Patient patient = OnlyPatientOf(*pool, DrawnCourse(), "followed");
  REQUIRE(patient.studies.size() == 3);
  CHECK(DaysBetween(patient.studies[0].date, patient.studies[1].date) == 58);
  CHECK(DaysBetween(patient.studies[0].date, patient.studies[2].date) == 121);
  CHECK(patient.studies[0].series.begin()->second.files.size() == 62);
  CHECK(patient.studies[0].segmentations.size() == 1);
  NoProgress progress;
  CHECK(FindPatients(*pool, DrawnCourse(), "another", progress)->patients.empty());
  CHECK(absl::IsNotFound(FindPatients(*pool, "/no such folder", "x", progress).status()));
}

TEST_CASE("each scan is registered to the first, within half a voxel and half a degree") {
  const PhantomCourse truth = ThreeScans("");
  const FollowUp& follow_up = Followed();
  REQUIRE(follow_up.time_points.size() == 3);
  for (std::size_t t = 1; t < 3; ++t) {
    REQUIRE(follow_up.time_points[t].registration.has_value());
    const registration::Registration& found = *follow_up.time_points[t].registration;
    double worst_mm = 0;
    for (unsigned corner = 0; corner < 8; ++corner) {
      const Vec3 head = {(corner & 1) != 0 ? 50.0 : -50, (corner & 2) != 0 ? 60.0 : -60,
                         (corner & 4) != 0 ? 55.0 : -55};
      const Vec3 seen = found.transform(truth.scans[0].motion(head));
      worst_mm = std::max(worst_mm, Norm(seen - truth.scans[t].motion(head)));
    }
    INFO("worst error " << worst_mm << " mm, halves " << found.disagreement_mm << " mm");
    CHECK(worst_mm < 0.75);
    if (std::getenv("CONSILIUM_SAY_FIGURES") != nullptr) {
      std::printf("scan %d: worst %.3f mm, halves %.3f mm, coefficient %.3f\n", static_cast<int>(t),
                  worst_mm, found.disagreement_mm, found.coefficient);
    }
  }
}

TEST_CASE("lesions that shrink, grow, appear and vanish are told apart, with true sizes") {
  const FollowUp& follow_up = Followed();
  // Tracks by size at their first time: 1, 2, 3 and 4 of the phantom, then the new one.
  REQUIRE(follow_up.tracks.size() == 5);
  const LesionState expected[5][3] = {{kPresent, kPresent, kPresent},
                                      {kPresent, kPresent, kPresent},
                                      {kPresent, kPresent, kPresent},
                                      {kPresent, kVanished, kVanished},
                                      {kUnknown, kUnknown, kNew}};
  const PhantomCourse truth = ThreeScans("");
  for (std::size_t track = 0; track < 5; ++track) {
    for (std::size_t t = 0; t < 3; ++t) {
      INFO("track " << track << ", time point " << t);
      const TrackPoint& point = follow_up.tracks[track].points[t];
      CHECK(point.state == expected[track][t]);
      if (point.lesions.empty()) continue;
      const Lesions& lesions = follow_up.time_points[t].lesions;
      const PhantomLesion* drawn = nullptr;
      for (const PhantomLesion& lesion : truth.scans[t].lesions) {
        if (lesion.number == static_cast<int>(track) + 1) drawn = &lesion;
      }
      REQUIRE(drawn != nullptr);
      CHECK(DiameterOf(point, lesions) == Approx(drawn->diameter_mm).margin(1.6));
      CHECK(VolumeOf(point, lesions) ==
            Approx(std::pow(drawn->diameter_mm, 3) * 3.14159 / 6000).epsilon(0.12));
    }
  }
}

TEST_CASE("the course is a partial response, then progression by a new lesion") {
  const Course& course = Followed().course;
  CHECK(course.targets == std::vector<std::size_t>{0, 1});
  CHECK(course.assessments[0].response == Response::kBaseline);
  CHECK(course.assessments[1].response == Response::kPartial);
  CHECK(*course.assessments[1].sum_from_first == Approx(30.0 / 46 - 1).margin(0.05));
  CHECK(course.assessments[2].response == Response::kProgressive);
  CHECK(course.assessments[2].new_lesions == 1);
}

TEST_CASE("the report holds each lesion at each time, and other people's programs accept it") {
  const TemporaryFolder folder;
  const fs::path file = folder / "report.dcm";
  RequireOk(results::WriteFollowUpReport(file, ReportOf(Followed()), SystemClock().Now()));
  results::CheckWithDciodvfy(file);
  const std::string dump = results::DumpReport(file);
  CHECK_THAT(dump, ContainsText("Current Response"));
  CHECK_THAT(dump, ContainsText("Target Lesion Partial Response"));
  const auto report = targets::ReadReport(file);
  REQUIRE(report.ok());
  // 4 + 3 + 4 lesions and a sum at each of three time points.
  REQUIRE(report->groups.size() == 14);
  std::map<std::string, int> tracked;
  for (const auto& group : report->groups) ++tracked[group.tracking_uid];
  CHECK(tracked.size() == 6);
  const auto& first = report->groups.front();
  CHECK(first.tracking_identifier == "lesion 1");
  const auto value = [&](std::string_view code, std::string_view unit) {
    for (const auto& measurement : first.measurements) {
      if (measurement.name.value == code && measurement.unit.value == unit) {
        return measurement.value;
      }
    }
    return -1.0;
  };
  CHECK(value("118565006", "ml") == Approx(11.5).epsilon(0.12));
  CHECK(value("103339001", "mm") == Approx(28).margin(1.6));  // long axis
  CHECK(value("103340004", "mm") == Approx(28).margin(2));
  CHECK(value("128740", "d") == 0);
  // The same follow-up, once more, is the same object.
  RequireOk(
      results::WriteFollowUpReport(folder / "2.dcm", ReportOf(Followed()), SystemClock().Now()));
  const auto names = ReadInstances(*Pool(), std::vector{file, folder / "2.dcm"});
  CHECK_FALSE(names[0].ok());  // a report is no image: it is not taken for a study's
}

// ---- what is passed over, and why

void CopyTree(const fs::path& from, const fs::path& to) {
  fs::create_directories(to);
  fs::copy(from, to, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
}

std::string Reasons(const FollowUp& follow_up) {
  std::string text;
  for (const PassedOver& passed : follow_up.passed_over) {
    text += std::to_string(passed.day) + " " + passed.what + ": " + passed.why + "\n";
  }
  return text;
}

TEST_CASE("a study without outlined lesions is passed over, and said") {
  const TemporaryFolder folder;
  CopyTree(DrawnCourse(), folder / "scans");
  fs::remove(folder / "scans/day-58/seg.dcm");
  const auto pool = Pool();
  NoProgress progress;
  const auto follow_up = Follow(*pool, OnlyPatientOf(*pool, folder / "scans"), {}, progress);
  RequireOk(follow_up.status());
  CHECK(follow_up->time_points.size() == 2);
  CHECK(follow_up->time_points[1].day == 121);
  CHECK_THAT(Reasons(*follow_up), ContainsText("58 study: no segmentation outlines lesions"));
}

TEST_CASE("one study is not enough, and a damaged slice refuses its series with the reason") {
  const TemporaryFolder folder;
  CopyTree(DrawnCourse() / "day-0", folder / "scans/a");
  const auto pool = Pool();
  NoProgress progress;
  auto follow_up = Follow(*pool, OnlyPatientOf(*pool, folder / "scans"), {}, progress);
  REQUIRE(absl::IsFailedPrecondition(follow_up.status()));
  CopyTree(DrawnCourse() / "day-58", folder / "scans/b");
  fs::remove(folder / "scans/b/ct/0030.dcm");
  follow_up = Follow(*pool, OnlyPatientOf(*pool, folder / "scans"), {}, progress);
  REQUIRE(absl::IsFailedPrecondition(follow_up.status()));
  CHECK_THAT(std::string(follow_up.status().message()), ContainsText("CT series of"));
  CHECK_THAT(std::string(follow_up.status().message()), ContainsText("missing"));
}

TEST_CASE("an instance survives its message, and what cannot be is not believed") {
  Instance instance;
  instance.patient_id = "p";
  instance.date = "20260101";
  instance.source.sop_class_uid = instance.source.sop_instance_uid = "1.2";
  instance.source.series_instance_uid = instance.source.study_instance_uid = "1.3";
  instance.source.rows = instance.source.columns = 4;
  instance.source.patient_and_study = {{0x00100020, "p"}};
  const Bytes message = Encode(instance);
  const auto decoded = DecodeInstance(message);
  REQUIRE(decoded.has_value());
  CHECK(decoded->patient_id == "p");
  CHECK(decoded->source.patient_and_study.size() == 1);
  CHECK_FALSE(DecodeInstance(ByteView(message).subspan(1)).has_value());
  instance.source.patient_and_study = {{0x7fe00010, "pixels"}};
  CHECK_FALSE(DecodeInstance(Encode(instance)).has_value());
  instance.source.patient_and_study.clear();
  instance.source.rows = 0;
  CHECK_FALSE(DecodeInstance(Encode(instance)).has_value());
}

TEST_CASE("days are those of the calendar, and only of dates") {
  CHECK(DaysBetween("20240228", "20240301") == 2);
  CHECK(DaysBetween("20260301", "20260228") == -1);
  CHECK_FALSE(DaysBetween("20260231", "20260301").has_value());
  CHECK_FALSE(DaysBetween("2026-1-1", "20260301").has_value());
  CHECK_FALSE(DaysBetween("", "20260301").has_value());
}

TEST_CASE("segments are lesions by code, by word or as the operator says") {
  targets::Segment segment;
  segment.label = "Liver";
  segment.type = {"10200004", "SCT", "Liver"};
  CHECK_FALSE(IsLesion(segment, ""));
  CHECK(IsLesion(segment, "liver"));
  segment.type = {"52988006", "SCT", "Lesion"};
  CHECK(IsLesion(segment, ""));
  CHECK_FALSE(IsLesion(segment, "spleen"));
  segment.type = {"x", "99X", "x"};
  segment.label = "Enhancing TUMOUR";
  CHECK(IsLesion(segment, ""));
  segment.type.value = "class-activation";
  CHECK_FALSE(IsLesion(segment, ""));
}

}  // namespace
}  // namespace consilium::datasets::followup
