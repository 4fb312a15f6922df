// The part of ImageFile that reads and checks what a header says of the pixels.

#include <algorithm>
#include <charconv>
#include <chrono>

#include "common/base/text.h"
#include "datasets/dicom/image_file.h"
#include "datasets/dicom/syntaxes.h"
#include "datasets/dicom/tags.h"

namespace consilium::datasets::dicom {
namespace {

constexpr std::uint32_t kFloatPixelData = Tag(0x7fe0, 0x0008);
constexpr std::uint32_t kDoublePixelData = Tag(0x7fe0, 0x0009);
constexpr double kMostFrames = 1 << 24;

// PS3.5 table 6.2-1: three digits and D, W, M or Y.
std::optional<double> YearsOfAge(std::string_view age) {
  static constexpr std::string_view kUnits = "DWMY";
  static constexpr double kYears[] = {1 / 365.25, 7 / 365.25, 1 / 12.0, 1};
  if (age.size() != 4 || kUnits.find(age[3]) == std::string_view::npos) return std::nullopt;
  double number = 0;
  for (const char digit : age.substr(0, 3)) {
    if (digit < '0' || digit > '9') return std::nullopt;
    number = 10 * number + (digit - '0');
  }
  return number * kYears[kUnits.find(age[3])];
}

std::optional<std::chrono::sys_days> DayOf(std::string_view date) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(date.data(), date.data() + date.size(), number);
  if (date.size() != 8 || error != std::errc() || end != date.data() + date.size()) return {};
  const std::chrono::year_month_day day(std::chrono::year(static_cast<int>(number / 10000)),
                                        std::chrono::month(number / 100 % 100),
                                        std::chrono::day(number % 100));
  if (!day.ok()) return std::nullopt;
  return std::chrono::sys_days(day);
}

std::optional<double> AgeOf(const DataSet& data_set) {
  auto years = YearsOfAge(data_set.Text(tags::kPatientAge));
  const auto born = DayOf(data_set.Text(tags::kPatientBirthDate));
  const auto study = DayOf(data_set.Text(tags::kStudyDate));
  if (!years && born && study) years = static_cast<double>((*study - *born).count()) / 365.25;
  constexpr double kOldest = 150;
  return years && *years >= 0 && *years <= kOldest ? years : std::nullopt;
}

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
  header->patient_sex = data_set.Text(tags::kPatientSex);
  header->patient_age_years = AgeOf(data_set);
  header->body_part = data_set.Text(tags::kBodyPartExamined);
  header->slice_thickness_mm = data_set.Number(tags::kSliceThickness).value_or(0);
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
