#include "common/plan/readers.h"

#include <algorithm>
#include <array>
#include <set>

namespace consilium::plan {
namespace {

// The values of (0008,0060) that stand for images: DICOM PS3.3 C.7.3.1.1.1.
constexpr std::array<std::string_view, 29> kModalities = {
    "BI", "CR", "CT", "DG", "DX",  "ES", "GM",  "IO",     "IVOCT", "IVUS",
    "LS", "MG", "MR", "NM", "OCT", "OP", "OPT", "OPTENF", "OSS",   "OT",
    "PT", "PX", "RF", "RG", "SM",  "TG", "US",  "XA",     "XC"};

void CheckModalities(Section& s, const std::vector<std::string>& modalities) {
  if (modalities.empty()) s.Refuse("modalities", "is empty: name one or more, such as \"DX\"");
  std::set<std::string> seen;
  for (const std::string& modality : modalities) {
    if (std::find(kModalities.begin(), kModalities.end(), modality) == kModalities.end()) {
      s.Refuse("modalities", StrCat("holds \"", Shown(modality),
                                    "\", which is no image modality of "
                                    "DICOM: ",
                                    Advice(modality, {kModalities.begin(), kModalities.end()})));
    } else if (!seen.insert(modality).second) {
      s.Refuse("modalities", StrCat("holds \"", modality, "\" twice"));
    }
  }
}

// PS3.5 table 6.2-1: a code string of at most 16 characters.
bool IsCodeString(std::string_view text) {
  return !text.empty() && text.size() <= 16 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == ' ';
  });
}

void ReadViews(Section& s, Data& data) {
  Set(data.views, s.Texts("views"));
  std::set<std::string> seen;
  for (const std::string& view : data.views) {
    if (!IsCodeString(view)) {
      s.Refuse("views", StrCat("holds \"", Shown(view),
                               "\", which is no view position of DICOM, such as \"PA\" or \"CC\""));
    } else if (!seen.insert(view).second) {
      s.Refuse("views", StrCat("holds \"", view, "\" twice"));
    }
  }
  if (s.Has("views") && data.views.empty()) {
    s.Refuse("views", "is empty: remove it to take every view");
  }
}

void ReadAges(Section& s, Data& data) {
  const auto age = [&s](std::string_view key, std::optional<std::uint32_t>& to) {
    if (const auto years = s.Whole(key, 0, 150)) to = static_cast<std::uint32_t>(*years);
  };
  age("minimum_age", data.minimum_age);
  age("maximum_age", data.maximum_age);
  if (data.minimum_age && data.maximum_age && *data.minimum_age > *data.maximum_age) {
    s.Refuse("minimum_age", StrCat("is above maximum_age, which is ", *data.maximum_age));
  }
}

void ReadImages(Section& s, const Subject& subject, Data& data) {
  if (const auto modalities = s.Texts("modalities")) {
    data.modalities = *modalities;
    CheckModalities(s, data.modalities);
  } else if (subject.source && !s.Has("modalities")) {
    s.Missing("modalities", "a list of the DICOM modalities to take, such as [\"DX\", \"CR\"]");
  }
  ReadViews(s, data);
  ReadAges(s, data);
}

}  // namespace

void ReadSource(Section& s, Subject& subject, Data& data) {
  const auto source = s.Choice("source", {Source::kDicom, Source::kTable, Source::kAudio});
  Set(data.source, source);
  if (source || !s.Has("source")) subject.source = data.source;
  subject.table = data.source == Source::kTable;
}

void ReadData(Section s, const Subject& subject, Data& data) {
  if (data.source != Source::kDicom) {
    s.RefuseIfThere(
        {"modalities", "views", "minimum_age", "maximum_age"},
        StrCat("it is of DICOM images, and data.source is \"", Name(data.source), "\""));
  } else {
    ReadImages(s, subject, data);
  }
  Set(data.minimum_patients, s.Whole("minimum_patients", 1, 1'000'000'000));
  Set(data.validation_fraction, s.Real("validation_fraction", 0.01, 0.8));
  Set(data.test_fraction, s.Real("test_fraction", 0.01, 0.8));
  const double held_out = data.validation_fraction + data.test_fraction;
  if (held_out > 0.9 + 1e-9) {
    s.Refuse(
        s.Has("test_fraction") ? "test_fraction" : "validation_fraction",
        StrCat("leaves too few patients to train on: validation_fraction and test_fraction are ",
               held_out, " together, at most 0.9 is allowed"));
  }
  s.Finish();
}

void ReadDeidentification(Section s, const Data& data, Deidentification& d) {
  constexpr Retain kAll[] = {Retain::kPatientCharacteristics, Retain::kDeviceIdentity,
                             Retain::kInstitutionIdentity};
  for (const std::string& word : s.Texts("retain").value_or(std::vector<std::string>())) {
    const auto* const found = std::find_if(std::begin(kAll), std::end(kAll),
                                           [&](Retain option) { return word == Name(option); });
    if (found == std::end(kAll)) {
      s.Refuse("retain", StrCat("holds \"", Shown(word), "\", which is none of \"", Name(kAll[0]),
                                "\", \"", Name(kAll[1]), "\", \"", Name(kAll[2]), "\""));
    } else if (std::find(d.retain.begin(), d.retain.end(), *found) != d.retain.end()) {
      s.Refuse("retain", StrCat("holds \"", word, "\" twice"));
    } else {
      d.retain.push_back(*found);
    }
  }
  if (data.source != Source::kDicom && s.Has("retain")) {
    s.Refuse("retain", StrCat("has no effect: it is of DICOM headers, and data.source is \"",
                              Name(data.source), "\""));
  }
  const bool ages = data.minimum_age || data.maximum_age;
  if (ages && std::find(d.retain.begin(), d.retain.end(), Retain::kPatientCharacteristics) ==
                  d.retain.end()) {
    s.Missing("retain",
              "data.minimum_age and data.maximum_age need \"patient_characteristics\" in it");
  }
  s.Finish();
}

}  // namespace consilium::plan
