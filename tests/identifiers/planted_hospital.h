#pragma once

// A hospital of chest phantoms in which every place that can hold an identifier does.

#include <cstdint>
#include <string>

#include "common/base/file.h"

namespace consilium::identifiers {

// Draws `patients` phantoms below `parent` and plants identifiers (identifier_scan.h) in the names
// of folders and files, in preamble, file meta information and data set (names, numbers, dates,
// addresses, comments, descriptions, private attributes, items of sequences, UIDs, an overlay's
// comment), in what stands after the pixels, and in labels.csv; also in files that will be refused,
// one for each of several reasons. Returns the folder to be indexed.
fs::path DrawPlantedHospital(const fs::path& parent, std::uint32_t patients, std::uint64_t seed);

}  // namespace consilium::identifiers
