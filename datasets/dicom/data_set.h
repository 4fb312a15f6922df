#pragma once

// The structure of a DICOM file: which element lies where (PS3.5 section 7, PS3.10 section 7.1).
// Every length is checked against what the file still holds before anything is read or allocated,
// so memory stays below a small multiple of the file's size (of kMaxInflatedBytes for the deflated
// transfer syntax).

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/file.h"
#include "datasets/dicom/header.h"
#include "datasets/refusal.h"

namespace consilium::datasets::dicom {

inline constexpr std::uint64_t kMaxInflatedBytes = 256ull << 20;

constexpr std::uint32_t Tag(std::uint16_t group, std::uint16_t element) {
  return (std::uint32_t{group} << 16) | element;
}

// Bytes by offset, from a file through a small buffer, or from memory. Not thread-safe.
class ByteSource {
 public:
  static absl::StatusOr<ByteSource> FromFile(const fs::path& path);
  static absl::StatusOr<ByteSource> FromFile(File file);
  explicit ByteSource(Bytes bytes) : buffer_(std::move(bytes)), size_(buffer_.size()) {}

  std::uint64_t size() const { return size_; }
  // `count` (at most 64 KiB) bytes from `offset`, valid until the next call; nullptr when they are
  // not there.
  const std::uint8_t* Peek(std::uint64_t offset, std::size_t count);
  // Exactly these bytes, or nothing.
  std::optional<Bytes> Read(std::uint64_t offset, std::uint64_t count);

 private:
  explicit ByteSource(File file, std::uint64_t size) : file_(std::move(file)), size_(size) {}
  File file_;
  Bytes buffer_;  // all bytes, or a window of the file
  std::uint64_t buffer_start_ = 0;
  std::uint64_t size_ = 0;
};

// kUnreadable for what opening or reading a file said, without the status's words, which name the
// file: names of files may be names of patients.
Refused Unreadable(const absl::Status& status);

// PS3.5 section 6.2: "US", "SQ" ...; two spaces in implicit VR, where the file does not say it.
using Vr = std::array<char, 2>;
inline constexpr Vr kUnsaidVr = {' ', ' '};

struct Element {
  std::uint32_t tag = 0;
  Vr vr = kUnsaidVr;
  std::uint64_t offset = 0;  // of the value
  std::uint64_t length = 0;
};

// How elements are written: the transfer syntax's, but for what is in an element of VR UN.
struct Encoding {
  bool explicit_vr = true, big_endian = false;
};

// A data set: a file's, up to and with its pixel data, or that of an item of a sequence, which has
// the same functions. Values are read from the file when they are asked for; items keep the file
// open. Copies share the file: use one file's data sets in one thread at a time.
//
// A function that returns one value or several gives none where the element is absent, empty or not
// of a kind that holds such values: what must be there, its reader checks.
class DataSet {
 public:
  static OrRefused<DataSet> Open(const fs::path& path);
  static OrRefused<DataSet> Open(File file);
  static OrRefused<DataSet> Read(ByteSource source);

  TransferSyntax transfer_syntax() const { return syntax_; }
  bool big_endian() const { return encoding_.big_endian; }

  // In the order of the file; of a file, what stands before its pixel data.
  const std::vector<Element>& elements() const { return elements_; }
  const Element* Find(std::uint32_t tag) const;
  bool Has(std::uint32_t tag) const { return Find(tag) != nullptr; }

  // A text's value at `index` without its padding, in the file's own character set; empty when
  // there is none. Only of elements of at most 4096 bytes.
  std::string Text(std::uint32_t tag, int index = 0) const;
  // All values of a text of any length, separated by backslashes.
  std::vector<std::string> Texts(std::uint32_t tag) const;

  // A number of whatever VR the file says: IS, DS, US, SS, UL, SL, UV, SV, FL, FD, AT, OW, OL, OF,
  // OD. `vr` is what the standard says of this tag; it counts where the file does not say its VR.
  std::optional<double> Number(std::uint32_t tag, int index = 0, std::string_view vr = "DS") const;
  // All of them; empty when one of them is no number.
  std::vector<double> Numbers(std::uint32_t tag, std::string_view vr = "DS") const;
  std::optional<std::uint16_t> Unsigned16(std::uint32_t tag, int index = 0) const;  // a US
  std::optional<std::uint32_t> Unsigned32(std::uint32_t tag, int index = 0) const;  // a UL

  // The bytes as they lie in the file.
  std::optional<Bytes> Value(const Element& element) const;
  std::optional<Bytes> Value(std::uint32_t tag) const;

  // The items of a sequence; none when it is absent or empty. kDamaged when its structure
  // contradicts itself or is nested too deep.
  OrRefused<std::vector<DataSet>> Sequence(std::uint32_t tag) const;
  // The first item; a data set without elements when the sequence is absent, empty or damaged.
  DataSet FirstItem(std::uint32_t tag) const;

  // Where the pixels lie: one element in a native transfer syntax, else the fragments without the
  // basic offset table. Empty for items.
  bool encapsulated() const { return encapsulated_; }
  const std::vector<Element>& pixels() const { return pixels_; }
  const Element& basic_offset_table() const { return basic_offset_table_; }  // PS3.5 A.4
  // (7FE0,0010), or (7FE0,0008) or (7FE0,0009) for pixels of FL or FD.
  std::uint32_t pixel_tag() const { return pixel_tag_; }
  // The same bytes without keeping them: for pixels.
  const ByteSource& source() const { return *source_; }
  ByteSource& source() { return *source_; }

 private:
  friend class StructureScan;
  explicit DataSet(std::shared_ptr<ByteSource> source) : source_(std::move(source)) {}

  std::shared_ptr<ByteSource> source_;  // shared by the data set of a file and all its items
  TransferSyntax syntax_ = TransferSyntax::kExplicitLittleEndian;
  Encoding encoding_;
  bool encapsulated_ = false;
  int depth_ = 0;  // sequences around this data set
  std::uint32_t pixel_tag_ = 0;
  std::vector<Element> elements_;
  std::vector<Element> pixels_;
  Element basic_offset_table_;
};

}  // namespace consilium::datasets::dicom
