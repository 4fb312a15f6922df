#include "datasets/dicom/codestream.h"

#include <algorithm>
#include <string>

#include "common/base/text.h"

namespace consilium::datasets::dicom {
namespace {

constexpr std::uint16_t kSoc = 0xff4f, kSiz = 0xff51, kCod = 0xff52, kCoc = 0xff53, kSot = 0xff90,
                        kSod = 0xff93, kEoc = 0xffd9;
constexpr std::uint32_t kCodestreamBox = 0x6a703263;  // "jp2c"
// A decoder keeps some kilobytes a tile and some hundred bytes a code-block.
constexpr std::uint64_t kMostTiles = 16384;
constexpr std::uint64_t kMostCodeBlocks = 1 << 20;
constexpr std::uint64_t kShortestTilePart = 14;  // SOT and SOD

std::uint32_t Big(ByteView bytes, std::size_t at, int size) {
  std::uint32_t value = 0;
  for (int i = 0; i < size; ++i) value = value << 8 | bytes[at + static_cast<std::size_t>(i)];
  return value;
}

std::uint64_t CeilDivide(std::uint64_t a, std::uint64_t b) { return (a + b - 1) / b; }

Refused Damaged(std::string what) { return {Refusal::kDamaged, std::move(what)}; }

// The contents of the first jp2c box, or the frame itself.
ByteView WithoutBoxes(ByteView frame) {
  std::size_t at = 0;
  const bool jp2 = frame.size() >= 12 && Big(frame, 0, 4) == 12 && Big(frame, 4, 4) == 0x6a502020;
  while (jp2 && frame.size() - at >= 8) {
    std::uint64_t length = Big(frame, at, 4);
    if (Big(frame, at + 4, 4) == kCodestreamBox) return frame.subspan(at + 8);
    if (length < 8 || length > frame.size() - at) break;
    at += static_cast<std::size_t>(length);
  }
  return frame;
}

// The most costly coding style that any COD or COC of the stream asks for (A.6.1, A.6.2).
struct CodingStyle {
  std::uint64_t layers = 1;
  int levels = 0;
  int smallest_precinct = 15;    // log2 of the shorter side, over all resolutions
  int smallest_code_block = 12;  // log2 of the area
};

class HeaderScan {
 public:
  explicit HeaderScan(ByteView bytes) : bytes_(bytes) {}

  OrRefused<Codestream> Run() {
    if (bytes_.size() < 4 || Big(bytes_, 0, 2) != kSoc || Big(bytes_, 2, 2) != kSiz) {
      return Refused{Refusal::kUndecodable, "no JPEG 2000 codestream"};
    }
    Codestream stream;
    stream.bytes = bytes_;
    if (auto refused = ReadSegments(&stream)) return *std::move(refused);
    if (auto refused = CheckCost(stream)) return *std::move(refused);
    return stream;
  }

 private:
  // The main header, then the headers of all tile parts.
  std::optional<Refused> ReadSegments(Codestream* stream) {
    std::size_t at = 2;
    std::uint64_t tile_part_end = 0;
    while (at + 4 <= bytes_.size()) {
      const std::uint32_t marker = Big(bytes_, at, 2);
      if (marker == kEoc) break;
      if (marker == kSod) {
        if (tile_part_end <= at) break;  // to the end of the stream
        at = static_cast<std::size_t>(tile_part_end);
        continue;
      }
      const std::size_t length = Big(bytes_, at + 2, 2);
      if (marker < 0xff00 || length < 2 || length > bytes_.size() - at - 2) {
        // After the first tile part a decoder stops here too, and shows what came before.
        if (coded_ && tile_part_end > 0) break;
        return Damaged("a marker segment of the JPEG 2000 header is not sound");
      }
      const ByteView segment = bytes_.subspan(at + 4, length - 2);
      if (marker == kSot) {
        if (segment.size() < 8) return Damaged("a tile part without its length");
        const std::uint64_t part = Big(segment, 2, 4);
        tile_part_end = part == 0 ? 0 : std::min<std::uint64_t>(at + part, bytes_.size());
      }
      std::optional<Refused> refused;
      if (marker == kSiz) refused = ReadSize(segment, stream);
      if (marker == kCod || marker == kCoc) refused = ReadCodingStyle(marker, segment);
      if (refused) return refused;
      at += 2 + length;
    }
    if (stream->components == 0 || !coded_) return Damaged("the JPEG 2000 header is incomplete");
    return std::nullopt;
  }

