#include "datasets/dicom/reader.h"

#include <algorithm>
#include <new>

#include "common/base/status.h"
#include "datasets/dicom/data_set.h"
#include "datasets/dicom/decompress.h"

namespace consilium::datasets::dicom {
namespace {

constexpr std::uint32_t kSopClassUid = Tag(0x0008, 0x0016);
constexpr std::uint32_t kSopInstanceUid = Tag(0x0008, 0x0018);
constexpr std::uint32_t kModality = Tag(0x0008, 0x0060);
constexpr std::uint32_t kManufacturer = Tag(0x0008, 0x0070);
constexpr std::uint32_t kManufacturerModelName = Tag(0x0008, 0x1090);
constexpr std::uint32_t kPatientId = Tag(0x0010, 0x0020);
constexpr std::uint32_t kImagerPixelSpacing = Tag(0x0018, 0x1164);
constexpr std::uint32_t kNominalScannedPixelSpacing = Tag(0x0018, 0x2010);
constexpr std::uint32_t kViewPosition = Tag(0x0018, 0x5101);
constexpr std::uint32_t kStudyInstanceUid = Tag(0x0020, 0x000d);
constexpr std::uint32_t kSeriesInstanceUid = Tag(0x0020, 0x000e);
constexpr std::uint32_t kLaterality = Tag(0x0020, 0x0060);
constexpr std::uint32_t kImageLaterality = Tag(0x0020, 0x0062);
constexpr std::uint32_t kSamplesPerPixel = Tag(0x0028, 0x0002);
constexpr std::uint32_t kPhotometricInterpretation = Tag(0x0028, 0x0004);
constexpr std::uint32_t kNumberOfFrames = Tag(0x0028, 0x0008);
constexpr std::uint32_t kRows = Tag(0x0028, 0x0010);
constexpr std::uint32_t kColumns = Tag(0x0028, 0x0011);
constexpr std::uint32_t kPixelSpacing = Tag(0x0028, 0x0030);
constexpr std::uint32_t kBitsAllocated = Tag(0x0028, 0x0100);
constexpr std::uint32_t kBitsStored = Tag(0x0028, 0x0101);
constexpr std::uint32_t kHighBit = Tag(0x0028, 0x0102);
constexpr std::uint32_t kPixelRepresentation = Tag(0x0028, 0x0103);
constexpr std::uint32_t kBurnedInAnnotation = Tag(0x0028, 0x0301);
constexpr std::uint32_t kWindowCenter = Tag(0x0028, 0x1050);
constexpr std::uint32_t kWindowWidth = Tag(0x0028, 0x1051);
constexpr std::uint32_t kRescaleIntercept = Tag(0x0028, 0x1052);
constexpr std::uint32_t kRescaleSlope = Tag(0x0028, 0x1053);
constexpr std::uint32_t kVoiLutFunction = Tag(0x0028, 0x1056);
constexpr std::uint32_t kModalityLutSequence = Tag(0x0028, 0x3000);
constexpr std::uint32_t kLutDescriptor = Tag(0x0028, 0x3002);
constexpr std::uint32_t kLutData = Tag(0x0028, 0x3006);

void ReadSpacing(DataSet& data_set, Header* header) {
  for (const auto tag : {kPixelSpacing, kImagerPixelSpacing, kNominalScannedPixelSpacing}) {
    const auto down = data_set.Number(tag, 0), across = data_set.Number(tag, 1);
    if (down && across && *down > 0 && *across > 0 && *down < 1e3 && *across < 1e3) {
      header->row_spacing_mm = *down;
      header->column_spacing_mm = *across;
      return;
    }
  }
}

std::optional<Refused> CheckIdentity(const Header& header) {
  if (header.sop_instance_uid.empty()) return Refused{Refusal::kMissingSopInstanceUid, ""};
  if (header.patient_id.empty()) return Refused{Refusal::kMissingPatientId, ""};
  if (header.modality.empty()) return Refused{Refusal::kMissingModality, ""};
  return std::nullopt;
}

std::optional<Refused> ReadPixelDescription(DataSet& data_set, Header* header) {
  const auto photometric = data_set.Text(kPhotometricInterpretation);
  const int samples = data_set.Unsigned16(kSamplesPerPixel).value_or(1);
  header->monochrome1 = photometric == "MONOCHROME1";
  if (samples > 1 || photometric.starts_with("RGB") || photometric.starts_with("YBR") ||
      photometric == "PALETTE COLOR") {
    return Refused{Refusal::kColourImage, StrCat(samples, " samples a pixel")};
  }
  if (photometric != "MONOCHROME1" && photometric != "MONOCHROME2") {
    return Refused{Refusal::kDamaged, "the photometric interpretation is missing or not known"};
  }
  if (const auto frames = data_set.Number(kNumberOfFrames).value_or(1); frames > 1) {
    return Refused{Refusal::kSeveralFrames, StrCat(static_cast<std::int64_t>(frames), " frames")};
  }
  header->rows = data_set.Unsigned16(kRows).value_or(0);
  header->columns = data_set.Unsigned16(kColumns).value_or(0);
  if (header->rows == 0 || header->columns == 0) {
    return Refused{Refusal::kDamaged, StrCat(header->columns, "x", header->rows, " pixels")};
  }
  header->bits_allocated = data_set.Unsigned16(kBitsAllocated).value_or(0);
  header->bits_stored = data_set.Unsigned16(kBitsStored).value_or(0);
  header->high_bit = data_set.Unsigned16(kHighBit).value_or(header->bits_stored - 1);
  header->is_signed = data_set.Unsigned16(kPixelRepresentation).value_or(0) == 1;
  const bool allocated_fits = header->bits_allocated == 8 || header->bits_allocated == 16;
  if (!allocated_fits || header->bits_stored < 8 || header->bits_stored > header->bits_allocated ||
      header->high_bit < header->bits_stored - 1 || header->high_bit >= header->bits_allocated) {
    return Refused{Refusal::kUnsupportedBits,
                   StrCat(header->bits_allocated, " allocated, ", header->bits_stored,
                          " stored, high bit ", header->high_bit)};
  }
  return std::nullopt;
}

std::uint64_t NativeBytes(const Header& header) {
  return std::uint64_t{header.rows} * header.columns *
         static_cast<std::uint64_t>(header.bits_allocated / 8);
}

std::optional<Refused> CheckPixelData(const DataSet& data_set, const Header& header) {
  const std::uint64_t expected = NativeBytes(header);
  if (expected > kMaxPixelBytes) {
    return Refused{Refusal::kTooLarge, StrCat(header.columns, "x", header.rows, " pixels")};
  }
  if (data_set.encapsulated() != (header.transfer_syntax >= TransferSyntax::kRle)) {
    return Refused{Refusal::kDamaged, "the pixel data is not in the form of the transfer syntax"};
  }
  if (data_set.encapsulated()) return std::nullopt;
  const std::uint64_t actual = data_set.pixels().front().length;
  if (actual != expected && actual != expected + expected % 2) {
    return Refused{Refusal::kDamaged,
                   StrCat("the pixel data has ", actual, " bytes where ", header.columns, "x",
                          header.rows, " pixels need ", expected)};
  }
  return std::nullopt;
}

OrRefused<Header> ReadHeader(DataSet& data_set) {
  Header header;
  header.transfer_syntax = data_set.transfer_syntax();
  header.sop_class_uid = data_set.Text(kSopClassUid);
  header.sop_instance_uid = data_set.Text(kSopInstanceUid);
  header.series_instance_uid = data_set.Text(kSeriesInstanceUid);
  header.study_instance_uid = data_set.Text(kStudyInstanceUid);
  header.patient_id = data_set.Text(kPatientId);
  header.modality = data_set.Text(kModality);
  header.view_position = data_set.Text(kViewPosition);
  header.laterality = data_set.Text(kImageLaterality);
  if (header.laterality.empty()) header.laterality = data_set.Text(kLaterality);
  header.manufacturer = data_set.Text(kManufacturer);
  header.model = data_set.Text(kManufacturerModelName);
  ReadSpacing(data_set, &header);
  if (data_set.pixels().empty()) return Refused{Refusal::kNoPixelData, ""};
  if (auto refused = CheckIdentity(header)) return *std::move(refused);
  if (auto refused = ReadPixelDescription(data_set, &header)) return *std::move(refused);
  if (data_set.Text(kBurnedInAnnotation) == "YES") return Refused{Refusal::kBurnedInAnnotation, ""};
  if (auto refused = CheckPixelData(data_set, header)) return *std::move(refused);
  return header;
}

// Samples of header.bits_allocated bits. Native ones are in the byte order of the file.
OrRefused<Bytes> ReadSamples(DataSet& data_set, const Header& header) {
  if (!data_set.encapsulated()) {
    auto samples = data_set.Value(data_set.pixels().front());
    if (!samples) return Refused{Refusal::kUnreadable, ""};
    if (header.bits_allocated == 8 && data_set.big_endian() &&
        data_set.pixels().front().vr == Vr{'O', 'W'}) {
      for (std::size_t i = 0; i + 1 < samples->size(); i += 2) {
        std::swap((*samples)[i], (*samples)[i + 1]);
      }
    }
    return *std::move(samples);
  }
  Bytes frame;
  for (const Element& fragment : data_set.pixels()) {
    auto bytes = data_set.Value(fragment);
    if (!bytes) return Refused{Refusal::kUnreadable, ""};
    if (frame.empty()) {
      frame = *std::move(bytes);
      continue;
    }
    frame.insert(frame.end(), bytes->begin(), bytes->end());
  }
  return Decompress(header, std::move(frame));
}

// Takes stored values out of samples: the bits up to high_bit, sign-extended (PS3.5 section 8.1.1).
class StoredValue {
 public:
  explicit StoredValue(const Header& header)
      : left_(31 - header.high_bit), right_(32 - header.bits_stored), signed_(header.is_signed) {}
  std::int32_t operator()(std::uint32_t sample) const {
    const std::uint32_t top = sample << left_;
    return signed_ ? static_cast<std::int32_t>(top) >> right_
                   : static_cast<std::int32_t>(top >> right_);
  }

