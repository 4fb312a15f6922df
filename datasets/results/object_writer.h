#pragma once

// Private to this folder: building DICOM objects with DCMTK.

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/base/file.h"
#include "datasets/results/result_object.h"
#include "datasets/targets/mask.h"

class DcmFileFormat;
class DcmItem;
class DcmTagKey;

namespace consilium::datasets::results {

using targets::Code;

// Puts elements into a data set or an item of one, and keeps the first failure of them all. A view:
// what it writes to must outlive it.
class Attributes {
 public:
  Attributes(DcmItem& item, absl::Status& status) : item_(item), status_(status) {}

  void Text(const DcmTagKey& tag, std::string_view value);  // of any VR that is text
  void Raw(std::uint32_t tag, const std::string& value);    // a text as another file has it
  void Number(const DcmTagKey& tag, unsigned value);        // US
  void Numbers(const DcmTagKey& tag, const std::vector<std::uint16_t>& values);
  void Indices(const DcmTagKey& tag, const std::vector<std::uint32_t>& values);  // UL
  void Decimals(const DcmTagKey& tag, const std::vector<double>& values);        // DS
  void Floats(const DcmTagKey& tag, const std::vector<float>& values);           // FL
  void TagValue(const DcmTagKey& tag, const DcmTagKey& value);                   // AT
  void Samples(const std::vector<std::uint8_t>& bytes);  // (7FE0,0010) of bytes; padded to even
  void EmptySequence(const DcmTagKey& tag);
  // A new item at the sequence's end.
  Attributes Item(const DcmTagKey& sequence);
  // One code as a new item: PS3.3 table 8.8-1. Long values go to (0008,0119).
  void PutCode(const DcmTagKey& sequence, const Code& code);
  // An item that references an instance (PS3.3 table 10-3).
  Attributes Reference(const DcmTagKey& sequence, const FrameReference& to);

  DcmItem& item() { return item_; }
  const absl::Status& status() const { return status_; }

 private:
  DcmItem& item_;
  absl::Status& status_;
};

// Printable ASCII of at most `longest` characters: what else is in it becomes "_".
std::string Plain(std::string_view text, std::size_t longest = 64);
// "chest-opacity 3f2a9c01b2c4".
std::string NameAndVersion(const ModelDescription& model);

// Patient, study, series, equipment, SOP common and general image or document attributes.
void DescribeResult(Attributes& out, const SourceImage& source, const ModelDescription& model,
                    const ResultName& name, std::string_view sop_class_uid,
                    std::string_view modality, std::string_view description, Time now);

// Lossy image compression, which derived images inherit (PS3.3 C.7.6.1.1.5).
void DescribeLoss(Attributes& out, const SourceImage& source);

// Explicit little endian; writes beside `path` and renames, durably. kResourceExhausted when the
// disk is full.
absl::Status WriteObject(const fs::path& path, DcmFileFormat& file, const absl::Status& built);

}  // namespace consilium::datasets::results
