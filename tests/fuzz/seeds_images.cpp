#include <png.h>
#include <zlib.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
// jpeglib.h takes std::FILE and size_t for given.
#include <jpeglib.h>

#include "datasets/dicom/writer.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/seeds.h"

namespace consilium::fuzz {
namespace {

using datasets::dicom::NewInstance;
using datasets::dicom::TransferSyntax;

constexpr std::uint32_t kSide = 16;

NewInstance SmallImage() {
  NewInstance instance{.modality = "DX", .patient_id = "P1", .view_position = "PA"};
  instance.study_instance_uid = datasets::dicom::MakeUid("study");
  instance.series_instance_uid = datasets::dicom::MakeUid("series");
  instance.sop_instance_uid = datasets::dicom::MakeUid("image");
  instance.rows = instance.columns = kSide;
  for (std::uint32_t i = 0; i < kSide * kSide; ++i) {
    instance.values.push_back(static_cast<std::int32_t>(i * 13 % 200));
  }
  instance.bits_stored = 12;
  instance.row_spacing_mm = instance.column_spacing_mm = 0.5;
  instance.window.emplace(datasets::VoiWindow{100, 200});
  return instance;
}

void SeedDicom(std::string_view name, const NewInstance& instance) {
  const fs::path file = ScratchFolder() / "seed.dcm";
  FUZZ_EXPECT(datasets::dicom::WriteFile(file, instance).ok());
  Seed("dicom", name, *ReadFile(file));
}

void SeedDicoms() {
  NewInstance instance = SmallImage();
  for (const TransferSyntax syntax :
       {TransferSyntax::kImplicitLittleEndian, TransferSyntax::kExplicitLittleEndian,
        TransferSyntax::kExplicitBigEndian, TransferSyntax::kDeflated, TransferSyntax::kRle,
        TransferSyntax::kJpegExtended, TransferSyntax::kJpegLossless,
        TransferSyntax::kJpegLosslessSv1, TransferSyntax::kJpegLsLossless,
        TransferSyntax::kJpeg2000Lossless}) {
    instance.transfer_syntax = syntax;
    SeedDicom(StrCat("syntax-", static_cast<int>(syntax)), instance);
  }
  instance.bits_stored = 8;
  instance.transfer_syntax = TransferSyntax::kJpegBaseline;
  SeedDicom("jpeg-baseline", instance);
  instance.transfer_syntax = TransferSyntax::kExplicitLittleEndian;
  instance.monochrome1 = true;
  instance.slope = 2.5, instance.intercept = -10;
  SeedDicom("eight-bits", instance);
}

void SeedRle() {
  Bytes frame(64);
  StoreLe32(frame.data(), 1);
  StoreLe32(frame.data() + 4, 64);
  frame.insert(frame.end(), {3, 1, 2, 3, 4, 0xfd, 9});  // four bytes, then one of them four times
  Bytes input = {0, 8, 0, 0};                           // a sample of one byte, eight pixels
  input.insert(input.end(), frame.begin(), frame.end());
  Seed("rle", "eight-pixels", input);
}

void SeedPng(std::string_view name, std::uint32_t format) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = image.height = kSide;
  image.format = format;
  Bytes samples(PNG_IMAGE_SIZE(image));
  for (std::size_t i = 0; i < samples.size(); ++i) samples[i] = static_cast<std::uint8_t>(i * 7);
  Bytes file(PNG_IMAGE_PNG_SIZE_MAX(image) + 1);
  png_alloc_size_t size = file.size() - 1;
  FUZZ_EXPECT(png_image_write_to_memory(&image, file.data() + 1, &size, 0, samples.data(), 0,
                                        nullptr) != 0);
  file.resize(1 + size);
  file[0] = 0;
  Seed("image_import", name, file);
}

void SeedJpeg(std::string_view name, bool colour) {
  jpeg_compress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &bytes, &size);
  jpeg.image_width = jpeg.image_height = kSide;
  jpeg.input_components = colour ? 3 : 1;
  jpeg.in_color_space = colour ? JCS_RGB : JCS_GRAYSCALE;
  jpeg_set_defaults(&jpeg);
  if (colour) jpeg_simple_progression(&jpeg);
  jpeg_start_compress(&jpeg, TRUE);
  for (std::uint32_t row = 0; row < kSide; ++row) {
    Bytes line(kSide * 3, static_cast<std::uint8_t>(row * 15));
    JSAMPROW lines = line.data();
    jpeg_write_scanlines(&jpeg, &lines, 1);
  }
  jpeg_finish_compress(&jpeg);
  Seed("image_import", name, "\1" + std::string(AsText({bytes, size})));
  jpeg_destroy_compress(&jpeg);
  std::free(bytes);
}

// NIfTI-1: https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h
Bytes NiftiOf(std::int16_t datatype, std::int16_t bits) {
  constexpr std::size_t kHeaderBytes = 352;
  const std::size_t voxels = 4 * 4 * 2;
  Bytes file(kHeaderBytes + voxels * static_cast<std::size_t>(bits) / 8);
  const auto put16 = [&](std::size_t at, std::int16_t value) {
    std::memcpy(&file[at], &value, sizeof value);
  };
  const auto put_real = [&](std::size_t at, float value) {
    std::memcpy(&file[at], &value, sizeof value);
  };
  StoreLe32(file.data(), 348);
  const std::int16_t dimensions[] = {3, 4, 4, 2, 1, 1, 1, 1};
  for (std::size_t i = 0; i < 8; ++i) put16(40 + 2 * i, dimensions[i]);
  put16(70, datatype);
  put16(72, bits);
  for (std::size_t i = 0; i < 4; ++i) put_real(76 + 4 * i, 1.5f);
  put_real(108, kHeaderBytes);
  put_real(112, 2);
  std::memcpy(&file[344], "n+1", 4);
  return file;
}

void SeedNifti() {
  const Bytes file = NiftiOf(4, 16);
  Seed("image_import", "nifti-int16", "\2" + std::string(AsText(file)));
  Seed("image_import", "nifti-float64", "\2" + std::string(AsText(NiftiOf(64, 64))));
  const fs::path compressed = ScratchFolder() / "seed.nii.gz";
  const gzFile gz = gzopen(compressed.c_str(), "wb");
  FUZZ_EXPECT(gzwrite(gz, file.data(), static_cast<unsigned>(file.size())) > 0);
  gzclose(gz);
  Seed("image_import", "nifti-gz", "\3" + *ReadTextFile(compressed));
}

}  // namespace

void SeedImages() {
  SeedDicoms();
  SeedRle();
  SeedPng("png-grey", PNG_FORMAT_GRAY);
  SeedPng("png-colour", PNG_FORMAT_RGBA);
  SeedPng("png-wide", PNG_FORMAT_LINEAR_Y);
  SeedJpeg("jpeg-grey", false);
  SeedJpeg("jpeg-colour", true);
  SeedNifti();
}

}  // namespace consilium::fuzz
