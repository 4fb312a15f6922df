#include "site_agent/follow_page.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "common/base/text.h"
#include "common/base/text_table.h"
#include "datasets/followup/measurement_report.h"

namespace consilium::site_agent {
namespace {

using datasets::followup::Assessment;
using datasets::followup::DiameterOf;
using datasets::followup::FollowUp;
using datasets::followup::Lesion;
using datasets::followup::LesionState;
using datasets::followup::PassedOver;
using datasets::followup::Response;
using datasets::followup::TimePoint;
using datasets::followup::TrackPoint;
using datasets::followup::VolumeOf;
using nlohmann::ordered_json;

constexpr char kNoDiagnosis[] =
    "For research use only: measurements of outlines that were found in the archive, and no "
    "diagnosis. The categories are RECIST 1.1's figures alone: organs (at most two target lesions "
    "in one), lymph nodes (measured by their short axis), lesions that are not measurable, and "
    "whether a new lesion is one beyond doubt, only a reader can tell.";

std::string Change(const std::optional<double>& share) {
  return share ? absl::StrFormat("%+.0f %%", 100 * *share) : "-";
}

bool IsTarget(const FollowUp& follow_up, std::size_t track) {
  const auto& targets = follow_up.course.targets;
  return std::find(targets.begin(), targets.end(), track) != targets.end();
}

std::string NameOf(const FollowUp& follow_up, std::size_t track) {
  return StrCat("lesion ", track + 1, IsTarget(follow_up, track) ? " (target)" : "");
}

std::string_view Word(LesionState state) {
  switch (state) {
    case LesionState::kUnknown:
      return "unknown";
    case LesionState::kPresent:
      return "present";
    case LesionState::kNew:
      return "new";
    case LesionState::kSplit:
      return "split";
    case LesionState::kMerged:
      return "merged";
    case LesionState::kVanished:
      return "vanished";
    case LesionState::kReturned:
      return "returned";
  }
  return "";
}

std::vector<std::string> DayHeader(const FollowUp& follow_up) {
  std::vector<std::string> header = {"lesion"};
  for (const TimePoint& point : follow_up.time_points) header.push_back(StrCat("day ", point.day));
  return header;
}

std::vector<std::vector<std::string>> LesionRows(const FollowUp& follow_up) {
  std::vector<std::vector<std::string>> rows;
  for (std::size_t track = 0; track < follow_up.tracks.size(); ++track) {
    std::vector<std::string> row = {NameOf(follow_up, track)};
    for (std::size_t t = 0; t < follow_up.time_points.size(); ++t) {
      row.push_back(LesionInWords(follow_up, track, t));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

const std::vector<std::string> kCourseHeader = {"day",        "lesions",    "target sum mm",
                                                "from first", "from least", "volume ml",
                                                "from first", "response"};

std::vector<std::vector<std::string>> CourseRows(const FollowUp& follow_up) {
  std::vector<std::vector<std::string>> rows;
  for (std::size_t t = 0; t < follow_up.time_points.size(); ++t) {
    const Assessment& a = follow_up.course.assessments[t];
    const std::string day = StrCat(follow_up.time_points[t].day);
    if (a.response == Response::kNotEvaluable) {
      rows.push_back({day, "-", "-", "-", "-", "-", "-", std::string(Name(a.response))});
      continue;
    }
    std::string lesions = StrCat(a.lesions);
    if (a.new_lesions > 0) StrAppend(&lesions, ", ", a.new_lesions, " new");
    rows.push_back({day, std::move(lesions), absl::StrFormat("%.1f", a.sum_mm),
                    Change(a.sum_from_first), Change(a.sum_from_least),
                    absl::StrFormat("%.2f", a.volume_ml), Change(a.volume_from_first),
                    std::string(Name(a.response))});
  }
  return rows;
}

const std::vector<std::string> kScanHeader = {
    "day", "scan", "moved", "turned", "overlap", "shared information", "halves differ"};

std::vector<std::vector<std::string>> ScanRows(const FollowUp& follow_up) {
  std::vector<std::vector<std::string>> rows;
  for (const TimePoint& point : follow_up.time_points) {
    const std::string scan =
        absl::StrFormat("%s, %d slices, %.2g x %.2g x %.2g mm%s", point.source.modality,
                        point.slices.size(), point.spacing_mm[0], point.spacing_mm[1],
                        point.spacing_mm[2], point.axial ? "" : ", not axial");
    std::vector<std::string> row = {StrCat(point.day), scan, "-", "-", "-", "-", "-"};
    if (point.registration) {
      const auto& found = *point.registration;
      row[2] = absl::StrFormat("%.1f mm", Norm(found.transform.translation_mm));
      row[3] = absl::StrFormat("%.1f degrees", found.transform.AngleDegrees());
      row[4] = absl::StrFormat("%.0f %%", 100 * found.overlap);
      row[5] = absl::StrFormat("%.2f", found.coefficient);
      row[6] = absl::StrFormat("%.2f mm", found.disagreement_mm);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

// What has to be said beside the figures.
std::vector<std::string> Remarks(const FollowUp& follow_up) {
  std::vector<std::string> remarks;
  for (const TimePoint& point : follow_up.time_points) {
    const std::string day = StrCat("day ", point.day, ": ");
    if (!point.why_not.empty()) {
      remarks.push_back(
          StrCat(day, "not registered, and nothing of it is tracked: ", point.why_not));
    }
    if (!point.axial) {
      remarks.push_back(StrCat(day, "the slices are not axial; diameters are in their plane"));
    }
    if (point.lesions.specks > 0) {
      remarks.push_back(StrCat(day, point.lesions.specks, " specks below ", follow_up.smallest_ml,
                               " ml do not count as lesions"));
    }
    if (point.left_out > 0) {
      remarks.push_back(
          StrCat(day, point.left_out,
                 " lesions are outlined by another segmentation, too, and count once"));
    }
  }
  for (const PassedOver& passed : follow_up.passed_over) {
    remarks.push_back(StrCat("day ", passed.day, ": passed over: ", passed.what, ": ", passed.why));
  }
  return remarks;
}

ordered_json Optional(const std::optional<double>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

ordered_json ToJson(const Lesion& lesion) {
  return {{"volume_ml", lesion.volume_ml},
          {"longest_mm", lesion.longest.length_mm},
          {"perpendicular_mm", lesion.perpendicular.length_mm},
          {"slice", lesion.slice},
          {"centre_mm", {lesion.centre[0], lesion.centre[1], lesion.centre[2]}}};
}

ordered_json TimePointsJson(const FollowUp& follow_up) {
  ordered_json points = ordered_json::array();
  for (std::size_t t = 0; t < follow_up.time_points.size(); ++t) {
    const TimePoint& point = follow_up.time_points[t];
    const Assessment& a = follow_up.course.assessments[t];
    ordered_json json = {{"day", point.day},
                         {"modality", point.source.modality},
                         {"slices", point.slices.size()},
                         {"axial", point.axial},
                         {"specks", point.lesions.specks},
                         {"registration", nullptr},
                         {"not_registered", nullptr}};
    if (point.registration) {
      const auto& found = *point.registration;
      json["registration"] = {
          {"translation_mm",
           {found.transform.translation_mm[0], found.transform.translation_mm[1],
            found.transform.translation_mm[2]}},
          {"angle_degrees", found.transform.AngleDegrees()},
          {"mutual_information", found.mutual_information},
          {"coefficient", found.coefficient},
          {"overlap", found.overlap},
          {"disagreement_mm", found.disagreement_mm}};
    }
    if (!point.why_not.empty()) json["not_registered"] = point.why_not;
    json["response"] = std::string(Name(a.response));
    json["lesions"] = a.lesions;
    json["new_lesions"] = a.new_lesions;
    json["target_sum_mm"] = a.sum_mm;
    json["sum_from_first"] = Optional(a.sum_from_first);
    json["sum_from_least"] = Optional(a.sum_from_least);
    json["volume_ml"] = a.volume_ml;
    json["volume_from_first"] = Optional(a.volume_from_first);
    points.push_back(std::move(json));
  }
  return points;
}

ordered_json LesionsJson(const FollowUp& follow_up) {
  ordered_json lesions = ordered_json::array();
  for (std::size_t track = 0; track < follow_up.tracks.size(); ++track) {
    ordered_json json = {{"lesion", track + 1},
                         {"target", IsTarget(follow_up, track)},
                         {"time_points", ordered_json::array()}};
    for (std::size_t t = 0; t < follow_up.time_points.size(); ++t) {
      const TrackPoint& point = follow_up.tracks[track].points[t];
      ordered_json there = {{"day", follow_up.time_points[t].day},
                            {"state", std::string(Word(point.state))},
                            {"merged_into", nullptr},
                            {"parts", ordered_json::array()}};
      if (point.merged_into) there["merged_into"] = *point.merged_into + 1;
      for (const std::size_t part : point.lesions) {
        there["parts"].push_back(ToJson(follow_up.time_points[t].lesions.lesions[part]));
      }
      json["time_points"].push_back(std::move(there));
    }
    lesions.push_back(std::move(json));
  }
  return lesions;
}

// A line for each lesion: `value` of each time point where it is known.
template <class Value>
report::LinePlot PlotOf(const FollowUp& follow_up, std::string title, std::string label,
                        const Value& value) {
  report::LinePlot plot;
  plot.title = std::move(title);
  plot.description = StrCat(plot.title, " of each lesion over days");
  plot.x = {.label = "days", .low = 0, .whole_numbers = true};
  plot.y = {.label = std::move(label), .low = 0};
  for (std::size_t track = 0; track < follow_up.tracks.size(); ++track) {
    report::Series series;
    series.name = NameOf(follow_up, track);
    series.colour = static_cast<int>(track);
    series.markers = true;
    series.dashed = !IsTarget(follow_up, track);
    for (std::size_t t = 0; t < follow_up.time_points.size(); ++t) {
      const TrackPoint& point = follow_up.tracks[track].points[t];
      if (point.state == LesionState::kUnknown || point.state == LesionState::kMerged) continue;
      const double y = value(point, follow_up.time_points[t].lesions);
      series.points.push_back({double{1} * follow_up.time_points[t].day, y});
    }
    plot.series.push_back(std::move(series));
  }
  return plot;
}

report::LinePlot SumPlot(const FollowUp& follow_up) {
  report::LinePlot plot;
  plot.title = "Sum of target diameters";
  plot.description = "Sum of the target lesions' longest diameters over days";
  plot.x = {.label = "days", .low = 0, .whole_numbers = true};
  plot.y = {.label = "mm", .low = 0};
  report::Series sum;
  sum.name = "sum";
  sum.markers = sum.emphasized = true;
  report::Series limit;
  limit.name = "partial response (-30 %)";
  limit.colour = report::kReferenceColour;
  limit.dashed = true;
  std::optional<double> first;
  for (std::size_t t = 0; t < follow_up.time_points.size(); ++t) {
    const Assessment& a = follow_up.course.assessments[t];
    if (a.response == Response::kNotEvaluable) continue;
    if (!first) first = a.sum_mm;
    const double day = follow_up.time_points[t].day;
    sum.points.push_back({day, a.sum_mm});
    limit.points.push_back({day, *first * (1 + datasets::followup::kPartialResponse)});
  }
  plot.series = {std::move(sum), std::move(limit)};
  return plot;
}

void AddTo(report::Document* page, const FollowedPatient& patient, bool alone) {
  const FollowUp& follow_up = *patient.follow_up;
  if (!alone) page->Heading(StrCat("Patient ", patient.number));
  const Assessment& last = follow_up.course.assessments.back();
  page->Tiles({{std::string(Name(last.response)),
                StrCat("at the last time point: ", Phrase(last.response))},
               {StrCat(follow_up.time_points.size()), "time points"},
               {StrCat(follow_up.time_points.back().day), "days"},
               {StrCat(follow_up.tracks.size()), "lesions were seen"}});
  page->Heading("Course");
  page->Table(kCourseHeader, CourseRows(follow_up));
  page->Plots({SumPlot(follow_up), PlotOf(follow_up, "Longest diameter", "mm", DiameterOf),
               PlotOf(follow_up, "Volume", "ml", VolumeOf)});
  page->Heading("Lesions");
  page->Paragraph(
      "Longest diameter and the longest one perpendicular to it, in the plane of the "
      "slices; volume.");
  page->Table(DayHeader(follow_up), LesionRows(follow_up));
  page->Heading("Scans and registration");
  page->Table(kScanHeader, ScanRows(follow_up));
  const std::vector<std::string> remarks = Remarks(follow_up);
  if (!remarks.empty()) page->List(remarks);
  page->Note(StrCat("Method: ", MethodInWords(follow_up), "."));
}

}  // namespace

std::string LesionInWords(const FollowUp& follow_up, std::size_t track, std::size_t time_point) {
  const TrackPoint& point = follow_up.tracks[track].points[time_point];
  const auto& lesions = follow_up.time_points[time_point].lesions;
  if (point.state == LesionState::kUnknown) return "-";
  if (point.state == LesionState::kMerged) return StrCat("in lesion ", *point.merged_into + 1);
  if (point.lesions.empty()) return std::string(Word(point.state));
  std::string text = absl::StrFormat("%.1f", DiameterOf(point, lesions));
  if (point.lesions.size() == 1) {
    absl::StrAppendFormat(&text, " x %.1f",
                          lesions.lesions[point.lesions[0]].perpendicular.length_mm);
  }
  absl::StrAppendFormat(&text, " mm, %.2f ml", VolumeOf(point, lesions));
  if (point.lesions.size() > 1) StrAppend(&text, ", in ", point.lesions.size(), " parts");
  if (point.state == LesionState::kNew || point.state == LesionState::kReturned) {
    StrAppend(&text, ", ", Word(point.state));
  }
  return text;
}

std::string InWords(const FollowedPatient& patient) {
  std::string text = StrCat("patient ", patient.number, ": ");
  if (!patient.follow_up) return StrCat(text, "not followed: ", patient.why_not, "\n");
  const FollowUp& follow_up = *patient.follow_up;
  StrAppend(&text, follow_up.time_points.size(), " time points over ",
            follow_up.time_points.back().day, " days\n\n");
  const auto add = [&](const std::vector<std::string>& header,
                       const std::vector<std::vector<std::string>>& rows) {
    TextTable table(header);
    for (const auto& row : rows) table.AddRow(row);
    StrAppend(&text, table.ToString(), "\n");
  };
  add(kCourseHeader, CourseRows(follow_up));
  add(DayHeader(follow_up), LesionRows(follow_up));
  add(kScanHeader, ScanRows(follow_up));
  for (const std::string& remark : Remarks(follow_up)) StrAppend(&text, remark, "\n");
  if (!patient.folder.empty()) StrAppend(&text, "results    ", patient.folder, "\n");
  return StrCat(text, std::string_view(kNoDiagnosis), "\n");
}

std::string ToJsonText(const FollowedPatient& patient) {
  ordered_json json = {{"patient", patient.number}, {"not_followed", nullptr}};
  if (!patient.follow_up) {
    json["not_followed"] = patient.why_not;
    return json.dump();
  }
  const FollowUp& follow_up = *patient.follow_up;
  json["research_use"] = std::string(kNoDiagnosis);
  json["method"] = MethodInWords(follow_up);
  json["seconds_registering"] = follow_up.seconds_registering;
  json["results"] = patient.folder;
  json["time_points"] = TimePointsJson(follow_up);
  json["lesions"] = LesionsJson(follow_up);
  json["passed_over"] = ordered_json::array();
  for (const PassedOver& passed : follow_up.passed_over) {
    json["passed_over"].push_back(
        {{"day", passed.day}, {"what", passed.what}, {"why", passed.why}});
  }
  return json.dump();
}

report::Document PageOf(const std::vector<FollowedPatient>& patients) {
  report::Document page("Lesions over time", "consilium-site follow. For research use only.");
  page.Paragraph(kNoDiagnosis);
  const auto followed = std::count_if(patients.begin(), patients.end(),
                                      [](const auto& p) { return p.follow_up.has_value(); });
  for (const FollowedPatient& patient : patients) {
    if (patient.follow_up) AddTo(&page, patient, followed == 1);
  }
  if (followed == 0) page.Paragraph("No patient could be followed.");
  return page;
}

}  // namespace consilium::site_agent