  std::optional<Refused> ReadSize(ByteView s, Codestream* stream) {  // A.5.1
    if (s.size() < 39 || stream->components != 0) return Damaged("the image size of JPEG 2000");
    const std::uint64_t right = Big(s, 2, 4), bottom = Big(s, 6, 4);
    const std::uint64_t left = Big(s, 10, 4), top = Big(s, 14, 4);
    const std::uint64_t tile_width = Big(s, 18, 4), tile_height = Big(s, 22, 4);
    const std::uint64_t tile_left = Big(s, 26, 4), tile_top = Big(s, 30, 4);
    const std::size_t components = Big(s, 34, 2);
    if (s.size() < 36 + 3 * components || components == 0 || components > 4) {
      return Refused{Refusal::kUndecodable, StrCat(components, " JPEG 2000 components")};
    }
    if (left >= right || top >= bottom || tile_width == 0 || tile_height == 0 || tile_left > left ||
        tile_top > top || right - left > 65535 || bottom - top > 65535) {
      return Damaged("the image size of JPEG 2000");
    }
    for (std::size_t i = 0; i < components; ++i) {
      if (s[36 + 3 * i] != s[36] || s[36 + 3 * i + 1] != 1 || s[36 + 3 * i + 2] != 1) {
        return Refused{Refusal::kUndecodable, "JPEG 2000 components of different sizes"};
      }
    }
    stream->columns = static_cast<std::uint32_t>(right - left);
    stream->rows = static_cast<std::uint32_t>(bottom - top);
    stream->components = static_cast<int>(components);
    stream->precision = (s[36] & 0x7f) + 1;
    stream->is_signed = (s[36] & 0x80) != 0;
    tiles_ = CeilDivide(right - tile_left, tile_width) * CeilDivide(bottom - tile_top, tile_height);
    right_ = right;
    bottom_ = bottom;
    tile_width_ = std::min<std::uint64_t>(tile_width, stream->columns);
    tile_height_ = std::min<std::uint64_t>(tile_height, stream->rows);
    return std::nullopt;
  }

  std::optional<Refused> ReadCodingStyle(std::uint32_t marker, ByteView s) {
    // COC: component index (one byte, as there are fewer than 257), style, parameters.
    const std::size_t start = marker == kCod ? 5 : 2;
    if (s.size() < start + 5) return Damaged("a JPEG 2000 coding style is incomplete");
    const bool precincts = (s[marker == kCod ? 0 : 1] & 1) != 0;
    if (marker == kCod) style_.layers = std::max<std::uint64_t>(style_.layers, Big(s, 2, 2));
    const int levels = s[start];
    const int block = (s[start + 1] & 0x0f) + (s[start + 2] & 0x0f) + 4;
    if (levels > 32 || block > 12) return Damaged("a JPEG 2000 coding style");
    style_.levels = std::max(style_.levels, levels);
    style_.smallest_code_block = std::min(style_.smallest_code_block, block);
    if (precincts) {
      if (s.size() < start + 6 + static_cast<std::size_t>(levels)) {
        return Damaged("a JPEG 2000 coding style is incomplete");
      }
      for (int i = 0; i <= levels; ++i) {
        const int size = s[start + 5 + static_cast<std::size_t>(i)];
        // Each resolution's own would do; the smallest of the larger ones is what costs.
        const int side = std::min(size & 0x0f, size >> 4);
        const int scale = levels - i;  // resolution i is smaller by so many halvings
        style_.smallest_precinct = std::min(style_.smallest_precinct, side + scale);
      }
    }
    coded_ = true;
    return std::nullopt;
  }

  std::optional<Refused> CheckCost(const Codestream& stream) const {
    const std::uint64_t bytes = bytes_.size();
    if (tiles_ > kMostTiles || tiles_ > bytes / kShortestTilePart + 1) {
      return Damaged(StrCat("JPEG 2000 claims ", tiles_, " tiles"));
    }
    const std::uint64_t side = std::uint64_t{1} << style_.smallest_precinct;
    // Precincts start at multiples of their side (B.6): a tile may cut one at either end.
    const auto along = [&](std::uint64_t tile, std::uint64_t end) {
      return end <= side ? 1 : CeilDivide(tile, side) + 1;
    };
    const std::uint64_t resolutions = static_cast<std::uint64_t>(style_.levels) + 1;
    const std::uint64_t precincts = along(tile_width_, right_) * along(tile_height_, bottom_) *
                                    resolutions * tiles_ *
                                    static_cast<std::uint64_t>(stream.components);
    // A packet takes a byte (B.10), and the factor leaves room for what is cut off at the edges.
    if (precincts * style_.layers > 8 * bytes + 4096) {
      return Damaged(StrCat("JPEG 2000 claims ", precincts, " precincts of ", style_.layers,
                            " layers in ", bytes, " bytes"));
    }
    const std::uint64_t area = tile_width_ * tile_height_ * tiles_;
    const std::uint64_t blocks =
        (area >> style_.smallest_code_block) * static_cast<std::uint64_t>(stream.components);
    if (blocks > kMostCodeBlocks) {
      return Refused{Refusal::kTooLarge, StrCat("JPEG 2000 claims ", blocks, " code-blocks")};
    }
    return std::nullopt;
  }

  const ByteView bytes_;
  CodingStyle style_;
  bool coded_ = false;
  std::uint64_t right_ = 0, bottom_ = 0, tiles_ = 0, tile_width_ = 0, tile_height_ = 0;
};

}  // namespace

OrRefused<Codestream> CheckCodestream(ByteView frame) {
  return HeaderScan(WithoutBoxes(frame)).Run();
}

}  // namespace consilium::datasets::dicom
