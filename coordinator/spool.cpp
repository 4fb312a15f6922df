#include "coordinator/spool.h"

#include <algorithm>
#include <string>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/wire/consilium.pb.h"
#include "common/wire/convert.h"

namespace consilium::coordinator {
namespace {

constexpr std::string_view kMagic = "consilium spool v1";

absl::Status NotASpoolFile() {
  return absl::DataLossError("not the beginning of a contribution, or not all of it");
}

}  // namespace

absl::Status WriteSpoolHeader(File& file, const SpoolEntry& entry) {
  v1::UploadHeader proto;
  wire::ToProto(entry.header, &proto);
  Bytes bytes;
  const auto put = [&](std::string_view text) {
    const ByteView view = AsBytes(text);
    bytes.insert(bytes.end(), view.begin(), view.end());
  };
  const auto put_number = [&](std::uint32_t number) {
    bytes.resize(bytes.size() + sizeof number);
    StoreLe32(bytes.data() + bytes.size() - sizeof number, number);
  };
  const auto put_field = [&](std::string_view text) {
    put_number(static_cast<std::uint32_t>(text.size()));
    put(text);
  };
  put(kMagic);
  put_field(entry.site.value);
  put_number(entry.number);
  put_field(proto.SerializeAsString());
  const Digest digest = crypto::Sha256(bytes);
  bytes.insert(bytes.end(), digest.bytes.begin(), digest.bytes.end());
  if (bytes.size() > kSpoolHeaderBytes) {
    return absl::InvalidArgumentError(
        StrCat("an upload header of ", bytes.size(), " bytes is longer than one can be"));
  }
  bytes.resize(kSpoolHeaderBytes);
  return file.WriteAt(0, bytes);
}

absl::StatusOr<SpoolEntry> ReadSpoolHeader(const File& file) {
  Bytes bytes(kSpoolHeaderBytes);
  RETURN_IF_ERROR(file.ReadAt(0, bytes));
  std::size_t at = 0;
  const auto take = [&](std::size_t count) -> absl::StatusOr<ByteView> {
    if (count > bytes.size() - at) return NotASpoolFile();
    at += count;
    return ByteView(bytes).subspan(at - count, count);
  };
  const auto take_number = [&]() -> absl::StatusOr<std::uint32_t> {
    ASSIGN_OR_RETURN(const ByteView number, take(sizeof(std::uint32_t)));
    return LoadLe32(number.data());
  };
  const auto take_field = [&]() -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(const std::uint32_t size, take_number());
    ASSIGN_OR_RETURN(const ByteView field, take(size));
    return std::string(AsText(field));
  };
  ASSIGN_OR_RETURN(const ByteView magic, take(kMagic.size()));
  if (AsText(magic) != kMagic) return NotASpoolFile();
  SpoolEntry entry;
  ASSIGN_OR_RETURN(const std::string site, take_field());
  ASSIGN_OR_RETURN(entry.number, take_number());
  ASSIGN_OR_RETURN(const std::string header, take_field());
  const std::size_t hashed = at;
  ASSIGN_OR_RETURN(const ByteView digest, take(sizeof(Digest::bytes)));
  const Digest expected = crypto::Sha256(ByteView(bytes).first(hashed));
  if (!std::equal(digest.begin(), digest.end(), expected.bytes.begin())) return NotASpoolFile();
  v1::UploadHeader proto;
  if (!proto.ParseFromString(header)) return NotASpoolFile();
  ASSIGN_OR_RETURN(entry.header, wire::FromProto(proto));
  entry.site = SiteId(site);
  return entry;
}

}  // namespace consilium::coordinator
