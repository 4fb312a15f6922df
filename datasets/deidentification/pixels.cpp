#include "datasets/deidentification/pixels.h"

#include <algorithm>
#include <functional>

#include "common/base/text.h"
#include "datasets/deidentification/code_stream.h"
#include "datasets/deidentification/values.h"
#include "dcmtk/config/osconfig.h"
// osconfig.h must come first.
#include "dcmtk/dcmdata/dcpixel.h"
#include "dcmtk/dcmdata/dcpixseq.h"
#include "dcmtk/dcmdata/dcpxitem.h"
#include "dcmtk/dcmdata/dctk.h"

namespace consilium::datasets::deidentification {
namespace {

struct Layout {
  std::size_t rows = 0, columns = 0, frames = 1, samples = 1;
  int allocated = 0, stored = 0;
  bool is_signed = false, planar = false;
  std::string photometric;

  std::size_t pixels() const { return rows * columns * frames; }
  std::size_t values() const { return pixels() * samples; }
};

int Unsigned(DcmDataset& data_set, const DcmTagKey& tag) {
  Uint16 value = 0;
  return data_set.findAndGetUint16(tag, value).good() ? value : 0;
}

Layout LayoutOf(DcmDataset& data_set) {
  Layout layout;
  layout.rows = static_cast<std::size_t>(Unsigned(data_set, DCM_Rows));
  layout.columns = static_cast<std::size_t>(Unsigned(data_set, DCM_Columns));
  Sint32 frames = 1;
  if (data_set.findAndGetSint32(DCM_NumberOfFrames, frames).good() && frames > 0) {
    layout.frames = static_cast<std::size_t>(frames);
  }
  layout.samples = static_cast<std::size_t>(std::max(1, Unsigned(data_set, DCM_SamplesPerPixel)));
  layout.allocated = Unsigned(data_set, DCM_BitsAllocated);
  layout.stored = Unsigned(data_set, DCM_BitsStored);
  layout.is_signed = Unsigned(data_set, DCM_PixelRepresentation) == 1;
  layout.planar = Unsigned(data_set, DCM_PlanarConfiguration) == 1;
  layout.photometric = TextOf(data_set, 0x00280004);
  return layout;
}

Refused CannotBeCleaned(std::string_view why) {
  return {Refusal::kUndecodable, StrCat("its pixels cannot be cleaned: ", why)};
}

std::optional<Refused> Decompress(DcmDataset& data_set) {
  if (data_set.chooseRepresentation(EXS_LittleEndianExplicit, nullptr).bad() ||
      !data_set.canWriteXfer(EXS_LittleEndianExplicit)) {
    return CannotBeCleaned("they cannot be decompressed");
  }
  data_set.removeAllButCurrentRepresentations();
  return std::nullopt;
}

// What a blank pixel stores: black.
std::int32_t BlankValue(const Layout& layout, std::size_t sample) {
  const int bits = std::clamp(layout.stored, 1, layout.allocated);
  const std::int32_t least = layout.is_signed ? -(1 << (bits - 1)) : 0;
  const std::int32_t most = layout.is_signed ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
  if (layout.photometric == "MONOCHROME1") return most;
  if (layout.photometric == "YBR_FULL" && sample > 0) return 1 << (bits - 1);
  return least;
}

// Calls set(first value, stride between samples, number of samples) for each pixel that `is_blank`.
template <class Value>
void Blank(std::vector<Value>& values, const Layout& layout,
           const std::function<bool(std::size_t x, std::size_t y, std::size_t frame)>& is_blank) {
  const std::size_t frame_pixels = layout.rows * layout.columns;
  for (std::size_t frame = 0; frame < layout.frames; ++frame) {
    for (std::size_t y = 0; y < layout.rows; ++y) {
      for (std::size_t x = 0; x < layout.columns; ++x) {
        if (!is_blank(x, y, frame)) continue;
        const std::size_t pixel = y * layout.columns + x;
        for (std::size_t s = 0; s < layout.samples; ++s) {
          const std::size_t at =
              frame * frame_pixels * layout.samples +
              (layout.planar ? s * frame_pixels + pixel : pixel * layout.samples + s);
          values[at] = static_cast<Value>(BlankValue(layout, s));
        }
      }
    }
  }
}

std::optional<Refused> BlankWhere(
    DcmDataset& data_set,
    const std::function<bool(std::size_t x, std::size_t y, std::size_t frame)>& is_blank) {
  if (auto refused = Decompress(data_set)) return refused;
  const Layout layout = LayoutOf(data_set);
  const bool subsampled = layout.photometric.find("422") != std::string::npos ||
                          layout.photometric.find("420") != std::string::npos;
  if (subsampled) return CannotBeCleaned("their colours are subsampled");
  DcmElement* element = nullptr;
  if (data_set.findAndGetElement(DCM_PixelData, element).bad() || element == nullptr) {
    return CannotBeCleaned("there are none of a kind that can");
  }
  const std::size_t bytes = static_cast<std::size_t>(layout.allocated / 8);
  if ((layout.allocated != 8 && layout.allocated != 16) ||
      element->getLength() < layout.values() * bytes || layout.values() == 0) {
    return CannotBeCleaned("they are not of 8 or 16 bits, or not all there");
  }
  bool written = false;
  if (layout.allocated == 8) {
    Uint8* data = nullptr;
    if (element->getUint8Array(data).bad() || data == nullptr) return CannotBeCleaned("unreadable");
    std::vector<Uint8> values(data, data + layout.values());
    Blank(values, layout, is_blank);
    written = data_set.putAndInsertUint8Array(DCM_PixelData, values.data(), values.size()).good();
  } else {
    Uint16* data = nullptr;
    if (element->getUint16Array(data).bad() || data == nullptr)
      return CannotBeCleaned("unreadable");
    std::vector<Uint16> values(data, data + layout.values());
    Blank(values, layout, is_blank);
    written = data_set.putAndInsertUint16Array(DCM_PixelData, values.data(), values.size()).good();
  }
  if (!written) return CannotBeCleaned("they cannot be written");
  return std::nullopt;
}

bool IsInside(const Rectangle& r, std::size_t x, std::size_t y) {
  return x >= r.x && y >= r.y && x - r.x < r.width && y - r.y < r.height;
}

bool IsInsideAny(const std::vector<Rectangle>& rectangles, std::size_t x, std::size_t y) {
  return std::any_of(rectangles.begin(), rectangles.end(),
                     [&](const Rectangle& r) { return IsInside(r, x, y); });
}

void BlankFragmentComments(DcmPixelData& pixels) {
  E_TransferSyntax syntax = EXS_Unknown;
  const DcmRepresentationParameter* parameter = nullptr;
  pixels.getOriginalRepresentationKey(syntax, parameter);
  DcmPixelSequence* sequence = nullptr;
  if (pixels.getEncapsulatedRepresentation(syntax, parameter, sequence).bad()) return;
  for (unsigned long i = 1; i < sequence->card(); ++i) {
    DcmPixelItem* item = nullptr;
    Uint8* data = nullptr;
    if (sequence->getItem(item, i).bad() || item->getUint8Array(data).bad() || data == nullptr) {
      continue;
    }
    BlankComments({data, item->getLength()});
  }
}

}  // namespace

std::optional<Refused> BlankRectangles(DcmDataset& data_set, const std::vector<Rectangle>& blank,
                                       const std::vector<Rectangle>& keep) {
  return BlankWhere(data_set, [&](std::size_t x, std::size_t y, std::size_t) {
    return IsInsideAny(blank, x, y) || (!keep.empty() && !IsInsideAny(keep, x, y));
  });
}

std::optional<Refused> BlankMask(DcmDataset& data_set, std::span<const std::uint8_t> mask) {
  const Layout layout = LayoutOf(data_set);
  if (mask.size() != layout.rows * layout.columns) {
    return CannotBeCleaned("the face's mask is of another size");
  }
  return BlankWhere(data_set, [&](std::size_t x, std::size_t y, std::size_t frame) {
    return frame == 0 && mask[y * layout.columns + x] != 0;
  });
}

std::optional<std::vector<std::int32_t>> StoredValues(DcmDataset& data_set) {
  if (Decompress(data_set)) return std::nullopt;
  const Layout layout = LayoutOf(data_set);
  if (layout.frames != 1 || layout.samples != 1 || layout.values() == 0) return std::nullopt;
  DcmElement* element = nullptr;
  if (data_set.findAndGetElement(DCM_PixelData, element).bad() || element == nullptr) {
    return std::nullopt;
  }
  const std::size_t bytes = static_cast<std::size_t>(layout.allocated / 8);
  if ((layout.allocated != 8 && layout.allocated != 16) ||
      element->getLength() < layout.values() * bytes) {
    return std::nullopt;
  }
  std::vector<std::int32_t> values(layout.values());
  const int unused = 32 - std::clamp(layout.stored, 1, layout.allocated);
  const auto extend = [&](std::uint32_t value) {
    const std::uint32_t high = value << unused;
    return layout.is_signed ? static_cast<std::int32_t>(high) >> unused
                            : static_cast<std::int32_t>(high >> unused);
  };
  if (layout.allocated == 8) {
    Uint8* data = nullptr;
    if (element->getUint8Array(data).bad() || data == nullptr) return std::nullopt;
    std::transform(data, data + values.size(), values.begin(), extend);
  } else {
    Uint16* data = nullptr;
    if (element->getUint16Array(data).bad() || data == nullptr) return std::nullopt;
    std::transform(data, data + values.size(), values.begin(), extend);
  }
  return values;
}

bool IsEncapsulated(const DcmXfer& syntax) {
#if OFFIS_DCMTK_VERSION_NUMBER >= 369
  return syntax.usesEncapsulatedFormat();
#else
  return syntax.isEncapsulated();
#endif
}

void DropHiddenText(DcmDataset& data_set) {
  DcmElement* element = nullptr;
  if (data_set.findAndGetElement(DCM_PixelData, element).bad() || element == nullptr) return;
  if (IsEncapsulated(DcmXfer(data_set.getCurrentXfer()))) {
    if (auto* pixels = dynamic_cast<DcmPixelData*>(element)) BlankFragmentComments(*pixels);
    return;
  }
  const Layout layout = LayoutOf(data_set);
  const bool subsampled = layout.photometric.find("422") != std::string::npos;
  const std::size_t bits = layout.values() * static_cast<std::size_t>(layout.allocated);
  const std::size_t expected = (subsampled ? bits * 2 / 3 : bits) / 8 + (bits % 8 != 0);
  const std::size_t even = expected + expected % 2;
  if (expected == 0 || element->getLength() <= even) return;
  if (layout.allocated == 16) {
    Uint16* data = nullptr;
    if (element->getUint16Array(data).bad() || data == nullptr) return;
    const std::vector<Uint16> values(data, data + even / 2);
    data_set.putAndInsertUint16Array(DCM_PixelData, values.data(), values.size());
  } else {
    Uint8* data = nullptr;
    if (element->getUint8Array(data).bad() || data == nullptr) return;
    const std::vector<Uint8> values(data, data + even);
    data_set.putAndInsertUint8Array(DCM_PixelData, values.data(), values.size());
  }
}

}  // namespace consilium::datasets::deidentification
