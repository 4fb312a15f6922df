#pragma once

// Dummy values (action D of PS3.15 Table E.1-1a): consistent with the VR, and to be seen as
// dummies. Internal to this folder.

#include <memory>
#include <string_view>

class DcmItem;

namespace consilium::datasets::deidentification {

// Empty for VRs that have no text.
std::string_view DummyText(std::string_view vr);

// Items that keep an object's sequences valid: a code, a content item of a report, an annotation.
std::unique_ptr<DcmItem> DummyCode();
std::unique_ptr<DcmItem> DummyContent();
std::unique_ptr<DcmItem> DummyGraphicAnnotation();
// A code of scheme DCM.
std::unique_ptr<DcmItem> DcmCode(std::string_view value, std::string_view meaning);

}  // namespace consilium::datasets::deidentification
