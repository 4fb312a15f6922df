#include "datasets/dicom/data_set.h"

#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "common/base/status.h"
#include "datasets/dicom/structure_scan.h"

namespace consilium::datasets::dicom {
namespace {

constexpr std::size_t kWindowBytes = 64 << 10;

std::string Trimmed(std::string_view text) {
  const auto is_padding = [](char c) { return c == ' ' || c == '\0'; };
  while (!text.empty() && is_padding(text.back())) text.remove_suffix(1);
  while (!text.empty() && is_padding(text.front())) text.remove_prefix(1);
  return std::string(text);
}

// The value at `index` of a multi-valued text (PS3.5 section 6.4).
std::string_view Component(std::string_view text, int index) {
  for (; index > 0; --index) {
    const auto separator = text.find('\\');
    if (separator == std::string_view::npos) return {};
    text.remove_prefix(separator + 1);
  }
  return text.substr(0, text.find('\\'));
}

}  // namespace

absl::StatusOr<ByteSource> ByteSource::FromFile(const fs::path& path) {
  ASSIGN_OR_RETURN(File file, File::OpenForReading(path));
  ASSIGN_OR_RETURN(const std::uint64_t size, file.Size());
  return ByteSource(std::move(file), size);
}

const std::uint8_t* ByteSource::Peek(std::uint64_t offset, std::size_t count) {
  CONSILIUM_CHECK(count <= kWindowBytes);
  if (offset > size_ || count > size_ - offset) return nullptr;
  if (offset < buffer_start_ || offset + count > buffer_start_ + buffer_.size()) {
    Bytes window(std::min<std::uint64_t>(kWindowBytes, size_ - offset));
    if (!file_.ReadAt(offset, window).ok()) return nullptr;
    buffer_ = std::move(window);
    buffer_start_ = offset;
  }
  return buffer_.data() + (offset - buffer_start_);
}

std::optional<Bytes> ByteSource::Read(std::uint64_t offset, std::uint64_t count) {
  if (offset > size_ || count > size_ - offset) return std::nullopt;
  if (count <= kWindowBytes) {
    const std::uint8_t* bytes = Peek(offset, count);
    if (bytes == nullptr) return std::nullopt;
    return Bytes(bytes, bytes + count);
  }
  if (file_.descriptor() < 0) {
    const auto first = buffer_.begin() + static_cast<std::ptrdiff_t>(offset);
    return Bytes(first, first + static_cast<std::ptrdiff_t>(count));
  }
  Bytes bytes(count);
  if (!file_.ReadAt(offset, bytes).ok()) return std::nullopt;
  return bytes;
}

OrRefused<Bytes> Inflate(ByteView deflated) {
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return Refused{Refusal::kTooLarge, ""};
  stream.next_in = const_cast<Bytef*>(deflated.data());
  stream.avail_in = static_cast<uInt>(std::min<std::size_t>(deflated.size(), 1u << 31));
  Bytes content;
  int result = Z_OK;
  while (result == Z_OK && content.size() < kMaxInflatedBytes) {
    const std::size_t filled = content.size();
    const std::size_t grown = std::max<std::size_t>(1 << 16, filled * 2);
    content.resize(std::min<std::size_t>(kMaxInflatedBytes, grown));
    stream.next_out = content.data() + filled;
    stream.avail_out = static_cast<uInt>(content.size() - filled);
    result = inflate(&stream, Z_NO_FLUSH);
    content.resize(content.size() - stream.avail_out);
    if (stream.avail_in == 0 && result == Z_OK && stream.avail_out > 0) break;  // ends too early
  }
  inflateEnd(&stream);
  if (result == Z_STREAM_END) return content;
  if (content.size() >= kMaxInflatedBytes) {
    return Refused{Refusal::kTooLarge,
                   StrCat("inflates to more than ", kMaxInflatedBytes, " bytes")};
  }
  return Refused{Refusal::kDamaged, "the deflated data set ends early or is not valid"};
}

OrRefused<DataSet> DataSet::Open(const fs::path& path) {
  auto source = ByteSource::FromFile(path);
  if (!source.ok()) return Refused{Refusal::kUnreadable, ToStd(source.status().message()).data()};
  DataSet data_set(*std::move(source));
  if (auto refused = StructureScan::Run(data_set)) return *std::move(refused);
  return data_set;
}

const Element* DataSet::Find(std::uint32_t tag) const {
  const auto found = std::find_if(elements_.begin(), elements_.end(),
                                  [&](const Element& e) { return e.tag == tag; });
  return found == elements_.end() ? nullptr : &*found;
}

std::optional<Bytes> DataSet::Value(const Element& element) {
  return source_.Read(element.offset, element.length);
}

std::optional<Bytes> DataSet::Value(std::uint32_t tag) {
  const Element* element = Find(tag);
  if (element == nullptr) return std::nullopt;
  return Value(*element);
}

std::string DataSet::Text(std::uint32_t tag) {
  const Element* element = Find(tag);
  // Texts that we read are at most 64 characters a value; whatever is longer is not such a text.
  if (element == nullptr || element->length > 4096) return {};
  const std::uint8_t* bytes = source_.Peek(element->offset, element->length);
  if (bytes == nullptr) return {};
  return Trimmed(Component({reinterpret_cast<const char*>(bytes), element->length}, 0));
}

std::optional<double> DataSet::Number(std::uint32_t tag, int index) {
  const Element* element = Find(tag);
  if (element == nullptr || element->length > 4096) return std::nullopt;
  const std::uint8_t* bytes = source_.Peek(element->offset, element->length);
  if (bytes == nullptr) return std::nullopt;
  const std::string_view all(reinterpret_cast<const char*>(bytes), element->length);
  std::string text = Trimmed(Component(all, index));
  if (!text.empty() && text.front() == '+') text.erase(0, 1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::uint16_t> DataSet::Unsigned16(std::uint32_t tag) {
  const Element* element = Find(tag);
  if (element == nullptr || element->length < 2) return std::nullopt;
  const std::uint8_t* bytes = source_.Peek(element->offset, 2);
  if (bytes == nullptr) return std::nullopt;
  const int low = big_endian() ? bytes[1] : bytes[0];
  const int high = big_endian() ? bytes[0] : bytes[1];
  return static_cast<std::uint16_t>(high << 8 | low);
}

OrRefused<std::vector<Element>> DataSet::FirstItem(std::uint32_t tag) {
  const Element* element = Find(tag);
  if (element == nullptr) return std::vector<Element>{};
  return StructureScan::FirstItem(*this, *element);
}

}  // namespace consilium::datasets::dicom
