#include "datasets/results/follow_up_writer.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/base/version.h"
#include "datasets/dicom/library.h"
#include "datasets/dicom/writer.h"
#include "datasets/results/content.h"
#include "datasets/results/report_writer.h"
// DCMTK's configuration comes before its other headers.
#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmdata/dctk.h"

namespace consilium::datasets::results {
namespace {

constexpr int kSeriesNumber = 9910;  // behind those of NameOf
const Code kBaseline = {"C1442488", "UMLS", "Baseline"};
const Code kMillimetre = {"mm", "UCUM", "mm"}, kPercent = {"%", "UCUM", "Percent"},
           kNoUnits = {"1", "UCUM", "no units"};

absl::Status Check(const FollowUpReport& report) {
  if (report.time_points.empty() || report.finding.empty() || report.program.empty()) {
    return absl::InvalidArgumentError("a follow-up needs a time point, a finding and a program");
  }
  const auto is_size = [](double x) { return std::isfinite(x) && x >= 0; };
  for (const ReportedLesion& lesion : report.lesions) {
    if (lesion.time_point >= report.time_points.size() || lesion.tracking_uid.empty() ||
        !is_size(lesion.volume_ml) || !is_size(lesion.longest.length_mm) ||
        !is_size(lesion.perpendicular.length_mm)) {
      return absl::InvalidArgumentError("a lesion has no time point, name or size");
    }
  }
  for (const ReportedSum& sum : report.sums) {
    if (sum.time_point >= report.time_points.size() || !is_size(sum.sum_mm) ||
        !is_size(sum.volume_ml)) {
      return absl::InvalidArgumentError("a sum has no time point or is no number");
    }
  }
  return absl::OkStatus();
}

ResultName NameOf(const FollowUpReport& report) {
  std::string about = "follow-up of";
  for (const ReportedTimePoint& point : report.time_points) {
    StrAppend(&about, " series ", point.source.series_instance_uid);
    for (const auto& segmented : point.segmentations) {
      StrAppend(&about, " by ", segmented.object.sop_instance_uid);
    }
  }
  const std::string& study = report.time_points.back().source.study_instance_uid;
  return {.sop_instance_uid = dicom::MakeUid(about),
          .series_instance_uid = dicom::MakeUid(StrCat("follow-ups in study ", study)),
          .series_number = kSeriesNumber,
          .instance_number = 1};
}

// What the report refers to: instances by study and series.
using Evidence =
    std::map<std::string, std::map<std::string, std::map<std::string, FrameReference>>>;

Evidence EvidenceOf(const FollowUpReport& report) {
  Evidence evidence;
  const auto add = [&](const SourceImage& source, const std::string& series,
                       const FrameReference& instance) {
    evidence[source.study_instance_uid][series].emplace(
        instance.sop_instance_uid,
        FrameReference{instance.sop_class_uid, instance.sop_instance_uid, 0});
  };
  for (const ReportedTimePoint& point : report.time_points) {
    add(point.source, point.source.series_instance_uid, ReferenceTo(point.source));
    for (const auto& segmented : point.segmentations) {
      add(point.source, segmented.series_instance_uid, segmented.object);
    }
  }
  for (const ReportedLesion& lesion : report.lesions) {
    const SourceImage& source = report.time_points[lesion.time_point].source;
    add(source, source.series_instance_uid, lesion.image);
  }
  return evidence;
}

// C.17.2: the SR document general module.
void DescribeDocument(Attributes& out, const FollowUpReport& report) {
  out.Text(DCM_CompletionFlag, "COMPLETE");
  out.Text(DCM_CompletionFlagDescription,
           Plain(StrCat(std::string_view(kResearchUse), "; verified by nobody")));
  out.Text(DCM_VerificationFlag, "UNVERIFIED");
  out.Text(DCM_PreliminaryFlag, "PRELIMINARY");
  out.EmptySequence(DCM_ReferencedPerformedProcedureStepSequence);
  out.EmptySequence(DCM_PerformedProcedureCodeSequence);
  const std::string& own = report.time_points.back().source.study_instance_uid;
  for (const auto& [study_uid, all_series] : EvidenceOf(report)) {
    Attributes study = out.Item(study_uid == own ? DCM_CurrentRequestedProcedureEvidenceSequence
                                                 : DCM_PertinentOtherEvidenceSequence);
    study.Text(DCM_StudyInstanceUID, study_uid);
    for (const auto& [series_uid, instances] : all_series) {
      Attributes series = study.Item(DCM_ReferencedSeriesSequence);
      series.Text(DCM_SeriesInstanceUID, series_uid);
      for (const auto& [uid, instance] : instances) {
        series.Reference(DCM_ReferencedSOPSequence, instance);
      }
    }
  }
  // C.12.1: what the designator of codes of our own stands for.
  Attributes scheme = out.Item(DCM_CodingSchemeIdentificationSequence);
  scheme.Text(DCM_CodingSchemeDesignator, kOurScheme);
  scheme.Text(DCM_CodingSchemeName, "Measurements of Consilium");
  scheme.Text(DCM_CodingSchemeResponsibleOrganization, "Consilium");
}

// TID 1600.
void AddImageLibrary(Content& root, const FollowUpReport& report) {
  Content library = root.AddContainer(DicomCode("111028", "Image Library"), 1600);
  for (const ReportedTimePoint& point : report.time_points) {
    Content group = library.AddContainer(DicomCode("126200", "Image Library Group"));
    group.AddCode(kAcquiredIn, DicomCode("121139", "Modality"),
                  ModalityCode(point.source.modality));
    const FrameReference image = ReferenceTo(point.source);
    group.AddImage(kContains, nullptr, {image.sop_class_uid, image.sop_instance_uid, 0});
  }
}

// TID 1502.
void AddTimePoint(Content& group, const FollowUpReport& report, std::size_t number) {
  const ReportedTimePoint& point = report.time_points[number];
  group.AddText(kObservedIn, {"C2348792", "UMLS", "Time Point"},
                number == 0 ? "baseline" : StrCat("day ", point.day));
  if (number == 0) {
    group.AddCode(kObservedIn, DicomCode("126072", "Time Point Type"), kBaseline);
  }
  group.AddNumber(kObservedIn, DicomCode("126073", "Time Point Order"),
                  static_cast<double>(number + 1), kNoUnits);
  Content offset =
      group.AddNumber(kObservedIn, DicomCode("128740", "Longitudinal Temporal Offset from Event"),
                      point.day, {"d", "UCUM", "days"});
  offset.AddCode(kModifies, DicomCode("128741", "Longitudinal Temporal Event Type"), kBaseline);
}

// TID 4019.
void AddAlgorithm(Content& group, const FollowUpReport& report) {
  group.AddText(kModifies, DicomCode("111001", "Algorithm Name"), report.program);
  group.AddText(kModifies, DicomCode("111003", "Algorithm Version"), std::string(kVersion));
  group.AddText(kModifies, DicomCode("111002", "Algorithm Parameters"), report.method);
}

void AddMeasurement(Content& group, const NewMeasurement& measurement) {
  group.AddNumber(kContains, measurement.name, measurement.value, measurement.unit);
}

void AddDiameter(Content& group, const Code& name, const ReportedLine& line,
                 const FrameReference& image) {
  Content number = group.AddNumber(kContains, name, line.length_mm, kMillimetre);
  number.AddLine(kInferredFrom, {line.from_column, line.from_row, line.to_column, line.to_row},
                 image);
}

// TID 1501.
void AddLesion(Content& measurements, const FollowUpReport& report, const ReportedLesion& lesion) {
  Content group = measurements.AddContainer(DicomCode("125007", "Measurement Group"), 1501);
  group.AddText(kObservedIn, DicomCode("112039", "Tracking Identifier"),
                lesion.tracking_identifier);
  group.AddUid(kObservedIn, DicomCode("112040", "Tracking Unique Identifier"), lesion.tracking_uid);
  group.AddCode(kContains, DicomCode("121071", "Finding"), report.finding);
  AddTimePoint(group, report, lesion.time_point);
  AddAlgorithm(group, report);
  const Code source = DicomCode("121112", "Source of Measurement");
  group.AddImage(kContains, &source, lesion.image);
  const Code segment = DicomCode("121191", "Referenced Segment");
  group.AddImage(kContains, &segment, lesion.segmentation, lesion.segment);
  AddMeasurement(group, VolumeInMl(lesion.volume_ml));
  AddDiameter(group, {"103339001", "SCT", "Long Axis"}, lesion.longest, lesion.image);
  AddDiameter(group, {"103340004", "SCT", "Short Axis"}, lesion.perpendicular, lesion.image);
  if (!lesion.comment.empty()) {
    group.AddText(kContains, DicomCode("121106", "Comment"), lesion.comment);
  }
}

Code OwnCode(std::string_view value, std::string_view meaning) {
  return {std::string(value), kOurScheme, std::string(meaning)};
}

void AddSum(Content& measurements, const FollowUpReport& report, const ReportedSum& sum,
            const std::string& uid) {
  Content group = measurements.AddContainer(DicomCode("125007", "Measurement Group"), 1501);
  group.AddText(kObservedIn, DicomCode("112039", "Tracking Identifier"), "all lesions");
  group.AddUid(kObservedIn, DicomCode("112040", "Tracking Unique Identifier"), uid);
  group.AddCode(kContains, DicomCode("121071", "Finding"), report.finding);
  AddTimePoint(group, report, sum.time_point);
  AddAlgorithm(group, report);
  const Code source = DicomCode("121112", "Source of Measurement");
  const FrameReference image = ReferenceTo(report.time_points[sum.time_point].source);
  group.AddImage(kContains, &source, {image.sop_class_uid, image.sop_instance_uid, 0});
  AddMeasurement(group, {OwnCode("target-sum", "Sum of diameters of target lesions"), sum.sum_mm,
                         kMillimetre});
  AddMeasurement(group, VolumeInMl(sum.volume_ml));
  if (sum.change_percent) {
    AddMeasurement(group, {OwnCode("target-change", "Change of sum from baseline"),
                           *sum.change_percent, kPercent});
  }
  if (sum.volume_change_percent) {
    AddMeasurement(group, {OwnCode("volume-change", "Change of volume from baseline"),
                           *sum.volume_change_percent, kPercent});
  }
  if (sum.response) {
    group.AddCode(kContains, DicomCode("112048", "Current Response"), *sum.response)
        .AddCode(kModifies, DicomCode("112021", "Response Evaluation Method"),
                 DicomCode("126081", "RECIST 1.1"));
  }
  group.AddText(kContains, DicomCode("121106", "Comment"),
                StrCat(std::string_view(kResearchUse),
                       "; a measurement and no diagnosis. No person has verified it. Organs, lymph "
                       "nodes and lesions that are not measurable were not told apart."));
}

}  // namespace

absl::Status WriteFollowUpReport(const fs::path& path, const FollowUpReport& report, Time now) {
  RETURN_IF_ERROR(Check(report));
  dicom::InitialiseLibrary();
  DcmFileFormat file;
  absl::Status status = absl::OkStatus();
  Attributes out(*file.getDataset(), status);
  const SourceImage& source = report.time_points.back().source;
  ModelDescription program;
  program.name = report.program;
  DescribeResult(out, source, program, NameOf(report), UID_Comprehensive3DSRStorage, "SR",
                 "lesion follow-up", now);
  DescribeDocument(out, report);
  out.Text(DCM_ValueType, "CONTAINER");
  out.PutCode(DCM_ConceptNameCodeSequence, DicomCode("126000", "Imaging Measurement Report"));
  out.Text(DCM_ContinuityOfContent, "SEPARATE");
  Content root(out);
  root.UseTemplate(1500);
  root.AddCode(kModifies, DicomCode("121049", "Language of Content Item and Descendants"),
               {"en", "RFC5646", "English"});
  AddObserver(root, program);
  root.AddCode(kModifies, DicomCode("121058", "Procedure reported"),
               {"363679005", "SCT", "Imaging procedure"});
  AddImageLibrary(root, report);
  Content measurements = root.AddContainer(DicomCode("126010", "Imaging Measurements"));
  for (const ReportedLesion& lesion : report.lesions) AddLesion(measurements, report, lesion);
  const std::string sum_uid = dicom::MakeUid(
      StrCat("all lesions since ", report.time_points.front().source.series_instance_uid));
  for (const ReportedSum& sum : report.sums) AddSum(measurements, report, sum, sum_uid);
  return WriteObject(path, file, status);
}

}  // namespace consilium::datasets::results
