#include "datasets/deidentification/values.h"

#include <algorithm>
#include <memory>

#include "datasets/deidentification/dates.h"
#include "dcmtk/config/osconfig.h"
// osconfig.h must come first.
#include "dcmtk/dcmdata/dctk.h"

namespace consilium::datasets::deidentification {
namespace {

DcmTagKey KeyOf(std::uint32_t tag) {
  return DcmTagKey(static_cast<Uint16>(tag >> 16), static_cast<Uint16>(tag & 0xffff));
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) text.remove_suffix(1);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  return text;
}

bool Only(std::string_view text, std::string_view allowed) {
  return text.find_first_not_of(allowed) == std::string_view::npos;
}

constexpr std::string_view kTextVrs = "AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT";

}  // namespace

std::uint32_t TagOf(DcmElement& element) {
  return std::uint32_t{element.getGTag()} << 16 | element.getETag();
}

std::string VrOf(DcmElement& element) {
  switch (element.ident()) {
    case EVR_PixelData:
    case EVR_ox:
    case EVR_px:
      return "OW";
    default:
      return DcmVR(element.getVR()).getValidVRName();
  }
}

std::string DictionaryVr(std::uint32_t tag) {
  const DcmTag entry(KeyOf(tag));
  switch (entry.getEVR()) {
    case EVR_UNKNOWN:
    case EVR_UNKNOWN2B:
    case EVR_UN:
      return "";
    case EVR_xs:
    case EVR_lt:
      return "US";
    case EVR_ox:
    case EVR_px:
      return "OW";
    case EVR_up:
      return "UL";
    default:
      return DcmVR(entry.getEVR()).getValidVRName();
  }
}

bool Agrees(std::string_view said, std::string_view vr) {
  if (said == vr) return true;
  if (vr == "US") return said == "SS" || said == "OW";
  if (vr == "SS") return said == "US";
  if (vr == "OW") return said == "OB" || said == "US" || said == "SS";
  return vr == "OB" && said == "OW";
}

std::string TextOf(DcmElement& element) {
  OFString text;
  if (!IsTextVr(VrOf(element)) || element.getOFStringArray(text).bad()) return "";
  return std::string(Trim(std::string_view(text.data(), text.size())));
}

std::string TextOf(DcmItem& item, std::uint32_t tag) {
  DcmElement* element = nullptr;
  if (item.findAndGetElement(KeyOf(tag), element).bad() || element == nullptr) return "";
  return TextOf(*element);
}

std::vector<std::string> Split(std::string_view text) {
  std::vector<std::string> values;
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t end = std::min(text.find('\\', start), text.size());
    values.emplace_back(Trim(text.substr(start, end - start)));
    start = end + 1;
  }
  return values;
}

std::string Join(const std::vector<std::string>& values) {
  std::string text;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) text += '\\';
    text += values[i];
  }
  return text;
}

void SetText(DcmElement& element, const std::string& text) {
  if (element.putString(text.data(), static_cast<Uint32>(text.size())).bad()) element.clear();
}

void PutText(DcmItem& item, std::uint32_t tag, std::string_view vr, const std::string& text) {
  const DcmTag key(KeyOf(tag), DcmVR(std::string(vr).c_str()));
  DcmElement* made = nullptr;
  if (DcmItem::newDicomElementWithVR(made, key).bad() || made == nullptr) return;
  std::unique_ptr<DcmElement> element(made);
  SetText(*element, text);
  if (item.insert(element.get(), OFTrue).good()) element.release();
}

bool IsSound(std::string_view vr, std::string_view value) {
  value = Trim(value);
  if (value.empty()) return true;
  if (vr == "CS") {
    return value.size() <= 16 &&
           Only(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 _-+./()");
  }
  if (vr == "DS") return value.size() <= 32 && Only(value, "0123456789+-eE.");
  if (vr == "IS") return value.size() <= 16 && Only(value, "0123456789+-.");
  if (vr == "UI") return value.size() <= 64 && Only(value, "0123456789.");
  if (vr == "AS") return !CapAge(value).empty();
  if (vr == "DA") return !ShiftDate(value, 0).empty();
  if (vr == "DT") return !ShiftDateTime(value, 0).empty();
  if (vr == "TM") return IsTime(value);
  return true;
}

bool IsTextVr(std::string_view vr) {
  for (std::size_t i = 0; i + 2 <= kTextVrs.size(); i += 3) {
    if (kTextVrs.substr(i, 2) == vr) return true;
  }
  return false;
}

}  // namespace consilium::datasets::deidentification
