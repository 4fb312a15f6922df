#pragma once

#include <bit>
#include <string_view>
#include <utility>

#include "common/base/bytes.h"

namespace consilium {

// Bytes to be hashed or signed: fields one after another, each with its length before it (8 bytes,
// little-endian), so that no two lists of fields give the same bytes.
class FieldWriter {
 public:
  // `label` says what the bytes are: two kinds of text never look alike.
  explicit FieldWriter(std::string_view label) { Text(label); }

  FieldWriter& Field(ByteView field) {
    std::uint8_t size[8];
    StoreLe64(size, field.size());
    bytes_.insert(bytes_.end(), size, size + sizeof size);
    bytes_.insert(bytes_.end(), field.begin(), field.end());
    return *this;
  }
  FieldWriter& Text(std::string_view text) { return Field(AsBytes(text)); }
  FieldWriter& Number(std::uint64_t number) {
    std::uint8_t bytes[8];
    StoreLe64(bytes, number);
    return Field(bytes);
  }
  // The number's own bits: -0 and 0 differ.
  FieldWriter& Real(double number) { return Number(std::bit_cast<std::uint64_t>(number)); }

  const Bytes& bytes() const& { return bytes_; }
  Bytes bytes() && { return std::move(bytes_); }

 private:
  Bytes bytes_;
};

}  // namespace consilium
