#pragma once

// Walks the elements of a file and checks every length; the part of DataSet that knows the grammar.
//
//   file      = 128 bytes, "DICM", file meta (group 0002, always explicit VR little endian), data
//   set data set  = { element }                                     tags ascend, we do not insist
//   element   = tag(2+2) VR(2) length(2) value                  explicit VR, most VRs
//             | tag(2+2) VR(2) 0(2) length(4) value             OB OD OF OL OV OW SQ SV UC UN UR UT
//             UV | tag(2+2) length(4) value                        implicit VR, and always for
//             items
//   sequence  = { item } [FFFE,E0DD]                            undefined length: up to the
//   delimiter item      = (FFFE,E000) length(4) { element } [FFFE,E00D] fragments = (FFFE,E000)
//   offset table { (FFFE,E000) length(4) bytes } (FFFE,E0DD)

#include <cstdint>
#include <optional>
#include <vector>

#include "datasets/dicom/data_set.h"

namespace consilium::datasets::dicom {

// Inflates a raw deflate stream (PS3.5 A.5), to fewer than `limit` bytes.
OrRefused<Bytes> Inflate(ByteView deflated, std::uint64_t limit = kMaxInflatedBytes);

class StructureScan {
 public:
  // Fills `data_set` up to and with its pixel data, or says why the file is refused.
  static std::optional<Refused> Run(DataSet& data_set);
  // The items of a sequence of `data_set`, at most `most` of them.
  static OrRefused<std::vector<DataSet>> Items(const DataSet& data_set, const Element& sequence,
                                               std::size_t most);

 private:
  struct ElementHead {
    std::uint32_t tag = 0;
    std::uint32_t length = 0;
    std::uint64_t value = 0;  // where the value starts
    Vr vr = kUnsaidVr;
  };

  explicit StructureScan(ByteSource& source) : source_(source) {}

  bool FindStart(DataSet& data_set, std::uint64_t* at);
  bool ScanFileMeta(DataSet& data_set, std::uint64_t* at);
  bool ChooseSyntax(DataSet& data_set, std::string_view uid);
  bool InflateFrom(std::uint64_t start);
  void CorrectEncoding(DataSet& data_set, std::uint64_t at);
  bool ScanTopLevel(DataSet& data_set, std::uint64_t at);
  bool ScanFragments(DataSet& data_set, std::uint64_t at);
  bool ScanItem(DataSet& item, std::uint64_t at, std::uint64_t end, std::uint64_t* after);
  // Each returns the offset after what it walked over, or nothing after Refuse().
  std::optional<std::uint64_t> SkipSequence(std::uint64_t at, Encoding encoding, int depth);
  std::optional<std::uint64_t> SkipItem(std::uint64_t at, Encoding encoding, int depth);
  std::optional<std::uint64_t> SkipValue(const ElementHead& head, Encoding encoding, int depth);
  std::optional<ElementHead> ReadHead(std::uint64_t at, Encoding encoding);
  bool Refuse(Refusal reason, std::string detail);
  std::nullopt_t Damaged(std::string detail);

  ByteSource& source_;
  std::optional<Refused> refused_;
};

}  // namespace consilium::datasets::dicom
