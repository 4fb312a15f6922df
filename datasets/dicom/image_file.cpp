#include "datasets/dicom/image_file.h"

#include <algorithm>
#include <cmath>
#include <new>

#include "common/base/status.h"
#include "datasets/dicom/decompress.h"
#include "datasets/dicom/tags.h"

namespace consilium::datasets::dicom {
namespace {

bool IsHalved(Photometric photometric) {
  return photometric == Photometric::kYbrFull422 || photometric == Photometric::kYbrPartial422;
}

// Bits of a frame as native pixel data holds it: with 422, two chrominance samples for two pixels.
std::uint64_t NativeBits(const Header& header) {
  const auto samples = static_cast<std::uint64_t>(
      header.samples == 3 && IsHalved(header.photometric) ? 2 : header.samples);
  return std::uint64_t{header.rows} * header.columns * samples *
         static_cast<std::uint64_t>(header.bits_allocated);
}

// Runs `read`; no exception leaves.
template <class T, class Function>
OrRefused<T> Guarded(Function read) {
  try {
    return read();
  } catch (const std::bad_alloc&) {
    return Refused{Refusal::kTooLarge, "not enough memory to read it"};
  }
}

// Random access to the samples as modality values, so that the vector made of them is written once.
template <class T, class Map>
class MappedSamples {
 public:
  using iterator_category = std::random_access_iterator_tag;
  using value_type = float;
  using difference_type = std::ptrdiff_t;
  using pointer = const float*;
  using reference = float;

  MappedSamples(const std::uint8_t* at, const Map* map) : at_(at), map_(map) {}
  float operator*() const {
    T value;
    std::memcpy(&value, at_, sizeof(T));
    return (*map_)(value);
  }
  MappedSamples& operator++() {
    at_ += sizeof(T);
    return *this;
  }
  MappedSamples operator++(int) {
    MappedSamples before = *this;
    ++*this;
    return before;
  }
  difference_type operator-(const MappedSamples& other) const {
    return (at_ - other.at_) / static_cast<difference_type>(sizeof(T));
  }
  bool operator==(const MappedSamples& other) const { return at_ == other.at_; }
  bool operator!=(const MappedSamples& other) const { return at_ != other.at_; }

