#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/file.h"

namespace consilium::crypto {

Digest Sha256(ByteView bytes);
inline Digest Sha256(std::string_view text) { return Sha256(AsBytes(text)); }

// SHA-256 over pieces (FIPS 180-4). Move-only; not thread-safe.
class Sha256Stream {
 public:
  Sha256Stream();
  Sha256Stream(Sha256Stream&&) noexcept;
  Sha256Stream& operator=(Sha256Stream&&) noexcept;
  ~Sha256Stream();
  void Update(ByteView bytes);
  Sha256Stream Copy() const;  // that goes its own way from here
  Digest Finish() &&;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Of a whole file, read in pieces.
absl::StatusOr<Digest> Sha256OfFile(const fs::path& path);

}  // namespace consilium::crypto
