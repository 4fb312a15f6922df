#include "datasets/deidentification/dummies.h"

#include <array>
#include <string>
#include <utility>

#include "datasets/deidentification/values.h"
#include "dcmtk/config/osconfig.h"
// osconfig.h must come first.
#include "dcmtk/dcmdata/dctk.h"

namespace consilium::datasets::deidentification {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 16> kDummies = {{
    {"AE", "REMOVED"},
    {"AS", "000D"},
    {"CS", "REMOVED"},
    {"DA", "19000101"},
    {"DS", "0"},
    {"DT", "19000101000000"},
    {"IS", "0"},
    {"LO", "Removed"},
    {"LT", "Removed"},
    {"PN", "Removed"},
    {"SH", "Removed"},
    {"ST", "Removed"},
    {"TM", "000000"},
    {"UC", "Removed"},
    {"UR", "urn:removed"},
    {"UT", "Removed"},
}};

std::unique_ptr<DcmItem> Code(std::string_view value, std::string_view scheme,
                              std::string_view meaning) {
  auto item = std::make_unique<DcmItem>();
  PutText(*item, 0x00080100, "SH", std::string(value));
  PutText(*item, 0x00080102, "SH", std::string(scheme));
  PutText(*item, 0x00080104, "LO", std::string(meaning));
  return item;
}

void PutItem(DcmItem& item, const DcmTagKey& tag, std::unique_ptr<DcmItem> content) {
  if (item.insertSequenceItem(tag, content.get()).good()) content.release();
}

}  // namespace

std::string_view DummyText(std::string_view vr) {
  for (const auto& [name, text] : kDummies) {
    if (name == vr) return text;
  }
  return "";
}

std::unique_ptr<DcmItem> DummyCode() { return Code("REMOVED", "99REMOVED", "Removed"); }

std::unique_ptr<DcmItem> DcmCode(std::string_view value, std::string_view meaning) {
  return Code(value, "DCM", meaning);
}

std::unique_ptr<DcmItem> DummyContent() {
  auto item = std::make_unique<DcmItem>();
  PutText(*item, 0x0040a010, "CS", "CONTAINS");
  PutText(*item, 0x0040a040, "CS", "TEXT");
  PutItem(*item, DCM_ConceptNameCodeSequence, DcmCode("121071", "Finding"));
  PutText(*item, 0x0040a160, "UT", "Removed");
  return item;
}

std::unique_ptr<DcmItem> DummyGraphicAnnotation() {
  auto item = std::make_unique<DcmItem>();
  PutText(*item, 0x00700002, "CS", "REMOVED");
  return item;
}

}  // namespace consilium::datasets::deidentification
