#include "datasets/deidentification/code_stream.h"

#include <algorithm>

namespace consilium::datasets::deidentification {
namespace {

// Of JPEG and JPEG-LS: segments up to the first scan. Between the scans of a progressive stream
// there may be more, but their start would have to be looked for in entropy-coded data, where the
// marker's two bytes do not otherwise occur.
constexpr std::uint8_t kStartOfScan = 0xda, kEndOfImage = 0xd9, kComment = 0xfe;
constexpr std::uint8_t kStartOfTilePart = 0x90, kComment2000 = 0x64, kStartOfData = 0x93;

bool IsText(std::uint8_t marker, bool jpeg2000) {
  if (jpeg2000) return marker == kComment2000;
  const bool application = marker >= 0xe0 && marker <= 0xef;
  return marker == kComment || (application && marker != 0xe0 && marker != 0xe8 && marker != 0xee);
}

// Whether the marker has no length of its own.
bool IsBare(std::uint8_t marker) {
  return marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8) || marker == 0x4f;
}

// The next marker in entropy-coded data.
std::size_t SkipScan(std::span<std::uint8_t> bytes, std::size_t at) {
  while (at + 1 < bytes.size()) {
    const std::uint8_t next = bytes[at + 1];
    // 0x80 and above: JPEG-LS stuffs a bit after 0xff, JPEG a zero byte.
    if (bytes[at] == 0xff && next >= 0x80 && !(next >= 0xd0 && next <= 0xd7)) return at;
    ++at;
  }
  return bytes.size();
}

}  // namespace

void BlankComments(std::span<std::uint8_t> bytes) {
  const bool jpeg = bytes.size() > 4 && bytes[0] == 0xff && bytes[1] == 0xd8;
  const bool jpeg2000 = bytes.size() > 4 && bytes[0] == 0xff && bytes[1] == 0x4f;
  if (!jpeg && !jpeg2000) return;
  for (std::size_t at = 2; at + 4 <= bytes.size() && bytes[at] == 0xff;) {
    const std::uint8_t marker = bytes[at + 1];
    if (marker == 0xff) {  // fill byte
      ++at;
      continue;
    }
    if (IsBare(marker)) {
      at += 2;
      continue;
    }
    if (marker == kEndOfImage ||
        (jpeg2000 && (marker == kStartOfTilePart || marker == kStartOfData))) {
      return;
    }
    const std::size_t length = std::size_t{bytes[at + 2]} << 8 | bytes[at + 3];
    if (length < 2 || at + 2 + length > bytes.size()) return;
    // A JPEG 2000 comment begins with two bytes that say whether it is text.
    const std::size_t start = at + 4 + (jpeg2000 ? 2 : 0);
    const std::size_t end = at + 2 + length;
    if (IsText(marker, jpeg2000) && start < end) {
      std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(start),
                bytes.begin() + static_cast<std::ptrdiff_t>(end), std::uint8_t{0});
    }
    at = end;
    if (marker == kStartOfScan) at = SkipScan(bytes, at);
  }
}

}  // namespace consilium::datasets::deidentification
