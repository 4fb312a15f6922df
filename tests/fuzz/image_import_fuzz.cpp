#include <zlib.h>

#include <array>
#include <cmath>

#include "datasets/import.h"
#include "tests/fuzz/fuzz.h"

namespace consilium {
namespace {

// libpng believes no chunk with another checksum.
Bytes WithChunkChecksums(ByteView png) {
  Bytes bytes(png.begin(), png.end());
  const auto big_endian = [&](std::size_t at) {
    return std::uint32_t{bytes[at]} << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 |
           bytes[at + 3];
  };
  for (std::size_t at = 8; at + 12 <= bytes.size();) {
    const std::size_t length = big_endian(at);
    if (length > bytes.size() - at - 12) break;
    const auto checksum = static_cast<std::uint32_t>(
        crc32(0, bytes.data() + at + 4, static_cast<unsigned>(length + 4)));
    for (std::size_t i = 0; i < 4; ++i) {
      bytes[at + 8 + length + i] = static_cast<std::uint8_t>(checksum >> (24 - 8 * i));
    }
    at += length + 12;
  }
  return bytes;
}

}  // namespace
}  // namespace consilium

// First byte: the format; then the file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  constexpr std::array<std::string_view, 4> kNames = {"plane.png", "plane.jpg", "plane.nii",
                                                      "plane.nii.gz"};
  fuzz::Cursor input(fuzz::Input(data, size));
  const std::size_t format = input.Byte() % kNames.size();
  const ByteView rest = input.Rest();
  const Bytes bytes = format == 0 ? WithChunkChecksums(rest) : Bytes(rest.begin(), rest.end());
  const fs::path file = fuzz::Scratch(kNames[format], bytes);
  // Compressed formats expand: deflate 1032 times (PNG a bit a pixel, and four bytes of ours for
  // each), JPEG a bit a block of 8x8. The libraries' own tables and rows come on top.
  const std::size_t expansion = format == 2 ? 16 : 8 * 4 * 1032;
  const fuzz::AllocationLimit limit(expansion * bytes.size() + (2 << 20));
  const auto plane = datasets::ReadPlane(file, {.channel = -1, .slice = -1});
  if (!plane.ok()) {
    FUZZ_EXPECT(!plane.status().message().empty());
    return 0;
  }
  FUZZ_EXPECT(plane->rows > 0 && plane->columns > 0);
  FUZZ_EXPECT(plane->values.size() == std::size_t{plane->rows} * plane->columns);
  for (const float value : plane->values) FUZZ_EXPECT(std::isfinite(value));
  return 0;
}
