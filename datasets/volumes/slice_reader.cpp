// ReadInstance: one file's headers to slices.

#include <algorithm>
#include <cmath>

#include "common/base/text.h"
#include "datasets/dicom/image_file.h"
#include "datasets/volumes/pet_header.h"
#include "datasets/volumes/series.h"

namespace consilium::datasets::volumes {
namespace {

using dicom::DataSet;
using dicom::FunctionalGroups;
using dicom::Tag;

constexpr std::string_view kSegmentation = "1.2.840.10008.5.1.4.1.1.66.4";
constexpr std::string_view kLabelMapSegmentation = "1.2.840.10008.5.1.4.1.1.66.7";

// Opens the file when its first frame is wanted, and keeps it for the next.
class FrameSource {
 public:
  FrameSource(fs::path path, bool keep) : path_(std::move(path)), keep_(keep) {}

  OrRefused<std::vector<float>> Load(std::uint32_t frame) {
    if (!file_) {
      OrRefused<dicom::ImageFile> opened = dicom::ImageFile::Open(path_);
      if (!opened.ok()) return opened.refused();
      file_.emplace(std::move(*opened));
    }
    if (frame >= file_->frame_count()) {
      return Refused{Refusal::kDamaged, "the file has changed: a frame is no longer there"};
    }
    OrRefused<Image> image = file_->ReadModality(frame);
    if (!keep_) file_.reset();
    if (!image.ok()) return image.refused();
    return std::move(image->pixels);
  }

