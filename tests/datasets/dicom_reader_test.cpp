#include "datasets/dicom/reader.h"

#include "common/base/random.h"
#include "datasets/dicom/writer.h"
#include "tests/catch.h"
#include "tests/datasets/dicom_bytes.h"

namespace consilium::datasets::dicom {
namespace {

NewInstance SampleInstance(int bits, bool is_signed) {
  NewInstance instance;
  instance.modality = "DX";
  instance.patient_id = "P1";
  instance.study_instance_uid = MakeUid("study");
  instance.series_instance_uid = MakeUid("series");
  instance.sop_instance_uid = MakeUid("instance");
  instance.rows = 37;
  instance.columns = 41;
  instance.bits_stored = bits;
  instance.is_signed = is_signed;
  SeededRandom random(static_cast<std::uint64_t>(bits));
  for (std::uint32_t i = 0; i < 37 * 41; ++i) {
    const int value = static_cast<int>(random.Below(1ull << bits));
    instance.values.push_back(is_signed ? value - (1 << (bits - 1)) : value);
  }
  return instance;
}

Refused ReasonFor(const DicomBytes& file) {
  TemporaryFolder folder;
  const auto read = ReadImage(file.Save(folder / "image.dcm"));
  return read.ok() ? Refused{} : read.refused();
}

}  // namespace

TEST_CASE("Every lossless transfer syntax gives back the stored values that were written") {
  const TransferSyntax syntax =
      GENERATE(TransferSyntax::kImplicitLittleEndian, TransferSyntax::kExplicitLittleEndian,
               TransferSyntax::kExplicitBigEndian, TransferSyntax::kDeflated, TransferSyntax::kRle,
               TransferSyntax::kJpegLossless, TransferSyntax::kJpegLosslessSv1,
               TransferSyntax::kJpegLsLossless);
  const int bits = GENERATE(8, 10, 12, 16);
  const bool is_signed = GENERATE(false, true);
  if (is_signed && syntax == TransferSyntax::kJpegLsLossless) return;
  NewInstance instance = SampleInstance(bits, is_signed);
  instance.transfer_syntax = syntax;
  INFO(Name(syntax) << ", " << bits << " bits, " << (is_signed ? "signed" : "unsigned"));
  TemporaryFolder folder;
  const absl::Status written = WriteFile(folder / "image.dcm", instance);
  INFO(written.ToString());
  REQUIRE(written.ok());
  const auto read = ReadStoredPixels(folder / "image.dcm");
  if (!read.ok()) FAIL(Phrase(read.refused().reason) << ": " << read.refused().detail);
  CHECK(read->header.transfer_syntax == syntax);
  CHECK(read->values == instance.values);
}

TEST_CASE("Lossy transfer syntaxes give back nearly what was written") {
  const auto [syntax, bits, bound] = GENERATE(
      table<TransferSyntax, int, double>({{TransferSyntax::kJpegBaseline, 8, 12.0},
                                          {TransferSyntax::kJpegExtended, 12, 200.0},
                                          {TransferSyntax::kJpegLsNearLossless, 12, 2.0}}));
  NewInstance instance = SampleInstance(bits, false);
  const int top = (1 << bits) - 1;
  for (std::uint32_t i = 0; i < instance.values.size(); ++i) {  // smooth, as images are
    instance.values[i] = static_cast<int>(top * (i % 41 + i / 41) / 80);
  }
  instance.transfer_syntax = syntax;
  TemporaryFolder folder;
  REQUIRE(WriteFile(folder / "image.dcm", instance).ok());
  const auto read = ReadStoredPixels(folder / "image.dcm");
  REQUIRE(read.ok());
  double worst = 0;
  for (std::size_t i = 0; i < instance.values.size(); ++i) {
    worst = std::max<double>(worst, std::abs(read->values[i] - instance.values[i]));
  }
  CHECK(worst <= bound);
}

TEST_CASE("A header says what was written") {
  NewInstance instance = SampleInstance(12, false);
  instance.view_position = "PA";
  instance.laterality = "L";
  instance.manufacturer = "Maker";
  instance.model = "Model 1";
  instance.monochrome1 = true;
  instance.row_spacing_mm = 0.5;
  instance.column_spacing_mm = 0.25;
  instance.slope = 2;
  instance.intercept = -10;
  instance.window = VoiWindow{100, 50, VoiWindow::Function::kSigmoid};
  TemporaryFolder folder;
  REQUIRE(WriteFile(folder / "image.dcm", instance).ok());
  const auto header = ReadHeader(folder / "image.dcm");
  REQUIRE(header.ok());
  CHECK(header->sop_instance_uid == instance.sop_instance_uid);
  CHECK(header->patient_id == "P1");
  CHECK(header->view_position == "PA");
  CHECK(header->laterality == "L");
  CHECK(header->model == "Model 1");
  CHECK(header->monochrome1);
  CHECK(header->row_spacing_mm == 0.5);
  CHECK(header->column_spacing_mm == 0.25);
  const auto image = ReadImage(folder / "image.dcm");
  REQUIRE(image.ok());
  CHECK(image->pixels[5] == 2.0f * static_cast<float>(instance.values[5]) - 10);
  REQUIRE(image->window.has_value());
  CHECK(image->window->width == 50);
  CHECK(image->window->function == VoiWindow::Function::kSigmoid);
}

TEST_CASE("A modality LUT sequence maps stored values, and values beyond its ends take the end's") {
  DicomBytes lut(std::string_view("x"));
  const std::size_t start = lut.bytes().size();
  lut.Tag(0x0028, 0x3002).Raw("US").Word(6).Word(2).Word(1).Word(16);
  lut.Tag(0x0028, 0x3006).Raw("US").Word(4).Word(500).Word(900);
  const std::string content = lut.bytes().substr(start);
  DicomBytes file = DicomBytes::Image();
  file.Pixels();
  file.LongClaiming(0x0028, 0x3000, "SQ", static_cast<std::uint32_t>(content.size() + 8));
  file.Tag(0xfffe, 0xe000).Word(static_cast<int>(content.size())).Word(0).Raw(content);
  file.PixelData();
  TemporaryFolder folder;
  const auto image = ReadImage(file.Save(folder / "image.dcm"));
  REQUIRE(image.ok());
  CHECK(image->pixels == std::vector<float>{500, 500, 900, 900});
}

TEST_CASE("Each fault of a file is refused for its own reason") {
  const auto image = [] { return DicomBytes::Image(); };
  CHECK(ReasonFor(image().Pixels().PixelData()).reason == Refusal::kNone);
  CHECK(ReasonFor(image().Pixels()).reason == Refusal::kNoPixelData);
  CHECK(ReasonFor(image().Pixels(3).PixelData(std::string(24, 1))).reason ==
        Refusal::kSeveralFrames);
  CHECK(ReasonFor(image().Pixels(1, 3, 8, 8, "CMYK").PixelData()).reason == Refusal::kColourImage);
  CHECK(ReasonFor(image().Pixels(1, 1, 24, 24).PixelData()).reason == Refusal::kUnsupportedBits);
  CHECK(ReasonFor(image().Pixels(1, 1, 16, 17).PixelData()).reason == Refusal::kUnsupportedBits);
  CHECK(ReasonFor(DicomBytes()
                      .Text(0x0008, 0x0016, "UI", "1.2.840.10008.5.1.4.1.1.66.4")
                      .Pixels()
                      .PixelData())
            .reason == Refusal::kNotForTraining);
  CHECK(ReasonFor(image().Pixels().PixelData("abcdef")).reason == Refusal::kDamaged);
  CHECK(ReasonFor(DicomBytes().Text(0x0008, 0x0060, "CS", "DX").Pixels().PixelData()).reason ==
        Refusal::kMissingSopInstanceUid);
  DicomBytes nobody;
  nobody.Text(0x0008, 0x0018, "UI", "1.2").Text(0x0008, 0x0060, "CS", "DX").Pixels().PixelData();
  CHECK(ReasonFor(nobody).reason == Refusal::kMissingPatientId);
  DicomBytes unsaid;
  unsaid.Text(0x0008, 0x0018, "UI", "1.2").Text(0x0010, 0x0020, "LO", "P").Pixels().PixelData();
  CHECK(ReasonFor(unsaid).reason == Refusal::kMissingModality);
  const Refused video = ReasonFor(DicomBytes::Image("1.2.840.10008.1.2.4.102"));
  CHECK(video.reason == Refusal::kUnsupportedTransferSyntax);
  CHECK(video.detail == "MPEG-4 AVC");
  TemporaryFolder folder;
  REQUIRE(WriteFileDurably(folder / "text", "not an image").ok());
  CHECK(ReadHeader(folder / "text").refused().reason == Refusal::kNotDicom);
  CHECK(ReadHeader(folder / "absent").refused().reason == Refusal::kUnreadable);
}

TEST_CASE("A length beyond the end of the file is refused before anything is allocated for it") {
  for (const std::uint32_t claim : {0x20000000u, 0xfffffffeu}) {
    const Refused top = ReasonFor(DicomBytes::Image().LongClaiming(0x0009, 0x1000, "OB", claim));
    CHECK(top.reason == Refusal::kDamaged);
    CHECK(top.detail.find("claims") != std::string::npos);
    DicomBytes nested = DicomBytes::Image();
    nested.LongClaiming(0x0008, 0x1140, "SQ", 0xffffffff)
        .Tag(0xfffe, 0xe000)
        .Word(0xffff)
        .Word(0xffff);
    nested.LongClaiming(0x0009, 0x1000, "OB", claim);
    CHECK(ReasonFor(nested).reason == Refusal::kDamaged);
  }
}

TEST_CASE("Endless nesting is refused") {
  DicomBytes file = DicomBytes::Image();
  for (int i = 0; i < 5000; ++i) {
    file.LongClaiming(0x0008, 0x1140, "SQ", 0xffffffff)
        .Tag(0xfffe, 0xe000)
        .Word(0xffff)
        .Word(0xffff);
  }
  CHECK(ReasonFor(file).reason == Refusal::kDamaged);
}

TEST_CASE("A file cut anywhere is refused or read, and never crashes") {
  NewInstance instance = SampleInstance(12, false);
  instance.transfer_syntax = GENERATE(TransferSyntax::kExplicitLittleEndian, TransferSyntax::kRle,
                                      TransferSyntax::kJpegLosslessSv1, TransferSyntax::kDeflated);
  TemporaryFolder folder;
  REQUIRE(WriteFile(folder / "whole.dcm", instance).ok());
  const auto whole = ReadFile(folder / "whole.dcm");
  REQUIRE(whole.ok());
  for (std::size_t size = 0; size < whole->size(); size += 97) {
    REQUIRE(WriteFileDurably(folder / "cut.dcm", ByteView(*whole).first(size)).ok());
    CHECK_FALSE(ReadImage(folder / "cut.dcm").ok());
  }
}

TEST_CASE("A JPEG stream of another size than the header says is refused before it is decoded") {
  NewInstance instance = SampleInstance(8, false);
  instance.transfer_syntax = TransferSyntax::kJpegBaseline;
  TemporaryFolder folder;
  REQUIRE(WriteFile(folder / "image.dcm", instance).ok());
  auto bytes = ReadTextFile(folder / "image.dcm");
  REQUIRE(bytes.ok());
  const auto frame = bytes->find("\xff\xc0");
  REQUIRE(frame != std::string::npos);
  bytes->replace(frame + 5, 4, "\x7f\xff\x7f\xff");
  REQUIRE(WriteFileDurably(folder / "image.dcm", *bytes).ok());
  const auto read = ReadImage(folder / "image.dcm");
  REQUIRE_FALSE(read.ok());
  CHECK(read.refused().reason == Refusal::kDamaged);
}

}  // namespace consilium::datasets::dicom
