#include "datasets/dicom/lookup.h"

#include <algorithm>
#include <cmath>

#include "common/base/text.h"
#include "datasets/dicom/tags.h"

namespace consilium::datasets::dicom {
namespace {

constexpr std::size_t kMostEntries = 65536;
constexpr double kLargestScale = 1e28;  // times 32 bits it is still a float
constexpr std::uint32_t kRedDescriptor = Tag(0x0028, 0x1101);
constexpr std::uint32_t kRedData = Tag(0x0028, 0x1201);
constexpr std::uint32_t kRedSegmentedData = Tag(0x0028, 0x1221);

struct Descriptor {
  std::size_t entries = 0;
  std::int32_t first = 0;
  int bits = 0;
};

// Number of entries (0 means 65536), first value mapped, bits per entry (C.11.1.1).
std::optional<Descriptor> ReadDescriptor(const DataSet& item, std::uint32_t tag, bool is_signed) {
  const auto entries = item.Unsigned16(tag, 0), first = item.Unsigned16(tag, 1),
             bits = item.Unsigned16(tag, 2);
  if (!entries || !first || !bits || *bits < 1 || *bits > 16) return std::nullopt;
  return Descriptor{*entries == 0 ? kMostEntries : *entries,
                    is_signed ? static_cast<std::int16_t>(*first) : std::int32_t{*first}, *bits};
}

// Entries of one byte (two in a word, the first in its low half) or of two.
std::vector<std::uint16_t> Unpacked(const Bytes& data, bool bytes_only, bool big_endian) {
  std::vector<std::uint16_t> entries;
  entries.reserve(bytes_only ? data.size() : data.size() / 2);
  for (std::size_t i = 0; i + 1 < data.size() + (bytes_only ? 1 : 0); i += bytes_only ? 1 : 2) {
    if (bytes_only) {
      const std::size_t at = big_endian && (i ^ 1) < data.size() ? i ^ 1 : i;
      entries.push_back(data[at]);
    } else {
      const int low = data[i + (big_endian ? 1 : 0)], high = data[i + (big_endian ? 0 : 1)];
      entries.push_back(static_cast<std::uint16_t>(high << 8 | low));
    }
  }
  return entries;
}

// Data, which is of 8 bits a value where that is all it can be, as a table of the descriptor.
OrRefused<LookupTable> TableOf(const Descriptor& descriptor, const Bytes& data, bool big_endian) {
  const std::size_t count = descriptor.entries;
  const bool bytes_only = descriptor.bits <= 8 && data.size() < 2 * count;
  if (data.size() < (bytes_only ? count : 2 * count)) {
    return Refused{Refusal::kDamaged, StrCat("a lookup table has fewer than ", count, " entries")};
  }
  LookupTable table{descriptor.first, descriptor.bits, Unpacked(data, bytes_only, big_endian)};
  table.entries.resize(count);
  return table;
}

// C.7.9.2: discrete, linear and indirect segments.
class Segments {
 public:
  Segments(std::vector<std::uint16_t> words, std::size_t most, bool bytes)
      : words_(std::move(words)), most_(most), bytes_(bytes) {}

  bool Expand() {
    for (std::size_t at = 0; at < words_.size() && out_.size() < most_;) {
      if (!Segment(&at, true)) return false;
    }
    return out_.size() >= most_;
  }
  std::vector<std::uint16_t> entries() && {
    out_.resize(most_);
    return std::move(out_);
  }

 private:
  bool Segment(std::size_t* at, bool indirect_allowed) {
    if (*at + 2 > words_.size()) return false;
    const std::uint16_t code = words_[*at], length = words_[*at + 1];
    *at += 2;
    if (code == 0) {
      if (length == 0 || *at + length > words_.size()) return false;
      for (std::size_t i = 0; i < length; ++i) out_.push_back(words_[*at + i]);
      *at += length;
    } else if (code == 1) {
      if (length == 0 || *at + 1 > words_.size() || out_.empty()) return false;
      const int start = out_.back(), end = words_[(*at)++];
      for (int i = 1; i <= length; ++i) {
        out_.push_back(static_cast<std::uint16_t>(start + (end - start) * i / length));
      }
    } else if (code == 2 && indirect_allowed) {
      const std::size_t offset_words = bytes_ ? 4 : 2;
      if (length == 0 || *at + offset_words > words_.size()) return false;
      std::size_t from = bytes_ ? words_[*at] | words_[*at + 1] << 8 | words_[*at + 2] << 16
                                : words_[*at] | std::size_t{words_[*at + 1]} << 16;
      *at += offset_words;
      for (int i = 0; i < length && out_.size() < most_; ++i) {
        if (!Segment(&from, false)) return false;
      }
    } else {
      return false;
    }
    return out_.size() <= 2 * kMostEntries;
  }

