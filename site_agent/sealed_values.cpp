#include "site_agent/sealed_values.h"

#include <algorithm>

#include "common/base/status.h"
#include "common/crypto/aead.h"
#include "common/crypto/envelope.h"
#include "common/crypto/keys.h"

namespace consilium::site_agent {
namespace {

constexpr std::size_t kSaltBytes = 32, kKeyBytes = 32;
constexpr std::size_t kSegmentValues = crypto::kSegmentBytes / sizeof(float);
constexpr std::size_t kSealedSegment = crypto::kSegmentBytes + crypto::kAeadTagBytes;

absl::StatusOr<crypto::Secret> KeyOf(const ValuesSeal& seal, ByteView salt) {
  return crypto::Hkdf(seal.state_key.Reveal(), salt, AsBytes(seal.purpose), kKeyBytes);
}

crypto::AeadNonce NonceOf(std::uint32_t index, bool last) {
  crypto::AeadNonce nonce{};
  for (int i = 0; i < 4; ++i) nonce[7 + i] = static_cast<std::uint8_t>(index >> (24 - 8 * i));
  nonce[11] = last ? 1 : 0;
  return nonce;
}

ByteView BytesOf(std::span<const float> values) {
  return {reinterpret_cast<const std::uint8_t*>(values.data()), values.size_bytes()};
}

absl::Status Damaged() {
  return absl::DataLossError("what was trained and kept on the disk is damaged");
}

absl::Status WriteSegments(File& file, const crypto::Secret& key, ByteView binding,
                           std::size_t count, const FillValues& fill) {
  std::vector<float> plaintext(std::min(count, kSegmentValues));
  std::uint64_t offset = kSaltBytes;
  std::uint32_t index = 0;
  for (std::size_t first = 0; first < count; first += kSegmentValues, ++index) {
    const std::span<float> segment =
        std::span(plaintext).first(std::min(kSegmentValues, count - first));
    RETURN_IF_ERROR(fill(first, segment));
    const bool last = first + segment.size() == count;
    ASSIGN_OR_RETURN(const Bytes sealed,
                     crypto::SealOnce(key, NonceOf(index, last), binding, BytesOf(segment)));
    RETURN_IF_ERROR(file.WriteAt(offset, sealed));
    offset += sealed.size();
  }
  return file.Sync();
}

absl::Status ReadSegments(const File& file, const crypto::Secret& key, ByteView binding,
                          std::vector<float>& values) {
  Bytes sealed(kSealedSegment);
  std::uint64_t offset = kSaltBytes;
  std::uint32_t index = 0;
  for (std::size_t first = 0; first < values.size(); first += kSegmentValues, ++index) {
    const std::size_t count = std::min(kSegmentValues, values.size() - first);
    const bool last = first + count == values.size();
    sealed.resize(count * sizeof(float) + crypto::kAeadTagBytes);
    RETURN_IF_ERROR(file.ReadAt(offset, sealed));
    const auto opened = crypto::OpenOnce(key, NonceOf(index, last), binding, sealed);
    if (absl::IsUnauthenticated(opened.status())) return Damaged();
    RETURN_IF_ERROR(opened.status());
    std::copy_n(opened->Reveal().data(), count * sizeof(float),
                reinterpret_cast<std::uint8_t*>(values.data() + first));
    offset += sealed.size();
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteSealedValues(const fs::path& path, const ValuesSeal& seal, std::size_t count,
                               const FillValues& fill, RandomSource& random) {
  fs::path part = path;
  part += ".part";
  const auto write = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(File file, File::OpenForWriting(part, /*truncate=*/true));
    Bytes salt(kSaltBytes);
    random.Fill(salt);
    ASSIGN_OR_RETURN(const crypto::Secret key, KeyOf(seal, salt));
    RETURN_IF_ERROR(file.WriteAt(0, salt));
    RETURN_IF_ERROR(WriteSegments(file, key, seal.binding, count, fill));
    return RenameDurably(part, path);
  };
  const absl::Status written = write();
  if (!written.ok()) Remove(part).IgnoreError();
  return written;
}

absl::StatusOr<std::size_t> CountSealedValues(const fs::path& path) {
  ASSIGN_OR_RETURN(const File file, File::OpenForReading(path));
  ASSIGN_OR_RETURN(const std::uint64_t size, file.Size());
  if (size <= kSaltBytes) return Damaged();
  const std::uint64_t segments = (size - kSaltBytes + kSealedSegment - 1) / kSealedSegment;
  const std::uint64_t tags = segments * crypto::kAeadTagBytes;
  if (size - kSaltBytes <= tags || (size - kSaltBytes - tags) % sizeof(float) != 0) {
    return Damaged();
  }
  return (size - kSaltBytes - tags) / sizeof(float);
}

absl::StatusOr<std::vector<float>> ReadSealedValues(const fs::path& path, const ValuesSeal& seal,
                                                    std::size_t count) {
  ASSIGN_OR_RETURN(const std::size_t found, CountSealedValues(path));
  if (found != count) return Damaged();
  ASSIGN_OR_RETURN(const File file, File::OpenForReading(path));
  Bytes salt(kSaltBytes);
  RETURN_IF_ERROR(file.ReadAt(0, salt));
  ASSIGN_OR_RETURN(const crypto::Secret key, KeyOf(seal, salt));
  std::vector<float> values(count);
  RETURN_IF_ERROR(ReadSegments(file, key, seal.binding, values));
  return values;
}

}  // namespace consilium::site_agent
