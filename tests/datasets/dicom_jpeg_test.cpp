// Decoders of compressed frames: lossless JPEG against an encoder of this file, JPEG 2000 and
// HTJ2K.

#include <cstdlib>

#include "common/base/random.h"
#include "datasets/dicom/codestream.h"
#include "datasets/dicom/jpeg2000.h"
#include "datasets/dicom/jpeg_stream.h"
#include "datasets/dicom/rle.h"
#include "tests/catch.h"

namespace consilium::datasets::dicom {
namespace {

struct LosslessImage {
  std::uint32_t rows = 0, columns = 0;
  int components = 1, precision = 16, predictor = 1, transform = 0;
  std::uint32_t restart_rows = 0;
  std::vector<std::uint16_t> samples;  // those of a pixel side by side
};

// Codes of 5 bits for the 17 categories, whose values are the categories themselves.
class LosslessEncoder {
 public:
  explicit LosslessEncoder(const LosslessImage& image) : image_(image) {}

  Bytes Encode() {
    const auto components = static_cast<std::uint8_t>(image_.components);
    Marker(0xd8);
    Bytes frame = {static_cast<std::uint8_t>(image_.precision),
                   High(image_.rows),
                   Low(image_.rows),
                   High(image_.columns),
                   Low(image_.columns),
                   components};
    Bytes scan = {components};
    for (std::uint8_t i = 0; i < components; ++i) {
      frame.insert(frame.end(), {static_cast<std::uint8_t>(i + 1), 0x11, 0});
      scan.insert(scan.end(), {static_cast<std::uint8_t>(i + 1), 0x00});
    }
    Segment(0xc3, frame);
    Bytes table = {0, 0, 0, 0, 0, 17};
    table.resize(17, 0);
    for (std::uint8_t category = 0; category <= 16; ++category) table.push_back(category);
    Segment(0xc4, table);
    const std::uint32_t interval = image_.restart_rows * image_.columns;
    if (interval > 0) Segment(0xdd, {High(interval), Low(interval)});
    scan.insert(scan.end(), {static_cast<std::uint8_t>(image_.predictor), 0,
                             static_cast<std::uint8_t>(image_.transform)});
    Segment(0xda, scan);
    Samples();
    Marker(0xd9);
    return out_;
  }

 private:
  static std::uint8_t High(std::uint32_t v) { return static_cast<std::uint8_t>(v >> 8); }
  static std::uint8_t Low(std::uint32_t v) { return static_cast<std::uint8_t>(v); }

  int At(std::uint32_t x, std::uint32_t y, std::size_t c) const {
    const std::size_t pixel = std::size_t{y} * image_.columns + x;
    return image_.samples[pixel * static_cast<std::size_t>(image_.components) + c] >>
           image_.transform;
  }

  int Guess(std::uint32_t x, std::uint32_t y, std::size_t c, bool first_row) const {
    if (first_row) {
      return x == 0 ? 1 << (image_.precision - image_.transform - 1) : At(x - 1, y, c);
    }
    if (x == 0) return At(0, y - 1, c);
    const int a = At(x - 1, y, c), b = At(x, y - 1, c), k = At(x - 1, y - 1, c);
    const int guesses[] = {a,           b, k, a + b - k, a + ((b - k) >> 1), b + ((a - k) >> 1),
                           (a + b) >> 1};
    return guesses[image_.predictor - 1];
  }

  void Samples() {
    std::uint8_t restarts = 0;
    for (std::uint32_t y = 0; y < image_.rows; ++y) {
      const bool restart = image_.restart_rows > 0 && y > 0 && y % image_.restart_rows == 0;
      if (restart) {
        Flush();
        Marker(static_cast<std::uint8_t>(0xd0 + restarts++ % 8));
      }
      for (std::uint32_t x = 0; x < image_.columns; ++x) {
        for (std::size_t c = 0; c < static_cast<std::size_t>(image_.components); ++c) {
          Difference(static_cast<std::int16_t>(At(x, y, c) - Guess(x, y, c, y == 0 || restart)));
        }
      }
    }
    Flush();
  }

  void Difference(int difference) {
    int category = 0;
    while (std::abs(difference) >> category != 0) ++category;
    Put(category, 5);
    if (category == 16) return;
    Put(difference < 0 ? difference - 1 : difference, category);
  }

