#include "common/crypto/sha256.h"
#include "datasets/dicom/reader.h"
#include "tests/catch.h"
#include "tests/datasets/shared_data.h"

namespace consilium::datasets::dicom {
namespace {

// SHA-256 of the stored values as the manifest computed it: 8 or 16 bits each, little endian.
std::string PixelHash(const StoredPixels& pixels) {
  Bytes bytes;
  for (const std::int32_t value : pixels.values) {
    bytes.push_back(static_cast<std::uint8_t>(value & 0xff));
    if (pixels.header.bits_allocated == 16) {
      bytes.push_back(static_cast<std::uint8_t>(value >> 8 & 0xff));
    }
  }
  return crypto::Sha256(bytes).Hex();
}

bool IsCovered(const ManifestRow& row) {
  if (row.at("gdcm_agrees") != "1" || row.at("preamble") != "1") return false;
  if (!row.at("photometric").starts_with("MONOCHROME")) return false;
  if (!row.at("frames").empty() && row.at("frames") > "1") return false;
  return row.at("bits_alloc") == "8" || row.at("bits_alloc") == "16";
}

TEST_CASE("Stored pixels have the hashes that two other readers agree on") {
  const auto folder = SharedData("dicom");
  if (!folder) return;
  int compared = 0;
  for (const ManifestRow& row : ReadManifest(*folder)) {
    if (!IsCovered(row)) continue;
    const auto pixels = ReadStoredPixels(*folder / row.at("file"));
    INFO(row.at("file"));
    if (!pixels.ok()) {
      INFO(Phrase(pixels.refused().reason) << ": " << pixels.refused().detail);
      const auto reason = pixels.refused().reason;
      const bool expected =
          reason == Refusal::kUnsupportedTransferSyntax || reason == Refusal::kUnsupportedBits ||
          reason == Refusal::kMissingPatientId || reason == Refusal::kMissingSopInstanceUid;
      CHECK(expected);
      continue;
    }
    ++compared;
    CHECK(PixelHash(*pixels) == row.at("pixel_sha256"));
  }
  CHECK(compared > 60);
}

}  // namespace
}  // namespace consilium::datasets::dicom
