#include "datasets/targets/report.h"

#include <cmath>
#include <optional>

#include "common/base/text.h"
#include "datasets/targets/code.h"

namespace consilium::datasets::targets {
namespace {

using dicom::DataSet;
using dicom::Tag;

constexpr std::uint32_t kContent = Tag(0x0040, 0xa730), kConceptName = Tag(0x0040, 0xa043),
                        kConceptCode = Tag(0x0040, 0xa168), kValueType = Tag(0x0040, 0xa040),
                        kReferencedSop = Tag(0x0008, 0x1199);

bool IsDicom(const Code& code, std::string_view value) { return code.Is(value, "DCM"); }
// SNOMED CT by its number, and by the code that older reports have.
bool IsSnomed(const Code& code, std::string_view number, std::string_view old) {
  return code.Is(number, "SCT") || code.Is(old, "SRT") || code.Is(old, "99SDM");
}
bool IsFinding(const Code& code) { return IsDicom(code, "121071"); }
bool IsFindingSite(const Code& code) { return IsSnomed(code, "363698007", "G-C0E3"); }
bool IsFindingCategory(const Code& code) { return IsSnomed(code, "276214006", "G-C0E5"); }
bool IsLaterality(const Code& code) { return IsSnomed(code, "272741003", "G-C171"); }
bool IsMethod(const Code& code) { return IsSnomed(code, "370129005", "G-C036"); }

ImageReference ReadImageReference(const DataSet& item) {
  ImageReference reference;
  reference.purpose = ReadCode(item, kConceptName).value;
  const DataSet sop = item.FirstItem(kReferencedSop);
  reference.sop_class_uid = sop.Text(Tag(0x0008, 0x1150));
  reference.sop_instance_uid = sop.Text(Tag(0x0008, 0x1155));
  for (const double frame : sop.Numbers(Tag(0x0008, 0x1160), "IS")) {
    if (frame >= 1 && frame < 4e9) reference.frames.push_back(static_cast<std::uint32_t>(frame));
  }
  for (const double segment : sop.Numbers(Tag(0x0062, 0x000b), "US")) {
    if (segment >= 1 && segment < 65536) {
      reference.segments.push_back(static_cast<std::uint32_t>(segment));
    }
  }
  return reference;
}

// Walks the content tree; what it does not know it passes over, as PS3.16 asks of readers.
class Reading {
 public:
  explicit Reading(Report* report) : report_(report) {}

  // The items around measurement groups.
  void ReadRoot(const DataSet& parent) {
    ForEachItem(parent, [&](const DataSet& item, const std::string& type, const Code& name) {
      if (type == "CONTAINER" && IsDicom(name, "125007")) {
        report_->groups.emplace_back();
        ReadGroup(item, &report_->groups.back());
      } else if (type == "CONTAINER") {
        // Imaging measurements, qualitative evaluations, derived measurements.
        const bool was = evaluating_;
        evaluating_ = evaluating_ || name.Is("C0034375", "UMLS") || IsDicom(name, "126010");
        ReadRoot(item);
        evaluating_ = was;
      } else if (type == "CODE" && evaluating_) {
        report_->evaluations.push_back({name, ReadCode(item, kConceptCode)});
      }
    });
  }

  const std::optional<Refused>& refused() const { return refused_; }

 private:
  template <class Visit>
  void ForEachItem(const DataSet& parent, const Visit& visit) {
    if (refused_) return;
    const OrRefused<std::vector<DataSet>> items = parent.Sequence(kContent);
    if (!items.ok()) {
      refused_ = items.refused();
      return;
    }
    for (const DataSet& item : *items) {
      if (++items_ > kMaxContentItems) {
        refused_ = Refused{Refusal::kTooLarge, "too many content items"};
      }
      if (refused_) return;
      visit(item, item.Text(kValueType), ReadCode(item, kConceptName));
    }
  }

