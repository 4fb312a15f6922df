#pragma once

// The head of a DICOM file (PS3.10 section 7.1): written by us for what is received, read from what
// is sent. And the transfer syntaxes that we take.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/file.h"

namespace consilium::datasets::pacs {

struct InstanceHead {
  std::string sop_class_uid, sop_instance_uid, transfer_syntax_uid;
  std::string source_ae_title;  // who sent it; empty: not said
};

// Preamble, "DICM" and group 0002.
Bytes EncodeFileMeta(const InstanceHead& head);

struct FileMeta {
  InstanceHead head;
  std::uint64_t data_set_offset = 0;
};
// From the first bytes of a file. Nothing: more bytes are needed (of a sound file, never more than
// kMaxFileMetaBytes). kInvalidArgument: no DICOM file, or without the UIDs that it must have.
inline constexpr std::size_t kMaxFileMetaBytes = 64 << 10;
absl::StatusOr<std::optional<FileMeta>> ParseFileMeta(ByteView beginning);
absl::StatusOr<FileMeta> ReadFileMeta(const fs::path& path);

// SOP class and instance that the data set itself names, from its first bytes (elements of group
// 0008 come first); nothing where they are not among them, as in a deflated data set.
struct NamedInstance {
  std::string sop_class_uid, sop_instance_uid;
};
std::optional<NamedInstance> FindNamedInstance(ByteView data_set, std::string_view transfer_syntax);

// What we accept of a peer, best first: uncompressed, lossless, lossy.
const std::vector<std::string>& AcceptedTransferSyntaxes();
inline constexpr std::string_view kImplicitLittleEndian = "1.2.840.10008.1.2";
inline constexpr std::string_view kExplicitBigEndian = "1.2.840.10008.1.2.2";
inline constexpr std::string_view kDeflated = "1.2.840.10008.1.2.1.99";

inline constexpr std::string_view kVerification = "1.2.840.10008.1.1";
// Composite objects that C-STORE carries (PS3.4 B.5): images, SEG, SR, RTSTRUCT ...
bool IsStorageClass(std::string_view sop_class_uid);

}  // namespace consilium::datasets::pacs
