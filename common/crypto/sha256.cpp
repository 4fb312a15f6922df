#include "common/crypto/sha256.h"

#include <algorithm>

#include "common/base/status.h"
#include "common/crypto/openssl.h"

namespace consilium::crypto {

// SHA-256 of memory fails only when OpenSSL itself is broken or memory is out, so these end the
// process then.

Digest Sha256(ByteView bytes) {
  Digest digest;
  unsigned size = 0;
  CONSILIUM_CHECK(EVP_Digest(bytes.data(), bytes.size(), digest.bytes.data(), &size, EVP_sha256(),
                             nullptr) == 1);
  CONSILIUM_CHECK(size == digest.bytes.size());
  return digest;
}

struct Sha256Stream::Impl {
  OwnedDigestContext context{EVP_MD_CTX_new()};
};

Sha256Stream::Sha256Stream() : impl_(std::make_unique<Impl>()) {
  CONSILIUM_CHECK(impl_->context != nullptr);
  CONSILIUM_CHECK(EVP_DigestInit_ex(impl_->context.get(), EVP_sha256(), nullptr) == 1);
}
Sha256Stream::Sha256Stream(Sha256Stream&&) noexcept = default;
Sha256Stream& Sha256Stream::operator=(Sha256Stream&&) noexcept = default;
Sha256Stream::~Sha256Stream() = default;

void Sha256Stream::Update(ByteView bytes) {
  CONSILIUM_CHECK(impl_ != nullptr);
  CONSILIUM_CHECK(EVP_DigestUpdate(impl_->context.get(), bytes.data(), bytes.size()) == 1);
}

Sha256Stream Sha256Stream::Copy() const {
  CONSILIUM_CHECK(impl_ != nullptr);
  Sha256Stream copy;
  CONSILIUM_CHECK(EVP_MD_CTX_copy_ex(copy.impl_->context.get(), impl_->context.get()) == 1);
  return copy;
}

Digest Sha256Stream::Finish() && {
  CONSILIUM_CHECK(impl_ != nullptr);
  Digest digest;
  unsigned size = 0;
  CONSILIUM_CHECK(EVP_DigestFinal_ex(impl_->context.get(), digest.bytes.data(), &size) == 1);
  CONSILIUM_CHECK(size == digest.bytes.size());
  impl_.reset();
  return digest;
}

absl::StatusOr<Digest> Sha256OfFile(const fs::path& path) {
  constexpr std::uint64_t kPieceBytes = 1 << 20;
  ASSIGN_OR_RETURN(const File file, File::OpenForReading(path));
  ASSIGN_OR_RETURN(const std::uint64_t size, file.Size());
  Bytes piece(std::min(size, kPieceBytes));
  Sha256Stream stream;
  for (std::uint64_t offset = 0; offset < size; offset += piece.size()) {
    const std::span<std::uint8_t> part(piece.data(), std::min(size - offset, kPieceBytes));
    RETURN_IF_ERROR(file.ReadAt(offset, part));
    stream.Update(part);
  }
  return std::move(stream).Finish();
}

}  // namespace consilium::crypto
