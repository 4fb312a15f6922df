#include "datasets/dicom/data_set.h"

#include "tests/catch.h"
#include "tests/datasets/dicom_bytes.h"

namespace consilium::datasets::dicom {
namespace {

constexpr std::uint32_t kSequence = Tag(0x0040, 0xa730), kNumeric = Tag(0x0040, 0xa30a);
constexpr std::string_view kTwoFloats("\0\0\x80\x3f\0\0\x20\xc1", 8);  // 1 and -10

DataSet Opened(const DicomBytes& file) {
  auto data_set =
      DataSet::Read(ByteSource(Bytes(AsBytes(file.bytes()).begin(), AsBytes(file.bytes()).end())));
  if (!data_set.ok()) FAIL(data_set.refused().detail);
  return std::move(*data_set);
}

DicomBytes& Undefined(DicomBytes& file, int group, int element) {
  return file.LongClaiming(group, element, "SQ", 0xffffffff);
}
DicomBytes& Item(DicomBytes& file) { return file.Tag(0xfffe, 0xe000).Word(0xffff).Word(0xffff); }
DicomBytes& EndItem(DicomBytes& file) { return file.Tag(0xfffe, 0xe00d).Word(0).Word(0); }
DicomBytes& EndSequence(DicomBytes& file) { return file.Tag(0xfffe, 0xe0dd).Word(0).Word(0); }

}  // namespace

TEST_CASE("The items of a sequence are data sets with sequences of their own") {
  DicomBytes file = DicomBytes::Image();
  Undefined(file, 0x0040, 0xa730);
  for (const char* number : {"1.5\\-2", "7"}) {
    Item(file).Text(0x0040, 0xa30a, "DS", number);
    Undefined(file, 0x0040, 0xa730);
    Item(file).Number(0x0028, 0x0010, 12);
    EndItem(file);
    EndSequence(file);
    EndItem(file);
  }
  EndSequence(file);
  const DataSet data_set = Opened(file);
  const auto items = data_set.Sequence(kSequence);
  REQUIRE(items.ok());
  REQUIRE(items->size() == 2);
  CHECK(items->front().Numbers(kNumeric) == std::vector<double>{1.5, -2});
  CHECK(items->front().Number(kNumeric, 1) == -2);
  CHECK(items->back().Texts(kNumeric) == std::vector<std::string>{"7"});
  const auto inner = items->back().Sequence(kSequence);
  REQUIRE(inner.ok());
  REQUIRE(inner->size() == 1);
  CHECK(inner->front().Unsigned16(Tag(0x0028, 0x0010)) == 12);
  CHECK(items->back().FirstItem(kSequence).Number(Tag(0x0028, 0x0010)) == 12);
  CHECK(data_set.FirstItem(Tag(0x0040, 0x0555)).elements().empty());
  CHECK(data_set.Sequence(Tag(0x0040, 0x0555))->empty());
}

TEST_CASE(
    "Numbers are read by the VR that the file says, or by the standard's where it is silent") {
  DicomBytes file = DicomBytes::Image();
  file.Tag(0x0018, 0x9087).Raw("FL").Word(8).Raw(kTwoFloats);
  file.Tag(0x0028, 0x0009).Raw("AT").Word(4).Word(0x0018).Word(0x1063);
  file.Tag(0x0028, 0x0106).Raw("SS").Word(2).Word(0xfffe);
  const DataSet said = Opened(file);
  CHECK(said.Numbers(Tag(0x0018, 0x9087), "FD") == std::vector<double>{1, -10});
  CHECK(said.Number(Tag(0x0028, 0x0009)) == 0x00181063);
  CHECK(said.Number(Tag(0x0028, 0x0106), 0, "US") == -2);
  CHECK_FALSE(said.Number(Tag(0x0028, 0x0106), 1));

  DicomBytes implicit("1.2.840.10008.1.2");
  implicit.Tag(0x0018, 0x9087).Word(8).Word(0).Raw(kTwoFloats);
  const DataSet silent = Opened(implicit);
  CHECK(silent.Number(Tag(0x0018, 0x9087), 1, "FL") == -10);
  CHECK_FALSE(silent.Number(Tag(0x0018, 0x9087)));  // no DS
}

TEST_CASE("What is in an element of unknown VR is implicit VR little endian") {
  DicomBytes file = DicomBytes::Image();
  file.LongClaiming(0x0040, 0xa730, "UN", 18).Tag(0xfffe, 0xe000).Word(10).Word(0);
  file.Tag(0x0028, 0x0010).Word(2).Word(0).Word(77);
  const DataSet item = Opened(file).FirstItem(kSequence);
  CHECK(item.Unsigned16(Tag(0x0028, 0x0010)) == 77);
}

TEST_CASE("An item that claims more than its sequence holds is damaged") {
  DicomBytes file = DicomBytes::Image();
  file.LongClaiming(0x0040, 0xa730, "SQ", 8).Tag(0xfffe, 0xe000).Word(64).Word(0);
  file.Long(0x0042, 0x0011, "OB", std::string(100, 'x'));
  const DataSet data_set = Opened(file);
  const auto items = data_set.Sequence(kSequence);
  REQUIRE_FALSE(items.ok());
  CHECK(items.refused().reason == Refusal::kDamaged);
  CHECK(data_set.FirstItem(kSequence).elements().empty());
}

TEST_CASE("Sequences of stated length that are nested without end are read to a limit") {
  std::string nested;
  for (int i = 0; i < 200; ++i) {
    const auto outer = static_cast<std::uint32_t>(nested.size());
    DicomBytes level;
    const std::size_t start = level.bytes().size();
    level.LongClaiming(0x0040, 0xa730, "SQ", outer + 8).Tag(0xfffe, 0xe000);
    level.Word(static_cast<int>(outer & 0xffff)).Word(static_cast<int>(outer >> 16)).Raw(nested);
    nested = level.bytes().substr(start);
  }
  DicomBytes file = DicomBytes::Image();
  DataSet data_set = Opened(file.Raw(nested));
  int depth = 0;
  while (true) {
    auto items = data_set.Sequence(kSequence);
    if (!items.ok()) break;
    REQUIRE(items->size() == 1);
    data_set = items->front();
    ++depth;
  }
  CHECK(depth == 64);
}

TEST_CASE("A data set without preamble and file meta information is read as what it looks like") {
  DicomBytes whole;
  const std::size_t start = whole.bytes().size();
  whole.Text(0x0008, 0x0060, "CS", "MR");
  for (const std::string& text :
       {whole.bytes().substr(start), std::string("\x08\0\x60\0\2\0\0\0MR", 10),
        std::string("\0\x08\0\x60"
                    "CS\0\2MR",
                    10)}) {
    const auto data_set = DataSet::Read(ByteSource(Bytes(text.begin(), text.end())));
    REQUIRE(data_set.ok());
    CHECK(data_set->Text(Tag(0x0008, 0x0060)) == "MR");
  }
}

}  // namespace consilium::datasets::dicom