 private:
  const std::uint8_t* at_;
  const Map* map_;
};

template <class T, class Map>
std::vector<float> Mapped(const StoredFrame& frame, const Map& map) {
  const std::uint8_t* first = frame.bytes.data();
  return std::vector<float>(MappedSamples<T, Map>(first, &map),
                            MappedSamples<T, Map>(first + frame.size() * sizeof(T), &map));
}

std::vector<float> ToModality(const StoredFrame& frame, const ModalityLut& lut) {
  return frame.WithType([&](auto sample) {
    using T = decltype(sample);
    if (lut.table) {
      const auto& entries = lut.table->entries;
      const auto last = static_cast<double>(entries.size()) - 1;
      const double start = lut.table->first;
      return Mapped<T>(frame, [&](T value) {
        const double index = std::clamp(static_cast<double>(value) - start, 0.0, last);
        return static_cast<float>(entries[static_cast<std::size_t>(index)]);
      });
    }
    if constexpr (sizeof(T) <= 2) {
      const auto slope = static_cast<float>(lut.slope), shift = static_cast<float>(lut.intercept);
      return Mapped<T>(frame, [=](T value) { return slope * static_cast<float>(value) + shift; });
    } else {  // more bits than a float holds
      return Mapped<T>(frame, [=](T value) {
        return static_cast<float>(lut.slope * static_cast<double>(value) + lut.intercept);
      });
    }
  });
}

// What is no number, or beyond a float, is padding of the value 0.
void ExcludeNonFinite(Image* image) {
  for (std::size_t i = 0; i < image->pixels.size(); ++i) {
    if (std::isfinite(image->pixels[i])) continue;
    image->padding.resize(image->pixels.size());
    image->padding[i] = true;
    image->pixels[i] = 0;
  }
}

std::optional<std::pair<double, double>> ReadPadding(const DataSet& data_set,
                                                     const Header& header) {
  const bool whole = header.kind == SampleKind::kInteger;
  const std::string_view vr = whole                               ? (header.is_signed ? "SS" : "US")
                              : header.kind == SampleKind::kFloat ? "FL"
                                                                  : "FD";
  // The double precision attributes follow those of single precision by one.
  const std::uint32_t next = header.kind == SampleKind::kDouble ? 1 : 0;
  const auto value = data_set.Number(
      whole ? tags::kPixelPaddingValue : tags::kFloatPixelPaddingValue + next, 0, vr);
  if (!value) return std::nullopt;
  const auto limit = data_set.Number(
      whole ? tags::kPixelPaddingRangeLimit : tags::kFloatPixelPaddingRangeLimit + next, 0, vr);
  return std::minmax(*value, limit.value_or(*value));
}

// Files say the padding value with the wrong sign's VR; the bits are meant (PS3.3 C.7.5.1.1.2).
std::pair<double, double> InStoredValues(std::pair<double, double> padding, const Header& header) {
  if (header.kind != SampleKind::kInteger || header.bits_stored > 16) return padding;
  const auto fold = [&](double value) {
    const double span = static_cast<double>(std::int64_t{1} << 16);
    if (header.is_signed && value > 32767) return value - span;
    if (!header.is_signed && value < 0) return value + span;
    return value;
  };
  return std::minmax(fold(padding.first), fold(padding.second));
}

}  // namespace

OrRefused<ImageFile> ImageFile::Open(const fs::path& path) {
  return Guarded<ImageFile>([&]() -> OrRefused<ImageFile> {
    auto data_set = DataSet::Open(path);
    if (!data_set.ok()) return data_set.refused();
    return Open(std::move(*data_set));
  });
}

OrRefused<ImageFile> ImageFile::Open(File file) {
  return Guarded<ImageFile>([&]() -> OrRefused<ImageFile> {
    auto data_set = DataSet::Open(std::move(file));
    if (!data_set.ok()) return data_set.refused();
    return Open(std::move(*data_set));
  });
}

OrRefused<ImageFile> ImageFile::Open(DataSet data_set) {
  return Guarded<ImageFile>([&]() -> OrRefused<ImageFile> {
    auto header = ReadImageHeader(data_set);
    if (!header.ok()) return header.refused();
    ImageFile file(std::move(data_set));
    file.header_ = *std::move(header);
    if (auto refused = file.CheckPixels()) return *std::move(refused);
    if (file.data_set_.encapsulated()) {
      auto table = FrameTable::Of(file.data_set_, file.header_);
      if (!table.ok()) return table.refused();
      file.table_ = std::move(*table);
    }
    if (const auto padding = ReadPadding(file.data_set_, file.header_)) {
      file.padding_ = InStoredValues(*padding, file.header_);
    }
    return file;
  });
}

bool ImageFile::native() const {
  return !data_set_.encapsulated() ||
         header_.transfer_syntax == TransferSyntax::kEncapsulatedUncompressed ||
         header_.transfer_syntax == TransferSyntax::kDeflatedFrames;
}

std::optional<Refused> ImageFile::CheckPixels() {
  const std::uint64_t samples =
      std::uint64_t{header_.rows} * header_.columns * static_cast<std::uint64_t>(header_.samples);
  if (samples > kMaxFrameSamples) {
    return Refused{Refusal::kTooLarge, StrCat(header_.columns, "x", header_.rows, " pixels")};
  }
  if (data_set_.encapsulated() != IsEncapsulated(header_.transfer_syntax)) {
    return Refused{Refusal::kDamaged, "the pixel data is not in the form of the transfer syntax"};
  }
  if (header_.bits_allocated == 1 && !native()) {
    return Refused{Refusal::kUnsupportedBits, "1 bit allocated in a compressed image"};
  }
  const bool pairs = IsHalved(header_.photometric) && header_.columns % 2 == 0;
  const bool halved =
      IsHalved(header_.photometric) || header_.photometric == Photometric::kYbrPartial420;
  if (native() && halved && !(pairs && header_.bits_allocated == 8)) {
    return Refused{Refusal::kColourImage, StrCat("uncompressed ", Name(header_.photometric))};
  }
  if (data_set_.encapsulated()) return std::nullopt;
  const std::uint64_t expected = (NativeBits(header_) * header_.frames + 7) / 8;
  const std::uint64_t actual = data_set_.pixels().front().length;
  // Some writers pad; what would be a further frame contradicts the number of frames.
  const bool even = actual == expected + expected % 2;
  if (actual >= expected && (even || (actual - expected) * header_.frames < expected)) {
    return std::nullopt;
  }
  return Refused{Refusal::kDamaged,
                 StrCat("the pixel data has ", actual, " bytes where ", header_.frames, " of ",
                        header_.columns, "x", header_.rows, " pixels need ", expected)};
}

OrRefused<Bytes> ImageFile::ReadNative(std::uint32_t frame) {
  const Element& pixels = data_set_.pixels().front();
  const std::uint64_t bits = NativeBits(header_), first_bit = bits * frame;
  const std::uint64_t last = (first_bit + bits + 7) / 8;
  std::uint64_t first = first_bit / 8;
  // In big endian, bytes of words have changed places (PS3.5 section 7.3).
  const bool swapped =
      data_set_.big_endian() && header_.bits_allocated <= 8 && pixels.vr == Vr{'O', 'W'};
  if (swapped) first &= ~std::uint64_t{1};
  const std::uint64_t end =
      std::min<std::uint64_t>(swapped ? last + last % 2 : last, pixels.length);
  auto bytes = data_set_.source().Read(pixels.offset + first, end - first);
  if (!bytes) return Refused{Refusal::kUnreadable, ""};
  if (swapped) {
    for (std::size_t i = 0; i + 1 < bytes->size(); i += 2) std::swap((*bytes)[i], (*bytes)[i + 1]);
  }
  const std::uint64_t surplus = first_bit - first * 8;
  if (surplus == 0) {
    bytes->resize((bits + 7) / 8);
    return *std::move(bytes);
  }
  Bytes aligned((bits + 7) / 8, 0);
  for (std::uint64_t i = 0; i < bits; ++i) {
    const std::uint64_t bit = surplus + i;
    const int one = (*bytes)[bit / 8] >> (bit % 8) & 1;
    aligned[i / 8] = static_cast<std::uint8_t>(aligned[i / 8] | one << (i % 8));
  }
  return aligned;
}

OrRefused<Bytes> ImageFile::ReadRaw(std::uint32_t frame) {
  CONSILIUM_CHECK(frame < header_.frames);
  if (!table_) return ReadNative(frame);
  auto compressed = table_->Read(data_set_, frame);
  if (!compressed.ok()) return compressed.refused();
  return Decompress(header_, *std::move(compressed));
}

OrRefused<StoredFrame> ImageFile::ReadStored(std::uint32_t frame) {
  return Guarded<StoredFrame>([&]() -> OrRefused<StoredFrame> {
    auto raw = ReadRaw(frame);
    if (!raw.ok()) return raw.refused();
    return ToStored(header_, *std::move(raw), native(),
                    data_set_.big_endian() && !data_set_.encapsulated());
  });
}

OrRefused<FrameDescription> ImageFile::Describe(std::uint32_t frame) {
  CONSILIUM_CHECK(frame < header_.frames);
  return Guarded<FrameDescription>([&]() -> OrRefused<FrameDescription> {
    if (!groups_) {
      auto groups = FunctionalGroups::Of(data_set_, header_.frames);
      if (!groups.ok()) return groups.refused();
      groups_ = std::move(*groups);
    }
    return groups_->Describe(data_set_, frame, header_.is_signed);
  });
}

std::vector<bool> ImageFile::PaddingOf(const StoredFrame& frame) const {
  std::vector<bool> padding;
  if (!padding_ || frame.samples != 1) return padding;
  const double low = padding_->first, high = padding_->second;
  bool any = false;
  padding.reserve(frame.size());
  frame.WithType([&](auto sample) {
    for (std::size_t i = 0; i < frame.size(); ++i) {
      const auto value = static_cast<double>(frame.At<decltype(sample)>(i));
      const bool outside = value >= low && value <= high;
      any |= outside;
      padding.push_back(outside);
    }
  });
  if (!any) padding.clear();
  return padding;
}

OrRefused<RgbFrame> ImageFile::ToRgbFrame(const StoredFrame& frame) const {
  if (!header_.colour()) return Refused{Refusal::kColourImage, "no colour image"};
  if (SizeOf(frame.type) > 2) {
    return Refused{Refusal::kColourImage, StrCat(header_.bits_stored, " bits a sample")};
  }
  if (header_.photometric != Photometric::kPalette) {
    return ToRgb(frame, header_.bits_stored, nullptr);
  }
  const auto palette = ReadPalette(data_set_, header_.is_signed);
  if (!palette.ok()) return palette.refused();
  return ToRgb(frame, header_.bits_stored, &*palette);
}

OrRefused<RgbFrame> ImageFile::ReadRgb(std::uint32_t frame) {
  return Guarded<RgbFrame>([&]() -> OrRefused<RgbFrame> {
    auto stored = ReadStored(frame);
    if (!stored.ok()) return stored.refused();
    return ToRgbFrame(*stored);
  });
}

OrRefused<Image> ImageFile::ReadModality(std::uint32_t frame) {
  return Guarded<Image>([&]() -> OrRefused<Image> {
    auto description = Describe(frame);
    if (!description.ok()) return description.refused();
    auto stored = ReadStored(frame);
    if (!stored.ok()) return stored.refused();
    Image image;
    image.rows = header_.rows;
    image.columns = header_.columns;
    image.larger_is_darker = header_.monochrome1;
    image.row_spacing_mm = description->row_spacing_mm;
    image.column_spacing_mm = description->column_spacing_mm;
    if (!description->windows.empty()) image.window = description->windows.front();
    image.voi_lut = std::move(description->voi_lut);
    if (header_.colour()) {
      const auto rgb = ToRgbFrame(*stored);
      if (!rgb.ok()) return rgb.refused();
      image.pixels = Luminance(*rgb);
      return image;
    }
    image.padding = PaddingOf(*stored);
    image.pixels = ToModality(*stored, description->modality);
    if (header_.kind != SampleKind::kInteger) ExcludeNonFinite(&image);
    return image;
  });
}

OrRefused<std::vector<Overlay>> ImageFile::ReadOverlays(std::uint32_t frame) {
  return Guarded<std::vector<Overlay>>([&]() -> OrRefused<std::vector<Overlay>> {
    CONSILIUM_CHECK(frame < header_.frames);
    if (!HasEmbeddedOverlay(data_set_)) {
      return dicom::ReadOverlays(data_set_, header_, frame, {});
    }
    auto raw = ReadRaw(frame);
    if (!raw.ok()) return raw.refused();
    if (data_set_.big_endian() && header_.bits_allocated == 16) {
      for (std::size_t i = 0; i + 1 < raw->size(); i += 2) std::swap((*raw)[i], (*raw)[i + 1]);
    }
    return dicom::ReadOverlays(data_set_, header_, frame, *raw);
  });
}

}  // namespace consilium::datasets::dicom
