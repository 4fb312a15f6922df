#include "datasets/pacs/part10.h"

#include <algorithm>

#include "common/base/status.h"
#include "datasets/dicom/writer.h"
#include "datasets/pacs/pdu.h"

namespace consilium::datasets::pacs {
namespace {

constexpr std::size_t kPreambleBytes = 132;

bool HasLongLength(std::string_view vr) {
  static constexpr std::string_view kLong[] = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ",
                                               "SV", "UC", "UN", "UR", "UT", "UV"};
  return std::find(std::begin(kLong), std::end(kLong), vr) != std::end(kLong);
}

void PutHead(Bytes* out, std::uint16_t element, std::string_view vr, std::size_t length) {
  out->insert(out->end(),
              {2, 0, static_cast<std::uint8_t>(element), static_cast<std::uint8_t>(element >> 8),
               static_cast<std::uint8_t>(vr[0]), static_cast<std::uint8_t>(vr[1])});
  if (HasLongLength(vr)) {
    out->insert(out->end(), 2, 0);
    out->insert(out->end(), 4, 0);
    StoreLe32(&(*out)[out->size() - 4], static_cast<std::uint32_t>(length));
  } else {
    out->push_back(static_cast<std::uint8_t>(length));
    out->push_back(static_cast<std::uint8_t>(length >> 8));
  }
}

void PutText(Bytes* out, std::uint16_t element, std::string_view vr, std::string text) {
  if (text.size() % 2 != 0) text.push_back(vr == "UI" ? '\0' : ' ');
  PutHead(out, element, vr, text.size());
  out->insert(out->end(), text.begin(), text.end());
}

std::string Trimmed(ByteView bytes) {
  std::string_view text = AsText(bytes);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) text.remove_suffix(1);
  return std::string(text);
}

// An element's tag and where its value lies, or nothing when the bytes end before.
struct Element {
  std::uint32_t tag = 0;
  std::size_t value = 0;
  std::uint32_t length = 0;
};
std::optional<Element> ReadElement(ByteView bytes, std::size_t at, bool explicit_vr, bool big) {
  const auto u16 = [&](std::size_t i) {
    return static_cast<std::uint32_t>(big ? (bytes[i] << 8) | bytes[i + 1]
                                          : (bytes[i + 1] << 8) | bytes[i]);
  };
  const auto u32 = [&](std::size_t i) {
    return big ? (u16(i) << 16) | u16(i + 2) : (u16(i + 2) << 16) | u16(i);
  };
  if (bytes.size() < 12 || at > bytes.size() - 12) return std::nullopt;
  Element element{(u16(at) << 16) | u16(at + 2), at + 8, 0};
  if (!explicit_vr) {
    element.length = u32(at + 4);
  } else if (HasLongLength(AsText(bytes.subspan(at + 4, 2)))) {
    element.value = at + 12;
    element.length = u32(at + 8);
  } else {
    element.length = u16(at + 6);
  }
  return element;
}

absl::Status NotAFile() {
  return absl::InvalidArgumentError("not a DICOM file: no file meta information");
}

}  // namespace

Bytes EncodeFileMeta(const InstanceHead& head) {
  Bytes group;
  PutHead(&group, 0x0001, "OB", 2);
  group.insert(group.end(), {0, 1});
  PutText(&group, 0x0002, "UI", head.sop_class_uid);
  PutText(&group, 0x0003, "UI", head.sop_instance_uid);
  PutText(&group, 0x0010, "UI", head.transfer_syntax_uid);
  PutText(&group, 0x0012, "UI", dicom::MakeUid("consilium implementation"));
  PutText(&group, 0x0013, "SH", "CONSILIUM");
  if (!head.source_ae_title.empty()) PutText(&group, 0x0016, "AE", head.source_ae_title);
  Bytes out(kPreambleBytes, 0);
  constexpr std::string_view kMagic = "DICM";
  std::copy(kMagic.begin(), kMagic.end(), out.end() - 4);
  PutHead(&out, 0x0000, "UL", 4);
  out.resize(out.size() + 4);
  StoreLe32(&out[out.size() - 4], static_cast<std::uint32_t>(group.size()));
  out.insert(out.end(), group.begin(), group.end());
  return out;
}