  void ReadGroup(const DataSet& container, MeasurementGroup* group) {
    ForEachItem(container, [&](const DataSet& item, const std::string& type, const Code& name) {
      if (type == "NUM") {
        ReadMeasurement(item, name, group);
      } else if (type == "CODE") {
        ReadGroupCode(item, name, group);
      } else if (type == "TEXT") {
        std::string text = item.Text(Tag(0x0040, 0xa160));
        if (IsDicom(name, "112039"))
          group->tracking_identifier = std::move(text);
        else if (name.Is("C67447", "NCIt"))
          group->activity_session = std::move(text);
      } else if (type == "UIDREF") {
        std::string uid = item.Text(Tag(0x0040, 0xa124));
        if (IsDicom(name, "112040"))
          group->tracking_uid = std::move(uid);
        else if (IsDicom(name, "121232"))
          group->source_series.push_back(std::move(uid));
      } else if (type == "IMAGE") {
        group->images.push_back(ReadImageReference(item));
      } else if (type == "SCOORD" || type == "SCOORD3D") {
        group->regions.push_back(ReadRegion(item, type == "SCOORD3D"));
      }
    });
  }

  void ReadGroupCode(const DataSet& item, const Code& name, MeasurementGroup* group) {
    const Code value = ReadCode(item, kConceptCode);
    if (IsFinding(name)) {
      group->finding = value;
    } else if (IsFindingCategory(name)) {
      group->finding_category = value;
    } else if (IsFindingSite(name)) {
      group->finding_site = value;
      ForEachItem(item, [&](const DataSet& modifier, const std::string&, const Code& of) {
        if (IsLaterality(of)) group->laterality = ReadCode(modifier, kConceptCode);
      });
    } else {
      group->evaluations.push_back({name, value});
    }
  }

  void ReadMeasurement(const DataSet& item, const Code& name, MeasurementGroup* group) {
    const OrRefused<std::vector<DataSet>> values = item.Sequence(Tag(0x0040, 0xa300));
    if (!values.ok()) {
      refused_ = values.refused();
      return;
    }
    if (values->empty()) return;  // PS3.3 C.18.1: the value is not known
    const auto number = values->front().Number(Tag(0x0040, 0xa30a));
    if (!number || !std::isfinite(*number)) {
      refused_ = Refused{Refusal::kDamaged, "a measurement whose value is not a number"};
      return;
    }
    Measurement measurement{name, *number, ReadCode(values->front(), Tag(0x0040, 0x08ea)),
                            {},   {},      {}};
    ForEachItem(item, [&](const DataSet& child, const std::string& type, const Code& of) {
      if (type != "CODE") return;
      if (IsFindingSite(of)) measurement.finding_site = ReadCode(child, kConceptCode);
      if (IsDicom(of, "121401")) measurement.derivation = ReadCode(child, kConceptCode);
      if (IsMethod(of)) measurement.method = ReadCode(child, kConceptCode);
    });
    group->measurements.push_back(std::move(measurement));
  }

  DrawnRegion ReadRegion(const DataSet& item, bool in_patient) {
    DrawnRegion region;
    region.graphic_type = item.Text(Tag(0x0070, 0x0023));
    region.in_patient = in_patient;
    region.coordinates = item.Numbers(Tag(0x0070, 0x0022), "FL");
    region.frame_of_reference = item.Text(Tag(0x3006, 0x0024));
    ForEachItem(item, [&](const DataSet& child, const std::string& type, const Code&) {
      if (type == "IMAGE") region.images.push_back(ReadImageReference(child));
    });
    return region;
  }

  Report* report_;
  std::size_t items_ = 0;
  bool evaluating_ = false;
  std::optional<Refused> refused_;
};

}  // namespace

static OrRefused<Report> ReportOf(const OrRefused<DataSet>& data_set) {
  if (!data_set.ok()) return data_set.refused();
  Report report;
  report.title = ReadCode(*data_set, kConceptName);
  if (data_set->Text(kValueType) != "CONTAINER" || !data_set->Has(kContent)) {
    return Refused{Refusal::kUnsupportedTarget, "no structured report"};
  }
  if (!IsDicom(report.title, "126000")) {
    return Refused{Refusal::kUnsupportedTarget,
                   "a structured report, but no imaging measurement report (TID 1500)"};
  }
  report.completion = data_set->Text(Tag(0x0040, 0xa491));
  report.verification = data_set->Text(Tag(0x0040, 0xa493));
  Reading reading(&report);
  reading.ReadRoot(*data_set);
  if (reading.refused()) return *reading.refused();
  return report;
}

OrRefused<Report> ReadReport(const fs::path& path) { return ReportOf(OpenTarget(path)); }

OrRefused<Report> ReadReport(File file) { return ReportOf(OpenTarget(std::move(file))); }

}  // namespace consilium::datasets::targets
