// What consilium-site follow shows, of time points made of drawn masks.

#include "site_agent/follow_page.h"

#include <nlohmann/json.hpp>

#include "site_agent/follow_command.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/datasets/followup/drawn_lesions.h"

namespace consilium::site_agent {
namespace {

using datasets::followup::Ball;
using datasets::followup::FindLesions;
using datasets::followup::FollowUp;
using datasets::followup::MaskOf;
using datasets::followup::TimePoint;
using datasets::followup::TrackedTimePoint;

// Of balls on days 0, 30, 60 ...; an empty optional was not registered.
FollowUp Made(const std::vector<std::optional<std::vector<Ball>>>& balls) {
  FollowUp follow_up;
  std::vector<TrackedTimePoint> tracked;
  follow_up.time_points.resize(balls.size());
  for (std::size_t t = 0; t < balls.size(); ++t) {
    TimePoint& point = follow_up.time_points[t];
    point.day = static_cast<int>(30 * t);
    point.source.modality = "CT";
    point.source.patient_and_study = {{0x00100010, "SECRET^NAME"}, {0x00100020, "SECRET-ID"}};
    point.source.sop_instance_uid = "1.2.3.SECRET";
    point.lesions = FindLesions(MaskOf(balls[t].value_or(std::vector<Ball>())));
    if (!balls[t]) {
      point.why_not = "the volumes say too little of each other";
    } else if (t > 0) {
      point.registration.emplace();
    }
    tracked.push_back({balls[t] ? &point.lesions : nullptr, {}});
  }
  follow_up.tracks = TrackLesions(tracked);
  follow_up.course = Assess(tracked, follow_up.tracks);
  follow_up.passed_over = {
      {30, "MR series of 20 images", "of another modality than the first one"}};
  return follow_up;
}

FollowedPatient Example() {
  const Ball shrinking = {{20, 40, 50}, 9}, vanishing = {{60, 40, 50}, 4};
  FollowedPatient patient;
  patient.follow_up = Made({{{shrinking, vanishing}},
                            {{{shrinking.centre, 5}}},
                            std::nullopt,
                            {{{shrinking.centre, 4}, {{40, 12, 30}, 6}}}});
  return patient;
}

TEST_CASE("a patient's course is said in words, without a name, a date or a UID") {
  const std::string text = InWords(Example());
  CHECK_THAT(text, ContainsText("4 time points over 90 days"));
  CHECK_THAT(text, ContainsText("lesion 1 (target)"));
  CHECK_THAT(text, ContainsText("vanished"));
  CHECK_THAT(text, ContainsText(", new"));
  CHECK_THAT(text, ContainsText("PR"));
  CHECK_THAT(text, ContainsText("PD"));
  CHECK_THAT(text, ContainsText("NE"));
  CHECK_THAT(text, ContainsText("day 60: not registered"));
  CHECK_THAT(text, ContainsText("passed over: MR series of 20 images"));
  CHECK_THAT(text, ContainsText("no diagnosis"));
  const auto page = PageOf({Example()});
  for (const std::string& shown : {text, ToJsonText(Example()), page.Html(), page.Markdown()}) {
    CHECK(shown.find("SECRET") == std::string::npos);
  }
}

TEST_CASE("the JSON holds each lesion at each time point, and null where nothing is known") {
  const auto json = nlohmann::json::parse(ToJsonText(Example()));
  CHECK(json["not_followed"].is_null());
  REQUIRE(json["lesions"].size() == 3);
  const auto& first = json["lesions"][0];
  CHECK(first["target"] == true);
  CHECK(first["time_points"][0]["parts"][0]["longest_mm"].get<double>() == Approx(18).margin(1));
  CHECK(json["lesions"][1]["time_points"][1]["state"] == "vanished");
  CHECK(json["lesions"][2]["time_points"][3]["state"] == "new");
  CHECK(json["lesions"][2]["time_points"][0]["state"] == "unknown");
  const auto& points = json["time_points"];
  REQUIRE(points.size() == 4);
  CHECK(points[0]["response"] == "baseline");
  CHECK(points[0]["sum_from_first"].is_null());
  CHECK(points[1]["response"] == "PR");
  CHECK(points[2]["response"] == "NE");
  CHECK(points[2]["registration"].is_null());
  CHECK(points[3]["response"] == "PD");
}

TEST_CASE("the page plots sum, diameters and volumes over days, in HTML and Markdown") {
  const auto page = PageOf({Example()});
  for (const char* title : {"Sum of target diameters", "Longest diameter", "Volume"}) {
    CHECK_THAT(page.Html(), ContainsText(title));
    CHECK_THAT(page.Markdown(), ContainsText("target"));
  }
  CHECK_THAT(page.Html(), ContainsText("<svg"));
  CHECK_THAT(PageOf({}).Html(), ContainsText("No patient could be followed"));
}

TEST_CASE("splits and merges are told in words") {
  const Ball a = {{30, 40, 50}, 7}, b = {{48, 40, 50}, 5};
  const FollowUp merged = Made({{{a, b}}, {{{{36, 40, 50}, 18}}}});
  CHECK(LesionInWords(merged, 1, 1) == "in lesion 1");
  const FollowUp split = Made({{{{{20, 40, 50}, 9}}}, {{{{20, 35, 50}, 4}, {{20, 45, 50}, 3}}}});
  CHECK_THAT(LesionInWords(split, 0, 1), ContainsText("in 2 parts"));
}

TEST_CASE("a patient who cannot be followed is said with the reason") {
  FollowedPatient patient;
  patient.why_not = "of 1 studies 1 can be used";
  CHECK(InWords(patient) == "patient 1: not followed: of 1 studies 1 can be used\n");
  CHECK(nlohmann::json::parse(ToJsonText(patient))["not_followed"] == patient.why_not);
}

TEST_CASE("a command that contradicts itself, or names no folder, says so") {
  const TemporaryFolder folder;
  FollowCommand command;
  command.patient = "all";
  command.data = folder / "none";
  CHECK(absl::IsNotFound(Run(command)));
  command.send = true;
  CHECK(absl::IsInvalidArgument(Run(command)));  // to which archive?
  command.archive.archive = "127.0.0.1:1";
  CHECK(absl::IsInvalidArgument(Run(command)));  // from where?
  command.send = false;
  CHECK(absl::IsInvalidArgument(Run(command)));  // why the archive?
  fs::create_directories(folder / "empty");
  FollowCommand empty;
  empty.patient = "all";
  empty.data = folder / "empty";
  CHECK(absl::IsNotFound(Run(empty)));
}

}  // namespace
}  // namespace consilium::site_agent