 private:
  int left_, right_;
  bool signed_;
};

// Calls output(stored value) for every pixel, in order, and keeps what it returns.
template <class Out, class Function>
std::vector<Out> MapStoredValues(const Header& header, bool big_endian, const Bytes& samples,
                                 Function output) {
  const std::size_t count = std::size_t{header.rows} * header.columns;
  std::vector<Out> out(count);
  const StoredValue stored(header);
  const std::uint8_t* p = samples.data();
  if (header.bits_allocated == 8) {
    for (std::size_t i = 0; i < count; ++i) out[i] = output(stored(p[i]));
  } else if (big_endian) {
    for (std::size_t i = 0; i < count; ++i) {
      out[i] = output(stored(std::uint32_t{p[2 * i]} << 8 | p[2 * i + 1]));
    }
  } else {
    for (std::size_t i = 0; i < count; ++i) {
      out[i] = output(stored(std::uint32_t{p[2 * i + 1]} << 8 | p[2 * i]));
    }
  }
  return out;
}

struct ModalityLut {
  double slope = 1, intercept = 0;
  std::vector<float> table;  // empty: the linear one counts
  std::int32_t first = 0;
};

// PS3.3 C.11.1.1: descriptor = entries (0 means 65536), first stored value mapped, bits per entry.
OrRefused<ModalityLut> ReadModalityLut(DataSet& data_set, const Header& header) {
  ModalityLut lut;
  lut.slope = data_set.Number(kRescaleSlope).value_or(1);
  lut.intercept = data_set.Number(kRescaleIntercept).value_or(0);
  if (lut.slope == 0) return Refused{Refusal::kDamaged, "the rescale slope is 0"};
  auto items = data_set.Sequence(kModalityLutSequence);
  if (!items.ok()) return items.refused();
  std::optional<Bytes> descriptor, data;
  if (!items->empty()) {
    descriptor = items->front().Value(kLutDescriptor);
    data = items->front().Value(kLutData);
  }
  if (!descriptor && !data) return lut;
  const auto word = [&](const Bytes& bytes, std::size_t i) {
    const int low = bytes[2 * i + (data_set.big_endian() ? 1 : 0)];
    return low | bytes[2 * i + (data_set.big_endian() ? 0 : 1)] << 8;
  };
  if (!descriptor || descriptor->size() < 6 || !data) {
    return Refused{Refusal::kDamaged, "the modality LUT is incomplete"};
  }
  const std::size_t entries = word(*descriptor, 0) == 0 ? 65536 : word(*descriptor, 0);
  lut.first =
      header.is_signed ? static_cast<std::int16_t>(word(*descriptor, 1)) : word(*descriptor, 1);
  const bool bytes_only = word(*descriptor, 2) <= 8 && data->size() < 2 * entries;
  if (data->size() < (bytes_only ? entries : 2 * entries)) {
    return Refused{Refusal::kDamaged,
                   StrCat("the modality LUT has fewer than ", entries, " entries")};
  }
  lut.table.resize(entries);
  for (std::size_t i = 0; i < entries; ++i) {
    lut.table[i] = static_cast<float>(bytes_only ? (*data)[i] : word(*data, i));
  }
  return lut;
}

std::optional<VoiWindow> ReadWindow(DataSet& data_set) {
  const auto center = data_set.Number(kWindowCenter), width = data_set.Number(kWindowWidth);
  if (!center || !width) return std::nullopt;
  VoiWindow window{*center, *width};
  const std::string function = data_set.Text(kVoiLutFunction);
  if (function == "SIGMOID") {
    window.function = VoiWindow::Function::kSigmoid;
  } else if (function == "LINEAR_EXACT") {
    window.function = VoiWindow::Function::kLinearExact;
  } else if (!function.empty() && function != "LINEAR") {
    return std::nullopt;
  }
  const bool linear = window.function == VoiWindow::Function::kLinear;
  if (!(linear ? window.width >= 1 : window.width > 0)) return std::nullopt;
  return window;
}

OrRefused<Image> ReadImage(DataSet& data_set) {
  auto header = ReadHeader(data_set);
  if (!header.ok()) return header.refused();
  auto lut = ReadModalityLut(data_set, *header);
  if (!lut.ok()) return lut.refused();
  auto samples = ReadSamples(data_set, *header);
  if (!samples.ok()) return samples.refused();
  Image image;
  image.rows = header->rows;
  image.columns = header->columns;
  image.larger_is_darker = header->monochrome1;
  image.row_spacing_mm = header->row_spacing_mm;
  image.column_spacing_mm = header->column_spacing_mm;
  image.window = ReadWindow(data_set);
  if (lut->table.empty()) {
    const auto slope = static_cast<float>(lut->slope), shift = static_cast<float>(lut->intercept);
    image.pixels = MapStoredValues<float>(
        *header, data_set.big_endian(), *samples,
        [=](std::int32_t v) { return slope * static_cast<float>(v) + shift; });
  } else {
    const auto last = static_cast<std::int32_t>(lut->table.size()) - 1;
    image.pixels =
        MapStoredValues<float>(*header, data_set.big_endian(), *samples, [&](std::int32_t v) {
          return lut->table[static_cast<std::size_t>(std::clamp(v - lut->first, 0, last))];
        });
  }
  return image;
}

// Runs `read` on the file's data set; no exception leaves.
template <class T, class Function>
OrRefused<T> WithDataSet(const fs::path& path, Function read) {
  try {
    auto data_set = DataSet::Open(path);
    if (!data_set.ok()) return data_set.refused();
    return read(*data_set);
  } catch (const std::bad_alloc&) {
    return Refused{Refusal::kTooLarge, "not enough memory to read it"};
  }
}

}  // namespace

OrRefused<Header> ReadHeader(const fs::path& path) {
  return WithDataSet<Header>(path, [](DataSet& data_set) { return ReadHeader(data_set); });
}

OrRefused<Image> ReadImage(const fs::path& path) {
  return WithDataSet<Image>(path, [](DataSet& data_set) { return ReadImage(data_set); });
}

OrRefused<StoredPixels> ReadStoredPixels(const fs::path& path) {
  return WithDataSet<StoredPixels>(path, [](DataSet& data_set) -> OrRefused<StoredPixels> {
    auto header = ReadHeader(data_set);
    if (!header.ok()) return header.refused();
    auto samples = ReadSamples(data_set, *header);
    if (!samples.ok()) return samples.refused();
    StoredPixels pixels{*header, {}};
    pixels.values = MapStoredValues<std::int32_t>(*header, data_set.big_endian(), *samples,
                                                  [](std::int32_t v) { return v; });
    return pixels;
  });
}

}  // namespace consilium::datasets::dicom
