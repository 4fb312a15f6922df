#pragma once

// Arguments and results of a worker's operations as bytes: values one after the other, integers
// little endian. MessageWriter and MessageReader have the same functions, so that one template
// that names the fields of a struct once both writes and reads it (header_message.cpp).

#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "common/base/bytes.h"

namespace consilium::datasets::worker {

// No text in a message is longer.
inline constexpr std::size_t kLongestText = 4096;

class MessageWriter {
 public:
  void U8(std::uint8_t value) { bytes_.push_back(value); }
  void U32(std::uint32_t value);
  void U64(std::uint64_t value);
  void F64(double value) { U64(std::bit_cast<std::uint64_t>(value)); }
  void Bool(bool value) { U8(value ? 1 : 0); }
  // Between `low` and `high`, both included.
  void Int(int value, int low, int high);
  void Text(const std::string& text, std::size_t longest = kLongestText);
  template <class E>
  void Enum(E value, E last) {
    Int(static_cast<int>(value), 0, static_cast<int>(last));
  }
  void Optional(const std::optional<double>& value);
  void Floats(const std::vector<float>& values, std::size_t most);
  // All that is left of a message.
  void Rest(ByteView bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }

  const Bytes& bytes() const { return bytes_; }
  Bytes Take() && { return std::move(bytes_); }

 private:
  Bytes bytes_;
};

// Reads what a stranger may have written. After the first fault every value is 0 or empty, and
// Done() is false. Nothing is allocated beyond the size of the message.
class MessageReader {
 public:
  explicit MessageReader(ByteView bytes) : rest_(bytes) {}

  void U8(std::uint8_t& value);
  void U32(std::uint32_t& value);
  void U64(std::uint64_t& value);
  void F64(double& value);  // infinities and NaN too: files can say them
  void Bool(bool& value);
  void Int(int& value, int low, int high);
  void Text(std::string& text, std::size_t longest = kLongestText);
  template <class E>
  void Enum(E& value, E last) {
    int number = 0;
    Int(number, 0, static_cast<int>(last));
    value = static_cast<E>(number);
  }
  void Optional(std::optional<double>& value);
  void Floats(std::vector<float>& values, std::size_t most);
  ByteView Rest();

  void Fail() { failed_ = true; }
  bool failed() const { return failed_; }
  // The message was sound, and all of it has been read.
  bool Done() const { return !failed_ && rest_.empty(); }

 private:
  ByteView Take(std::size_t count);
  ByteView rest_;
  bool failed_ = false;
};

}  // namespace consilium::datasets::worker
