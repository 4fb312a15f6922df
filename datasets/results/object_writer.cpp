#include "datasets/results/object_writer.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <memory>

#include "common/base/text.h"
#include "common/base/version.h"
// DCMTK's configuration comes before its other headers.
#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmdata/dctk.h"

namespace consilium::datasets::results {
namespace {

void Note(const OFCondition& condition, absl::Status& status) {
  if (condition.bad() && status.ok()) {
    status = absl::InternalError(StrCat("a DICOM attribute could not be set: ", condition.text()));
  }
}

// PS3.5 table 6.2-1, DS: at most 16 characters.
std::string DecimalString(double value) {
  char text[40];
  for (int digits = 15; digits > 0; --digits) {
    if (std::snprintf(text, sizeof text, "%.*g", digits, value) <= 16) break;
  }
  return text;
}

struct LocalTime {
  std::string date, time;  // DA, TM
};
// As the clocks of the hospital say it: other times of the object have no time zone either.
LocalTime InLocalTime(Time now) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(
      std::chrono::time_point_cast<std::chrono::system_clock::duration>(now));
  std::tm local{};
  localtime_r(&seconds, &local);
  char date[16], time[16];
  std::strftime(date, sizeof date, "%Y%m%d", &local);
  std::strftime(time, sizeof time, "%H%M%S", &local);
  return {date, time};
}

}  // namespace

void Attributes::Text(const DcmTagKey& tag, std::string_view value) {
  Note(item_.putAndInsertOFStringArray(tag, OFString(value.data(), value.size())), status_);
}

void Attributes::Raw(std::uint32_t tag, const std::string& value) {
  Text(DcmTagKey(static_cast<Uint16>(tag >> 16), static_cast<Uint16>(tag & 0xffff)), value);
}

void Attributes::Number(const DcmTagKey& tag, unsigned value) {
  Note(item_.putAndInsertUint16(tag, static_cast<Uint16>(value)), status_);
}

void Attributes::Numbers(const DcmTagKey& tag, const std::vector<std::uint16_t>& values) {
  Note(item_.putAndInsertUint16Array(tag, values.data(), values.size()), status_);
}

void Attributes::Indices(const DcmTagKey& tag, const std::vector<std::uint32_t>& values) {
  auto element = std::make_unique<DcmUnsignedLong>(DcmTag(tag));
  Note(element->putUint32Array(values.data(), values.size()), status_);
  const OFCondition inserted = item_.insert(element.get(), /*replaceOld=*/OFTrue);
  if (inserted.good()) element.release();
  Note(inserted, status_);
}

void Attributes::Decimals(const DcmTagKey& tag, const std::vector<double>& values) {
  std::string text;
  for (const double value : values) {
    StrAppend(&text, text.empty() ? "" : "\\", DecimalString(value));
  }
  Text(tag, text);
}

void Attributes::Floats(const DcmTagKey& tag, const std::vector<float>& values) {
  Note(item_.putAndInsertFloat32Array(tag, values.data(), values.size()), status_);
}

void Attributes::TagValue(const DcmTagKey& tag, const DcmTagKey& value) {
  Note(item_.putAndInsertTagKey(tag, value), status_);
}

void Attributes::Samples(const std::vector<std::uint8_t>& bytes) {
  if (bytes.size() % 2 == 0) {
    Note(item_.putAndInsertUint8Array(DCM_PixelData, bytes.data(), bytes.size()), status_);
    return;
  }
  std::vector<std::uint8_t> padded = bytes;
  padded.push_back(0);
  Samples(padded);
}

void Attributes::EmptySequence(const DcmTagKey& tag) {
  Note(item_.insertEmptyElement(tag), status_);
}

Attributes Attributes::Item(const DcmTagKey& sequence) {
  DcmItem* created = nullptr;
  Note(item_.findOrCreateSequenceItem(sequence, created, -2), status_);
  return Attributes(created == nullptr ? item_ : *created, status_);
}

void Attributes::PutCode(const DcmTagKey& sequence, const Code& code) {
  Attributes item = Item(sequence);
  item.Text(code.value.size() <= 16 ? DCM_CodeValue : DCM_LongCodeValue, code.value);
  item.Text(DCM_CodingSchemeDesignator, code.scheme);
  item.Text(DCM_CodeMeaning, code.meaning);
}