 private:
  fs::path path_;
  bool keep_;
  std::optional<dicom::ImageFile> file_;
};

std::optional<Vec3> Vector(const DataSet& data_set, std::uint32_t tag, int first) {
  Vec3 vector;
  for (int i = 0; i < 3; ++i) {
    const auto number = data_set.Number(tag, first + i);
    if (!number) return std::nullopt;
    vector[static_cast<std::size_t>(i)] = *number;
  }
  return vector;
}

std::string JoinedFrom(const DataSet& data_set, std::uint32_t tag, std::size_t first) {
  const std::vector<std::string> values = data_set.Texts(tag);
  std::string joined;
  for (std::size_t i = first; i < values.size(); ++i) StrAppend(&joined, values[i], "\\");
  return joined;
}

std::string NumberText(const DataSet& data_set, std::uint32_t tag, std::string_view vr) {
  std::string text;
  for (const double number : data_set.Numbers(tag, vr)) {
    StrAppend(&text, text.empty() ? "" : "\\", number);
  }
  return text;
}

// Attributes of one macro, of the frame or (without functional groups) of the whole image.
struct KeySource {
  StackKey key;
  std::uint32_t macro;  // 0: none
  std::uint32_t tag;
  std::string_view vr;  // of a number; empty: a text
};
constexpr KeySource kFrameKeys[] = {
    {StackKey::kStackId, Tag(0x0020, 0x9111), Tag(0x0020, 0x9056), ""},
    {StackKey::kTemporalPosition, Tag(0x0020, 0x9111), Tag(0x0020, 0x9128), "UL"},
    {StackKey::kBValue, Tag(0x0018, 0x9117), Tag(0x0018, 0x9087), "FD"},
    {StackKey::kEchoTime, Tag(0x0018, 0x9114), Tag(0x0018, 0x9082), "FD"},
    {StackKey::kTriggerTime, Tag(0x0018, 0x9118), Tag(0x0020, 0x9153), "FD"},
    {StackKey::kAcquisition, Tag(0x0020, 0x9111), Tag(0x0020, 0x9156), "US"},
    {StackKey::kAcquisitionTime, Tag(0x0020, 0x9111), Tag(0x0018, 0x9074), ""},
};
constexpr KeySource kImageKeys[] = {
    {StackKey::kEcho, 0, Tag(0x0018, 0x0086), "IS"},
    {StackKey::kTemporalPosition, 0, Tag(0x0020, 0x0100), "IS"},
    {StackKey::kBValue, 0, Tag(0x0018, 0x9087), "FD"},
    {StackKey::kEchoTime, 0, Tag(0x0018, 0x0081), "DS"},
    {StackKey::kGradient, 0, Tag(0x0018, 0x9089), "FD"},
    {StackKey::kTriggerTime, 0, Tag(0x0018, 0x1060), "DS"},
    {StackKey::kAcquisition, 0, Tag(0x0020, 0x0012), "IS"},
    {StackKey::kAcquisitionTime, 0, Tag(0x0008, 0x0032), ""},
};

void ReadKey(const KeySource& source, const DataSet& data_set, Slice* slice) {
  slice->keys[static_cast<std::size_t>(source.key)] =
      source.vr.empty() ? data_set.Text(source.tag) : NumberText(data_set, source.tag, source.vr);
}

bool SaysLocaliser(const DataSet& data_set, std::uint32_t tag) {
  const auto values = data_set.Texts(tag);
  return std::find(values.begin(), values.end(), "LOCALIZER") != values.end();
}

// What is missing stays 0, which FindStacks refuses.
void ReadPlane(const DataSet& position, const DataSet& orientation, const DataSet& measures,
               Slice* slice) {
  slice->position = Vector(position, Tag(0x0020, 0x0032), 0)
                        .value_or(Vec3{std::nan(""), std::nan(""), std::nan("")});
  slice->row_direction = Vector(orientation, Tag(0x0020, 0x0037), 0).value_or(Vec3{});
  slice->column_direction = Vector(orientation, Tag(0x0020, 0x0037), 3).value_or(Vec3{});
  slice->row_spacing_mm = measures.Number(Tag(0x0028, 0x0030), 0).value_or(0);
  slice->column_spacing_mm = measures.Number(Tag(0x0028, 0x0030), 1).value_or(0);
}

Slice OfImage(const DataSet& data_set) {
  Slice slice;
  ReadPlane(data_set, data_set, data_set, &slice);
  for (const KeySource& source : kImageKeys) ReadKey(source, data_set, &slice);
  slice.keys[static_cast<std::size_t>(StackKey::kImageType)] =
      JoinedFrom(data_set, Tag(0x0008, 0x0008), 2);
  slice.gantry_tilt_degrees = data_set.Number(Tag(0x0018, 0x1120));
  return slice;
}

Slice OfFrame(const FunctionalGroups& groups, std::uint32_t frame) {
  Slice slice;
  ReadPlane(groups.Macro(frame, Tag(0x0020, 0x9113)), groups.Macro(frame, Tag(0x0020, 0x9116)),
            groups.Macro(frame, Tag(0x0028, 0x9110)), &slice);
  for (const KeySource& source : kFrameKeys) {
    ReadKey(source, groups.Macro(frame, source.macro), &slice);
  }
  const DataSet diffusion = groups.Macro(frame, Tag(0x0018, 0x9117));
  slice.keys[static_cast<std::size_t>(StackKey::kGradient)] =
      NumberText(diffusion.FirstItem(Tag(0x0018, 0x9076)), Tag(0x0018, 0x9089), "FD");
  for (const std::uint32_t macro :  // frame type of MR, CT, PET
       {Tag(0x0018, 0x9226), Tag(0x0018, 0x9329), Tag(0x0018, 0x9751)}) {
    const DataSet type = groups.Macro(frame, macro);
    if (!type.Has(Tag(0x0008, 0x9007))) continue;
    slice.keys[static_cast<std::size_t>(StackKey::kImageType)] =
        JoinedFrom(type, Tag(0x0008, 0x9007), 2);
    slice.localiser = SaysLocaliser(type, Tag(0x0008, 0x9007));
  }
  slice.gantry_tilt_degrees =
      groups.Macro(frame, Tag(0x0018, 0x9304)).Number(Tag(0x0018, 0x1120), 0, "FD");
  return slice;
}

// Why an instance that is sound holds no slices.
std::optional<Refused> WhyNoSlices(const DataSet& data_set, const std::string& sop_class) {
  if (sop_class == kSegmentation || sop_class == kLabelMapSegmentation) {
    return Refused{Refusal::kUnsupportedTarget, "a segmentation is a target, not an image"};
  }
  if (data_set.pixels().empty()) return Refused{Refusal::kNoPixelData, ""};
  const auto rows = data_set.Unsigned16(Tag(0x0028, 0x0010)).value_or(0);
  const auto columns = data_set.Unsigned16(Tag(0x0028, 0x0011)).value_or(0);
  if (rows == 0 || columns == 0) return Refused{Refusal::kDamaged, "no rows or columns"};
  if (data_set.Unsigned16(Tag(0x0028, 0x0002)).value_or(1) != 1) {
    return Refused{Refusal::kColourImage, ""};
  }
  const double frames = data_set.Number(Tag(0x0028, 0x0008), 0, "IS").value_or(1);
  if (!(frames >= 1 && frames <= kMaxFrames)) {
    return Refused{Refusal::kTooLarge, StrCat(frames, " frames")};
  }
  return std::nullopt;
}

// All frames of an image whose header WhyNoSlices found sound.
OrRefused<std::vector<Slice>> ReadSlices(const DataSet& data_set) {
  const auto frames =
      static_cast<std::uint32_t>(data_set.Number(Tag(0x0028, 0x0008), 0, "IS").value_or(1));
  const bool enhanced = data_set.Has(Tag(0x5200, 0x9229)) || data_set.Has(Tag(0x5200, 0x9230));
  std::vector<Slice> slices;
  if (enhanced) {
    const auto groups = FunctionalGroups::Of(data_set, frames);
    if (!groups.ok()) return groups.refused();
    for (std::uint32_t frame = 0; frame < frames; ++frame) {
      slices.push_back(OfFrame(*groups, frame));
    }
  } else {
    slices.assign(frames, OfImage(data_set));
  }
  const std::string instance = data_set.Text(Tag(0x0008, 0x0018));
  const std::string frame_of_reference = data_set.Text(Tag(0x0020, 0x0052));
  const bool localiser = SaysLocaliser(data_set, Tag(0x0008, 0x0008));
  for (std::uint32_t frame = 0; frame < frames; ++frame) {
    Slice& slice = slices[frame];
    slice.rows = *data_set.Unsigned16(Tag(0x0028, 0x0010));
    slice.columns = *data_set.Unsigned16(Tag(0x0028, 0x0011));
    slice.instance = instance;
    slice.frame = frame + 1;
    slice.frame_of_reference = frame_of_reference;
    slice.localiser = slice.localiser || localiser;
  }
  return slices;
}

}  // namespace

OrRefused<Series> ReadInstance(const DataSet& data_set) {
  Series series;
  series.uid = data_set.Text(Tag(0x0020, 0x000e));
  series.study_uid = data_set.Text(Tag(0x0020, 0x000d));
  series.modality = data_set.Text(Tag(0x0008, 0x0060));
  const std::string sop_class = data_set.Text(Tag(0x0008, 0x0016));
  series.sop_class_uids = {sop_class};
  if (auto refused = WhyNoSlices(data_set, sop_class)) return *refused;
  OrRefused<std::vector<Slice>> slices = ReadSlices(data_set);
  if (slices.ok()) {
    series.slices = std::move(*slices);
  } else {
    series.refused = slices.refused();
  }
  if (series.modality == "PT") series.pet = ReadPetHeader(data_set);
  return series;
}

OrRefused<Series> ReadInstance(const fs::path& path) {
  const OrRefused<DataSet> data_set = DataSet::Open(path);
  if (!data_set.ok()) return data_set.refused();
  OrRefused<Series> series = ReadInstance(*data_set);
  if (!series.ok()) return series;
  series->first_file = path.filename().string();
  // Shared by the slices.
  const auto source = std::make_shared<FrameSource>(path, series->slices.size() > 1);
  for (Slice& slice : series->slices) {
    slice.load = [source, frame = slice.frame - 1] { return source->Load(frame); };
  }
  return series;
}

}  // namespace consilium::datasets::volumes
