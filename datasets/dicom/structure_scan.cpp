#include "datasets/dicom/structure_scan.h"

#include <algorithm>
#include <cctype>
#include <cstring>

#include "common/base/text.h"
#include "datasets/dicom/syntaxes.h"

namespace consilium::datasets::dicom {
namespace {

constexpr std::uint32_t kUndefined = 0xffffffff;
constexpr std::uint32_t kItem = Tag(0xfffe, 0xe000);
constexpr std::uint32_t kItemEnd = Tag(0xfffe, 0xe00d);
constexpr std::uint32_t kSequenceEnd = Tag(0xfffe, 0xe0dd);
constexpr std::uint32_t kTransferSyntaxUid = Tag(0x0002, 0x0010);
constexpr std::uint32_t kFloatPixelData = Tag(0x7fe0, 0x0008);
constexpr std::uint32_t kDoublePixelData = Tag(0x7fe0, 0x0009);
constexpr std::uint32_t kPixelData = Tag(0x7fe0, 0x0010);
constexpr std::uint64_t kPreambleBytes = 128;
constexpr int kDeepestNesting = 64;

// PS3.5 table 6.2-1.
constexpr std::string_view kShortVrs =
    "AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US";
constexpr std::string_view kLongVrs = "OB OD OF OL OV OW SQ SV UC UN UR UT UV";

bool Contains(std::string_view list, std::string_view vr) {
  for (std::size_t i = 0; i + 2 <= list.size(); i += 3) {
    if (list.substr(i, 2) == vr) return true;
  }
  return false;
}

std::uint16_t Load16(const std::uint8_t* p, bool big_endian) {
  return static_cast<std::uint16_t>(big_endian ? p[0] << 8 | p[1] : p[1] << 8 | p[0]);
}

std::uint32_t Load32(const std::uint8_t* p, bool big_endian) {
  const std::uint32_t first = Load16(p, big_endian), second = Load16(p + 2, big_endian);
  return big_endian ? first << 16 | second : second << 16 | first;
}

std::string Show(std::uint32_t tag) {
  return StrCat("(", absl::Hex(tag >> 16, absl::kZeroPad4), ",",
                absl::Hex(tag & 0xffff, absl::kZeroPad4), ")");
}

Encoding EncodingOf(TransferSyntax syntax) {
  return {.explicit_vr = syntax != TransferSyntax::kImplicitLittleEndian,
          .big_endian = syntax == TransferSyntax::kExplicitBigEndian};
}

// Items in an element of VR UN are implicit VR little endian (PS3.5 section 6.2.2).
Encoding EncodingWithin(const Vr& vr, Encoding outer) {
  const bool unknown = vr[0] == 'U' && vr[1] == 'N';
  return unknown ? Encoding{.explicit_vr = false, .big_endian = false} : outer;
}

}  // namespace

std::optional<Refused> StructureScan::Run(DataSet& data_set) {
  StructureScan scan(*data_set.source_);
  std::uint64_t at = 0;
  bool sound = scan.FindStart(data_set, &at);
  if (sound && data_set.syntax_ == TransferSyntax::kDeflated) {
    sound = scan.InflateFrom(at);
    at = 0;
  }
  if (sound && scan.ScanTopLevel(data_set, at)) return std::nullopt;
  return scan.refused_;
}

bool StructureScan::Refuse(Refusal reason, std::string detail) {
  refused_ = Refused{reason, std::move(detail)};
  return false;
}

std::nullopt_t StructureScan::Damaged(std::string detail) {
  Refuse(Refusal::kDamaged, std::move(detail));
  return std::nullopt;
}

// Where the data set starts, and how it is encoded. Files from before DICOM's part 10 start with
// their first element; archives still hold some.
bool StructureScan::FindStart(DataSet& data_set, std::uint64_t* at) {
  const std::uint8_t* prefix = source_.Peek(kPreambleBytes, 4);
  if (prefix != nullptr && std::memcmp(prefix, "DICM", 4) == 0) {
    *at = kPreambleBytes + 4;
    return ScanFileMeta(data_set, at);
  }
  const std::uint8_t* first = source_.Peek(0, 8);
  if (first == nullptr) return Refuse(Refusal::kNotDicom, "");
  *at = 0;
  const std::string_view vr(reinterpret_cast<const char*>(first + 4), 2);
  const bool explicit_vr = Contains(kShortVrs, vr) || Contains(kLongVrs, vr);
  const std::uint16_t little = Load16(first, false), big = Load16(first, true);
  if (little == 0x0002 && explicit_vr) return ScanFileMeta(data_set, at);
  if (explicit_vr && little == 0x0008) {
    data_set.syntax_ = TransferSyntax::kExplicitLittleEndian;
  } else if (explicit_vr && big == 0x0008) {
    data_set.syntax_ = TransferSyntax::kExplicitBigEndian;
  } else if (little == 0x0008 && Load16(first + 2, false) < 0x0100 &&
             Load32(first + 4, false) <= 1024) {
    data_set.syntax_ = TransferSyntax::kImplicitLittleEndian;
  } else {
    return Refuse(Refusal::kNotDicom, "");
  }
  data_set.encoding_ = EncodingOf(data_set.syntax_);
  return true;
}

bool StructureScan::ScanFileMeta(DataSet& data_set, std::uint64_t* at) {
  std::string syntax_uid;
  while (const std::uint8_t* group = source_.Peek(*at, 2)) {
    if (Load16(group, false) != 0x0002) break;
    const auto head = ReadHead(*at, Encoding{});
    if (!head) return false;
    if (head->length == kUndefined) {
      return Refuse(Refusal::kDamaged, StrCat(Show(head->tag), " has no length"));
    }
    if (head->tag == kTransferSyntaxUid && head->length <= 66) {
      const std::uint8_t* uid = source_.Peek(head->value, head->length);
      syntax_uid.assign(reinterpret_cast<const char*>(uid), head->length);
      while (!syntax_uid.empty() && (syntax_uid.back() == '\0' || syntax_uid.back() == ' ')) {
        syntax_uid.pop_back();
      }
    }
    *at = head->value + head->length;
  }
  if (syntax_uid.empty()) {
    return Refuse(Refusal::kDamaged, "the file meta information names no transfer syntax");
  }
  return ChooseSyntax(data_set, syntax_uid);
}

bool StructureScan::ChooseSyntax(DataSet& data_set, std::string_view uid) {
  const auto syntax = SyntaxOf(uid);
  if (!syntax) return Refuse(Refusal::kUnsupportedTransferSyntax, DescribeUnsupported(uid));
  data_set.syntax_ = *syntax;
  data_set.encoding_ = EncodingOf(*syntax);
  return true;
}

bool StructureScan::InflateFrom(std::uint64_t start) {
  const auto deflated = source_.Read(start, source_.size() - start);
  if (!deflated) return Refuse(Refusal::kUnreadable, "");
  auto content = Inflate(*deflated);
  if (!content.ok()) return Refuse(content.refused().reason, content.refused().detail);
  source_ = ByteSource(*std::move(content));
  return true;
}

// Some programs write the data set in another VR than the file meta information says: the first
// element shows it, as two bytes of a length are never a VR there.
void StructureScan::CorrectEncoding(DataSet& data_set, std::uint64_t at) {
  const std::uint8_t* first = source_.Peek(at, 8);
  if (first == nullptr || data_set.big_endian()) return;
  const std::string_view vr(reinterpret_cast<const char*>(first + 4), 2);
  const bool known = Contains(kShortVrs, vr) || Contains(kLongVrs, vr);
  const bool letters = std::isupper(first[4]) && std::isupper(first[5]);
  if (data_set.encoding_.explicit_vr && !known && !letters &&
      Load32(first + 4, false) <= source_.size() - at - 8) {
    data_set.encoding_.explicit_vr = false;
  } else if (!data_set.encoding_.explicit_vr && known) {
    data_set.encoding_.explicit_vr = true;
  }
}

bool StructureScan::ScanTopLevel(DataSet& data_set, std::uint64_t at) {
  CorrectEncoding(data_set, at);
  while (at < source_.size()) {
    const auto head = ReadHead(at, data_set.encoding_);
    if (!head) return false;
    const bool pixels =
        head->tag == kPixelData || head->tag == kFloatPixelData || head->tag == kDoublePixelData;
    if (pixels) data_set.pixel_tag_ = head->tag;
    if (pixels && head->length == kUndefined) {
      data_set.encapsulated_ = true;
      return ScanFragments(data_set, head->value);
    }
    const auto end = SkipValue(*head, data_set.encoding_, 0);
    if (!end) return false;
    const Element element{head->tag, head->vr, head->value, *end - head->value};
    if (pixels) {
      data_set.pixels_ = {element};
      return true;
    }
    data_set.elements_.push_back(element);
    at = *end;
  }
  return true;
}

bool StructureScan::ScanFragments(DataSet& data_set, std::uint64_t at) {
  bool offset_table = true;
  while (true) {
    const auto head = ReadHead(at, {false, data_set.big_endian()});
    if (!head) return false;
    if (head->tag == kSequenceEnd) return true;
    if (head->tag != kItem || head->length == kUndefined) {
      return Refuse(Refusal::kDamaged, "the compressed pixel data is not a row of fragments");
    }
    const Element item{kItem, kUnsaidVr, head->value, head->length};
    if (offset_table) {
      data_set.basic_offset_table_ = item;
    } else {
      data_set.pixels_.push_back(item);
    }
    offset_table = false;
    at = head->value + head->length;
  }
}

std::optional<StructureScan::ElementHead> StructureScan::ReadHead(std::uint64_t at,
                                                                  Encoding encoding) {
  const std::uint8_t* bytes = source_.Peek(at, 8);
  if (bytes == nullptr) return Damaged("the file ends within an element");
  ElementHead head;
  head.tag = Tag(Load16(bytes, encoding.big_endian), Load16(bytes + 2, encoding.big_endian));
  const bool delimiter = head.tag >> 16 == 0xfffe;
  if (!encoding.explicit_vr || delimiter) {
    head.length = Load32(bytes + 4, encoding.big_endian);
    head.value = at + 8;
  } else {
    head.vr = {static_cast<char>(bytes[4]), static_cast<char>(bytes[5])};
    const std::string_view vr(head.vr.data(), 2);
    if (Contains(kShortVrs, vr)) {
      head.length = Load16(bytes + 6, encoding.big_endian);
      head.value = at + 8;
    } else if (Contains(kLongVrs, vr)) {
      bytes = source_.Peek(at, 12);
      if (bytes == nullptr) return Damaged(StrCat("the file ends within ", Show(head.tag)));
      head.length = Load32(bytes + 8, encoding.big_endian);
      head.value = at + 12;
    } else {
      return Damaged(
          StrCat(Show(head.tag), " has a value representation that DICOM does not know"));
    }
  }
  const std::uint64_t left = source_.size() - head.value;
  if (head.length != kUndefined && head.length > left) {
    return Damaged(StrCat(Show(head.tag), " claims ", head.length, " bytes and the file holds ",
                          left, " more"));
  }
  return head;
}

std::optional<std::uint64_t> StructureScan::SkipValue(const ElementHead& head, Encoding encoding,
                                                      int depth) {
  if (head.length != kUndefined) return head.value + head.length;
  return SkipSequence(head.value, EncodingWithin(head.vr, encoding), depth + 1);
}

std::optional<std::uint64_t> StructureScan::SkipSequence(std::uint64_t at, Encoding encoding,
                                                         int depth) {
  if (depth > kDeepestNesting) {
    return Damaged(StrCat("sequences nested more than ", kDeepestNesting, " deep"));
  }
  while (true) {
    const auto head = ReadHead(at, encoding);
    if (!head) return std::nullopt;
    if (head->tag == kSequenceEnd) return head->value;
    if (head->tag != kItem) return Damaged("a sequence holds something that is not an item");
    if (head->length != kUndefined) {
      at = head->value + head->length;
    } else if (const auto end = SkipItem(head->value, encoding, depth)) {
      at = *end;
    } else {
      return std::nullopt;
    }
  }
}

std::optional<std::uint64_t> StructureScan::SkipItem(std::uint64_t at, Encoding encoding,
                                                     int depth) {
  while (true) {
    const auto head = ReadHead(at, encoding);
    if (!head) return std::nullopt;
    if (head->tag == kItemEnd) return head->value;
    const auto end = SkipValue(*head, encoding, depth);
    if (!end) return std::nullopt;
    at = *end;
  }
}

bool StructureScan::ScanItem(DataSet& item, std::uint64_t at, std::uint64_t end,
                             std::uint64_t* after) {
  while (at < end) {
    const auto head = ReadHead(at, item.encoding_);
    if (!head) return false;
    if (head->tag == kItemEnd) {
      *after = head->value;
      return true;
    }
    const auto next = SkipValue(*head, item.encoding_, item.depth_);
    if (!next) return false;
    if (*next > end) {
      return Refuse(Refusal::kDamaged, StrCat(Show(head->tag), " reaches beyond its item"));
    }
    item.elements_.push_back({head->tag, head->vr, head->value, *next - head->value});
    at = *next;
  }
  *after = end;
  return true;
}

OrRefused<std::vector<DataSet>> StructureScan::Items(const DataSet& data_set,
                                                     const Element& sequence, std::size_t most) {
  if (data_set.depth_ >= kDeepestNesting) {
    return Refused{Refusal::kDamaged, StrCat("nested more than ", kDeepestNesting, " deep")};
  }
  StructureScan scan(*data_set.source_);
  const Encoding encoding = EncodingWithin(sequence.vr, data_set.encoding_);
  const std::uint64_t end = sequence.offset + sequence.length;
  std::vector<DataSet> items;
  for (std::uint64_t at = sequence.offset; at < end && items.size() < most;) {
    const auto head = scan.ReadHead(at, encoding);
    if (!head) return *scan.refused_;
    if (head->tag == kSequenceEnd) break;
    const bool bounded = head->length != kUndefined;
    const std::uint64_t item_end = bounded ? head->value + head->length : end;
    if (head->tag != kItem || item_end > end) {
      return Refused{Refusal::kDamaged,
                     StrCat(Show(sequence.tag), " holds something that is not an item")};
    }
    DataSet item(data_set.source_);
    item.syntax_ = data_set.syntax_;
    item.encoding_ = encoding;
    item.depth_ = data_set.depth_ + 1;
    if (!scan.ScanItem(item, head->value, item_end, &at)) return *scan.refused_;
    items.push_back(std::move(item));
  }
  return items;
}

}  // namespace consilium::datasets::dicom