Attributes Attributes::Reference(const DcmTagKey& sequence, const FrameReference& to) {
  Attributes item = Item(sequence);
  item.Text(DCM_ReferencedSOPClassUID, to.sop_class_uid);
  item.Text(DCM_ReferencedSOPInstanceUID, to.sop_instance_uid);
  if (to.frame > 0) item.Text(DCM_ReferencedFrameNumber, StrCat(to.frame));
  return item;
}

std::string Plain(std::string_view text, std::size_t longest) {
  std::string plain(text.substr(0, longest));
  std::replace_if(
      plain.begin(), plain.end(), [](char c) { return c < 0x20 || c > 0x7e || c == '\\'; }, '_');
  return plain;
}

std::string NameAndVersion(const ModelDescription& model) {
  return Plain(StrCat(AlgorithmName(model).substr(0, 48), " ", model.id.Short()));
}

void DescribeResult(Attributes& out, const SourceImage& source, const ModelDescription& model,
                    const ResultName& name, std::string_view sop_class_uid,
                    std::string_view modality, std::string_view description, Time now) {
  // What an object of this kind must say, be it that nothing is known.
  for (const auto& tag :
       {DCM_StudyDate, DCM_StudyTime, DCM_AccessionNumber, DCM_ReferringPhysicianName, DCM_StudyID,
        DCM_PatientName, DCM_PatientID, DCM_PatientBirthDate, DCM_PatientSex}) {
    out.Text(tag, "");
  }
  for (const CopiedElement& element : source.patient_and_study) {
    out.Raw(element.tag, element.value);
  }
  const LocalTime local = InLocalTime(now);
  out.Text(DCM_SOPClassUID, sop_class_uid);
  out.Text(DCM_SOPInstanceUID, name.sop_instance_uid);
  out.Text(DCM_InstanceCreationDate, local.date);
  out.Text(DCM_InstanceCreationTime, local.time);
  out.Text(DCM_Modality, modality);
  out.Text(DCM_SeriesInstanceUID, name.series_instance_uid);
  out.Text(DCM_SeriesNumber, StrCat(name.series_number));
  out.Text(DCM_SeriesDate, local.date);
  out.Text(DCM_SeriesTime, local.time);
  out.Text(DCM_SeriesDescription, Plain(StrCat(kResearchUse, ": ", description)));
  out.Text(DCM_InstanceNumber, StrCat(name.instance_number));
  out.Text(DCM_ContentDate, local.date);
  out.Text(DCM_ContentTime, local.time);
  out.Text(DCM_Manufacturer, "Consilium");
  out.Text(DCM_ManufacturerModelName, Plain(AlgorithmName(model)));
  std::string versions = StrCat("Consilium ", std::string_view(kVersion));
  const bool named = model.id != ModelId();
  out.Text(DCM_DeviceSerialNumber, named ? model.id.Hex() : "NONE");  // type 1
  if (named) StrAppend(&versions, "\\model ", model.id.Short());
  out.Text(DCM_SoftwareVersions, versions);
}

void DescribeLoss(Attributes& out, const SourceImage& source) {
  out.Text(DCM_LossyImageCompression, source.lossy ? "01" : "00");
  if (!source.lossy) return;
  if (!source.lossy_ratio.empty()) {
    out.Text(DCM_LossyImageCompressionRatio, source.lossy_ratio);
  }
  if (!source.lossy_method.empty()) {
    out.Text(DCM_LossyImageCompressionMethod, source.lossy_method);
  }
}

absl::Status WriteObject(const fs::path& path, DcmFileFormat& file, const absl::Status& built) {
  if (!built.ok()) return built;
  const fs::path temporary = TemporaryBeside(path);
  const OFCondition saved =
      file.saveFile(temporary.c_str(), EXS_LittleEndianExplicit, EET_ExplicitLength, EGL_recalcGL,
                    EPD_noChange, 0, 0, EWM_fileformat);
  absl::Status status = absl::OkStatus();
  if (saved.bad()) {
    std::error_code ignored;
    const bool full = fs::space(path.parent_path(), ignored).available < (1u << 20) && !ignored;
    status =
        absl::Status(full ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kUnavailable,
                     StrCat("a result could not be written: ", saved.text()));
  } else if (auto written = File::OpenForWriting(temporary, /*truncate=*/false); !written.ok()) {
    status = written.status();
  } else {
    status = written->Sync();
    if (status.ok()) status = RenameDurably(temporary, path);
  }
  if (!status.ok()) Remove(temporary).IgnoreError();
  return status;
}

}  // namespace consilium::datasets::results