  void Put(int value, int bits) {
    for (int i = bits - 1; i >= 0; --i) {
      current_ = static_cast<std::uint8_t>(current_ << 1 | (value >> i & 1));
      if (++filled_ == 8) PutByte();
    }
  }
  void PutByte() {
    out_.push_back(current_);
    if (current_ == 0xff) out_.push_back(0);
    current_ = 0;
    filled_ = 0;
  }
  void Flush() {
    while (filled_ != 0) Put(1, 1);
  }
  void Marker(std::uint8_t marker) { out_.insert(out_.end(), {0xff, marker}); }
  void Segment(std::uint8_t marker, const Bytes& content) {
    Marker(marker);
    const auto length = static_cast<std::uint32_t>(content.size() + 2);
    out_.insert(out_.end(), {High(length), Low(length)});
    out_.insert(out_.end(), content.begin(), content.end());
  }

  const LosslessImage& image_;
  Bytes out_;
  std::uint8_t current_ = 0;
  int filled_ = 0;
};

LosslessImage SomeImage(int components, int precision, int predictor) {
  LosslessImage image{23, 37, components, precision, predictor, 0, 0, {}};
  SeededRandom random(static_cast<std::uint64_t>(precision * 8 + predictor), "lossless");
  const std::size_t count = 23 * 37 * static_cast<std::size_t>(components);
  for (std::size_t i = 0; i < count; ++i) {
    // Smooth with jumps to either end, so that all categories occur.
    const std::uint64_t top = (1ull << precision) - 1;
    const std::uint64_t kind = random.Below(8);
    const std::uint64_t value = kind == 0 ? 0 : kind == 1 ? top : (i * 3 + random.Below(4)) & top;
    image.samples.push_back(static_cast<std::uint16_t>(value));
  }
  return image;
}

std::vector<std::uint16_t> Decoded(const Bytes& stream, int sample_bytes) {
  const auto header = FindJpegFrameHeader(stream);
  REQUIRE(header.has_value());
  const auto bytes = DecodeLosslessJpeg(stream, *header, sample_bytes);
  REQUIRE(bytes.has_value());
  std::vector<std::uint16_t> samples;
  for (std::size_t i = 0; i < bytes->size(); i += static_cast<std::size_t>(sample_bytes)) {
    const int high = sample_bytes == 2 ? (*bytes)[i + 1] : 0;
    samples.push_back(static_cast<std::uint16_t>((*bytes)[i] | high << 8));
  }
  return samples;
}

Header HeaderOf(std::uint32_t rows, std::uint32_t columns, int samples, int bits) {
  Header header;
  header.rows = rows;
  header.columns = columns;
  header.samples = samples;
  header.bits_allocated = bits <= 8 ? 8 : bits <= 16 ? 16 : 32;
  header.bits_stored = bits;
  header.high_bit = bits - 1;
  return header;
}

Bytes SomeSamples(const Header& header) {
  Bytes out;
  SeededRandom random(7, "samples");
  const std::size_t count =
      std::size_t{header.rows} * header.columns * static_cast<std::size_t>(header.samples);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t value = random.Below(1ull << header.bits_stored);
    for (int b = 0; b < header.bits_allocated / 8; ++b) {
      out.push_back(static_cast<std::uint8_t>(value >> (8 * b)));
    }
  }
  return out;
}

constexpr std::uint32_t kRampColumns = 24, kRampRows = 20;
std::uint8_t RampAt(std::uint32_t x, std::uint32_t y) {
  return static_cast<std::uint8_t>(x * 7 + y * 11 + x * y % 5);
}
// It, as OpenJPH encodes it: reversible, two decompositions, code-blocks of 16x16.
const Bytes kRampHtj2k = {
    0xff, 0x4f, 0xff, 0x51, 0x00, 0x29, 0x40, 0x00, 0x00, 0x00, 0x00, 0x18, 0x00, 0x00, 0x00, 0x14,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x18, 0x00, 0x00, 0x00, 0x14,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x07, 0x01, 0x01, 0xff, 0x50, 0x00,
    0x08, 0x00, 0x02, 0x00, 0x00, 0x00, 0x03, 0xff, 0x52, 0x00, 0x0c, 0x00, 0x02, 0x00, 0x01, 0x00,
    0x02, 0x02, 0x02, 0x40, 0x01, 0xff, 0x5c, 0x00, 0x0a, 0x20, 0x50, 0x58, 0x58, 0x58, 0x50, 0x50,
    0x58, 0xff, 0x64, 0x00, 0x16, 0x00, 0x01, 0x4f, 0x70, 0x65, 0x6e, 0x4a, 0x50, 0x48, 0x20, 0x56,
    0x65, 0x72, 0x20, 0x30, 0x2e, 0x39, 0x2e, 0x30, 0x2e, 0xff, 0x90, 0x00, 0x0a, 0x00, 0x00, 0x00,
    0x00, 0x01, 0x91, 0x00, 0x01, 0xff, 0x93, 0xc0, 0x17, 0x4e, 0xfd, 0xa1, 0x60, 0x7a, 0x11, 0x9b,
    0x12, 0x36, 0x5e, 0xd4, 0x93, 0x8a, 0x09, 0x91, 0xe4, 0xd6, 0xfa, 0x31, 0x35, 0xd9, 0x07, 0xdc,
    0x60, 0xc0, 0xab, 0x83, 0x30, 0x3e, 0xef, 0x73, 0x49, 0x52, 0xd0, 0x42, 0x00, 0x00, 0x07, 0x3c,
    0x00, 0xc0, 0x0b, 0x72, 0x00, 0x5b, 0xb0, 0x02, 0xe8, 0x40, 0x60, 0x56, 0x08, 0xa0, 0x10, 0x87,
    0x2f, 0x50, 0x40, 0xb7, 0xc8, 0x04, 0x28, 0x11, 0xd2, 0xac, 0x41, 0x6f, 0xdc, 0xd3, 0x81, 0x19,
    0x6a, 0x00, 0xb6, 0xd9, 0x9c, 0x00, 0x0c, 0xc2, 0x1a, 0xc8, 0x29, 0x90, 0xc0, 0xc8, 0x80, 0x92,
    0xa1, 0xd1, 0xad, 0x59, 0x94, 0x64, 0xfe, 0x4b, 0x6f, 0x73, 0x18, 0xf8, 0x62, 0x0c, 0x78, 0x35,
    0xde, 0x9c, 0x00, 0x24, 0x85, 0x60, 0xc2, 0x03, 0x4c, 0x78, 0x0f, 0xb8, 0xa4, 0x68, 0xfd, 0x27,
    0x00, 0x24, 0x4e, 0xe8, 0x11, 0x00, 0xfe, 0x4b, 0x29, 0xe9, 0xf0, 0x0e, 0x04, 0x24, 0x87, 0xe5,
    0x28, 0x99, 0xbd, 0x00, 0xc0, 0x17, 0xa6, 0xc0, 0x17, 0xa8, 0x40, 0x0b, 0xd3, 0xc0, 0x56, 0x02,
    0xa5, 0x04, 0x50, 0x22, 0x1f, 0x24, 0x7d, 0x40, 0x32, 0xa1, 0x0a, 0xb0, 0x84, 0xdf, 0xc9, 0xde,
    0x61, 0x08, 0xda, 0x48, 0x0e, 0xf4, 0xb0, 0x03, 0x61, 0x28, 0xe7, 0x11, 0x0a, 0x63, 0x0c, 0x43,
    0xc7, 0x11, 0x81, 0xbe, 0x4d, 0x10, 0xa0, 0x19, 0x00, 0x02, 0x04, 0x80, 0xd8, 0x6f, 0xc1, 0x07,
    0x02, 0x24, 0xcc, 0x0d, 0xe4, 0x92, 0x7a, 0x15, 0x7e, 0x44, 0x7d, 0xd2, 0x45, 0xe3, 0x6b, 0xe4,
    0xfb, 0x8e, 0xf0, 0xef, 0x28, 0x69, 0x54, 0xef, 0x85, 0xee, 0x01, 0x84, 0x10, 0x82, 0x90, 0xde,
    0xba, 0x17, 0x04, 0x09, 0x00, 0x48, 0xf8, 0x00, 0x48, 0x60, 0x1d, 0x99, 0x20, 0x34, 0x95, 0xcc,
    0x07, 0x68, 0x82, 0x85, 0x04, 0x73, 0x6c, 0x0c, 0x24, 0x81, 0x03, 0xa9, 0x2b, 0x39, 0xd6, 0xbe,
    0x29, 0x36, 0x30, 0x02, 0x24, 0x00, 0x30, 0x02, 0x24, 0x48, 0xd8, 0x4c, 0xb6, 0x20, 0x20, 0xc4,
    0x91, 0xbb, 0x70, 0x00, 0x92, 0xf6, 0x3d, 0x8c, 0x40, 0x2a, 0x55, 0x9d, 0x55, 0xdd, 0xde, 0x4f,
    0x30, 0xef, 0xe2, 0x5a, 0xbf, 0x5a, 0x13, 0x7b, 0x9f, 0xb0, 0x02, 0xc8, 0x4a, 0x5a, 0x19, 0x88,
    0x52, 0x39, 0xaa, 0x32, 0x92, 0x98, 0x65, 0x9a, 0x25, 0x08, 0xec, 0x0b, 0xfa, 0x15, 0x10, 0x20,
    0x56, 0x03, 0x01, 0x40, 0xc0, 0xe0, 0xdf, 0x4f, 0xb0, 0x10, 0x08, 0x00, 0x02, 0x88, 0xda, 0x9d,
    0xfc, 0x00, 0x81, 0x0a, 0x03, 0x03, 0x01, 0x10, 0xb9, 0x70, 0x25, 0x78, 0xe0, 0xfd, 0x18, 0x99,
    0xe6, 0x68, 0xe2, 0x87, 0x25, 0x5d, 0xeb, 0x84, 0x20, 0x08, 0x50, 0xe8, 0x17, 0xf6, 0xef, 0xdc,
    0x69, 0xf5, 0x48, 0xeb, 0xaf, 0x7e, 0x74, 0x74, 0x51, 0x02, 0xff, 0xd9,
};

}  // namespace

