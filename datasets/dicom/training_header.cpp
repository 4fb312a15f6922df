#include "datasets/dicom/training_header.h"

#include <algorithm>
#include <array>
#include <string>

#include "datasets/deidentification/head_words.h"
#include "datasets/deidentification/text_cleaner.h"
#include "datasets/dicom/reader.h"
#include "datasets/dicom/tags.h"

namespace consilium::datasets::dicom {
namespace {

struct OtherObject {
  std::string_view uid;  // of storage classes, from its beginning
  std::string_view what;
};
constexpr std::string_view kStorageRoot = "1.2.840.10008.5.1.4.1.1.";

constexpr std::string_view kSegmentationWords = "a segmentation",
                           kLabelMapWords = "a label map segmentation",
                           kStructureSetWords = "a structure set";

// The first that fits counts. Those that end with a point stand for a family.
constexpr std::array<OtherObject, 35> kOtherObjects = {{
    {"66.4", kSegmentationWords},
    {"66.5", "a surface segmentation"},
    {"66.6", "tractography results"},
    {"66.7", kLabelMapWords},
    {"66.", "a registration or fiducials"},
    {"66", "raw data"},
    {"67", "a mapping to real-world values"},
    {"68.", "a surface scan"},
    {"11.", "a presentation state"},
    {"30", "a parametric map"},
    {"4.2", "spectroscopy"},
    {"4.4", "tractography results"},
    {"481.2", "a radiotherapy dose"},
    {"481.3", kStructureSetWords},
    {"481.1", ""},  // a radiotherapy image is an image
    {"481.", "a radiotherapy plan or record"},
    {"88.", "a structured report"},
    {"104.", "an encapsulated document"},
    {"9.", "a waveform"},
    {"77.1.6", "a whole-slide image"},
    {"77.1.1.1", "a video"},
    {"77.1.2.1", "a video"},
    {"77.1.4.1", "a video"},
    {"77.1.5.3", "a stereometric relationship"},
    {"77.1.5.7", "a corneal topography map"},
    {"77.1.5.8", "a thickness map"},
    {"78.", "a measurement of the eye"},
    {"79.1", "a measurement of the eye"},
    {"80.1", "a measurement of the eye"},
    {"81.1", "a thickness map"},
    {"82.1", "a corneal topography map"},
    {"90.", "an assessment"},
    {"131", "a structured display"},
    {"200.", "a protocol"},
    {"201.", "an inventory"},
}};

constexpr std::uint32_t kRecognizable = Tag(0x0028, 0x0302);
constexpr std::uint32_t kAnatomicRegion = Tag(0x0008, 0x2218);
constexpr std::uint32_t kCodeMeaning = Tag(0x0008, 0x0104);
// Descriptions of study and series, protocol, procedure steps.
constexpr std::array<std::uint32_t, 6> kDescriptions = {
    tags::kBodyPartExamined, Tag(0x0008, 0x1030), Tag(0x0008, 0x103e),
    Tag(0x0018, 0x1030),     Tag(0x0040, 0x0254), Tag(0x0032, 0x1060)};

// Person names of the patient and of others.
constexpr std::array<std::uint32_t, 15> kNames = {
    Tag(0x0010, 0x0010), Tag(0x0010, 0x1001), Tag(0x0010, 0x1005), Tag(0x0010, 0x1060),
    Tag(0x0010, 0x2297), Tag(0x0008, 0x0090), Tag(0x0008, 0x009c), Tag(0x0008, 0x1048),
    Tag(0x0008, 0x1050), Tag(0x0008, 0x1060), Tag(0x0008, 0x1070), Tag(0x0032, 0x1032),
    Tag(0x0040, 0x0006), Tag(0x0040, 0x2008), Tag(0x4008, 0x010c)};
// Numbers of the patient, the visit and the order; telephone numbers, dates of birth.
constexpr std::array<std::uint32_t, 12> kNumbers = {
    tags::kPatientId,    Tag(0x0010, 0x1000),     Tag(0x0008, 0x0050), Tag(0x0020, 0x0010),
    Tag(0x0038, 0x0010), Tag(0x0040, 0x2016),     Tag(0x0040, 0x2017), Tag(0x0040, 0x1001),
    Tag(0x0010, 0x2154), tags::kPatientBirthDate, Tag(0x0010, 0x2160), Tag(0x0018, 0x1000)};
// Institutions, places and stations, as a whole.
constexpr std::array<std::uint32_t, 7> kPlaces = {
    Tag(0x0008, 0x0080), Tag(0x0008, 0x0081), Tag(0x0008, 0x1040), Tag(0x0008, 0x1010),
    Tag(0x0010, 0x1040), Tag(0x0010, 0x21b0), Tag(0x0010, 0x4000)};
constexpr std::size_t kShortestPlace = 4;

deidentification::IdentifierGuard IdentifiersOf(const DataSet& data_set) {
  deidentification::IdentifierGuard guard;
  for (const std::uint32_t tag : kNames) {
    for (const std::string& name : data_set.Texts(tag)) guard.AddName(name);
  }
  for (const std::uint32_t tag : kNumbers) {
    for (const std::string& number : data_set.Texts(tag)) guard.AddNumber(number);
  }
  for (const std::uint32_t tag : kPlaces) {
    for (const std::string& place : data_set.Texts(tag)) guard.AddValue(place, kShortestPlace);
  }
  return guard;
}

bool IsCodeString(std::string_view text) {
  constexpr std::size_t kLongest = 16;
  return text.size() <= kLongest && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ' ' || c == '_';
         });
}

