#pragma once

// Private attributes that hold no identity, for Retain Safe Private (113111): after PS3.15 Table
// E.3.10-1, and only what an image's interpretation needs (scaling, diffusion, acquisition).

#include <cstdint>
#include <string_view>

namespace consilium::datasets::deidentification {

// `creator`: the private creator's value without its padding; `element`: the last byte of the
// element number in its block; `vr`: as the file says it.
bool IsSafePrivate(std::string_view creator, std::uint16_t group, std::uint8_t element,
                   std::string_view vr);

}  // namespace consilium::datasets::deidentification