TEST_CASE("Lossless JPEG decodes exactly, with every predictor, precision and number of samples") {
  const int predictor = GENERATE(1, 2, 3, 4, 5, 6, 7);
  const int precision = GENERATE(2, 8, 12, 16);
  const int components = GENERATE(1, 3);
  const LosslessImage image = SomeImage(components, precision, predictor);
  INFO("predictor " << predictor << ", " << precision << " bits, " << components);
  CHECK(Decoded(LosslessEncoder(image).Encode(), precision <= 8 ? 1 : 2) == image.samples);
}

TEST_CASE("Lossless JPEG restarts its prediction at restart markers") {
  LosslessImage image = SomeImage(1, 16, 4);
  image.restart_rows = GENERATE(1, 2, 5);
  CHECK(Decoded(LosslessEncoder(image).Encode(), 2) == image.samples);
}

TEST_CASE("The point transform of lossless JPEG is undone by a shift") {
  LosslessImage image = SomeImage(1, 12, 1);
  image.transform = 2;
  auto expected = image.samples;
  for (std::uint16_t& sample : expected) sample = static_cast<std::uint16_t>(sample & ~3);
  CHECK(Decoded(LosslessEncoder(image).Encode(), 2) == expected);
}

TEST_CASE("A lossless JPEG stream that is cut or changed anywhere is decoded or refused") {
  const Bytes whole = LosslessEncoder(SomeImage(1, 12, 1)).Encode();
  const auto header = FindJpegFrameHeader(whole);
  REQUIRE(header.has_value());
  for (std::size_t size = 0; size + 40 < whole.size(); size += 13) {
    CHECK_FALSE(DecodeLosslessJpeg(ByteView(whole).first(size), *header, 2).has_value());
  }
  SeededRandom random(3, "mutations");
  for (int i = 0; i < 300; ++i) {
    Bytes changed = whole;
    changed[2 + random.Below(changed.size() - 2)] = static_cast<std::uint8_t>(random.Below(256));
    const auto bytes = DecodeLosslessJpeg(changed, *header, 2);
    if (bytes) CHECK(bytes->size() == 2 * 23 * 37);
  }
}

