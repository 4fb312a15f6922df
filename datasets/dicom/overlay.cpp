#include "datasets/dicom/overlay.h"

#include <algorithm>

namespace consilium::datasets::dicom {
namespace {

constexpr std::uint16_t kFirstGroup = 0x6000, kLastGroup = 0x601e;
constexpr std::uint16_t kRows = 0x0010, kColumns = 0x0011, kFrames = 0x0015, kType = 0x0040,
                        kOrigin = 0x0050, kFrameOrigin = 0x0051, kBitPosition = 0x0102,
                        kLabel = 0x1500, kData = 0x3000;

// Bits from the least significant on; in big endian words, the bytes of a word change places.
std::vector<bool> UnpackMask(const Bytes& bytes, std::uint64_t first, std::size_t count,
                             bool swapped) {
  std::vector<bool> mask(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t bit = first + i;
    std::size_t at = static_cast<std::size_t>(bit / 8);
    if (swapped) at ^= 1;
    mask[i] = at < bytes.size() && (bytes[at] >> (bit % 8) & 1) != 0;
  }
  return mask;
}

std::vector<bool> MaskOfSamples(ByteView samples, std::size_t size, int position) {
  std::vector<bool> mask(samples.size() / size);
  const auto byte = static_cast<std::size_t>(position / 8);
  for (std::size_t i = 0; i < mask.size(); ++i) {
    mask[i] = (samples[i * size + byte] >> (position % 8) & 1) != 0;
  }
  return mask;
}

bool ReadMask(const DataSet& data_set, const Header& header, std::uint32_t frame, ByteView samples,
              Overlay* overlay) {
  const auto tag = [&](std::uint16_t element) { return Tag(overlay->group, element); };
  const std::size_t count = std::size_t{overlay->rows} * overlay->columns;
  if (const Element* data = data_set.Find(tag(kData))) {
    const double frames = std::max(1.0, data_set.Number(tag(kFrames)).value_or(1));
    const double first = data_set.Unsigned16(tag(kFrameOrigin)).value_or(1) - 1;
    if (frame < first || frame >= first + frames) return false;
    const auto from = static_cast<std::uint64_t>(frame - first) * count;
    if ((from + count + 7) / 8 > data->length) return false;
    const auto bytes = data_set.Value(*data);
    if (!bytes) return false;
    const bool swapped = data_set.big_endian() && data->vr == Vr{'O', 'W'};
    overlay->mask = UnpackMask(*bytes, from, count, swapped);
    return true;
  }
  const int position = data_set.Unsigned16(tag(kBitPosition)).value_or(0);
  const auto size = static_cast<std::size_t>(header.bits_allocated / 8);
  if (position < 1 || position >= header.bits_allocated || size == 0) return false;
  if (samples.size() / size != count) return false;
  overlay->mask = MaskOfSamples(samples, size, position);
  return true;
}

}  // namespace

std::vector<bool> Overlay::OnImage(std::uint32_t image_rows, std::uint32_t image_columns) const {
  std::vector<bool> out(std::size_t{image_rows} * image_columns);
  for (std::uint32_t y = 0; y < rows; ++y) {
    const std::int64_t image_y = std::int64_t{y} + row - 1;
    if (image_y < 0 || image_y >= image_rows) continue;
    for (std::uint32_t x = 0; x < columns; ++x) {
      const std::int64_t image_x = std::int64_t{x} + column - 1;
      if (image_x < 0 || image_x >= image_columns) continue;
      out[static_cast<std::size_t>(image_y * image_columns + image_x)] =
          mask[std::size_t{y} * columns + x];
    }
  }
  return out;
}

std::vector<Overlay> ReadOverlays(const DataSet& data_set, const Header& header,
                                  std::uint32_t frame, ByteView samples) {
  std::vector<Overlay> overlays;
  for (std::uint16_t group = kFirstGroup; group <= kLastGroup; group += 2) {
    if (!data_set.Has(Tag(group, kRows)) || !data_set.Has(Tag(group, kColumns))) continue;
    Overlay overlay;
    overlay.group = group;
    overlay.region = data_set.Text(Tag(group, kType)) == "R";
    overlay.label = data_set.Text(Tag(group, kLabel));
    overlay.rows = data_set.Unsigned16(Tag(group, kRows)).value_or(0);
    overlay.columns = data_set.Unsigned16(Tag(group, kColumns)).value_or(0);
    const auto origin = data_set.Numbers(Tag(group, kOrigin), "SS");
    if (origin.size() == 2) {
      overlay.row = static_cast<int>(origin[0]);
      overlay.column = static_cast<int>(origin[1]);
    }
    if (overlay.rows == 0 || overlay.columns == 0) continue;
    if (ReadMask(data_set, header, frame, samples, &overlay)) {
      overlays.push_back(std::move(overlay));
    }
  }
  return overlays;
}

bool HasEmbeddedOverlay(const DataSet& data_set) {
  for (std::uint16_t group = kFirstGroup; group <= kLastGroup; group += 2) {
    if (!data_set.Has(Tag(group, kRows)) || data_set.Has(Tag(group, kData))) continue;
    if (data_set.Unsigned16(Tag(group, kBitPosition)).value_or(0) > 0) return true;
  }
  return false;
}

}  // namespace consilium::datasets::dicom