  const std::vector<std::uint16_t> words_;
  const std::size_t most_;
  const bool bytes_;
  std::vector<std::uint16_t> out_;
};

OrRefused<LookupTable> ReadColour(const DataSet& data_set, std::uint32_t index, bool is_signed) {
  const auto descriptor = ReadDescriptor(data_set, kRedDescriptor + index, is_signed);
  if (!descriptor) return Refused{Refusal::kDamaged, "the palette is incomplete"};
  if (const auto data = data_set.Value(kRedData + index)) {
    return TableOf(*descriptor, *data, data_set.big_endian());
  }
  const auto segmented = data_set.Value(kRedSegmentedData + index);
  if (!segmented) return Refused{Refusal::kDamaged, "the palette is incomplete"};
  const bool bytes = descriptor->bits <= 8;
  Segments segments(Unpacked(*segmented, bytes, data_set.big_endian()), descriptor->entries, bytes);
  if (!segments.Expand()) {
    return Refused{Refusal::kDamaged, "the segments of the palette are not sound"};
  }
  return LookupTable{descriptor->first, descriptor->bits, std::move(segments).entries()};
}

std::optional<VoiWindow::Function> FunctionNamed(std::string_view name) {
  if (name.empty() || name == "LINEAR") return VoiWindow::Function::kLinear;
  if (name == "LINEAR_EXACT") return VoiWindow::Function::kLinearExact;
  if (name == "SIGMOID") return VoiWindow::Function::kSigmoid;
  return std::nullopt;
}

}  // namespace

OrRefused<LookupTable> ReadLookupTable(const DataSet& item, bool is_signed) {
  const auto descriptor = ReadDescriptor(item, tags::kLutDescriptor, is_signed);
  const auto data = item.Value(tags::kLutData);
  if (!descriptor || !data) return Refused{Refusal::kDamaged, "a lookup table is incomplete"};
  return TableOf(*descriptor, *data, item.big_endian());
}

OrRefused<ModalityLut> ReadModalityLut(const DataSet& rescale, bool is_signed) {
  ModalityLut lut;
  lut.slope = rescale.Number(tags::kRescaleSlope).value_or(1);
  lut.intercept = rescale.Number(tags::kRescaleIntercept).value_or(0);
  if (lut.slope == 0) return Refused{Refusal::kDamaged, "the rescale slope is 0"};
  if (std::abs(lut.slope) > kLargestScale || std::abs(lut.intercept) > kLargestScale) {
    return Refused{Refusal::kDamaged, "rescale slope or intercept is beyond any measurement"};
  }
  auto items = rescale.Sequence(tags::kModalityLutSequence);
  if (!items.ok()) return items.refused();
  if (items->empty()) return lut;
  const DataSet& item = items->front();
  if (!item.Has(tags::kLutDescriptor) && !item.Has(tags::kLutData)) return lut;
  auto table = ReadLookupTable(item, is_signed);
  if (!table.ok()) return table.refused();
  lut.table = std::move(*table);
  return lut;
}

std::vector<VoiWindow> ReadWindows(const DataSet& voi) {
  std::vector<VoiWindow> windows;
  const auto centers = voi.Numbers(tags::kWindowCenter), widths = voi.Numbers(tags::kWindowWidth);
  const auto function = FunctionNamed(voi.Text(tags::kVoiLutFunction));
  if (!function) return windows;
  const bool linear = *function == VoiWindow::Function::kLinear;
  for (std::size_t i = 0; i < std::min(centers.size(), widths.size()); ++i) {
    const bool usable = linear ? widths[i] >= 1 : widths[i] > 0;
    if (usable) windows.push_back({centers[i], widths[i], *function});
  }
  return windows;
}

std::optional<VoiLut> ReadVoiLut(const DataSet& voi, bool is_signed) {
  const DataSet item = voi.FirstItem(tags::kVoiLutSequence);
  if (item.elements().empty()) return std::nullopt;
  const auto table = ReadLookupTable(item, is_signed);
  if (!table.ok()) return std::nullopt;
  VoiLut lut;
  lut.first = table->first;
  const auto top = static_cast<float>((1 << table->bits) - 1);
  for (const std::uint16_t entry : table->entries) {
    lut.brightness.push_back(std::min(1.0f, static_cast<float>(entry) / top));
  }
  return lut;
}

OrRefused<Palette> ReadPalette(const DataSet& data_set, bool is_signed) {
  Palette palette;
  LookupTable* const tables[] = {&palette.red, &palette.green, &palette.blue};
  for (std::uint32_t i = 0; i < 3; ++i) {
    auto table = ReadColour(data_set, i, is_signed);
    if (!table.ok()) return table.refused();
    *tables[i] = std::move(*table);
  }
  return palette;
}

}  // namespace consilium::datasets::dicom
