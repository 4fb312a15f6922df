#include "datasets/deidentification/data_set_cleaner.h"

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "datasets/deidentification/dates.h"
#include "datasets/deidentification/dummies.h"
#include "datasets/deidentification/kept_attributes.h"
#include "datasets/deidentification/safe_private.h"
#include "datasets/deidentification/values.h"
#include "dcmtk/config/osconfig.h"
// osconfig.h must come first.
#include "dcmtk/dcmdata/dctk.h"

namespace consilium::datasets::deidentification {
namespace {

constexpr std::uint32_t kCodingScheme = 0x00080102;
constexpr std::uint32_t kPatientName = 0x00100010;
constexpr std::uint32_t kPatientId = 0x00100020;
constexpr std::uint32_t kBirthDate = 0x00100030;
constexpr std::uint32_t kAge = 0x00101010;
constexpr std::uint32_t kStudyInstanceUid = 0x0020000d;
constexpr std::uint32_t kConceptName = 0x0040a043;
constexpr std::uint32_t kTextValue = 0x0040a160;
constexpr std::uint32_t kUnformattedText = 0x00700006;

// Bulk data of more bytes than this is not looked through for identifiers: real tables are smaller.
constexpr Uint32 kSearchedBytes = 1 << 20;

// Coding schemes that a standard keeps (PS3.16 table 8-1). What another designates may be local,
// and a local code's value and meaning may say anything.
constexpr std::array<std::string_view, 27> kKnownSchemes = {
    "DCM",        "SCT", "SRT",      "SNM3", "99SDM",  "LN",   "UCUM",     "FMA",     "RADLEX",
    "RADELEMENT", "MDC", "NCIt",     "UMLS", "ACR",    "BI",   "BARI",     "ICD10",   "I10",
    "I9C",        "C4",  "ITIS_TSN", "MA",   "UBERON", "HGNC", "ISO639_1", "RFC5646", "IEC61217"};

// Values of these identify the patient or the visit as a whole.
constexpr std::array<std::uint32_t, 12> kIdentifiers = {
    0x00080050, 0x00100020, 0x00101000, 0x00101090, 0x00200010, 0x00380010,
    0x00380060, 0x00400009, 0x00400253, 0x00401001, 0x00402016, 0x00402017};

// Concepts (DCM) of content items that say who observed and who was observed (PS3.16 TID 1002 to
// 1010).
constexpr std::array<std::string_view, 9> kPersonConcepts = {
    "121008", "121009", "121011", "121018", "121022", "121028", "121029", "121030", "121031"};
constexpr std::array<std::string_view, 6> kDeviceConcepts = {"121012", "121013", "121014",
                                                             "121015", "121016", "121017"};

bool Has(const auto& list, const auto& wanted) {
  return std::find(list.begin(), list.end(), wanted) != list.end();
}

bool IsCurveOrOverlay(std::uint32_t tag) {
  const std::uint32_t range = tag >> 24;
  return range == 0x50 || range == 0x60;
}

bool IsEmpty(DcmElement& element) { return element.getLength() == 0; }

}  // namespace

void DataSetCleaner::Clean(DcmItem& data_set) {
  patient_ = TextOf(data_set, kPatientId);
  if (patient_.empty()) patient_ = TextOf(data_set, kStudyInstanceUid);
  GatherIdentifiers(data_set);
  if (options_.retain_patient_characteristics) CompleteAge(data_set);
  CleanItem(data_set, {});
  const std::string pseudonym = pseudonymiser_.PatientPseudonym(patient_);
  PutText(data_set, kPatientName, "PN", pseudonym);
  PutText(data_set, kPatientId, "LO", pseudonym);
}

void DataSetCleaner::GatherIdentifiers(DcmItem& item) {
  for (unsigned long i = 0; i < item.card(); ++i) {
    DcmElement& element = *item.getElement(i);
    const std::uint32_t tag = TagOf(element);
    const std::string vr = VrOf(element);
    if (element.ident() == EVR_SQ) {
      auto& sequence = static_cast<DcmSequenceOfItems&>(element);
      for (unsigned long n = 0; n < sequence.card(); ++n) GatherIdentifiers(*sequence.getItem(n));
      continue;
    }
    const TableRow* row = FindRow(tag);
    if (row == nullptr && vr != "PN") continue;
    const std::vector<std::string> values = Split(TextOf(element));
    for (const std::string& value : values) {
      if (vr == "PN" || (row != nullptr && row->vr == "PN")) {
        guard_.AddName(value);
      } else if (Has(kIdentifiers, tag)) {
        guard_.AddNumber(value);
      } else if (vr == "DA") {
        guard_.AddValue(value, 8);
      } else if (vr == "UI" && !options_.retain_uids) {
        if (pseudonymiser_.MappedUid(value) != value) guard_.AddValue(value, 8);
      } else if (tag >> 16 == 0x0010 && Decide(*row, options_).action == Action::kRemove) {
        guard_.AddValue(value, 6);
      }
    }
  }
}

void DataSetCleaner::CleanItem(DcmItem& item, Place place) {
  std::vector<DcmElement*> elements;
  for (unsigned long i = 0; i < item.card(); ++i) elements.push_back(item.getElement(i));
  std::vector<DcmElement*> creators;
  std::vector<std::uint32_t> kept_blocks;
  for (DcmElement* element : elements) {
    const std::uint32_t tag = TagOf(*element);
    const bool is_private = (tag >> 16) % 2 != 0;
    if (is_private && (tag & 0xffff) >= 0x10 && (tag & 0xffff) <= 0xff) {
      creators.push_back(element);  // goes or stays with its block
      continue;
    }
    if (CleanElement(item, *element, place) == Fate::kKeep) {
      if (is_private) kept_blocks.push_back((tag & 0xffff0000) | (tag & 0xff00) >> 8);
    } else {
      delete item.remove(element);
    }
  }
  for (DcmElement* creator : creators) {
    if (!Has(kept_blocks, TagOf(*creator))) delete item.remove(creator);
  }
}

DataSetCleaner::Fate DataSetCleaner::CleanElement(DcmItem& item, DcmElement& element, Place place) {
  const std::uint32_t tag = TagOf(element);
  if ((tag & 0xffff) == 0 || tag >> 16 < 0x0008 || IsCurveOrOverlay(tag)) return Fate::kRemove;
  if ((tag >> 16) % 2 != 0) return CleanPrivate(item, element);
  if (const TableRow* row = FindRow(tag)) {
    return Apply(*row, Decide(*row, options_), item, element, place);
  }
  return CleanKept(element, place);
}

DataSetCleaner::Fate DataSetCleaner::CleanPrivate(DcmItem& item, DcmElement& element) {
  const std::uint32_t tag = TagOf(element);
  const std::uint32_t block = (tag & 0xffff) >> 8;
  if (!options_.retain_safe_private || block < 0x10) return Fate::kRemove;
  const std::string creator = TextOf(item, (tag & 0xffff0000) | block);
  const std::string vr = VrOf(element);
  if (!IsSafePrivate(creator, static_cast<std::uint16_t>(tag >> 16), static_cast<std::uint8_t>(tag),
                     vr)) {
    return Fate::kRemove;
  }
  return KeepValue(element, vr);
}

// What the table does not name.
DataSetCleaner::Fate DataSetCleaner::CleanKept(DcmElement& element, Place place) {
  const std::uint32_t tag = TagOf(element);
  if (tag >> 16 == 0x7fe0) return Fate::kKeep;
  if (tag == kTextValue && place.content) return CleanFreeText(element, "Removed");
  if (tag == kUnformattedText && place.graphics) return CleanFreeText(element, "Removed");
  const std::string vr = DictionaryVr(tag);
  const Keeping keeping = KeepingOf(tag, vr);
  if (keeping == Keeping::kNot || !Agrees(VrOf(element), vr)) return Fate::kRemove;
  if (keeping == Keeping::kUid)
    return options_.retain_uids ? KeepValue(element, vr) : MapUids(element);
  if (keeping == Keeping::kCleanText) return CleanFreeText(element, "");
  if (vr == "SQ") return Recurse(element, place);
  return KeepValue(element, vr);
}

DataSetCleaner::Fate DataSetCleaner::Apply(const TableRow& row, Decision decision, DcmItem& item,
                                           DcmElement& element, Place place) {
  if (decision.action == Action::kRemove) return Fate::kRemove;
  const bool agrees = Agrees(VrOf(element), row.vr);
  if (decision.action == Action::kEmpty || (agrees && IsEmpty(element))) {
    if (!agrees) return Fate::kRemove;
    element.clear();
    return Fate::kKeep;
  }
  if (decision.action == Action::kDummy) return SetDummy(row, item, element, place);
  if (!agrees) return Fate::kRemove;
  const bool sequence = row.vr == "SQ";
  if (decision.action == Action::kMapUid)
    return sequence ? Recurse(element, place) : MapUids(element);
  if (decision.action == Action::kKeep) {
    return sequence ? Recurse(element, place) : KeepValue(element, row.vr);
  }
  switch (decision.cleaning) {
    case Cleaning::kDates:
      return Shift(row, item, element);
    case Cleaning::kStructure:
      return Recurse(element, {.content = true, .graphics = place.graphics});
    case Cleaning::kGraphics:
      return Recurse(element, {.content = place.content, .graphics = true});
    case Cleaning::kDevice: {
      std::vector<std::string> names = Split(TextOf(element));
      for (std::string& name : names) name = pseudonymiser_.DevicePseudonym(name);
      SetText(element, Join(names));
      return Fate::kKeep;
    }
    default:
      return sequence ? Recurse(element, place) : CleanFreeText(element, "");
  }
}

DataSetCleaner::Fate DataSetCleaner::Shift(const TableRow& row, DcmItem& item,
                                           DcmElement& element) {
  const auto otherwise = [&] {
    ProfileOptions without = options_;
    without.retain_modified_dates = false;
    return Apply(row, Decide(row, without), item, element, {});
  };
  if (row.vr != "DA" && row.vr != "DT" && row.vr != "TM" && row.vr != "SH") return otherwise();
  std::vector<std::string> values = Split(TextOf(element));
  for (std::string& value : values) {
    if (row.vr == "DA") {
      value = pseudonymiser_.ShiftedDate(patient_, value);
    } else if (row.vr == "DT") {
      value = pseudonymiser_.ShiftedDateTime(patient_, value);
    } else if (row.vr == "TM") {
      if (!IsTime(value)) value.clear();  // whole days are shifted: times of day stay
    } else if (value.size() != 5 || value.find_first_not_of("+-0123456789") != std::string::npos) {
      value.clear();  // an offset from UTC
    }
  }
  const bool none =
      std::all_of(values.begin(), values.end(), [](const auto& v) { return v.empty(); });
  if (none) return otherwise();
  SetText(element, Join(values));
  return Fate::kKeep;
}

DataSetCleaner::Fate DataSetCleaner::MapUids(DcmElement& element) {
  if (VrOf(element) != "UI") return Fate::kRemove;
  std::vector<std::string> uids = Split(TextOf(element));
  for (std::string& uid : uids) uid = pseudonymiser_.MappedUid(uid);
  SetText(element, Join(uids));
  return Fate::kKeep;
}

DataSetCleaner::Fate DataSetCleaner::KeepValue(DcmElement& element, std::string_view vr) {
  if (IsTextVr(vr)) return KeepText(element);
  if (element.isLeaf() && (vr == "OB" || vr == "OW") && element.getLength() <= kSearchedBytes) {
    Uint8* bytes = nullptr;
    const bool read = element.getUint8Array(bytes).good() && bytes != nullptr;
    if (read && guard_.IsIn({reinterpret_cast<const char*>(bytes), element.getLength()})) {
      return Fate::kRemove;
    }
  }
  return Fate::kKeep;
}

DataSetCleaner::Fate DataSetCleaner::KeepText(DcmElement& element) {
  const std::string vr = VrOf(element);
  std::vector<std::string> values = Split(TextOf(element));
  bool changed = false;
  for (std::string& value : values) {
    const bool sound = IsSound(vr, value);
    const bool defined_term = vr == "CS" && IsKnownWord(value);
    const bool number = (vr == "DS" || vr == "IS") && value.size() < 6;
    const bool temporal = vr == "DA" || vr == "DT" || vr == "TM" || vr == "UI";
    if (sound && (defined_term || number || temporal || !guard_.IsIn(value))) {
      if (vr != "AS" || !options_.cap_ages) continue;
      const std::string capped = CapAge(value);
      changed = changed || capped != value;
      value = capped;
      continue;
    }
    value.clear();
    changed = true;
  }
  if (changed) SetText(element, Join(values));
  return Fate::kKeep;
}

DataSetCleaner::Fate DataSetCleaner::CleanFreeText(DcmElement& element,
                                                   std::string_view otherwise) {
  const std::string vr = VrOf(element);
  if (!IsTextVr(vr)) return Fate::kRemove;
  std::vector<std::string> values = Split(TextOf(element));
  for (std::string& value : values) value = CleanText(value, guard_);
  std::string text = Join(values);
  if (text.find_first_not_of('\\') == std::string::npos) text = otherwise;
  if (text.empty()) return Fate::kRemove;
  SetText(element, text);
  return Fate::kKeep;
}

DataSetCleaner::Fate DataSetCleaner::Recurse(DcmElement& element, Place place) {
  if (element.ident() != EVR_SQ) return Fate::kRemove;
  auto& sequence = static_cast<DcmSequenceOfItems&>(element);
  const bool had_items = sequence.card() > 0;
  for (unsigned long i = 0; i < sequence.card();) {
    DcmItem& item = *sequence.getItem(i);
    if (IsForeignCode(item) || (place.content && IsIdentityContent(item))) {
      delete sequence.remove(i);
      continue;
    }
    CleanItem(item, place);
    ++i;
  }
  return had_items && sequence.card() == 0 ? Fate::kRemove : Fate::kKeep;
}

DataSetCleaner::Fate DataSetCleaner::SetDummy(const TableRow& row, DcmItem& item,
                                              DcmElement& element, Place place) {
  if (row.tag == kPatientId) {
    PutText(item, row.tag, "LO", pseudonymiser_.PatientPseudonym(TextOf(element)));
    return Fate::kKeep;  // the element itself was replaced
  }
  if (row.vr == "SQ") return SetDummySequence(row.tag, element, place);
  if (row.vr == "UI") return MapUids(element);
  if (!Agrees(VrOf(element), row.vr)) return Fate::kRemove;
  if (row.vr == "OB") {
    const Uint8 zeros[2] = {0, 0};
    element.putUint8Array(zeros, 2);
    return Fate::kKeep;
  }
  const std::string_view dummy = DummyText(row.vr);
  if (dummy.empty()) return Fate::kRemove;
  SetText(element, std::string(dummy));
  return Fate::kKeep;
}

DataSetCleaner::Fate DataSetCleaner::SetDummySequence(std::uint32_t tag, DcmElement& element,
                                                      Place place) {
  if (element.ident() != EVR_SQ) return Fate::kRemove;
  auto& sequence = static_cast<DcmSequenceOfItems&>(element);
  const auto replace = [&](std::unique_ptr<DcmItem> item) {
    sequence.clear();
    if (sequence.insert(item.get()).good()) item.release();
    return Fate::kKeep;
  };
  if (tag == 0x0040a730) return replace(DummyContent());
  if (tag == 0x00700001) return replace(DummyGraphicAnnotation());
  const bool code = sequence.card() > 0 && sequence.getItem(0)->tagExists(DCM_CodeValue);
  if (code) return replace(DummyCode());
  return Recurse(element, place);
}

bool DataSetCleaner::IsForeignCode(DcmItem& item) const {
  if (!item.tagExists(DCM_CodingSchemeDesignator)) return false;
  return !Has(kKnownSchemes, std::string_view(TextOf(item, kCodingScheme)));
}

bool DataSetCleaner::IsIdentityContent(DcmItem& item) const {
  DcmItem* concept_name = nullptr;
  const DcmTagKey key(static_cast<Uint16>(kConceptName >> 16), static_cast<Uint16>(kConceptName));
  if (item.findAndGetSequenceItem(key, concept_name).bad() || concept_name == nullptr) return false;
  if (IsForeignCode(*concept_name)) return true;
  if (TextOf(*concept_name, kCodingScheme) != "DCM") return false;
  const std::string code = TextOf(*concept_name, 0x00080100);
  return Has(kPersonConcepts, std::string_view(code)) ||
         (!options_.retain_device_identity && Has(kDeviceConcepts, std::string_view(code)));
}

// An age that the file does not say, from the birth date that is about to go.
void DataSetCleaner::CompleteAge(DcmItem& data_set) {
  if (!TextOf(data_set, kAge).empty()) return;
  for (const std::uint32_t date : {0x00080020u, 0x00080021u, 0x00080022u, 0x00080023u}) {
    const std::string age = AgeBetween(TextOf(data_set, kBirthDate), TextOf(data_set, date));
    if (age.empty()) continue;
    PutText(data_set, kAge, "AS", age);
    return;
  }
}

}  // namespace consilium::datasets::deidentification
