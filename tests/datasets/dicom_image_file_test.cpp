#include "datasets/dicom/image_file.h"

#include <limits>

#include "datasets/dicom/jpeg2000.h"
#include "tests/catch.h"
#include "tests/datasets/dicom_bytes.h"

namespace consilium::datasets::dicom {
namespace {

using Values = std::vector<int>;

constexpr std::string_view kBigEndian = "1.2.840.10008.1.2.2";

OrRefused<ImageFile> TryOpen(const DicomBytes& file) {
  const ByteView bytes = AsBytes(file.bytes());
  auto data_set = DataSet::Read(ByteSource(Bytes(bytes.begin(), bytes.end())));
  if (!data_set.ok()) return data_set.refused();
  return ImageFile::Open(std::move(*data_set));
}

ImageFile Opened(const DicomBytes& file) {
  auto opened = TryOpen(file);
  if (!opened.ok()) FAIL(Phrase(opened.refused().reason) << ": " << opened.refused().detail);
  return std::move(*opened);
}

Values StoredOf(const DicomBytes& file, std::uint32_t frame = 0) {
  ImageFile image = Opened(file);
  const auto stored = image.ReadStored(frame);
  if (!stored.ok()) FAIL(Phrase(stored.refused().reason) << ": " << stored.refused().detail);
  return stored->As<int>();
}

std::string_view Raw(const std::vector<std::uint8_t>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The image pixel module of rows x columns pixels.
DicomBytes& Describe(DicomBytes& file, int rows, int columns, int samples, int allocated,
                     int stored, std::string_view photometric, bool is_signed = false,
                     int frames = 1, int planar = 0) {
  file.Number(0x0028, 0x0002, samples).Text(0x0028, 0x0004, "CS", photometric);
  file.Number(0x0028, 0x0006, planar).Text(0x0028, 0x0008, "IS", std::to_string(frames));
  file.Number(0x0028, 0x0010, rows).Number(0x0028, 0x0011, columns);
  file.Number(0x0028, 0x0100, allocated).Number(0x0028, 0x0101, stored);
  return file.Number(0x0028, 0x0102, stored - 1).Number(0x0028, 0x0103, is_signed ? 1 : 0);
}

DicomBytes Grey(int rows, int columns, int allocated, int stored, bool is_signed = false,
                int frames = 1) {
  DicomBytes file = DicomBytes::Image();
  return Describe(file, rows, columns, 1, allocated, stored, "MONOCHROME2", is_signed, frames);
}

// Encapsulated pixel data: an offset table, then fragments.
DicomBytes& Encapsulated(DicomBytes& file, const std::vector<std::uint32_t>& offsets,
                         const std::vector<Bytes>& fragments) {
  const auto item = [&](ByteView content) {
    file.Tag(0xfffe, 0xe000).Word(static_cast<int>(content.size() & 0xffff));
    file.Word(static_cast<int>(content.size() >> 16)).Raw(AsText(content));
  };
  file.LongClaiming(0x7fe0, 0x0010, "OB", 0xffffffff);
  Bytes table(4 * offsets.size());
  for (std::size_t i = 0; i < offsets.size(); ++i) StoreLe32(table.data() + 4 * i, offsets[i]);
  item(table);
  for (const Bytes& fragment : fragments) item(fragment);
  return file.Tag(0xfffe, 0xe0dd).Word(0).Word(0);
}

// A frame of 4x4 pixels of one value, as JPEG 2000.
Bytes Uniform(std::uint8_t value) {
  Header header;
  header.rows = header.columns = 4;
  header.bits_allocated = header.bits_stored = 8;
  Bytes frame = EncodeJpeg2000(header, Bytes(16, value));
  frame.resize((frame.size() + 3) / 2 * 2, 0);
  return frame;
}

DicomBytes Compressed(int frames) {
  DicomBytes file = DicomBytes::Image("1.2.840.10008.1.2.4.90");
  return Describe(file, 4, 4, 1, 8, 8, "MONOCHROME2", false, frames);
}

// A sequence of one item that holds what `fill` writes.
template <class Function>
DicomBytes& Sequence(DicomBytes& file, int group, int element, Function fill) {
  file.LongClaiming(group, element, "SQ", 0xffffffff);
  file.Tag(0xfffe, 0xe000).Word(0xffff).Word(0xffff);
  fill();
  file.Tag(0xfffe, 0xe00d).Word(0).Word(0);
  return file.Tag(0xfffe, 0xe0dd).Word(0).Word(0);
}

}  // namespace

TEST_CASE("One-bit frames follow each other without a gap, from the least significant bit on") {
  DicomBytes file = Grey(1, 5, 1, 1, false, 3);
  file.Long(0x7fe0, 0x0010, "OB", Raw({0b0100'1101, 0b0111'1110}));
  CHECK(StoredOf(file, 0) == Values{1, 0, 1, 1, 0});
  CHECK(StoredOf(file, 1) == Values{0, 1, 0, 0, 1});
  CHECK(StoredOf(file, 2) == Values{1, 1, 1, 1, 1});
}

TEST_CASE("Values of 1 to 32 stored bits are cut out below the high bit and sign-extended") {
  DicomBytes twelve = Grey(1, 2, 16, 12, true);
  twelve.Long(0x7fe0, 0x0010, "OW", Raw({0xff, 0xff, 0xff, 0xf7}));
  CHECK(StoredOf(twelve) == Values{-1, 2047});
  DicomBytes three = Grey(1, 2, 8, 3, true);
  three.Long(0x7fe0, 0x0010, "OB", Raw({0x04, 0xfb}));
  CHECK(StoredOf(three) == Values{-4, 3});
  DicomBytes wide = Grey(1, 2, 32, 32, true);
  wide.Long(0x7fe0, 0x0010, "OW", Raw({0xfe, 0xff, 0xff, 0xff, 1, 0, 0, 0x40}));
  CHECK(StoredOf(wide) == Values{-2, 0x40000001});
  DicomBytes wide_unsigned = Grey(1, 1, 32, 32);
  wide_unsigned.Long(0x7fe0, 0x0010, "OW", Raw({0xff, 0xff, 0xff, 0xff}));
  CHECK(Opened(wide_unsigned).ReadStored(0)->As<double>() == std::vector<double>{4294967295.0});
}

TEST_CASE("Big endian bytes in words change places, wherever a frame starts") {
  const auto big = [](int v) {
    return std::string{static_cast<char>(v >> 8), static_cast<char>(v)};
  };
  const auto number = [&](int element, int value) {
    return big(0x0028) + big(element) + "US" + big(2) + big(value);
  };
  DicomBytes file{kBigEndian};
  file.Raw(number(0x0002, 1) + big(0x0028) + big(0x0004) + "CS" + big(12) + "MONOCHROME2 ");
  file.Raw(big(0x0028) + big(0x0008) + "IS" + big(2) + "2 ");
  file.Raw(number(0x0010, 1) + number(0x0011, 3) + number(0x0100, 8) + number(0x0101, 8));
  file.Raw(big(0x7fe0) + big(0x0010) + "OW" + big(0) + big(0) + big(6));
  file.Raw(Raw({2, 1, 4, 3, 6, 5}));
  CHECK(StoredOf(file, 0) == Values{1, 2, 3});
  CHECK(StoredOf(file, 1) == Values{4, 5, 6});
}

TEST_CASE("Colour is read pixel by pixel whatever its planar configuration") {
  for (const int planar : {0, 1}) {
    DicomBytes file = DicomBytes::Image();
    Describe(file, 1, 2, 3, 8, 8, "RGB", false, 1, planar);
    file.Long(0x7fe0, 0x0010, "OB",
              planar == 1 ? Raw({10, 40, 20, 50, 30, 60}) : Raw({10, 20, 30, 40, 50, 60}));
    CHECK(StoredOf(file) == Values{10, 20, 30, 40, 50, 60});
    const auto grey = Opened(file).ReadModality(0);
    REQUIRE(grey.ok());
    CHECK(grey->pixels[0] == Approx(0.299 * 10 + 0.587 * 20 + 0.114 * 30));
  }
}

TEST_CASE("Chrominance that is stored for two pixels is given to both") {
  DicomBytes file = DicomBytes::Image();
  Describe(file, 1, 2, 3, 8, 8, "YBR_FULL_422");
  file.Long(0x7fe0, 0x0010, "OB", Raw({100, 200, 128, 228}));
  CHECK(StoredOf(file) == Values{100, 128, 228, 200, 128, 228});
  const auto rgb = Opened(file).ReadRgb(0);
  REQUIRE(rgb.ok());
  CHECK(rgb->values[0] == 240);  // 100 + 1.402 * 100
  CHECK(rgb->values[1] == 29);   // 100 - 0.714 * 100
  CHECK(rgb->values[2] == 100);
  CHECK(rgb->values[3] == 255);
}

TEST_CASE("A palette gives each index its colour, also a segmented one") {
  const bool segmented = GENERATE(false, true);
  DicomBytes file = DicomBytes::Image();
  Describe(file, 1, 4, 1, 8, 8, "PALETTE COLOR");
  for (const int element : {0x1101, 0x1102, 0x1103}) {
    file.Tag(0x0028, element).Raw("US").Word(6).Word(4).Word(1).Word(16);
  }
  for (const int element : {0x1201, 0x1202, 0x1203}) {
    if (segmented) {  // one discrete entry, then three on a line to the end
      file.Long(0x0028, element + 0x20, "OW", Raw({0, 0, 1, 0, 100, 0, 1, 0, 3, 0, 0x90, 1}));
    } else {
      file.Long(0x0028, element, "OW", Raw({100, 0, 200, 0, 0x2c, 1, 0x90, 1}));
    }
  }
  file.Long(0x7fe0, 0x0010, "OB", Raw({0, 1, 2, 9}));
  const auto rgb = Opened(file).ReadRgb(0);
  if (!rgb.ok()) FAIL(rgb.refused().detail);
  CHECK(rgb->bits == 16);
  CHECK(rgb->values ==
        std::vector<std::uint16_t>{100, 100, 100, 100, 100, 100, 200, 200, 200, 400, 400, 400});
}

TEST_CASE("Floating point pixels are read, and what is no number is padding") {
  const float values[] = {1.5f, -2.25f, std::numeric_limits<float>::quiet_NaN()};
  DicomBytes file = Grey(1, 3, 32, 32);
  file.Long(0x7fe0, 0x0008, "OF", {reinterpret_cast<const char*>(values), sizeof values});
  const auto image = Opened(file).ReadModality(0);
  REQUIRE(image.ok());
  CHECK(image->pixels == std::vector<float>{1.5f, -2.25f, 0});
  CHECK(image->padding == std::vector<bool>{false, false, true});
  const double wide[] = {1e-3};
  DicomBytes one = Grey(1, 1, 64, 64);
  one.Long(0x7fe0, 0x0009, "OD", {reinterpret_cast<const char*>(wide), sizeof wide});
  CHECK(Opened(one).ReadStored(0)->As<double>() == std::vector<double>{1e-3});
}

TEST_CASE("Padding is a value or a range of stored values") {
  DicomBytes file = Grey(1, 4, 16, 16, true);
  file.Tag(0x0028, 0x0120).Raw("SS").Word(2).Word(0xf830);  // -2000
  file.Tag(0x0028, 0x0121).Raw("SS").Word(2).Word(0xf81c);  // -2020
  file.Long(0x7fe0, 0x0010, "OW", Raw({0x30, 0xf8, 0x26, 0xf8, 0x31, 0xf8, 1, 0}));
  const auto image = Opened(file).ReadModality(0);
  REQUIRE(image.ok());
  CHECK(image->padding == std::vector<bool>{true, true, false, false});
}

TEST_CASE("A surplus shorter than a frame is padding, a whole further frame a contradiction") {
  DicomBytes padded = Grey(1, 4, 8, 8);
  padded.Long(0x7fe0, 0x0010, "OB", Raw({1, 2, 3, 4, 0, 0}));
  CHECK(StoredOf(padded) == Values{1, 2, 3, 4});
  DicomBytes longer = Grey(1, 4, 8, 8);
  longer.Long(0x7fe0, 0x0010, "OB", Raw({1, 2, 3, 4, 5, 6, 7, 8}));
  CHECK(TryOpen(longer).refused().reason == Refusal::kDamaged);
  DicomBytes shorter = Grey(1, 4, 8, 8);
  shorter.Long(0x7fe0, 0x0010, "OB", Raw({1, 2}));
  CHECK(TryOpen(shorter).refused().reason == Refusal::kDamaged);
  DicomBytes endless = Grey(1, 4, 8, 8, false, 99'999'999);
  endless.Long(0x7fe0, 0x0010, "OB", Raw({1, 2, 3, 4}));
  CHECK(TryOpen(endless).refused().reason == Refusal::kDamaged);
}

TEST_CASE("Frames are told apart by fragments, by either offset table, or by where streams start") {
  const Bytes one = Uniform(1), two = Uniform(2);
  const auto half = static_cast<std::ptrdiff_t>(one.size() / 4 * 2);
  const Bytes first(one.begin(), one.begin() + half), rest(one.begin() + half, one.end());
  const auto second = static_cast<std::uint32_t>(one.size() + 16);  // two item heads before it
  DicomBytes each = Compressed(2);
  DicomBytes basic = Compressed(2), streams = Compressed(2), extended = Compressed(2);
  Bytes table(16, 0);
  StoreLe32(table.data() + 8, second);
  extended.Long(0x7fe0, 0x0001, "OV", AsText(table));
  Encapsulated(each, {}, {one, two});
  Encapsulated(basic, {0, second}, {first, rest, two});
  Encapsulated(streams, {}, {first, rest, two});
  Encapsulated(extended, {}, {first, rest, two});
  for (const DicomBytes& file : {each, basic, streams, extended}) {
    CHECK(StoredOf(file, 0) == Values(16, 1));
    CHECK(StoredOf(file, 1) == Values(16, 2));
  }
  DicomBytes wrong_table = Compressed(2);
  Encapsulated(wrong_table, {0, 17}, {first, rest, two});  // the streams still tell
  CHECK(StoredOf(wrong_table, 1) == Values(16, 2));
  DicomBytes too_few = Compressed(3);
  Encapsulated(too_few, {}, {one, two});
  CHECK(TryOpen(too_few).refused().reason == Refusal::kDamaged);
}

TEST_CASE("A single frame may lie in several fragments") {
  const Bytes one = Uniform(9);
  DicomBytes file = Compressed(1);
  Encapsulated(file, {0},
               {Bytes(one.begin(), one.begin() + 20), Bytes(one.begin() + 20, one.end())});
  CHECK(StoredOf(file) == Values(16, 9));
}

TEST_CASE("What a frame's functional groups say comes before the shared ones and the top level") {
  DicomBytes file = Grey(1, 1, 16, 16, false, 2);
  file.Text(0x0028, 0x1050, "DS", "1").Text(0x0028, 0x1051, "DS", "2");
  Sequence(file, 0x5200, 0x9229, [&] {
    Sequence(file, 0x0028, 0x9110, [&] { file.Text(0x0028, 0x0030, "DS", "0.5\\0.25"); });
    Sequence(file, 0x0028, 0x9145, [&] {
      file.Text(0x0028, 0x1052, "DS", "-1000").Text(0x0028, 0x1053, "DS", "1");
      file.Text(0x0028, 0x1054, "LO", "HU");
    });
  });
  file.LongClaiming(0x5200, 0x9230, "SQ", 0xffffffff);
  for (const int frame : {1, 2}) {
    file.Tag(0xfffe, 0xe000).Word(0xffff).Word(0xffff);
    Sequence(file, 0x0020, 0x9113,
             [&] { file.Text(0x0020, 0x0032, "DS", "0\\0\\" + std::to_string(frame)); });
    if (frame == 2) {
      Sequence(file, 0x0028, 0x9132, [&] {
        file.Text(0x0028, 0x1050, "DS", "40\\300").Text(0x0028, 0x1051, "DS", "400\\1500");
      });
      Sequence(file, 0x0028, 0x9145,
               [&] { file.Text(0x0028, 0x1052, "DS", "5").Text(0x0028, 0x1053, "DS", "2"); });
    }
    file.Tag(0xfffe, 0xe00d).Word(0).Word(0);
  }
  file.Tag(0xfffe, 0xe0dd).Word(0).Word(0);
  file.Long(0x7fe0, 0x0010, "OW", Raw({7, 0, 8, 0}));
  ImageFile image = Opened(file);
  const auto first = image.Describe(0), second = image.Describe(1);
  REQUIRE(first.ok());
  REQUIRE(second.ok());
  CHECK(first->column_spacing_mm == 0.25);
  CHECK(first->position == std::array<double, 3>{0, 0, 1});
  CHECK(first->rescale_type == "HU");
  REQUIRE(first->windows.size() == 1);
  CHECK(first->windows[0].center == 1);
  REQUIRE(second->windows.size() == 2);
  CHECK(second->windows[1].width == 1500);
  CHECK(image.ReadModality(0)->pixels == std::vector<float>{-993});
  CHECK(image.ReadModality(1)->pixels == std::vector<float>{21});
  CHECK(image.ReadModality(1)->window->center == 40);
}

TEST_CASE("A VOI LUT maps modality values to brightness") {
  DicomBytes file = Grey(1, 1, 8, 8);
  Sequence(file, 0x0028, 0x3010, [&] {
    file.Tag(0x0028, 0x3002).Raw("US").Word(6).Word(2).Word(10).Word(8);
    file.Tag(0x0028, 0x3006).Raw("US").Word(4).Word(0).Word(255);
  });
  file.Long(0x7fe0, 0x0010, "OB", Raw({1, 0}));
  const auto image = Opened(file).ReadModality(0);
  REQUIRE(image.ok());
  REQUIRE(image->voi_lut.has_value());
  CHECK(image->voi_lut->first == 10);
  CHECK(image->voi_lut->brightness == std::vector<float>{0, 1});
}

TEST_CASE("A real world value mapping gives measurements with their unit") {
  const double slope = 0.5, intercept = -1;
  const auto bytes = [](const double& v) {
    return std::string(reinterpret_cast<const char*>(&v), 8);
  };
  DicomBytes file = Grey(1, 1, 16, 16);
  Sequence(file, 0x0040, 0x9096, [&] {
    Sequence(file, 0x0040, 0x08ea, [&] { file.Text(0x0008, 0x0100, "SH", "mm2/s"); });
    file.Number(0x0040, 0x9211, 100).Number(0x0040, 0x9216, 10);
    file.Tag(0x0040, 0x9224).Raw("FD").Word(8).Raw(bytes(intercept));
    file.Tag(0x0040, 0x9225).Raw("FD").Word(8).Raw(bytes(slope));
  });
  file.Long(0x7fe0, 0x0010, "OW", Raw({1, 0}));
  const auto description = Opened(file).Describe(0);
  REQUIRE(description.ok());
  REQUIRE(description->real_world.size() == 1);
  const RealWorldMapping& mapping = description->real_world[0];
  CHECK(mapping.unit == "mm2/s");
  CHECK(mapping(20) == 9);
  CHECK_FALSE(mapping(101));
}

TEST_CASE("Overlays are masks, of their own bits or of unused bits of the pixels") {
  DicomBytes own = Grey(2, 2, 8, 8);
  own.Number(0x6000, 0x0010, 1).Number(0x6000, 0x0011, 2).Text(0x6000, 0x0040, "CS", "R");
  own.Tag(0x6000, 0x0050).Raw("SS").Word(4).Word(2).Word(1);
  own.Number(0x6000, 0x0100, 1).Number(0x6000, 0x0102, 0);
  own.Long(0x6000, 0x3000, "OW", Raw({0b10, 0}));
  own.Long(0x7fe0, 0x0010, "OB", Raw({0, 0, 0, 0}));
  const auto overlays = Opened(own).ReadOverlays(0);
  REQUIRE(overlays.ok());
  REQUIRE(overlays->size() == 1);
  CHECK(overlays->front().region);
  CHECK(overlays->front().mask == std::vector<bool>{false, true});
  CHECK(overlays->front().OnImage(2, 2) == std::vector<bool>{false, false, false, true});

  DicomBytes embedded = Grey(1, 2, 16, 12);
  embedded.Number(0x6002, 0x0010, 1).Number(0x6002, 0x0011, 2);
  embedded.Number(0x6002, 0x0100, 16).Number(0x6002, 0x0102, 15);
  embedded.Long(0x7fe0, 0x0010, "OW", Raw({1, 0x80, 2, 0}));
  const auto inside = Opened(embedded).ReadOverlays(0);
  REQUIRE(inside.ok());
  REQUIRE(inside->size() == 1);
  CHECK(inside->front().mask == std::vector<bool>{true, false});
  CHECK(StoredOf(embedded) == Values{1, 2});
}

TEST_CASE("A data set that is implicit where its syntax says explicit is read") {
  DicomBytes claims;  // explicit little endian
  const auto number = [&](int element, int value) {
    claims.Tag(0x0028, element).Word(2).Word(0).Word(value);
  };
  claims.Tag(0x0008, 0x0060).Word(2).Word(0).Raw("CT");
  number(0x0002, 1);
  claims.Tag(0x0028, 0x0004).Word(12).Word(0).Raw("MONOCHROME2 ");
  number(0x0010, 1);
  number(0x0011, 2);
  number(0x0100, 8);
  number(0x0101, 8);
  claims.Tag(0x7fe0, 0x0010).Word(2).Word(0).Raw(Raw({5, 6}));
  CHECK(StoredOf(claims) == Values{5, 6});
}

}  // namespace consilium::datasets::dicom
