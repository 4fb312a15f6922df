#include "common/crypto/secret_file.h"

#include "common/base/status.h"

namespace consilium::crypto {

absl::StatusOr<Secret> ReadSecretFile(const fs::path& path, std::uint64_t limit_bytes,
                                      std::string_view holds, GuardedBy guard) {
  const std::string name = path.filename().string();
  ASSIGN_OR_RETURN(const File file, File::OpenForReading(path));
  ASSIGN_OR_RETURN(const FileInfo info, file.Info());
  if (!info.regular) {
    return absl::InvalidArgumentError(StrCat(name, " is not a regular file"));
  }
  if (guard == GuardedBy::kFileMode && (info.mode & 077) != 0) {
    return absl::PermissionDeniedError(StrCat(
        name, " holds ", holds, ", and other users may read or change it: run chmod 600 ", name));
  }
  if (info.size > limit_bytes) {
    return absl::InvalidArgumentError(
        StrCat(name, " does not hold ", holds, ": it has ", info.size, " bytes"));
  }
  Secret content(info.size);
  RETURN_IF_ERROR(file.ReadAt(0, content.RevealForWriting()));
  return content;
}

}  // namespace consilium::crypto
