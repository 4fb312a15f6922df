// The part of ImageFile that reads and checks what a header says of the pixels.

#include <algorithm>

#include "common/base/text.h"
#include "datasets/dicom/image_file.h"
#include "datasets/dicom/syntaxes.h"
#include "datasets/dicom/tags.h"

namespace consilium::datasets::dicom {
namespace {

constexpr std::uint32_t kFloatPixelData = Tag(0x7fe0, 0x0008);
constexpr std::uint32_t kDoublePixelData = Tag(0x7fe0, 0x0009);
constexpr double kMostFrames = 1 << 24;

void ReadIdentity(const DataSet& data_set, Header* header) {
  header->transfer_syntax = data_set.transfer_syntax();
  header->sop_class_uid = data_set.Text(tags::kSopClassUid);
  header->sop_instance_uid = data_set.Text(tags::kSopInstanceUid);
  header->series_instance_uid = data_set.Text(tags::kSeriesInstanceUid);
  header->study_instance_uid = data_set.Text(tags::kStudyInstanceUid);
  header->patient_id = data_set.Text(tags::kPatientId);
  header->modality = data_set.Text(tags::kModality);
  header->view_position = data_set.Text(tags::kViewPosition);
  header->laterality = data_set.Text(tags::kImageLaterality);
  if (header->laterality.empty()) header->laterality = data_set.Text(tags::kLaterality);
  header->manufacturer = data_set.Text(tags::kManufacturer);
  header->model = data_set.Text(tags::kManufacturerModelName);
  ReadSpacing(data_set, &header->row_spacing_mm, &header->column_spacing_mm);
}

std::optional<Refused> ReadPhotometric(const DataSet& data_set, Header* header) {
  header->samples = data_set.Unsigned16(tags::kSamplesPerPixel).value_or(1);
  header->planar = data_set.Unsigned16(tags::kPlanarConfiguration).value_or(0) == 1;
  const auto photometric = PhotometricOf(data_set.Text(tags::kPhotometricInterpretation));
  if (!photometric && header->samples > 1) {
    return Refused{Refusal::kColourImage, StrCat(header->samples, " samples of an unknown kind")};
  }
  if (!photometric) {
    return Refused{Refusal::kDamaged, "the photometric interpretation is missing or not known"};
  }
  header->photometric = *photometric;
  header->monochrome1 = *photometric == Photometric::kMonochrome1;
  const bool one = *photometric <= Photometric::kPalette;
  if (header->samples != (one ? 1 : 3)) {
    return Refused{Refusal::kDamaged,
                   StrCat(header->samples, " samples a pixel of ", Name(*photometric))};
  }
  return std::nullopt;
}

bool BitsFit(const Header& header) {
  const int allocated = header.bits_allocated, stored = header.bits_stored;
  const bool fits = allocated == 8 || allocated == 16 || allocated == 32 ||
                    (allocated == 1 && header.samples == 1);
  return fits && stored >= 1 && stored <= allocated && header.high_bit >= stored - 1 &&
         header.high_bit < allocated;
}

std::optional<Refused> ReadBits(const DataSet& data_set, Header* header) {
  header->is_signed = data_set.Unsigned16(tags::kPixelRepresentation).value_or(0) == 1;
  if (data_set.pixel_tag() == kFloatPixelData || data_set.pixel_tag() == kDoublePixelData) {
    const bool single = data_set.pixel_tag() == kFloatPixelData;
    header->kind = single ? SampleKind::kFloat : SampleKind::kDouble;
    header->bits_allocated = header->bits_stored = single ? 32 : 64;
    header->high_bit = header->bits_stored - 1;
    if (header->samples == 1 && !data_set.encapsulated()) return std::nullopt;
    return Refused{Refusal::kUnsupportedBits, "floating point in colour or compressed"};
  }
  header->bits_allocated = data_set.Unsigned16(tags::kBitsAllocated).value_or(0);
  header->bits_stored = data_set.Unsigned16(tags::kBitsStored).value_or(0);
  header->high_bit = data_set.Unsigned16(tags::kHighBit).value_or(header->bits_stored - 1);
  if (BitsFit(*header)) return std::nullopt;
  return Refused{Refusal::kUnsupportedBits,
                 StrCat(header->bits_allocated, " allocated, ", header->bits_stored,
                        " stored, high bit ", header->high_bit)};
}

std::optional<Refused> ReadSize(const DataSet& data_set, Header* header) {
  header->rows = data_set.Unsigned16(tags::kRows).value_or(0);
  header->columns = data_set.Unsigned16(tags::kColumns).value_or(0);
  if (header->rows == 0 || header->columns == 0) {
    return Refused{Refusal::kDamaged, StrCat(header->columns, "x", header->rows, " pixels")};
  }
  const double frames = data_set.Number(tags::kNumberOfFrames, 0, "IS").value_or(1);
  if (frames > kMostFrames) {
    return Refused{Refusal::kDamaged, StrCat("claims ", frames, " frames")};
  }
  header->frames = static_cast<std::uint32_t>(std::max(1.0, frames));
  return std::nullopt;
}

}  // namespace

OrRefused<Header> ReadImageHeader(const DataSet& data_set) {
  if (data_set.pixels().empty()) return Refused{Refusal::kNoPixelData, ""};
  Header header;
  ReadIdentity(data_set, &header);
  if (auto refused = ReadPhotometric(data_set, &header)) return *std::move(refused);
  if (auto refused = ReadSize(data_set, &header)) return *std::move(refused);
  if (auto refused = ReadBits(data_set, &header)) return *std::move(refused);
  return header;
}

}  // namespace consilium::datasets::dicom
