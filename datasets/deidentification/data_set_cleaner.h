#pragma once

// The step itself, on DCMTK's data set in memory: every element of every item at every depth goes
// through the table, the allow-list and the guard. Internal to this folder.

#include <cstdint>
#include <string>
#include <string_view>

#include "datasets/deidentification/profile.h"
#include "datasets/deidentification/pseudonymiser.h"
#include "datasets/deidentification/text_cleaner.h"

class DcmElement;
class DcmItem;
class DcmSequenceOfItems;
class DcmTagKey;

namespace consilium::datasets::deidentification {

// Cleans one instance; used once. Pixel data (7FE0,xxxx) is left as it is.
class DataSetCleaner {
 public:
  // Both must outlive it.
  DataSetCleaner(const Pseudonymiser& pseudonymiser, const ProfileOptions& options)
      : pseudonymiser_(pseudonymiser), options_(options) {}

  // Afterwards Patient ID and Patient's Name hold the pseudonym. What says that and how the data
  // set was cleaned (0012,0062-0064) is added by the caller, who knows of the pixels.
  void Clean(DcmItem& data_set);

 private:
  enum class Fate { kKeep, kRemove };
  // In which kind of content an item lies: some texts are cleaned there and removed elsewhere.
  struct Place {
    bool content = false;   // of a structured report, an acquisition context ...
    bool graphics = false;  // of a presentation state's annotations
  };

  void GatherIdentifiers(DcmItem& item);
  void CleanItem(DcmItem& item, Place place);
  Fate CleanElement(DcmItem& item, DcmElement& element, Place place);
  Fate CleanPrivate(DcmItem& item, DcmElement& element);
  Fate CleanKept(DcmElement& element, Place place);
  Fate Apply(const TableRow& row, Decision decision, DcmItem& item, DcmElement& element,
             Place place);
  Fate Shift(const TableRow& row, DcmItem& item, DcmElement& element);
  Fate MapUids(DcmElement& element);
  Fate KeepValue(DcmElement& element, std::string_view vr);
  Fate KeepText(DcmElement& element);
  Fate CleanFreeText(DcmElement& element, std::string_view otherwise);
  Fate Recurse(DcmElement& element, Place place);
  Fate SetDummy(const TableRow& row, DcmItem& item, DcmElement& element, Place place);
  Fate SetDummySequence(std::uint32_t tag, DcmElement& element, Place place);
  bool IsForeignCode(DcmItem& item) const;
  bool IsIdentityContent(DcmItem& item) const;
  void CompleteAge(DcmItem& data_set);

  const Pseudonymiser& pseudonymiser_;
  const ProfileOptions& options_;
  IdentifierGuard guard_;
  std::string patient_;  // what the pseudonym and the shift of dates are made from
};

}  // namespace consilium::datasets::deidentification