TEST_CASE("JPEG 2000 gives back what was encoded, grey and colour, to 16 bits, signed too") {
  const int samples = GENERATE(1, 3);
  const int bits = GENERATE(1, 8, 12, 16);
  const bool is_signed = GENERATE(false, true);
  Header header = HeaderOf(33, 17, samples, bits);
  header.is_signed = is_signed;
  const Bytes in = SomeSamples(header);
  const Bytes stream = EncodeJpeg2000(header, in);
  REQUIRE_FALSE(stream.empty());
  const auto out = DecodeJpeg2000(header, stream);
  REQUIRE(out.ok());
  // Signed ones come back extended; the bits that are stored count.
  const std::uint32_t mask = (1u << bits) - 1;
  const auto step = static_cast<std::size_t>(header.bits_allocated / 8);
  REQUIRE(out->size() == in.size());
  for (std::size_t i = 0; i < in.size(); i += step) {
    const std::uint32_t a = step == 1 ? in[i] : in[i] | std::uint32_t{in[i + 1]} << 8;
    const std::uint32_t b = step == 1 ? (*out)[i] : (*out)[i] | std::uint32_t{(*out)[i + 1]} << 8;
    REQUIRE((a & mask) == (b & mask));
  }
}

TEST_CASE("A codestream's claims are checked before it is decoded") {
  const Header header = HeaderOf(64, 64, 1, 8);
  const Bytes stream = EncodeJpeg2000(header, SomeSamples(header));
  REQUIRE(CheckCodestream(stream).ok());
  const auto with = [&](std::size_t at, Bytes bytes) {
    Bytes changed = stream;
    std::copy(bytes.begin(), bytes.end(), changed.begin() + static_cast<std::ptrdiff_t>(at));
    return changed;
  };
  // SIZ from byte 4: length, capabilities, then width at 8, height 12, tile width 24, height 28.
  const Bytes wide = with(8, {0, 0, 0xff, 0xff});
  CHECK(DecodeJpeg2000(header, wide).refused().reason == Refusal::kDamaged);
  const auto tiles = CheckCodestream(with(24, {0, 0, 0, 1, 0, 0, 0, 1}));
  REQUIRE_FALSE(tiles.ok());
  CHECK(tiles.refused().detail == "JPEG 2000 claims 4096 tiles");
  // COD: layers are in its bytes 5 and 6 after the marker.
  std::size_t cod = 0;
  while (stream[cod] != 0xff || stream[cod + 1] != 0x52) ++cod;
  CHECK_FALSE(CheckCodestream(with(cod + 6, {0xff, 0xff})).ok());
  CHECK_FALSE(CheckCodestream({}).ok());
  CHECK(CheckCodestream(Bytes{1, 2, 3, 4}).refused().reason == Refusal::kUndecodable);
}

