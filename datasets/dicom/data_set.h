#pragma once

// The structure of a DICOM file: which element lies where (PS3.5 section 7, PS3.10 section 7.1).
// Every length is checked against what the file still holds before anything is read or allocated,
// so memory stays below a small multiple of the file's size (of kMaxInflatedBytes for the deflated
// transfer syntax).

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/file.h"
#include "datasets/dicom/reader.h"
#include "datasets/refusal.h"

namespace consilium::datasets::dicom {

inline constexpr std::uint64_t kMaxInflatedBytes = kMaxPixelBytes + (64ull << 20);

constexpr std::uint32_t Tag(std::uint16_t group, std::uint16_t element) {
  return (std::uint32_t{group} << 16) | element;
}

// Bytes by offset, from a file through a small buffer, or from memory. Not thread-safe.
class ByteSource {
 public:
  static absl::StatusOr<ByteSource> FromFile(const fs::path& path);
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

struct Element {
  std::uint32_t tag = 0;
  std::uint64_t offset = 0;  // of the value
  std::uint64_t length = 0;
  bool words = false;  // VR OW: in big endian, pairs of bytes are swapped (PS3.5 section 7.3)
};

// The data set up to and with its pixel data.
class DataSet {
 public:
  static OrRefused<DataSet> Open(const fs::path& path);

  TransferSyntax transfer_syntax() const { return syntax_; }
  bool big_endian() const { return syntax_ == TransferSyntax::kExplicitBigEndian; }

  // Values of elements of the top level. Texts come without their padding; of several values the
  // first.
  bool Has(std::uint32_t tag) const { return Find(tag) != nullptr; }
  std::string Text(std::uint32_t tag);
  std::optional<double> Number(std::uint32_t tag, int index = 0);  // a DS or IS value
  std::optional<std::uint16_t> Unsigned16(std::uint32_t tag);      // the first value of a US

  // The elements of the first item of a sequence; empty when there is none.
  OrRefused<std::vector<Element>> FirstItem(std::uint32_t tag);
  std::optional<Bytes> Value(const Element& element);
  std::optional<Bytes> Value(std::uint32_t tag);

  // Where the pixels lie: one element in a native transfer syntax, else the fragments without the
  // offset table.
  bool encapsulated() const { return encapsulated_; }
  const std::vector<Element>& pixels() const { return pixels_; }

 private:
  friend class StructureScan;
  explicit DataSet(ByteSource source) : source_(std::move(source)) {}
  const Element* Find(std::uint32_t tag) const;

  ByteSource source_;
  TransferSyntax syntax_ = TransferSyntax::kExplicitLittleEndian;
  bool explicit_vr_ = true;
  std::vector<Element> elements_;
  std::vector<Element> pixels_;
  bool encapsulated_ = false;
};

}  // namespace consilium::datasets::dicom