void KeepOnly(std::initializer_list<std::string_view> defined, std::string* text) {
  if (std::find(defined.begin(), defined.end(), *text) == defined.end()) text->clear();
}

}  // namespace

std::optional<Refused> NotForTraining(std::string_view uid) {
  if (!uid.starts_with(kStorageRoot)) return std::nullopt;
  uid.remove_prefix(kStorageRoot.size());
  for (const OtherObject& object : kOtherObjects) {
    const bool fits = object.uid.ends_with('.') ? uid.starts_with(object.uid) : uid == object.uid;
    if (!fits) continue;
    if (object.what.empty()) return std::nullopt;
    return Refused{Refusal::kNotForTraining, std::string(object.what)};
  }
  return std::nullopt;
}

bool IsOutlines(const Refused& refused) {
  return refused.reason == Refusal::kNotForTraining &&
         (refused.detail == kSegmentationWords || refused.detail == kLabelMapWords ||
          refused.detail == kStructureSetWords);
}

bool ShowsHead(const DataSet& data_set) {
  const std::string modality = data_set.Text(tags::kModality);
  if (modality != "CT" && modality != "MR" && modality != "PT") return false;
  if (data_set.Text(kRecognizable) == "NO") return false;
  const auto speaks = [&](std::uint32_t tag) {
    return deidentification::SpeaksOfHead(data_set.Text(tag));
  };
  if (std::any_of(kDescriptions.begin(), kDescriptions.end(), speaks)) return true;
  return deidentification::SpeaksOfHead(data_set.FirstItem(kAnatomicRegion).Text(kCodeMeaning));
}

void ForgetIdentifiers(const DataSet& data_set, Header* header) {
  const deidentification::IdentifierGuard guard = IdentifiersOf(data_set);
  for (std::string* code : {&header->modality, &header->view_position, &header->laterality,
                            &header->patient_sex, &header->body_part}) {
    if (!IsCodeString(*code) || guard.IsIn(*code)) code->clear();
  }
  KeepOnly({"M", "F", "O"}, &header->patient_sex);
  KeepOnly({"L", "R", "B", "U"}, &header->laterality);
  for (std::string* text : {&header->manufacturer, &header->model}) {
    if (guard.IsIn(*text)) text->clear();
  }
}

}  // namespace consilium::datasets::dicom
