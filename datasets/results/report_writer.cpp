#include "datasets/results/report_writer.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/base/version.h"
#include "datasets/dicom/library.h"
#include "datasets/dicom/writer.h"
#include "datasets/results/content.h"
#include "datasets/results/object_writer.h"
// DCMTK's configuration comes before its other headers.
#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmdata/dctk.h"

namespace consilium::datasets::results {
namespace {

constexpr std::array<std::array<std::string_view, 3>, 6> kFindings = {{
    {"pneumonia", "233604007", "Pneumonia"},
    {"pneumothorax", "36118008", "Pneumothorax"},
    {"cardiomegaly", "8186001", "Cardiomegaly"},
    {"atelectasis", "46621007", "Atelectasis"},
    {"effusion", "60046008", "Pleural effusion"},
    {"fracture", "125605004", "Fracture of bone"},
}};

absl::Status Check(const NewReport& report) {
  const auto in_range = [](double x) { return x >= 0 && x <= 1; };  // false of NaN
  if (report.images.empty() || report.findings.empty()) {
    return absl::InvalidArgumentError("a report needs a finding and an image that it is about");
  }
  for (const NewFinding& finding : report.findings) {
    if (finding.code.empty()) return absl::InvalidArgumentError("a finding has no code");
    if (report.volume && finding.segment == 0) {
      return absl::InvalidArgumentError("a finding of a volume has no segment");
    }
    if (finding.segment > 0 && !report.segmentation) {
      return absl::InvalidArgumentError("a finding has a segment, but the report no segmentation");
    }
    if (finding.classification) {
      const Classification& answer = *finding.classification;
      if (!in_range(answer.score) ||
          (answer.operating_point && !in_range(answer.operating_point->threshold))) {
        return absl::InvalidArgumentError("a score or threshold is not within 0 and 1");
      }
    }
    for (const NewMeasurement& measurement : finding.measurements) {
      if (!std::isfinite(measurement.value)) {
        return absl::InvalidArgumentError("a measurement is not a number");
      }
    }
  }
  return absl::OkStatus();
}

// TID 1600.
void AddImageLibrary(Content& root, const SourceImage& source, const NewReport& report) {
  Content library = root.AddContainer(DicomCode("111028", "Image Library"), 1600);
  Content group = library.AddContainer(DicomCode("126200", "Image Library Group"));
  group.AddCode(kAcquiredIn, DicomCode("121139", "Modality"), ModalityCode(source.modality));
  for (const FrameReference& image : report.images) {
    group.AddImage(kContains, nullptr, {image.sop_class_uid, image.sop_instance_uid, 0});
  }
}

// TID 4019.
void AddAlgorithm(Content& group, const ModelDescription& model, const NewFinding& finding) {
  group.AddText(kModifies, DicomCode("111001", "Algorithm Name"), AlgorithmName(model));
  group.AddText(kModifies, DicomCode("111003", "Algorithm Version"), model.id.Hex());
  std::string parameters = StrCat("target ", model.target);
  if (!model.personal.empty()) {
    StrAppend(&parameters, "; this site's own model, by ", model.personal);
  }
  if (!model.run.empty()) StrAppend(&parameters, "; run ", model.run);
  if (!model.federation.empty()) StrAppend(&parameters, "; federation ", model.federation);
  if (finding.classification && finding.classification->operating_point) {
    const OperatingPoint& point = *finding.classification->operating_point;
    absl::StrAppendFormat(&parameters, "; threshold %.4f (%s)", point.threshold, point.established);
  }
  group.AddText(kModifies, DicomCode("111002", "Algorithm Parameters"), parameters);
}

void AddClassification(Content& group, const NewReport& report, const NewFinding& finding) {
  const Classification& answer = *finding.classification;
  const Code ratio = {"1", "UCUM", "no units"};
  Content probability =
      group.AddNumber(kContains, DicomCode("122157", "Probability"), answer.score, ratio);
  for (const FrameReference& image : report.images) {
    const Code source = DicomCode("121112", "Source of Measurement");
    probability.AddImage(kInferredFrom, &source, image);
  }
  if (!answer.operating_point) return;
  const bool present = answer.score >= answer.operating_point->threshold;
  Content evaluation = group.AddCode(
      kContains, finding.code,
      present ? Code{"52101004", "SCT", "Present"} : Code{"272519000", "SCT", "Absent"});
  evaluation.AddNumber(kHasProperties, DicomCode("122411", "Threshold Value"),
                       answer.operating_point->threshold, ratio);
}

// What the group was measured on.
void AddSources(Content& group, const SourceImage& source, const NewReport& report,
                const NewFinding& finding) {
  if (!report.volume) {
    const Code measured = DicomCode("121112", "Source of Measurement");
    for (const FrameReference& image : report.images) group.AddImage(kContains, &measured, image);
  }
  if (finding.segment > 0) {
    const Code segment = DicomCode("121191", "Referenced Segment");
    group.AddImage(kContains, &segment, *report.segmentation, finding.segment);
  }
  if (report.volume) {
    group.AddUid(kContains, DicomCode("121232", "Source series for segmentation"),
                 source.series_instance_uid);
  }
}

// TID 1501; of volumes TID 1411.
void AddMeasurementGroup(Content& measurements, const SourceImage& source,
                         const ModelDescription& model, const ResultName& name,
                         const NewReport& report, const NewFinding& finding) {
  Content group = measurements.AddContainer(DicomCode("125007", "Measurement Group"),
                                            report.volume ? 1411 : 1501);
  const std::string tracking =
      finding.tracking.empty() ? model.target : StrCat(model.target, " ", finding.tracking);
  group.AddText(kObservedIn, DicomCode("112039", "Tracking Identifier"),
                StrCat(tracking, " by ", NameAndVersion(model)));
  const std::string group_name =
      finding.tracking.empty() ? " group" : StrCat(" group ", finding.tracking);
  group.AddUid(kObservedIn, DicomCode("112040", "Tracking Unique Identifier"),
               dicom::MakeUid(StrCat(name.sop_instance_uid, group_name)));
  group.AddCode(kContains, DicomCode("121071", "Finding"), finding.code);
  AddAlgorithm(group, model, finding);
  AddSources(group, source, report, finding);
  if (finding.box) {
    const Box& box = *finding.box;
    group.AddLine(kContains,
                  {box.left, box.top, box.right, box.top, box.right, box.bottom, box.left,
                   box.bottom, box.left, box.top},
                  report.images.front(), DicomCode("111030", "Image Region"));
  }
  if (finding.classification) AddClassification(group, report, finding);
  for (const NewMeasurement& measurement : finding.measurements) {
    group.AddNumber(kContains, measurement.name, measurement.value, measurement.unit);
  }
  group.AddText(kContains, DicomCode("121106", "Comment"),
                StrCat(std::string_view(kResearchUse),
                       "; not for diagnosis or treatment. No person has verified it. "
                       "A score is the model's own and no probability of disease in a patient.",
                       report.note.empty() ? "" : " ", report.note));
}

// C.17.2: the SR document general module.
void DescribeDocument(Attributes& out, const SourceImage& source, const NewReport& report,
                      const ResultName& segmentation_series) {
  out.Text(DCM_CompletionFlag, "COMPLETE");
  out.Text(DCM_CompletionFlagDescription,
           Plain(StrCat(std::string_view(kResearchUse), "; verified by nobody")));
  out.Text(DCM_VerificationFlag, "UNVERIFIED");
  out.Text(DCM_PreliminaryFlag, "PRELIMINARY");
  out.EmptySequence(DCM_ReferencedPerformedProcedureStepSequence);
  out.EmptySequence(DCM_PerformedProcedureCodeSequence);
  Attributes study = out.Item(DCM_CurrentRequestedProcedureEvidenceSequence);
  study.Text(DCM_StudyInstanceUID, source.study_instance_uid);
  Attributes images = study.Item(DCM_ReferencedSeriesSequence);
  images.Text(DCM_SeriesInstanceUID, source.series_instance_uid);
  std::vector<std::string> named;
  for (const FrameReference& image : report.images) {
    if (std::find(named.begin(), named.end(), image.sop_instance_uid) != named.end()) continue;
    named.push_back(image.sop_instance_uid);
    images.Reference(DCM_ReferencedSOPSequence, {image.sop_class_uid, image.sop_instance_uid, 0});
  }
  if (report.segmentation) {
    Attributes series = study.Item(DCM_ReferencedSeriesSequence);
    series.Text(DCM_SeriesInstanceUID, segmentation_series.series_instance_uid);
    series.Reference(DCM_ReferencedSOPSequence, {report.segmentation->sop_class_uid,
                                                 report.segmentation->sop_instance_uid, 0});
  }
  // C.12.1: what the designator of codes of our own stands for.
  Attributes scheme = out.Item(DCM_CodingSchemeIdentificationSequence);
  scheme.Text(DCM_CodingSchemeDesignator, kOurScheme);
  scheme.Text(DCM_CodingSchemeName, "Targets of Consilium plans");
  scheme.Text(DCM_CodingSchemeResponsibleOrganization, "Consilium");
}

}  // namespace

NewMeasurement Area(double mm2) {
  return {{"42798000", "SCT", "Area"}, mm2, {"mm2", "UCUM", "square millimeter"}};
}

NewMeasurement VolumeInMl(double ml) {
  return {{"118565006", "SCT", "Volume"}, ml, {"ml", "UCUM", "milliliter"}};
}

Code FindingNamed(std::string_view target) {
  for (const auto& [name, code, meaning] : kFindings) {
    if (name == target) return {std::string(code), "SCT", std::string(meaning)};
  }
  return {Plain(target), kOurScheme, Plain(target)};
}

absl::Status WriteReport(const fs::path& path, const SourceImage& source,
                         const ModelDescription& model, const ResultName& name,
                         const NewReport& report, Time now) {
  RETURN_IF_ERROR(Check(report));
  dicom::InitialiseLibrary();
  DcmFileFormat file;
  absl::Status status = absl::OkStatus();
  Attributes out(*file.getDataset(), status);
  DescribeResult(out, source, model, name, UID_Comprehensive3DSRStorage, "SR",
                 StrCat(model.target, " report"), now);
  DescribeDocument(out, source, report, NameOf(ResultKind::kSegmentation, model.id, source));
  out.Text(DCM_ValueType, "CONTAINER");
  out.PutCode(DCM_ConceptNameCodeSequence, DicomCode("126000", "Imaging Measurement Report"));
  out.Text(DCM_ContinuityOfContent, "SEPARATE");
  Content root(out);
  root.UseTemplate(1500);
  root.AddCode(kModifies, DicomCode("121049", "Language of Content Item and Descendants"),
               {"en", "RFC5646", "English"});
  AddObserver(root, model);
  root.AddCode(kModifies, DicomCode("121058", "Procedure reported"),
               {"363679005", "SCT", "Imaging procedure"});
  AddImageLibrary(root, source, report);
  Content measurements = root.AddContainer(DicomCode("126010", "Imaging Measurements"));
  for (const NewFinding& finding : report.findings) {
    AddMeasurementGroup(measurements, source, model, name, report, finding);
  }
  return WriteObject(path, file, status);
}

}  // namespace consilium::datasets::results
