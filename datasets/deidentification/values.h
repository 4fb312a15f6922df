#pragma once

// Reading and writing values of DCMTK elements as text, and what a value of a VR may look like.
// Internal to this folder.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

class DcmElement;
class DcmItem;

namespace consilium::datasets::deidentification {

std::uint32_t TagOf(DcmElement& element);
// As the file says it, in implicit VR as the dictionary does.
std::string VrOf(DcmElement& element);
// Of the data dictionary (PS3.6): "US" also where it may be SS or OW, "OW" where OB or OW. Empty:
// not known, or private.
std::string DictionaryVr(std::uint32_t tag);
// Whether a file may write `said` where the standard says `vr`.
bool Agrees(std::string_view said, std::string_view vr);

// The whole value of a text VR, its values separated by backslashes; empty for other VRs.
std::string TextOf(DcmElement& element);
std::string TextOf(DcmItem& item, std::uint32_t tag);
// Only of VRs that hold several values (not ST, LT, UT, UR).
std::vector<std::string> Split(std::string_view text);
std::string Join(const std::vector<std::string>& values);

void SetText(DcmElement& element, const std::string& text);
// Replaces what is there.
void PutText(DcmItem& item, std::uint32_t tag, std::string_view vr, const std::string& text);

// Whether one value is what PS3.5 section 6.2 lets a CS, DS, IS, UI, AS, DA, TM or DT be, with the
// mistakes that are common; true for other VRs.
bool IsSound(std::string_view vr, std::string_view value);

bool IsTextVr(std::string_view vr);

}  // namespace consilium::datasets::deidentification