TEST_CASE("A codestream within a JP2 file is found") {
  const Header header = HeaderOf(8, 8, 1, 8);
  const Bytes in = SomeSamples(header), stream = EncodeJpeg2000(header, in);
  Bytes file = {0,    0,    0, 12, 'j', 'P', ' ', ' ', 0x0d, 0x0a,
                0x87, 0x0a, 0, 0,  0,   0,   'j', 'p', '2',  'c'};
  file.insert(file.end(), stream.begin(), stream.end());
  const auto out = DecodeJpeg2000(header, file);
  REQUIRE(out.ok());
  CHECK(*out == in);
}

TEST_CASE("A codestream that is cut anywhere is decoded or refused") {
  const Header header = HeaderOf(40, 30, 1, 12);
  const Bytes stream = EncodeJpeg2000(header, SomeSamples(header));
  for (std::size_t size = 0; size < stream.size(); size += 29) {
    const auto out = DecodeJpeg2000(header, ByteView(stream).first(size));
    if (out.ok()) CHECK(out->size() == 40 * 30 * 2);
  }
}

TEST_CASE("HTJ2K is decoded exactly") {
  const auto out = DecodeJpeg2000(HeaderOf(kRampRows, kRampColumns, 1, 8), ByteView(kRampHtj2k));
  if (!out.ok()) FAIL(out.refused().detail);
  for (std::uint32_t y = 0; y < kRampRows; ++y) {
    for (std::uint32_t x = 0; x < kRampColumns; ++x) {
      REQUIRE((*out)[y * kRampColumns + x] == RampAt(x, y));
    }
  }
}

TEST_CASE("RLE of colour and of 32 bits puts each byte of each sample in its place") {
  // Segments of one literal byte each, numbered from 1.
  const auto frame = [](std::size_t segments) {
    Bytes bytes(64, 0);
    StoreLe32(bytes.data(), static_cast<std::uint32_t>(segments));
    for (std::size_t i = 0; i < segments; ++i) {
      StoreLe32(bytes.data() + 4 + 4 * i, static_cast<std::uint32_t>(bytes.size()));
      bytes.insert(bytes.end(), {0, static_cast<std::uint8_t>(i + 1)});
    }
    return bytes;
  };
  CHECK(DecodeRle(frame(3), 1, 1, 3) == Bytes{1, 2, 3});
  CHECK(DecodeRle(frame(6), 1, 2, 3) == Bytes{2, 1, 4, 3, 6, 5});
  CHECK(DecodeRle(frame(4), 1, 4, 1) == Bytes{4, 3, 2, 1});
  CHECK_FALSE(DecodeRle(frame(5), 1, 2, 3).has_value());
}

}  // namespace consilium::datasets::dicom
