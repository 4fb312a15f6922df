#pragma once

#include <string_view>

namespace consilium::datasets::deidentification {

// Whether one of the words of a text, in any case of letters, is of the head ("BRAIN W/O CONTRAST",
// "Kopf"). Pure; thread-safe.
bool SpeaksOfHead(std::string_view text);

}  // namespace consilium::datasets::deidentification
