#pragma once

// What is hashed, signed or derived from: fields one after another, each with its length (u64
// little-endian) before it, so that two lists of fields never have the same bytes. The first is a
// label that says what the text is. Internal to this folder.

#include <cstdint>
#include <string_view>
#include <utility>

#include "common/base/bytes.h"

namespace consilium::secagg {

class Fields {
 public:
  explicit Fields(std::string_view label) { AddText(label); }

  Fields& Add(ByteView field) {
    AppendNumber(field.size());
    bytes_.insert(bytes_.end(), field.begin(), field.end());
    return *this;
  }
  Fields& AddText(std::string_view field) { return Add(AsBytes(field)); }
  Fields& AddNumber(std::uint64_t field) {
    AppendNumber(sizeof field);
    AppendNumber(field);
    return *this;
  }

  ByteView bytes() const { return bytes_; }
  Bytes Take() && { return std::move(bytes_); }

 private:
  void AppendNumber(std::uint64_t number) {
    bytes_.resize(bytes_.size() + sizeof number);
    StoreLe64(bytes_.data() + bytes_.size() - sizeof number, number);
  }

  Bytes bytes_;
};

}  // namespace consilium::secagg
