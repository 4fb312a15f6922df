#include "datasets/dicom/data_set.h"

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "common/base/status.h"
#include "datasets/dicom/structure_scan.h"

namespace consilium::datasets::dicom {
namespace {

constexpr std::size_t kLargestPeek = 64 << 10;
constexpr std::size_t kWindowBytes = 16 << 10;  // most headers are shorter
constexpr std::uint64_t kLongestText = 4096;

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

// The file's VR, or `vr` where it does not say one.
std::string_view KindOf(const Element& element, std::string_view vr) {
  const std::string_view said(element.vr.data(), 2);
  return said == "  " || said == "UN" ? vr : said;
}

bool IsNumberText(std::string_view vr) { return vr == "DS" || vr == "IS"; }

// Bytes of a value of a binary VR; 0 for all others.
int BinarySize(std::string_view vr) {
  if (vr == "US" || vr == "SS" || vr == "OW") return 2;
  if (vr == "UL" || vr == "SL" || vr == "FL" || vr == "AT" || vr == "OL" || vr == "OF") return 4;
  return vr == "FD" || vr == "UV" || vr == "SV" || vr == "OD" ? 8 : 0;
}

std::uint64_t Load(const std::uint8_t* bytes, int size, bool big_endian) {
  std::uint64_t value = 0;
  for (int i = 0; i < size; ++i) value = value << 8 | bytes[big_endian ? i : size - 1 - i];
  return value;
}

double BinaryNumber(std::string_view vr, const std::uint8_t* bytes, bool big_endian) {
  const std::uint64_t value = Load(bytes, BinarySize(vr), big_endian);
  if (vr == "SS") return static_cast<std::int16_t>(value);
  if (vr == "SL") return static_cast<std::int32_t>(value);
  if (vr == "SV") return static_cast<double>(static_cast<std::int64_t>(value));
  if (vr == "FL" || vr == "OF") return std::bit_cast<float>(static_cast<std::uint32_t>(value));
  if (vr == "FD" || vr == "OD") return std::bit_cast<double>(value);
  if (vr == "AT" && !big_endian) return static_cast<double>((value & 0xffff) << 16 | value >> 16);
  return static_cast<double>(value);
}

std::optional<double> TextNumber(std::string_view padded) {
  std::string text = Trimmed(padded);
  if (!text.empty() && text.front() == '+') text.erase(0, 1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (!std::isfinite(value)) return std::nullopt;  // "inf" and "nan" are no decimal strings
  return value;
}

}  // namespace

absl::StatusOr<ByteSource> ByteSource::FromFile(const fs::path& path) {
  ASSIGN_OR_RETURN(File file, File::OpenForReading(path));
  return FromFile(std::move(file));
}

absl::StatusOr<ByteSource> ByteSource::FromFile(File file) {
  ASSIGN_OR_RETURN(const std::uint64_t size, file.Size());
  return ByteSource(std::move(file), size);
}

const std::uint8_t* ByteSource::Peek(std::uint64_t offset, std::size_t count) {
  CONSILIUM_CHECK(count <= kLargestPeek);
  if (offset > size_ || count > size_ - offset) return nullptr;
  if (offset < buffer_start_ || offset + count > buffer_start_ + buffer_.size()) {
    buffer_start_ = offset;
    buffer_.resize(std::min<std::uint64_t>(std::max(count, kWindowBytes), size_ - offset));
    if (!file_.ReadAt(offset, buffer_).ok()) {
      buffer_.clear();
      return nullptr;
    }
  }
  return buffer_.data() + (offset - buffer_start_);
}

std::optional<Bytes> ByteSource::Read(std::uint64_t offset, std::uint64_t count) {
  if (offset > size_ || count > size_ - offset) return std::nullopt;
  if (count <= kLargestPeek) {
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

OrRefused<Bytes> Inflate(ByteView deflated, std::uint64_t limit) {
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return Refused{Refusal::kTooLarge, ""};
  stream.next_in = const_cast<Bytef*>(deflated.data());
  stream.avail_in = static_cast<uInt>(std::min<std::size_t>(deflated.size(), 1u << 31));
  Bytes content;
  int result = Z_OK;
  while (result == Z_OK && content.size() < limit) {
    const std::size_t filled = content.size();
    const std::size_t grown = std::max<std::size_t>(1 << 16, filled * 2);
    content.resize(std::min<std::size_t>(limit, grown));
    stream.next_out = content.data() + filled;
    stream.avail_out = static_cast<uInt>(content.size() - filled);
    result = inflate(&stream, Z_NO_FLUSH);
    content.resize(content.size() - stream.avail_out);
    if (stream.avail_in == 0 && result == Z_OK && stream.avail_out > 0) break;  // ends too early
  }
  inflateEnd(&stream);
  if (result == Z_STREAM_END) return content;
  if (content.size() >= limit) {
    return Refused{Refusal::kTooLarge, StrCat("inflates to more than ", limit, " bytes")};
  }
  return Refused{Refusal::kDamaged, "the deflated data set ends early or is not valid"};
}

Refused Unreadable(const absl::Status& status) {
  std::string why;
  if (absl::IsNotFound(status)) why = "it is not there";
  if (absl::IsPermissionDenied(status)) why = "no permission";
  return {Refusal::kUnreadable, std::move(why)};
}

namespace {

OrRefused<DataSet> ReadFrom(absl::StatusOr<ByteSource> source) {
  if (!source.ok()) return Unreadable(source.status());
  return DataSet::Read(*std::move(source));
}

}  // namespace

OrRefused<DataSet> DataSet::Open(const fs::path& path) {
  return ReadFrom(ByteSource::FromFile(path));
}

OrRefused<DataSet> DataSet::Open(File file) {
  return ReadFrom(ByteSource::FromFile(std::move(file)));
}

OrRefused<DataSet> DataSet::Read(ByteSource source) {
  DataSet data_set(std::make_shared<ByteSource>(std::move(source)));
  if (auto refused = StructureScan::Run(data_set)) return *std::move(refused);
  return data_set;
}

const Element* DataSet::Find(std::uint32_t tag) const {
  const auto found = std::find_if(elements_.begin(), elements_.end(),
                                  [&](const Element& e) { return e.tag == tag; });
  return found == elements_.end() ? nullptr : &*found;
}

std::optional<Bytes> DataSet::Value(const Element& element) const {
  return source_->Read(element.offset, element.length);
}

std::optional<Bytes> DataSet::Value(std::uint32_t tag) const {
  const Element* element = Find(tag);
  if (element == nullptr) return std::nullopt;
  return Value(*element);
}

std::string DataSet::Text(std::uint32_t tag, int index) const {
  const Element* element = Find(tag);
  // Texts that we read are at most 64 characters a value; whatever is longer is not such a text.
  if (element == nullptr || element->length > kLongestText) return {};
  const std::uint8_t* bytes = source_->Peek(element->offset, element->length);
  if (bytes == nullptr) return {};
  return Trimmed(Component({reinterpret_cast<const char*>(bytes), element->length}, index));
}

std::vector<std::string> DataSet::Texts(std::uint32_t tag) const {
  const auto bytes = Value(tag);
  std::vector<std::string> texts;
  if (!bytes || bytes->empty()) return texts;
  for (std::string_view rest = AsText(*bytes);;) {
    const auto separator = rest.find('\\');
    texts.push_back(Trimmed(rest.substr(0, separator)));
    if (separator == std::string_view::npos) return texts;
    rest.remove_prefix(separator + 1);
  }
}

std::optional<double> DataSet::Number(std::uint32_t tag, int index, std::string_view vr) const {
  const Element* element = Find(tag);
  if (element == nullptr || index < 0) return std::nullopt;
  const std::string_view kind = KindOf(*element, vr);
  if (const int size = BinarySize(kind); size > 0) {
    const auto at = static_cast<std::uint64_t>(index) * static_cast<std::uint64_t>(size);
    if (at + static_cast<std::uint64_t>(size) > element->length) return std::nullopt;
    const std::uint8_t* bytes = source_->Peek(element->offset + at, static_cast<std::size_t>(size));
    if (bytes == nullptr) return std::nullopt;
    return BinaryNumber(kind, bytes, encoding_.big_endian);
  }
  if (!IsNumberText(kind) || element->length > kLongestText) return std::nullopt;
  const std::uint8_t* bytes = source_->Peek(element->offset, element->length);
  if (bytes == nullptr) return std::nullopt;
  const std::string_view all(reinterpret_cast<const char*>(bytes), element->length);
  return TextNumber(Component(all, index));
}

std::vector<double> DataSet::Numbers(std::uint32_t tag, std::string_view vr) const {
  const Element* element = Find(tag);
  if (element == nullptr || element->length == 0) return {};
  const std::string_view kind = KindOf(*element, vr);
  std::vector<double> numbers;
  if (IsNumberText(kind)) {
    const auto bytes = Value(*element);
    if (!bytes) return {};
    for (std::string_view rest = AsText(*bytes);;) {
      const auto separator = rest.find('\\');
      const auto number = TextNumber(rest.substr(0, separator));
      if (!number) return {};
      numbers.push_back(*number);
      if (separator == std::string_view::npos) return numbers;
      rest.remove_prefix(separator + 1);
    }
  }
  const auto size = static_cast<std::size_t>(BinarySize(kind));
  if (size == 0) return {};
  const auto bytes = Value(*element);
  if (!bytes) return {};
  for (std::size_t at = 0; at + size <= bytes->size(); at += size) {
    numbers.push_back(BinaryNumber(kind, bytes->data() + at, encoding_.big_endian));
  }
  return numbers;
}

std::optional<std::uint16_t> DataSet::Unsigned16(std::uint32_t tag, int index) const {
  const Element* element = Find(tag);
  const auto at = static_cast<std::uint64_t>(index) * 2;
  if (element == nullptr || at + 2 > element->length) return std::nullopt;
  const std::uint8_t* bytes = source_->Peek(element->offset + at, 2);
  if (bytes == nullptr) return std::nullopt;
  return static_cast<std::uint16_t>(Load(bytes, 2, encoding_.big_endian));
}

std::optional<std::uint32_t> DataSet::Unsigned32(std::uint32_t tag, int index) const {
  const Element* element = Find(tag);
  const auto at = static_cast<std::uint64_t>(index) * 4;
  if (element == nullptr || at + 4 > element->length) return std::nullopt;
  const std::uint8_t* bytes = source_->Peek(element->offset + at, 4);
  if (bytes == nullptr) return std::nullopt;
  return static_cast<std::uint32_t>(Load(bytes, 4, encoding_.big_endian));
}

OrRefused<std::vector<DataSet>> DataSet::Sequence(std::uint32_t tag) const {
  const Element* element = Find(tag);
  if (element == nullptr || element->length == 0) return std::vector<DataSet>{};
  return StructureScan::Items(*this, *element, std::numeric_limits<std::size_t>::max());
}

DataSet DataSet::FirstItem(std::uint32_t tag) const {
  const Element* element = Find(tag);
  if (element != nullptr && element->length > 0) {
    auto items = StructureScan::Items(*this, *element, 1);
    if (items.ok() && !items->empty()) return std::move(items->front());
  }
  DataSet empty(source_);
  empty.syntax_ = syntax_;
  empty.encoding_ = encoding_;
  return empty;
}

}  // namespace consilium::datasets::dicom
