#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/secret.h"

namespace consilium::crypto {

// How hard a guess at a passphrase is (RFC 7914): 128 * n * r bytes of memory for each.
struct ScryptCost {
  std::uint64_t n = 1 << 15;  // a power of two above 1
  std::uint32_t r = 8;
  std::uint32_t p = 1;
  bool operator==(const ScryptCost&) const = default;
};

// kInvalidArgument for no output or a cost that scrypt does not have, or above 1 GiB.
absl::StatusOr<Secret> Scrypt(ByteView passphrase, ByteView salt, const ScryptCost& cost,
                              std::size_t size);

}  // namespace consilium::crypto
