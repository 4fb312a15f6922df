#include "common/crypto/secret_file.h"

#include <sys/stat.h>

#include "common/base/status.h"

namespace consilium::crypto {

absl::StatusOr<Secret> ReadSecretFile(const fs::path& path, std::uint64_t limit_bytes,
                                      std::string_view holds, GuardedBy guard) {
  const std::string name = path.filename().string();
  ASSIGN_OR_RETURN(const File file, File::OpenForReading(path));
  struct stat about {};
  if (fstat(file.descriptor(), &about) != 0 || !S_ISREG(about.st_mode)) {
    return absl::InvalidArgumentError(StrCat(name, " is not a regular file"));
  }
  if (guard == GuardedBy::kFileMode && (about.st_mode & 077) != 0) {
    return absl::PermissionDeniedError(StrCat(
        name, " holds ", holds, ", and other users may read or change it: run chmod 600 ", name));
  }
  const auto size = static_cast<std::uint64_t>(about.st_size);
  if (size > limit_bytes) {
    return absl::InvalidArgumentError(
        StrCat(name, " does not hold ", holds, ": it has ", size, " bytes"));
  }
  Secret content(size);
  RETURN_IF_ERROR(file.ReadAt(0, content.RevealForWriting()));
  return content;
}

}  // namespace consilium::crypto
