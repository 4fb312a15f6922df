// The step over whole instances: what is planted is gone, what is needed is there.

#include <unistd.h>

#include "dcmtk/config/osconfig.h"
// osconfig.h must come first.
#include "datasets/deidentification/text_cleaner.h"
#include "dcmtk/dcmdata/dcistrmb.h"
#include "tests/datasets/deidentification/planted.h"

namespace consilium::datasets::deidentification {
namespace {

// A value of a VR that can be found again in the bytes, different for each tag.
std::string Canary(std::string_view vr, std::uint32_t tag) {
  const std::string number = std::to_string(1000000000ull + tag).substr(0, 10);
  if (vr == "DA")
    return "19" + std::to_string(10 + tag % 89) + "0" + std::to_string(1 + tag % 9) + "17";
  if (vr == "DT") return "19470817134657.654321";
  if (vr == "TM") return "134657.654321";
  if (vr == "AS") return "087Y";
  if (vr == "DS" || vr == "IS") return number;
  if (vr == "UI") return "1.9.77." + number;
  if (vr == "PN") return "Canary^Q" + number;
  if (vr == "AE" || vr == "SH" || vr == "CS") return "QCAN" + number;
  if (vr == "UR") return "http://qcanary/" + number;
  return "qcanary" + number;
}

void Plant(DcmItem& item, std::uint32_t tag, std::string_view vr) {
  if (vr == "SQ") {
    auto inner = std::make_unique<DcmItem>();
    PutText(*inner, 0x00100010, "PN", Canary("PN", tag));
    PutText(*inner, 0x0040a160, "UT", Canary("UT", tag));
    if (item.insertSequenceItem(TagFor(tag), inner.get()).good()) inner.release();
    return;
  }
  if (IsTextVr(vr)) return PutText(item, tag, vr, Canary(vr, tag));
  const DcmTag key(TagFor(tag).getXTag(), DcmVR(std::string(vr).c_str()));
  DcmElement* element = nullptr;
  REQUIRE(DcmItem::newDicomElementWithVR(element, key).good());
  std::string bytes = Canary("LO", tag);
  if (bytes.size() % 2 != 0) bytes += ' ';
  if (vr == "US") {
    element->putUint16(47, 0);
  } else {
    element->putUint8Array(reinterpret_cast<const Uint8*>(bytes.data()), bytes.size());
  }
  REQUIRE(item.insert(element).good());
}

std::vector<std::pair<std::string, ProfileOptions>> EachOption() {
  std::vector<std::pair<std::string, ProfileOptions>> all = {{"basic profile", {}}};
  const auto add = [&](const char* name, bool ProfileOptions::*chosen) {
    ProfileOptions options;
    options.*chosen = true;
    all.emplace_back(name, options);
  };
  add("graphics", &ProfileOptions::clean_graphics);
  add("structured content", &ProfileOptions::clean_structured_content);
  add("descriptors", &ProfileOptions::clean_descriptors);
  add("full dates", &ProfileOptions::retain_full_dates);
  add("modified dates", &ProfileOptions::retain_modified_dates);
  add("patient", &ProfileOptions::retain_patient_characteristics);
  add("device", &ProfileOptions::retain_device_identity);
  add("UIDs", &ProfileOptions::retain_uids);
  add("private", &ProfileOptions::retain_safe_private);
  add("institution", &ProfileOptions::retain_institution_identity);
  return all;
}

TEST_CASE("of every row of the table the canary goes, but where the chosen option keeps it") {
  for (const auto& [name, options] : EachOption()) {
    const Deidentifier deidentifier = MakeDeidentifier({.profile = options});
    for (const bool nested : {false, true}) {
      DcmFileFormat file;
      FillImage(*file.getDataset());
      std::unique_ptr<DcmItem> inner(nested ? new DcmItem : nullptr);
      DcmItem& place = nested ? *inner : *file.getDataset();
      for (const TableRow& row : ConfidentialityTable()) {
        // The three UIDs without which there is no instance are tested by themselves.
        const bool identity =
            row.tag == 0x00080018 || row.tag == 0x0020000d || row.tag == 0x0020000e;
        if (row.tag >> 16 < 8 || row.tag >> 16 == 0xfffc || identity) continue;
        Plant(place, row.tag, row.vr);
      }
      if (nested && file.getDataset()
                        ->insertSequenceItem(DCM_PerFrameFunctionalGroupsSequence, inner.get())
                        .good()) {
        inner.release();
      }
      const Bytes out = Cleaned(deidentifier, Encode(file));
      DcmFileFormat cleaned;
      Decode(out, cleaned);
      DcmItem* item = cleaned.getDataset();
      if (nested)
        REQUIRE(item->findAndGetSequenceItem(DCM_PerFrameFunctionalGroupsSequence, item).good());
      for (const TableRow& row : ConfidentialityTable()) {
        if (row.tag >> 16 < 8 || row.tag >> 16 == 0xfffc) continue;
        INFO(name << (nested ? ", nested: " : ": ") << row.name);
        const Decision decision = Decide(row, options);
        DcmElement* element = nullptr;
        item->findAndGetElement(TagFor(row.tag), element);
        if (decision.action == Action::kRemove) {
          const bool set_again = !nested && row.tag == 0x00280303;
          CHECK((element == nullptr || set_again));
          continue;
        }
        if (row.vr == "SQ" || !IsTextVr(row.vr)) continue;
        const std::string value = element == nullptr ? "" : TextOf(*element);
        const bool kept = decision.action == Action::kKeep;
        const bool identity =
            row.tag == 0x00080018 || row.tag == 0x0020000d || row.tag == 0x0020000e;
        if (identity) continue;
        if (kept) {
          CHECK(value == Canary(row.vr, row.tag));
        } else if (decision.cleaning != Cleaning::kDates || row.vr != "TM") {
          CHECK(value != Canary(row.vr, row.tag));
        }
      }
      CHECK(!Holds(out, "Canary^Q"));
      const bool keeps_texts =
          name == "device" || name == "full dates" || name == "institution" || name == "patient";
      if (!keeps_texts) CHECK(!Holds(out, "qcanary"));
    }
  }
}

TEST_CASE("identifiers planted in every VR and in every odd place are not in the written bytes") {
  DeidentificationOptions options;
  options.profile = {.clean_graphics = true,
                     .clean_structured_content = true,
                     .clean_descriptors = true,
                     .retain_modified_dates = true,
                     .retain_patient_characteristics = true,
                     .retain_safe_private = true};
  const Deidentifier deidentifier = MakeDeidentifier(options);
  for (const E_TransferSyntax syntax : {EXS_LittleEndianImplicit, EXS_LittleEndianExplicit,
                                        EXS_BigEndianExplicit, EXS_DeflatedLittleEndianExplicit}) {
    DcmFileFormat file;
    DcmDataset& data_set = *file.getDataset();
    FillImage(data_set);
    PutText(data_set, 0x00100010, "PN", "Quimby^Zacharias");
    PutText(data_set, 0x00100020, "LO", "MRN77665544");
    PutText(data_set, 0x00100030, "DA", "19310412");
    PutText(data_set, 0x00080020, "DA", "20240229");
    PutText(data_set, 0x0008103e, "LO", "CHEST PA of Quimby, Zacharias 12.04.1931 5 mm");
    PutText(data_set, 0x00180015, "CS", "CHEST");
    PutText(data_set, 0x00080070, "LO", "Acme for Quimby");  // kept by the standard
    PutText(data_set, 0x00181210, "SH", "MRN77665544");      // kernel
    PutText(data_set, 0x00200013, "IS", "77665544");
    PutText(data_set, 0x00180050, "LO", "Zacharias");          // a wrong VR
    PutText(data_set, 0x00204000, "LT", "seen by Dr Quimby");  // comments
    PutText(data_set, 0x60004000, "LO", "Quimby overlay");     // overlay comments
    PutText(data_set, 0x00091001, "LO", "Quimby private");
    PutText(data_set, 0x00090010, "LO", "QUIMBY PRIVATE CREATOR");
    PutText(data_set, 0x00190010, "LO", "SIEMENS MR HEADER");
    PutText(data_set, 0x0019100c, "IS", "1000");    // b value: safe
    PutText(data_set, 0x00191019, "LO", "Quimby");  // unknown to the safe list
    PutText(data_set, 0x00080005, "CS", "ISO_IR 100");
    data_set.putAndInsertUint8Array(DcmTag(0x6000, 0x3000, EVR_OB),
                                    reinterpret_cast<const Uint8*>("Quimby!!"), 8);
    data_set.putAndInsertUint8Array(DcmTag(0x5000, 0x3000, EVR_OB),
                                    reinterpret_cast<const Uint8*>("Quimby!!"), 8);
    data_set.putAndInsertUint8Array(DcmTag(0x0028, 0x2000, EVR_OB),
                                    reinterpret_cast<const Uint8*>(" Quimby "), 8);
    data_set.putAndInsertUint8Array(DcmTag(0x0010, 0x9999, EVR_UN),
                                    reinterpret_cast<const Uint8*>("Quimby!!"), 8);
    data_set.putAndInsertUint8Array(DcmTag(0xfffc, 0xfffc, EVR_OB),
                                    reinterpret_cast<const Uint8*>("Quimby!!"), 8);
    Bytes bytes = Encode(file, syntax);
    std::copy_n("Quimby in the preamble", 22, bytes.begin());

    const Bytes out = Cleaned(deidentifier, bytes);
    DcmFileFormat cleaned;
    Decode(out, cleaned);
    // Deflated bytes would hide what is in them.
    const Bytes scanned = Encode(cleaned, EXS_LittleEndianExplicit);
    for (const Bytes& written : {out, scanned}) {
      for (const char* planted : {"Quimby", "QUIMBY", "Zacharias", "77665544", "19310412",
                                  "20240229", "1.2.3.4", "1931"}) {
        INFO(planted << " in " << DcmXfer(syntax).getXferName());
        CHECK(!Holds(written, planted));
      }
    }
    DcmDataset& clean = *cleaned.getDataset();
    CHECK(cleaned.getDataset()->getOriginalXfer() == syntax);
    CHECK(TextOf(clean, 0x0008103e) == "CHEST PA of 5 mm");
    CHECK(TextOf(clean, 0x00180015) == "CHEST");
    CHECK(TextOf(clean, 0x0019100c) ==
          (syntax == EXS_LittleEndianImplicit ? TextOf(clean, 0x0019100c) : "1000"));
    CHECK(TextOf(clean, 0x00101010) == "090Y");  // 92 years, computed and capped
    CHECK(TextOf(clean, 0x00120062) == "YES");
    CHECK(TextOf(clean, 0x00280303) == "MODIFIED");
    CHECK(TextOf(clean, 0x00080020) ==
          deidentifier.pseudonymiser().ShiftedDate("MRN77665544", "20240229"));
    CHECK(TextOf(clean, 0x00100010) ==
          deidentifier.pseudonymiser().PatientPseudonym("MRN77665544"));
    CHECK(TextOf(clean, 0x00100020) == TextOf(clean, 0x00100010));
    DcmSequenceOfItems* codes = nullptr;
    REQUIRE(clean.findAndGetSequence(DCM_DeidentificationMethodCodeSequence, codes).good());
    std::string values;
    for (unsigned long i = 0; i < codes->card(); ++i)
      values += TextOf(*codes->getItem(i), 0x00080100) + " ";
    CHECK(values == "113100 113103 113104 113105 113107 113108 113111 ");
    const Uint16* pixels = nullptr;
    REQUIRE(clean.findAndGetUint16Array(DCM_PixelData, pixels).good());
    for (Uint16 i = 0; i < 16; ++i) CHECK(pixels[i] == 100 + i);
    CHECK(!clean.tagExists(DcmTagKey(0x0010, 0x0000)));  // no group lengths
  }
}

TEST_CASE("references between instances stay consistent") {
  const Deidentifier deidentifier = MakeDeidentifier();
  DcmFileFormat image, other;
  FillImage(*image.getDataset());
  FillImage(*other.getDataset());
  PutText(*other.getDataset(), 0x00080018, "UI", "1.2.3.4.5.7");
  auto reference = std::make_unique<DcmItem>();
  PutText(*reference, 0x00081150, "UI", "1.2.840.10008.5.1.4.1.1.2");
  PutText(*reference, 0x00081155, "UI", "1.2.3.4.5.6");
  REQUIRE(
      other.getDataset()->insertSequenceItem(DCM_ReferencedImageSequence, reference.get()).good());
  reference.release();
  DcmFileFormat a, b;
  Decode(Cleaned(deidentifier, Encode(image)), a);
  Decode(Cleaned(deidentifier, Encode(other)), b);
  DcmItem* item = nullptr;
  REQUIRE(b.getDataset()->findAndGetSequenceItem(DCM_ReferencedImageSequence, item).good());
  CHECK(TextOf(*item, 0x00081155) == TextOf(*a.getDataset(), 0x00080018));
  CHECK(TextOf(*item, 0x00081150) == "1.2.840.10008.5.1.4.1.1.2");
  CHECK(TextOf(*b.getDataset(), 0x0020000d) == TextOf(*a.getDataset(), 0x0020000d));
  CHECK(TextOf(*b.getDataset(), 0x00080018) != TextOf(*a.getDataset(), 0x00080018));
  CHECK(TextOf(*a.getMetaInfo(), 0x00020003) == TextOf(*a.getDataset(), 0x00080018));
}

TEST_CASE("a report's content is a dummy, or kept without persons and free words") {
  const auto report = [](DcmDataset& data_set) {
    FillImage(data_set, "SR");
    PutText(data_set, 0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.88.33");
    data_set.findAndDeleteElement(DCM_PixelData);
    const auto content = [&](const char* type, const char* concept_name) {
      auto item = std::make_unique<DcmItem>();
      auto code = std::make_unique<DcmItem>();
      PutText(*item, 0x0040a010, "CS", "CONTAINS");
      PutText(*item, 0x0040a040, "CS", type);
      PutText(*code, 0x00080100, "SH", concept_name);
      PutText(*code, 0x00080102, "SH", "DCM");
      PutText(*code, 0x00080104, "LO", "Meaning");
      REQUIRE(item->insertSequenceItem(DCM_ConceptNameCodeSequence, code.get()).good());
      code.release();
      return item;
    };
    const auto add = [&](std::unique_ptr<DcmItem> item) {
      REQUIRE(data_set.insertSequenceItem(DCM_ContentSequence, item.get(), -2).good());
      item.release();
    };
    auto text = content("TEXT", "121071");
    PutText(*text, 0x0040a160, "UT", "nodule in left lung of Mrs Quimby");
    add(std::move(text));
    auto observer = content("PNAME", "121008");
    PutText(*observer, 0x0040a123, "PN", "Quimby^Reader");
    add(std::move(observer));
    auto number = content("NUM", "112228");
    auto measured = std::make_unique<DcmItem>();
    PutText(*measured, 0x0040a30a, "DS", "47.5");
    REQUIRE(number->insertSequenceItem(DCM_MeasuredValueSequence, measured.get()).good());
    measured.release();
    add(std::move(number));
    auto foreign = content("TEXT", "X1");
    DcmItem* code = nullptr;
    REQUIRE(foreign->findAndGetSequenceItem(DCM_ConceptNameCodeSequence, code).good());
    PutText(*code, 0x00080102, "SH", "99QUIMBY");
    PutText(*foreign, 0x0040a160, "UT", "lung");
    add(std::move(foreign));
  };
  DcmFileFormat file;
  report(*file.getDataset());
  const Bytes bytes = Encode(file);

  DcmFileFormat basic;
  const Bytes dummy = Cleaned(MakeDeidentifier(), bytes);
  Decode(dummy, basic);
  DcmSequenceOfItems* items = nullptr;
  REQUIRE(basic.getDataset()->findAndGetSequence(DCM_ContentSequence, items).good());
  REQUIRE(items->card() == 1);
  CHECK(TextOf(*items->getItem(0), 0x0040a160) == "Removed");

  DcmFileFormat kept;
  const Bytes clean =
      Cleaned(MakeDeidentifier({.profile = {.clean_structured_content = true}}), bytes);
  Decode(clean, kept);
  REQUIRE(kept.getDataset()->findAndGetSequence(DCM_ContentSequence, items).good());
  REQUIRE(items->card() == 2);
  CHECK(TextOf(*items->getItem(0), 0x0040a160) == "nodule in left lung of");
  CHECK(Holds(clean, "47.5"));
  CHECK(!Holds(clean, "Quimby"));
  CHECK(!Holds(clean, "99QUIMBY"));
}

TEST_CASE("text of a multi-byte character set is dropped whole, the set itself stays") {
  DcmFileFormat file;
  FillImage(*file.getDataset());
  PutText(*file.getDataset(), 0x00080005, "CS", "ISO_IR 192");
  PutText(*file.getDataset(), 0x00100010, "PN", "M\xc3\xbcller^J\xc3\xb6rg");
  PutText(*file.getDataset(), 0x00081030, "LO", "Thorax f\xc3\xbcr M\xc3\xbcller axial");
  const Bytes out =
      Cleaned(MakeDeidentifier({.profile = {.clean_descriptors = true}}), Encode(file));
  DcmFileFormat clean;
  Decode(out, clean);
  CHECK(TextOf(*clean.getDataset(), 0x00080005) == "ISO_IR 192");
  CHECK(TextOf(*clean.getDataset(), 0x00081030) == "Thorax axial");
  CHECK(!Holds(out, "M\xc3\xbcller"));
  const IdentifierGuard none;
  CHECK(CleanText("axial \x1b$B;3EDB@O:\x1b(B chest", none) == "axial chest");
  CHECK(CleanText("room 12, 5.0 mm, 120kV, 1234567", none) == "5.0 mm 120kV");
}

TEST_CASE("two options that contradict each other are refused") {
  auto pseudonymiser = Pseudonymiser::Create(crypto::Secret::CopyOf(Bytes(32, 1)));
  DeidentificationOptions options;
  options.profile.retain_full_dates = options.profile.retain_modified_dates = true;
  CHECK(Deidentifier::Create(std::move(*pseudonymiser), options).status().code() ==
        absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace consilium::datasets::deidentification
