#include "datasets/worker/message.h"

#include <cstring>

#include "common/base/status.h"

namespace consilium::datasets::worker {

void MessageWriter::U32(std::uint32_t value) {
  std::uint8_t bytes[4];
  StoreLe32(bytes, value);
  Rest(bytes);
}

void MessageWriter::U64(std::uint64_t value) {
  std::uint8_t bytes[8];
  StoreLe64(bytes, value);
  Rest(bytes);
}

void MessageWriter::Int(int value, int low, int high) {
  CONSILIUM_CHECK(value >= low && value <= high);
  U32(static_cast<std::uint32_t>(value));
}

void MessageWriter::Text(const std::string& text, std::size_t longest) {
  CONSILIUM_CHECK(text.size() <= longest);
  U32(static_cast<std::uint32_t>(text.size()));
  Rest(AsBytes(text));
}

void MessageWriter::Optional(const std::optional<double>& value) {
  Bool(value.has_value());
  if (value) F64(*value);
}

void MessageWriter::Floats(const std::vector<float>& values, std::size_t most) {
  CONSILIUM_CHECK(values.size() <= most);
  static_assert(std::endian::native == std::endian::little);
  U64(values.size());
  Rest({reinterpret_cast<const std::uint8_t*>(values.data()), values.size() * sizeof(float)});
}

ByteView MessageReader::Take(std::size_t count) {
  if (failed_ || rest_.size() < count) {
    failed_ = true;
    return {};
  }
  const ByteView taken = rest_.first(count);
  rest_ = rest_.subspan(count);
  return taken;
}

void MessageReader::U8(std::uint8_t& value) {
  const ByteView bytes = Take(1);
  value = failed_ ? 0 : bytes[0];
}

void MessageReader::U32(std::uint32_t& value) {
  const ByteView bytes = Take(4);
  value = failed_ ? 0 : LoadLe32(bytes.data());
}

void MessageReader::U64(std::uint64_t& value) {
  const ByteView bytes = Take(8);
  value = failed_ ? 0 : LoadLe64(bytes.data());
}

void MessageReader::F64(double& value) {
  std::uint64_t bits = 0;
  U64(bits);
  value = std::bit_cast<double>(bits);
}

void MessageReader::Bool(bool& value) {
  std::uint8_t byte = 0;
  U8(byte);
  if (byte > 1) failed_ = true;
  value = byte == 1 && !failed_;
}

void MessageReader::Int(int& value, int low, int high) {
  std::uint32_t bits = 0;
  U32(bits);
  value = static_cast<int>(bits);
  if (value >= low && value <= high && !failed_) return;
  failed_ = true;
  value = low;
}

void MessageReader::Text(std::string& text, std::size_t longest) {
  std::uint32_t size = 0;
  U32(size);
  if (size > longest) failed_ = true;
  text = AsText(Take(size));
}

void MessageReader::Optional(std::optional<double>& value) {
  bool there = false;
  double number = 0;
  Bool(there);
  if (there) F64(number);
  value.reset();
  if (there && !failed_) value = number;
}

void MessageReader::Floats(std::vector<float>& values, std::size_t most) {
  std::uint64_t count = 0;
  U64(count);
  if (count > most || count > rest_.size() / sizeof(float)) failed_ = true;
  const ByteView bytes = Take(failed_ ? 0 : count * sizeof(float));
  values.assign(bytes.size() / sizeof(float), 0);
  if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
}

ByteView MessageReader::Rest() { return Take(failed_ ? 0 : rest_.size()); }

}  // namespace consilium::datasets::worker
