#pragma once

// The allow-list: which attributes that Table E.1-1 does not name are kept, because an image, a
// segmentation, a structure set or a report cannot be interpreted without them. What neither the
// table nor this list knows is removed, whatever it is called. Pure; thread-safe.

#include <cstdint>
#include <string_view>

namespace consilium::datasets::deidentification {

enum class Keeping {
  kNot,
  kAsItIs,     // numbers, codes, sequences (whose items are cleaned), bulk data, technical names
  kUid,        // kept when the standard registered it (SOP classes ...), else mapped
  kCleanText,  // free text: goes through the text cleaner, always
};
// `vr`: the attribute's VR in PS3.6. Of texts only those named one by one are kept; dates, times
// and names of people never are.
Keeping KeepingOf(std::uint32_t tag, std::string_view vr);

}  // namespace consilium::datasets::deidentification
