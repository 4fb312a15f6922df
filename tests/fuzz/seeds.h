#pragma once

#include <string_view>

#include "common/base/bytes.h"

namespace consilium::fuzz {

// Keeps a valid input of a target under its name.
void Seed(std::string_view target, std::string_view name, ByteView input);
inline void Seed(std::string_view target, std::string_view name, std::string_view input) {
  Seed(target, name, AsBytes(input));
}

void SeedTexts();      // plans, tables, tokens ...
void SeedFiles();      // models, keys, databases, pixel caches
void SeedImages();     // DICOM, PNG, JPEG, NIfTI
void SeedDicom();      // PDUs, JPEG 2000, workers' answers
void SeedDocuments();  // rosters, records, logs, certificates
void SeedMessages();   // between sites and coordinator

}  // namespace consilium::fuzz
