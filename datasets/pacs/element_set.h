#pragma once

// A flat set of DICOM elements in implicit VR little endian (PS3.5 section 7.1.3): command sets
// (PS3.7 section 6.3) and query identifiers (PS3.4 C.2). Sequences are stepped over, not kept.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"

namespace consilium::datasets::pacs {

class ElementSet {
 public:
  // kInvalidArgument when a length runs over the end or sequences nest deeper than 16.
  static absl::StatusOr<ElementSet> Parse(ByteView bytes);
  Bytes Encode() const;
  // With the group length (0000,0000) that a command set begins with.
  Bytes EncodeCommand() const;

  // UIDs and texts; padded to an even length (UIDs by a zero byte).
  ElementSet& SetUid(std::uint32_t tag, std::string_view value);
  ElementSet& SetText(std::uint32_t tag, std::string_view value);
  ElementSet& SetUnsigned16(std::uint32_t tag, std::uint16_t value);

  bool Has(std::uint32_t tag) const { return values_.contains(tag); }
  // Without padding; empty when the element is not there.
  std::string Text(std::uint32_t tag) const;
  std::vector<std::string> Texts(std::uint32_t tag) const;  // the values between backslashes
  std::optional<std::uint16_t> Unsigned16(std::uint32_t tag) const;

 private:
  std::map<std::uint32_t, std::string> values_;
};

}  // namespace consilium::datasets::pacs
