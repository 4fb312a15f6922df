#include "datasets/pacs/element_set.h"

#include "common/base/status.h"

namespace consilium::datasets::pacs {
namespace {

constexpr std::uint32_t kItem = 0xFFFEE000, kItemEnd = 0xFFFEE00D, kSequenceEnd = 0xFFFEE0DD;
constexpr std::uint32_t kUndefined = 0xFFFFFFFF;
constexpr int kMaxDepth = 16;

absl::Status Damaged() {
  return absl::InvalidArgumentError("the data set received is damaged: a length runs over its end");
}

struct Head {
  std::uint32_t tag = 0, length = 0;
};

std::optional<Head> ReadHead(ByteView bytes, std::size_t at) {
  if (bytes.size() < 8 || at > bytes.size() - 8) return std::nullopt;
  const std::uint8_t* p = bytes.data() + at;
  const std::uint32_t group = p[0] | (p[1] << 8), element = p[2] | (p[3] << 8);
  return Head{(group << 16) | element, LoadLe32(p + 4)};
}

// The offset after a sequence, or an item (`end` is what closes it), of undefined length.
std::optional<std::size_t> SkipUndefined(ByteView bytes, std::size_t at, std::uint32_t end,
                                         int depth) {
  if (depth > kMaxDepth) return std::nullopt;
  for (;;) {
    const std::optional<Head> head = ReadHead(bytes, at);
    if (!head) return std::nullopt;
    at += 8;
    if (head->tag == end) return at;
    if (head->length == kUndefined) {
      const auto after =
          SkipUndefined(bytes, at, head->tag == kItem ? kItemEnd : kSequenceEnd, depth + 1);
      if (!after) return std::nullopt;
      at = *after;
    } else if (head->length > bytes.size() - at) {
      return std::nullopt;
    } else {
      at += head->length;
    }
  }
}

void PutElement(Bytes* out, std::uint32_t tag, std::string_view value) {
  std::uint8_t head[8] = {static_cast<std::uint8_t>(tag >> 16),
                          static_cast<std::uint8_t>(tag >> 24),
                          static_cast<std::uint8_t>(tag),
                          static_cast<std::uint8_t>(tag >> 8),
                          0,
                          0,
                          0,
                          0};
  StoreLe32(head + 4, static_cast<std::uint32_t>(value.size()));
  out->insert(out->end(), head, head + 8);
  out->insert(out->end(), value.begin(), value.end());
}

}  // namespace

absl::StatusOr<ElementSet> ElementSet::Parse(ByteView bytes) {
  ElementSet set;
  std::size_t at = 0;
  while (at < bytes.size()) {
    const std::optional<Head> head = ReadHead(bytes, at);
    if (!head) return Damaged();
    at += 8;
    if (head->length == kUndefined) {
      const auto after = SkipUndefined(bytes, at, kSequenceEnd, 0);
      if (!after) return Damaged();
      at = *after;
      continue;
    }
    if (head->length > bytes.size() - at) return Damaged();
    set.values_[head->tag] = AsText(bytes.subspan(at, head->length));
    at += head->length;
  }
  return set;
}

Bytes ElementSet::Encode() const {
  Bytes out;
  for (const auto& [tag, value] : values_) PutElement(&out, tag, value);
  return out;
}

Bytes ElementSet::EncodeCommand() const {
  const Bytes elements = Encode();
  std::string length(4, '\0');
  StoreLe32(reinterpret_cast<std::uint8_t*>(length.data()),
            static_cast<std::uint32_t>(elements.size()));
  Bytes out;
  PutElement(&out, 0, length);
  out.insert(out.end(), elements.begin(), elements.end());
  return out;
}

ElementSet& ElementSet::SetUid(std::uint32_t tag, std::string_view value) {
  std::string& stored = values_[tag] = std::string(value);
  if (stored.size() % 2 != 0) stored.push_back('\0');
  return *this;
}

ElementSet& ElementSet::SetText(std::uint32_t tag, std::string_view value) {
  std::string& stored = values_[tag] = std::string(value);
  if (stored.size() % 2 != 0) stored.push_back(' ');
  return *this;
}

ElementSet& ElementSet::SetUnsigned16(std::uint32_t tag, std::uint16_t value) {
  values_[tag] = {static_cast<char>(value & 0xFF), static_cast<char>(value >> 8)};
  return *this;
}

std::string ElementSet::Text(std::uint32_t tag) const {
  const auto found = values_.find(tag);
  if (found == values_.end()) return "";
  std::string_view text = found->second;
  while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) text.remove_suffix(1);
  return std::string(text);
}

std::vector<std::string> ElementSet::Texts(std::uint32_t tag) const {
  std::vector<std::string> texts;
  const std::string whole = Text(tag);
  for (std::size_t at = 0; !whole.empty() && at <= whole.size();) {
    const std::size_t end = std::min(whole.find('\\', at), whole.size());
    texts.push_back(whole.substr(at, end - at));
    at = end + 1;
  }
  return texts;
}

std::optional<std::uint16_t> ElementSet::Unsigned16(std::uint32_t tag) const {
  const auto found = values_.find(tag);
  if (found == values_.end() || found->second.size() < 2) return std::nullopt;
  const auto* p = reinterpret_cast<const std::uint8_t*>(found->second.data());
  return static_cast<std::uint16_t>(p[0] | (p[1] << 8));
}

}  // namespace consilium::datasets::pacs
