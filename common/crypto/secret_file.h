#pragma once

// Reading files that hold secrets straight into a Secret. Internal to this folder.

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/crypto/secret.h"

namespace consilium::crypto {

// Who guards the file: its own mode, or whoever made the folder for us (systemd's credentials show
// group bits that are access control lists).
enum class GuardedBy { kFileMode, kItsFolder };

// `holds`: what is in it, for messages ("a private key"). kNotFound; kInvalidArgument: not a
// regular file, or over `limit_bytes`; kPermissionDenied, with the chmod to run: others may read or
// change it.
absl::StatusOr<Secret> ReadSecretFile(const fs::path& path, std::uint64_t limit_bytes,
                                      std::string_view holds,
                                      GuardedBy guard = GuardedBy::kFileMode);

}  // namespace consilium::crypto
