#include "datasets/results/source_image.h"

#include <algorithm>
#include <cmath>

#include "datasets/dicom/frame_description.h"

namespace consilium::datasets::results {
namespace {

using dicom::DataSet;
using dicom::Tag;
using volumes::Grid;
using volumes::Vec3;

constexpr std::uint64_t kLongestText = 1024;

constexpr std::uint32_t kTakenOver[] = {
    Tag(0x0008, 0x0005),  // Specific Character Set
    Tag(0x0008, 0x0020),  // Study Date
    Tag(0x0008, 0x0030),  // Study Time
    Tag(0x0008, 0x0050),  // Accession Number
    Tag(0x0008, 0x0090),  // Referring Physician's Name
    Tag(0x0008, 0x1030),  // Study Description
    Tag(0x0010, 0x0010),  // Patient's Name
    Tag(0x0010, 0x0020),  // Patient ID
    Tag(0x0010, 0x0021),  // Issuer of Patient ID
    Tag(0x0010, 0x0030),  // Patient's Birth Date
    Tag(0x0010, 0x0040),  // Patient's Sex
    Tag(0x0010, 0x1010),  // Patient's Age
    Tag(0x0010, 0x1020),  // Patient's Size
    Tag(0x0010, 0x1030),  // Patient's Weight
    Tag(0x0020, 0x000d),  // Study Instance UID
    Tag(0x0020, 0x0010),  // Study ID
    Tag(0x0012, 0x0062),  // Patient Identity Removed: a de-identified image has such results
    Tag(0x0012, 0x0063),  // De-identification Method
};

std::string AsTheFileHasIt(const DataSet& data_set, std::uint32_t tag) {
  const dicom::Element* element = data_set.Find(tag);
  if (element == nullptr || element->length > kLongestText) return {};
  const auto bytes = data_set.Value(*element);
  if (!bytes) return {};
  std::string text(bytes->begin(), bytes->end());
  while (!text.empty() && (text.back() == '\0' || text.back() == ' ')) text.pop_back();
  return text;
}

std::optional<Grid> PlaneOf(const DataSet& data_set, const SourceImage& image) {
  const auto position = data_set.Numbers(Tag(0x0020, 0x0032));
  const auto orientation = data_set.Numbers(Tag(0x0020, 0x0037));
  const auto spacing = data_set.Numbers(Tag(0x0028, 0x0030));
  if (position.size() != 3 || orientation.size() != 6 || spacing.size() != 2) return std::nullopt;
  Grid grid;
  grid.size = {image.columns, image.rows, 1};
  const double thickness = image.slice_thickness_mm > 0 ? image.slice_thickness_mm : 1;
  grid.spacing_mm = {spacing[1], spacing[0], thickness};
  grid.origin = {position[0], position[1], position[2]};
  const Vec3 row = {orientation[0], orientation[1], orientation[2]};
  const Vec3 column = {orientation[3], orientation[4], orientation[5]};
  if (!(std::abs(Norm(row) - 1) < 1e-2) || !(std::abs(Norm(column) - 1) < 1e-2) ||
      !(std::abs(Dot(row, column)) < 1e-2)) {
    return std::nullopt;
  }
  grid.directions = {row * (1 / Norm(row)), column * (1 / Norm(column)), Cross(row, column)};
  grid.directions[2] = grid.directions[2] * (1 / Norm(grid.directions[2]));
  if (!IsSound(grid)) return std::nullopt;
  return grid;
}

}  // namespace

bool IsTakenOver(std::uint32_t tag) {
  return std::find(std::begin(kTakenOver), std::end(kTakenOver), tag) != std::end(kTakenOver);
}

OrRefused<SourceImage> ReadSourceImage(const DataSet& data_set) {
  SourceImage image;
  image.sop_class_uid = data_set.Text(Tag(0x0008, 0x0016));
  image.sop_instance_uid = data_set.Text(Tag(0x0008, 0x0018));
  image.series_instance_uid = data_set.Text(Tag(0x0020, 0x000e));
  image.study_instance_uid = data_set.Text(Tag(0x0020, 0x000d));
  if (image.sop_class_uid.empty() || image.sop_instance_uid.empty() ||
      image.series_instance_uid.empty() || image.study_instance_uid.empty()) {
    return Refused{Refusal::kMissingSopInstanceUid,
                   "a result cannot refer to an image that does not name itself, its series and "
                   "its study"};
  }
  image.modality = data_set.Text(Tag(0x0008, 0x0060));
  image.rows = data_set.Unsigned16(Tag(0x0028, 0x0010)).value_or(0);
  image.columns = data_set.Unsigned16(Tag(0x0028, 0x0011)).value_or(0);
  if (image.rows == 0 || image.columns == 0) return Refused{Refusal::kNoPixelData, "no image"};
  const double frames = data_set.Number(Tag(0x0028, 0x0008), 0, "IS").value_or(1);
  image.frames = frames >= 1 && frames < 4e9 ? static_cast<std::uint32_t>(frames) : 1;
  const double number = data_set.Number(Tag(0x0020, 0x0013), 0, "IS").value_or(1);
  image.instance_number = number >= 0 && number < 2e9 ? static_cast<int>(number) : 1;
  image.lossy = data_set.Text(Tag(0x0028, 0x2110)) == "01";
  image.lossy_ratio = AsTheFileHasIt(data_set, Tag(0x0028, 0x2112));
  image.lossy_method = AsTheFileHasIt(data_set, Tag(0x0028, 0x2114));
  image.patient_orientation = AsTheFileHasIt(data_set, Tag(0x0020, 0x0020));
  const double thickness = data_set.Number(Tag(0x0018, 0x0050)).value_or(0);
  image.slice_thickness_mm = std::isfinite(thickness) && thickness > 0 ? thickness : 0;
  image.frame_of_reference = data_set.Text(Tag(0x0020, 0x0052));
  image.position_reference_indicator = AsTheFileHasIt(data_set, Tag(0x0020, 0x1040));
  // Without a frame of reference its coordinates mean nothing to another object.
  if (image.frames == 1 && !image.frame_of_reference.empty()) {
    image.plane = PlaneOf(data_set, image);
  }
  for (const std::uint32_t tag : kTakenOver) {
    std::string value = AsTheFileHasIt(data_set, tag);
    if (!value.empty()) image.patient_and_study.push_back({tag, std::move(value)});
  }
  return image;
}

OrRefused<SourceImage> ReadSourceImage(const fs::path& path) {
  const OrRefused<DataSet> data_set = DataSet::Open(path);
  if (!data_set.ok()) return data_set.refused();
  return ReadSourceImage(*data_set);
}

FrameReference ReferenceTo(const SourceImage& image, std::uint32_t frame) {
  return {image.sop_class_uid, image.sop_instance_uid, image.frames > 1 ? frame + 1 : 0};
}

}  // namespace consilium::datasets::results