absl::StatusOr<std::optional<FileMeta>> ParseFileMeta(ByteView beginning) {
  const auto more_needed = [&]() -> absl::StatusOr<std::optional<FileMeta>> {
    if (beginning.size() >= kMaxFileMetaBytes) return NotAFile();
    return std::optional<FileMeta>();
  };
  if (beginning.size() < kPreambleBytes) return more_needed();
  if (AsText(beginning.subspan(128, 4)) != "DICM") return NotAFile();
  FileMeta meta;
  std::size_t at = kPreambleBytes;
  for (;;) {
    const std::optional<Element> element = ReadElement(beginning, at, true, false);
    if (!element) return more_needed();
    if (element->tag >> 16 != 0x0002) break;
    if (element->length > kMaxFileMetaBytes) return NotAFile();
    if (element->length > beginning.size() - std::min(element->value, beginning.size())) {
      return more_needed();
    }
    const ByteView value = beginning.subspan(element->value, element->length);
    if (element->tag == 0x00020002) meta.head.sop_class_uid = Trimmed(value);
    if (element->tag == 0x00020003) meta.head.sop_instance_uid = Trimmed(value);
    if (element->tag == 0x00020010) meta.head.transfer_syntax_uid = Trimmed(value);
    at = element->value + element->length;
  }
  meta.data_set_offset = at;
  if (!IsUid(meta.head.sop_class_uid) || !IsUid(meta.head.sop_instance_uid) ||
      !IsUid(meta.head.transfer_syntax_uid)) {
    return absl::InvalidArgumentError(
        "the file meta information does not name SOP class, instance and transfer syntax");
  }
  return std::optional<FileMeta>(std::move(meta));
}

absl::StatusOr<FileMeta> ReadFileMeta(const fs::path& path) {
  ASSIGN_OR_RETURN(const File file, File::OpenForReading(path));
  ASSIGN_OR_RETURN(const std::uint64_t size, file.Size());
  Bytes beginning(std::min<std::uint64_t>(size, kMaxFileMetaBytes));
  RETURN_IF_ERROR(file.ReadAt(0, beginning));
  ASSIGN_OR_RETURN(std::optional<FileMeta> meta, ParseFileMeta(beginning));
  if (!meta) return NotAFile();
  return *std::move(meta);
}

std::optional<NamedInstance> FindNamedInstance(ByteView data_set,
                                               std::string_view transfer_syntax) {
  const bool explicit_vr = transfer_syntax != kImplicitLittleEndian;
  const bool big = transfer_syntax == kExplicitBigEndian;
  NamedInstance named;
  for (std::size_t at = 0;;) {
    const std::optional<Element> element = ReadElement(data_set, at, explicit_vr, big);
    if (!element || element->tag > 0x00080018) break;
    if (element->length == 0xFFFFFFFF) {  // a sequence, such as (0008,0006): to its delimiter
      const std::string_view end = big ? "\xFF\xFE\xE0\xDD" : "\xFE\xFF\xDD\xE0";
      const std::size_t found = AsText(data_set).find(end, element->value);
      if (found == std::string_view::npos) break;
      at = found + 8;
      continue;
    }
    if (element->value > data_set.size() || element->length > data_set.size() - element->value) {
      break;
    }
    const ByteView value = data_set.subspan(element->value, element->length);
    if (element->tag == 0x00080016) named.sop_class_uid = Trimmed(value);
    if (element->tag == 0x00080018) named.sop_instance_uid = Trimmed(value);
    at = element->value + element->length;
  }
  if (named.sop_class_uid.empty() || named.sop_instance_uid.empty()) return std::nullopt;
  return named;
}

const std::vector<std::string>& AcceptedTransferSyntaxes() {
  static const auto& syntaxes = *new std::vector<std::string>{
      "1.2.840.10008.1.2.1",      // explicit VR little endian
      "1.2.840.10008.1.2",        // implicit VR little endian
      "1.2.840.10008.1.2.1.99",   // deflated
      "1.2.840.10008.1.2.2",      // explicit VR big endian
      "1.2.840.10008.1.2.5",      // RLE
      "1.2.840.10008.1.2.4.80",   // JPEG-LS lossless
      "1.2.840.10008.1.2.4.70",   // JPEG lossless, first-order prediction
      "1.2.840.10008.1.2.4.57",   // JPEG lossless
      "1.2.840.10008.1.2.4.90",   // JPEG 2000 lossless
      "1.2.840.10008.1.2.4.201",  // HTJ2K lossless
      "1.2.840.10008.1.2.4.202",  // HTJ2K lossless RPCL
      "1.2.840.10008.1.2.4.81",   // JPEG-LS near-lossless
      "1.2.840.10008.1.2.4.91",   // JPEG 2000
      "1.2.840.10008.1.2.4.203",  // HTJ2K
      "1.2.840.10008.1.2.4.51",   // JPEG extended
      "1.2.840.10008.1.2.4.50",   // JPEG baseline
      "1.2.840.10008.1.2.4.53",   // JPEG spectral selection, retired
      "1.2.840.10008.1.2.4.55",   // JPEG progressive, retired
  };
  return syntaxes;
}

bool IsStorageClass(std::string_view sop_class_uid) {
  return sop_class_uid.starts_with("1.2.840.10008.5.1.4.1.1.") && IsUid(sop_class_uid);
}

}  // namespace consilium::datasets::pacs
