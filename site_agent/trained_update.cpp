#include "site_agent/trained_update.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include "common/base/field_writer.h"
#include "common/base/status.h"
#include "common/crypto/aead.h"
#include "common/crypto/envelope.h"
#include "common/crypto/keys.h"
#include "common/model/safetensors.h"

namespace consilium::site_agent {
namespace {

constexpr std::size_t kSaltBytes = 32, kKeyBytes = 32;
constexpr std::size_t kSegmentValues = crypto::kSegmentBytes / sizeof(float);
constexpr std::size_t kSealedSegment = crypto::kSegmentBytes + crypto::kAeadTagBytes;

absl::StatusOr<crypto::Secret> KeyOf(const crypto::Secret& state_key, ByteView salt) {
  return crypto::Hkdf(state_key.Reveal(), salt, AsBytes("consilium site trained update v1"),
                      kKeyBytes);
}

Bytes BindingOf(const TrainedRecord& record) {
  return FieldWriter("consilium site trained update v1")
      .Text(record.run.value)
      .Number(record.round)
      .Field(record.base.bytes)
      .Number(record.seed)
      .Text(record.layout_header)
      .bytes();
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

bool AllFinite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

absl::Status WriteSegments(const Contribution& contribution, const crypto::Secret& key,
                           ByteView binding, File& file) {
  const std::size_t values = contribution.model.values().size();
  std::vector<float> plaintext(std::min(values, kSegmentValues));
  std::uint64_t offset = kSaltBytes;
  std::uint32_t index = 0;
  for (std::size_t first = 0; first < values; first += kSegmentValues, ++index) {
    const std::span<float> segment =
        std::span(plaintext).first(std::min(kSegmentValues, values - first));
    CopyValues(contribution, first, segment);
    if (!AllFinite(segment)) return NotFinite(contribution.model.layout(), first, segment);
    const bool last = first + segment.size() == values;
    ASSIGN_OR_RETURN(const Bytes sealed,
                     crypto::SealOnce(key, NonceOf(index, last), binding, BytesOf(segment)));
    RETURN_IF_ERROR(file.WriteAt(offset, sealed));
    offset += sealed.size();
  }
  return file.Sync();
}

absl::Status Damaged() {
  return absl::DataLossError("what was trained and kept on the disk is damaged");
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

absl::StatusOr<TrainedRecord> KeepTrained(TrainedRecord record, const Contribution& contribution,
                                          const crypto::Secret& state_key, RandomSource& random,
                                          const fs::path& outbox) {
  RETURN_IF_ERROR(CheckContribution(contribution));
  RETURN_IF_ERROR(EnsureFolder(outbox));
  record.layout_header = WriteSafetensorsHeader(contribution.model.layout());
  record.file = outbox / StrCat(record.run.value, "-", record.round, ".trained");
  fs::path part = record.file;
  part += ".part";
  const auto write = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(File file, File::OpenForWriting(part, /*truncate=*/true));
    Bytes salt(kSaltBytes);
    random.Fill(salt);
    ASSIGN_OR_RETURN(const crypto::Secret key, KeyOf(state_key, salt));
    RETURN_IF_ERROR(file.WriteAt(0, salt));
    RETURN_IF_ERROR(WriteSegments(contribution, key, BindingOf(record), file));
    return RenameDurably(part, record.file);
  };
  if (const absl::Status written = write(); !written.ok()) {
    Remove(part).IgnoreError();
    return written;
  }
  return record;
}

absl::StatusOr<ModelState> ReadTrained(const TrainedRecord& record,
                                       const crypto::Secret& state_key) {
  ASSIGN_OR_RETURN(const File file, File::OpenForReading(record.file));
  ASSIGN_OR_RETURN(const std::uint64_t size, file.Size());
  if (size <= kSaltBytes) return Damaged();
  const std::uint64_t segments = (size - kSaltBytes + kSealedSegment - 1) / kSealedSegment;
  const std::uint64_t plaintext = size - kSaltBytes - segments * crypto::kAeadTagBytes;
  // Compared with the file before anything of that size is asked for.
  const auto header =
      ReadSafetensorsHeader(AsBytes(record.layout_header), record.layout_header.size() + plaintext);
  if (!header.ok()) return Damaged();
  Bytes salt(kSaltBytes);
  RETURN_IF_ERROR(file.ReadAt(0, salt));
  ASSIGN_OR_RETURN(const crypto::Secret key, KeyOf(state_key, salt));
  std::vector<float> update(TotalElements(header->layout));
  RETURN_IF_ERROR(ReadSegments(file, key, BindingOf(record), update));
  return ModelState::Create(header->layout, std::move(update));
}

}  // namespace consilium::site_agent
