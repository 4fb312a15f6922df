#include "site_agent/sealed_update.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <system_error>

#include "common/base/status.h"
#include "common/crypto/envelope.h"
#include "common/crypto/sha256.h"
#include "common/model/safetensors.h"

namespace consilium::site_agent {
namespace {

constexpr std::size_t kSegmentFloats = crypto::kSegmentBytes / sizeof(float);

bool AllFinite(std::span<const float> values) {
  bool finite = true;
  for (const float value : values) {
    finite &= std::abs(value) <= std::numeric_limits<float>::max();
  }
  return finite;
}

// The tensor that holds element `index` of the flat vector.
const std::string& TensorAt(const Layout& layout, std::uint64_t index) {
  for (const TensorSpec& tensor : layout) {
    const std::uint64_t elements = tensor.Elements();
    if (index < elements) return tensor.name;
    index -= elements;
  }
  return layout.back().name;
}

absl::Status NotFinite(const Layout& layout, std::uint64_t first, std::span<const float> values) {
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  const std::uint64_t index = first + static_cast<std::uint64_t>(bad - values.begin());
  return absl::InvalidArgumentError(
      StrCat("the update holds a value that is ", std::isnan(*bad) ? "not a number" : "infinite",
             " in tensor \"", TensorAt(layout, index),
             "\": training diverged; a lower learning rate in the plan may help"));
}

absl::Status Check(const Contribution& contribution) {
  if (contribution.model.values().empty()) {
    return absl::InvalidArgumentError("the model has no parameters");
  }
  if (!contribution.base) return absl::OkStatus();
  if (!(contribution.weight > 0) || !std::isfinite(contribution.weight)) {
    return absl::InvalidArgumentError(
        StrCat("an update's weight must be above 0, this one is ", contribution.weight));
  }
  return CheckSameLayout(contribution.base->layout(), contribution.model.layout());
}

wire::UploadHeader HeaderOf(const Contribution& contribution) {
  wire::UploadHeader header;
  header.key = contribution.key;
  header.plaintext_size = contribution.model.values().size() * sizeof(float);
  header.loss = contribution.loss;
  header.train_seconds = contribution.train_seconds;
  header.weight = contribution.weight;
  if (contribution.base) {
    header.kind = wire::ContributionKind::kUpdate;
    header.base_model = contribution.base_id;
  } else {
    header.kind = wire::ContributionKind::kInitialModel;
    header.layout_header = WriteSafetensorsHeader(contribution.model.layout());
  }
  return header;
}

// Beside the outbox, which holds only what is still to go.
fs::path SpareOf(fs::path outbox) { return outbox += ".spare"; }

// Streams the contribution's plaintext through the sealer into `file`; returns the file's SHA-256.
absl::StatusOr<Digest> WriteEnvelope(const Contribution& contribution,
                                     crypto::EnvelopeSealer sealer, File& file) {
  crypto::Sha256Stream sha256;
  RETURN_IF_ERROR(file.WriteAt(0, sealer.header()));
  sha256.Update(sealer.header());
  const std::span<const float> model = contribution.model.values();
  std::vector<float> plaintext(std::min(model.size(), kSegmentFloats));
  Bytes sealed(plaintext.size() * sizeof(float) + crypto::kTagBytes);
  std::uint64_t offset = crypto::kEnvelopeHeaderBytes;
  for (std::size_t first = 0; first < model.size(); first += kSegmentFloats) {
    const std::size_t count = std::min(kSegmentFloats, model.size() - first);
    const std::span<float> segment(plaintext.data(), count);
    if (contribution.base) {
      const float* base = contribution.base->values().data() + first;
      for (std::size_t i = 0; i < count; ++i) segment[i] = model[first + i] - base[i];
    } else {
      std::copy_n(model.begin() + static_cast<std::ptrdiff_t>(first), count, segment.begin());
    }
    if (!AllFinite(segment)) return NotFinite(contribution.model.layout(), first, segment);
    const std::span<std::uint8_t> out(sealed.data(), count * sizeof(float) + crypto::kTagBytes);
    const ByteView bytes(reinterpret_cast<const std::uint8_t*>(segment.data()),
                         segment.size_bytes());
    RETURN_IF_ERROR(sealer.SealNext(bytes, first + count == model.size(), out));
    RETURN_IF_ERROR(file.WriteAt(offset, out));
    sha256.Update(out);
    offset += out.size();
  }
  return std::move(sha256).Finish();
}

}  // namespace

absl::StatusOr<SealedUpdate> SealedUpdate::Restore(wire::UploadHeader header, const fs::path& path,
                                                   const Digest& sha256) {
  ASSIGN_OR_RETURN(const Digest found, crypto::Sha256OfFile(path));
  if (found != sha256) {
    return absl::DataLossError(StrCat("the sealed update of ", header.key.ToString(),
                                      " is damaged on the disk; the task is done again"));
  }
  SealedUpdate sealed;
  ASSIGN_OR_RETURN(sealed.file_, File::OpenForReading(path));
  ASSIGN_OR_RETURN(sealed.size_, sealed.file_.Size());
  sealed.header_ = std::move(header);
  sealed.path_ = path;
  sealed.sha256_ = sha256;
  return sealed;
}

absl::StatusOr<SealedUpdate> Seal(Contribution&& contribution, const SiteId& site,
                                  const crypto::X25519PublicKey& recipient,
                                  const fs::path& outbox) {
  const Contribution taken = std::move(contribution);
  RETURN_IF_ERROR(Check(taken));
  RETURN_IF_ERROR(EnsureFolder(outbox));
  SealedUpdate sealed;
  sealed.header_ = HeaderOf(taken);
  ASSIGN_OR_RETURN(auto sealer, crypto::EnvelopeSealer::Create(
                                    recipient, wire::EnvelopeContext(site, sealed.header_)));
  sealed.header_.envelope_header = sealer.header();
  sealed.path_ =
      outbox / StrCat(taken.key.run.value, "-", taken.key.round, "-", taken.key.attempt, ".sealed");
  sealed.size_ = crypto::EnvelopeSize(sealed.header_.plaintext_size);
  std::error_code ignored;
  fs::rename(SpareOf(outbox), sealed.path_, ignored);
  const auto write = [&]() -> absl::StatusOr<Digest> {
    ASSIGN_OR_RETURN(sealed.file_, File::OpenForWriting(sealed.path_, /*truncate=*/false));
    RETURN_IF_ERROR(sealed.file_.Truncate(sealed.size_));
    return WriteEnvelope(taken, std::move(sealer), sealed.file_);
  };
  absl::StatusOr<Digest> sha256 = write();
  if (!sha256.ok()) {
    fs::remove(sealed.path_, ignored);
    return sha256.status();
  }
  sealed.sha256_ = *sha256;
  return sealed;
}

void Discard(const fs::path& sealed) {
  std::error_code ignored;
  fs::rename(sealed, SpareOf(sealed.parent_path()), ignored);
}

void RemoveSpare(const fs::path& outbox) {
  std::error_code ignored;
  fs::remove(SpareOf(outbox), ignored);
}

}  // namespace consilium::site_agent
