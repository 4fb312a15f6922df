#pragma once

// Instances with planted identifiers, made with DCMTK, and what is left of them.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/deidentification/deidentifier.h"
#include "datasets/deidentification/values.h"
#include "dcmtk/config/osconfig.h"
// osconfig.h must come first.
#include "dcmtk/dcmdata/dcistrmb.h"
#include "dcmtk/dcmdata/dctk.h"
#include "tests/catch.h"

namespace consilium::datasets::deidentification {

inline Deidentifier MakeDeidentifier(DeidentificationOptions options = {}, std::uint8_t key = 7) {
  auto pseudonymiser = Pseudonymiser::Create(crypto::Secret::CopyOf(Bytes(32, key)));
  REQUIRE(pseudonymiser.ok());
  auto made = Deidentifier::Create(std::move(*pseudonymiser), std::move(options));
  REQUIRE(made.ok());
  return std::move(*made);
}

inline DcmTag TagFor(std::uint32_t tag) {
  return DcmTag(static_cast<Uint16>(tag >> 16), static_cast<Uint16>(tag & 0xffff));
}

// A small CT slice with the identity that every instance has.
inline void FillImage(DcmDataset& data_set, std::string_view modality = "CT") {
  const bool ct = modality == "CT";
  PutText(data_set, 0x00080016, "UI",
          ct ? "1.2.840.10008.5.1.4.1.1.2" : "1.2.840.10008.5.1.4.1.1.6.1");
  PutText(data_set, 0x00080018, "UI", "1.2.3.4.5.6");
  PutText(data_set, 0x00080060, "CS", std::string(modality));
  PutText(data_set, 0x0020000d, "UI", "1.2.3.4");
  PutText(data_set, 0x0020000e, "UI", "1.2.3.4.5");
  PutText(data_set, 0x00280004, "CS", "MONOCHROME2");
  for (const auto& [tag, value] :
       std::initializer_list<std::pair<DcmTagKey, Uint16>>{{DCM_SamplesPerPixel, 1},
                                                           {DCM_Rows, 4},
                                                           {DCM_Columns, 4},
                                                           {DCM_BitsAllocated, 16},
                                                           {DCM_BitsStored, 16},
                                                           {DCM_HighBit, 15},
                                                           {DCM_PixelRepresentation, 0}}) {
    data_set.putAndInsertUint16(tag, value);
  }
  std::vector<Uint16> pixels(16);
  for (Uint16 i = 0; i < 16; ++i) pixels[i] = static_cast<Uint16>(100 + i);
  data_set.putAndInsertUint16Array(DCM_PixelData, pixels.data(), pixels.size());
}

inline Bytes Encode(DcmFileFormat& file, E_TransferSyntax syntax = EXS_LittleEndianExplicit) {
  const std::string path = (fs::temp_directory_path() / "consilium-planted.XXXXXX").string();
  std::string name = path;
  const int descriptor = mkstemp(name.data());
  REQUIRE(descriptor >= 0);
  close(descriptor);
  REQUIRE(file.saveFile(name.c_str(), syntax, EET_ExplicitLength, EGL_recalcGL).good());
  const auto bytes = ReadFile(name);
  fs::remove(name);
  REQUIRE(bytes.ok());
  return *bytes;
}

// The bytes of the cleaned instance.
inline Bytes Cleaned(const Deidentifier& deidentifier, const Bytes& bytes) {
  auto instance = deidentifier.Apply(bytes);
  INFO((instance.ok() ? ""
                      : std::string(Name(instance.refused().reason)) + instance.refused().detail));
  REQUIRE(instance.ok());
  const auto out = instance->ToBytes();
  REQUIRE(out.ok());
  return *out;
}

inline bool Holds(const Bytes& bytes, std::string_view text) {
  return AsText(bytes).find(text) != std::string_view::npos;
}

inline void Decode(const Bytes& bytes, DcmFileFormat& file) {
  DcmInputBufferStream stream;
  stream.setBuffer(bytes.data(), static_cast<offile_off_t>(bytes.size()));
  stream.setEos();
  file.transferInit();
  REQUIRE(file.read(stream).good());
  file.transferEnd();
}

}  // namespace consilium::datasets::deidentification
