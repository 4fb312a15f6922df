#include "coordinator/contribution.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "common/base/status.h"
#include "common/model/tensor_at.h"
#include "coordinator/summation.h"

namespace consilium::coordinator {
Contribution::Contribution(SiteId site, std::uint32_t number, const wire::UploadHeader& header)
    : site_(std::move(site)),
      number_(number),
      header_(header),
      segments_(crypto::SegmentCount(header.plaintext_size)),
      values_(crypto::kSegmentBytes) {}

absl::StatusOr<SafetensorsHeader> Contribution::LayoutOf(const wire::UploadHeader& header) {
  const std::string& text = header.layout_header;
  ASSIGN_OR_RETURN(SafetensorsHeader read,
                   ReadSafetensorsHeader(AsBytes(text), text.size() + header.plaintext_size));
  if (WriteSafetensorsHeader(read.layout, read.metadata) != text) {
    return absl::InvalidArgumentError("the initial model's header is not in its canonical form");
  }
  return read;
}

absl::StatusOr<std::unique_ptr<Contribution>> Contribution::Create(
    const SpoolEntry& entry, const crypto::X25519KeyPair& recipient) {
  std::unique_ptr<Contribution> made(new Contribution(entry.site, entry.number, entry.header));
  if (made->IsMasked()) return made;
  ASSIGN_OR_RETURN(made->opener_,
                   crypto::EnvelopeOpener::Create(recipient, entry.header.envelope_header,
                                                  wire::EnvelopeContext(entry.site, entry.header)));
  return made;
}

absl::StatusOr<std::unique_ptr<Contribution>> Contribution::Spooled(
    const SpoolEntry& entry, const crypto::X25519KeyPair& recipient, const fs::path& spool) {
  ASSIGN_OR_RETURN(std::unique_ptr<Contribution> made, Create(entry, recipient));
  // The first name is used again in the next round, so that the disk sees few new blocks.
  made->path_ = spool / StrCat(entry.site.value, entry.number == 0 ? "" : StrCat("-", entry.number),
                               made->IsMasked() ? ".masked" : ".sealed");
  const bool is_new = !Exists(made->path_);
  ASSIGN_OR_RETURN(made->file_, File::OpenForWriting(made->path_, /*truncate=*/false));
  RETURN_IF_ERROR(WriteSpoolHeader(made->file_, entry));
  if (is_new) RETURN_IF_ERROR(SyncFolder(spool));
  return made;
}

absl::StatusOr<std::unique_ptr<Contribution>> Contribution::InitialModel(
    const SiteId& site, const wire::UploadHeader& header, const crypto::X25519KeyPair& recipient,
    const fs::path& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<Contribution> made, Create({site, 0, header}, recipient));
  ASSIGN_OR_RETURN(made->layout_, LayoutOf(header));
  made->path_ = path;
  ASSIGN_OR_RETURN(made->file_, File::OpenForWriting(path, /*truncate=*/true));
  RETURN_IF_ERROR(made->file_.WriteAt(0, AsBytes(header.layout_header)));
  return made;
}

absl::StatusOr<std::unique_ptr<Contribution>> Contribution::Found(
    const SpoolEntry& entry, const crypto::X25519KeyPair& recipient, const fs::path& path,
    File file) {
  ASSIGN_OR_RETURN(std::unique_ptr<Contribution> made, Create(entry, recipient));
  made->path_ = path;
  made->file_ = std::move(file);
  return made;
}

// ---- segments

std::size_t Contribution::ValueBytesIn(std::uint32_t index) const {
  const std::uint64_t offset = std::uint64_t{index} * crypto::kSegmentBytes;
  return std::min<std::uint64_t>(crypto::kSegmentBytes, header_.plaintext_size - offset);
}

std::size_t Contribution::SegmentBytesIn(std::uint32_t index) const {
  return ValueBytesIn(index) + (opener_ ? crypto::kTagBytes : 0);
}

// `values`: ValueBytesIn(index).
absl::Status Contribution::Open(std::uint32_t index, ByteView segment,
                                std::span<std::uint8_t> values) {
  if (opener_) return opener_->Open(index, index + 1 == segments_, segment, values);
  std::copy(segment.begin(), segment.end(), values.begin());
  return absl::OkStatus();
}

// What stands behind a masked segment in the spool: the hash of all values up to there and of the
// vector that they belong to, so that a segment of an earlier attempt, under a header that was
// written over its own, is not taken for one of this. A sealed segment has its own.
Contribution::Tag Contribution::TagAfter(const crypto::Sha256Stream& values) const {
  crypto::Sha256Stream bound = values.Copy();
  bound.Update(header_.proof.sha256.bytes);
  const Digest so_far = std::move(bound).Finish();
  Tag tag;
  std::copy_n(so_far.bytes.begin(), tag.size(), tag.begin());
  return tag;
}

absl::Status Contribution::CheckProof() {
  for (const std::uint64_t sum : header_.masked_sums) {
    std::array<std::uint8_t, sizeof sum> bytes;
    StoreLe64(bytes.data(), sum);
    sha256_.Update(bytes);
  }
  if (std::move(sha256_).Finish() == header_.proof.sha256) return absl::OkStatus();
  return absl::UnauthenticatedError(
      "the masked update that came is not the one whose hash its site signed");
}

void Contribution::EndAs(Progress end) {
  progress_ = end;
  values_ = {};
}

// ---- as they come

absl::StatusOr<bool> Contribution::Take(std::uint32_t index, ByteView segment, const Sink& sink) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(CheckNext(index));
  const absl::Status taken = TakeNext(segment, sink);
  if (absl::IsInvalidArgument(taken) || absl::IsUnauthenticated(taken)) EndAs(Progress::kDropped);
  RETURN_IF_ERROR(taken);
  if (next_ < segments_) return false;
  if (IsSpooled()) RETURN_IF_ERROR(file_.Sync());
  EndAs(Progress::kWhole);
  return true;
}

absl::Status Contribution::CheckNext(std::uint32_t index) const {
  if (progress_ != Progress::kOpen) {
    return absl::FailedPreconditionError(
        StrCat("the contribution to ", header_.key.ToString(), " takes no more segments"));
  }
  if (index == next_) return absl::OkStatus();
  return absl::OutOfRangeError(StrCat("segment ", index, " came, segment ", next_, " is next"));
}

absl::Status Contribution::TakeNext(ByteView segment, const Sink& sink) {
  if (segment.size() != SegmentBytesIn(next_)) {
    return absl::InvalidArgumentError(StrCat("segment ", next_, " has ", segment.size(), " bytes, ",
                                             SegmentBytesIn(next_), " were expected"));
  }
  const std::span<std::uint8_t> values = std::span(values_).first(ValueBytesIn(next_));
  RETURN_IF_ERROR(Open(next_, segment, values));
  crypto::Sha256Stream sha256 = sha256_.Copy();
  if (IsMasked()) sha256.Update(values);
  if (IsSpooled()) {
    RETURN_IF_ERROR(file_.WriteAt(SpoolOffset(next_), segment));
    if (IsMasked()) {
      RETURN_IF_ERROR(file_.WriteAt(SpoolOffset(next_) + segment.size(), TagAfter(sha256)));
    }
    RETURN_IF_ERROR(sink(FirstValueIn(next_), values));
  } else {
    RETURN_IF_ERROR(WriteToModel(values));
  }
  ++next_;
  sha256_ = std::move(sha256);
  return IsMasked() && next_ == segments_ ? CheckProof() : absl::OkStatus();
}

absl::Status Contribution::WriteToModel(ByteView bytes) {
  const std::span<const float> values = NumbersOf<float>(bytes);
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
  if (bad != values.end()) {
    const std::uint64_t at = FirstValueIn(next_) + (bad - values.begin());
    return absl::InvalidArgumentError(StrCat("tensor \"", TensorAt(layout_.layout, at),
                                             "\" of the initial model holds a value that is not "
                                             "a finite number"));
  }
  return file_.WriteAt(layout_.data_offset + std::uint64_t{next_} * crypto::kSegmentBytes, bytes);
}

bool Contribution::Continues(const wire::UploadHeader& header) const {
  return wire::EnvelopeContext(site_, header_) == wire::EnvelopeContext(site_, header) &&
         header_.envelope_header == header.envelope_header &&
         header_.masked_sums == header.masked_sums && header_.proof == header.proof;
}

absl::StatusOr<std::optional<std::uint32_t>> Contribution::Resume(
    const wire::UploadHeader& header) {
  std::lock_guard lock(mutex_);
  if (progress_ == Progress::kDropped) {
    return absl::FailedPreconditionError(StrCat("the contribution of ", site_.value, " to ",
                                                header_.key.ToString(), " was dropped"));
  }
  const bool same = Continues(header);
  if (!same && IsMasked()) {
    return absl::InvalidArgumentError(StrCat("site ", site_.value,
                                             " has begun another masked update of ",
                                             header_.key.ToString(), "; a second one is refused"));
  }
  if (!same && progress_ != Progress::kWhole) {
    EndAs(Progress::kDropped);
    return std::nullopt;
  }
  // What it need not send again must not be lost by a power cut.
  if (next_ > 0 && IsSpooled()) RETURN_IF_ERROR(file_.Sync());
  if (next_ == segments_) EndAs(Progress::kWhole);
  return next_;
}

// ---- from the disk

absl::Status Contribution::TakeUp(const Sink& sink) {
  Bytes spooled(crypto::kSegmentBytes + crypto::kTagBytes);
  while (next_ < segments_ && TakeUpNext(spooled, sink)) ++next_;
  if (next_ < segments_) return absl::OkStatus();
  if (IsMasked()) RETURN_IF_ERROR(CheckProof());
  EndAs(Progress::kWhole);
  return absl::OkStatus();
}

// Whether it is the one that came. One that the sink refuses is refused when it comes again.
bool Contribution::TakeUpNext(std::span<std::uint8_t> buffer, const Sink& sink) {
  const std::span<std::uint8_t> all = buffer.first(ValueBytesIn(next_) + crypto::kTagBytes);
  if (!file_.ReadAt(SpoolOffset(next_), all).ok()) return false;
  const std::span<std::uint8_t> values = std::span(values_).first(ValueBytesIn(next_));
  if (!Open(next_, all.first(SegmentBytesIn(next_)), values).ok()) return false;
  crypto::Sha256Stream sha256 = sha256_.Copy();
  if (IsMasked()) {
    sha256.Update(values);
    if (!std::ranges::equal(TagAfter(sha256), all.last(crypto::kTagBytes))) return false;
  }
  if (!sink(FirstValueIn(next_), values).ok()) return false;
  sha256_ = std::move(sha256);
  return true;
}

absl::Status Contribution::TakeBack(const Sink& sink) {
  std::lock_guard lock(mutex_);
  Bytes spooled(crypto::kSegmentBytes + crypto::kTagBytes), buffer(crypto::kSegmentBytes);
  for (; taken_back_ < next_; ++taken_back_) {
    const std::span<std::uint8_t> segment = std::span(spooled).first(SegmentBytesIn(taken_back_));
    const std::span<std::uint8_t> values = std::span(buffer).first(ValueBytesIn(taken_back_));
    RETURN_IF_ERROR(file_.ReadAt(SpoolOffset(taken_back_), segment));
    RETURN_IF_ERROR(Open(taken_back_, segment, values));
    RETURN_IF_ERROR(sink(FirstValueIn(taken_back_), values));
  }
  return absl::OkStatus();
}

absl::Status Contribution::Sync() {
  std::lock_guard lock(mutex_);
  return file_.Sync();
}

bool Contribution::IsWhole() {
  std::lock_guard lock(mutex_);
  return progress_ == Progress::kWhole;
}

void Contribution::Drop() {
  std::lock_guard lock(mutex_);
  EndAs(Progress::kDropped);
}

void Contribution::DropUnlessWhole() {
  std::lock_guard lock(mutex_);
  if (progress_ == Progress::kOpen) EndAs(Progress::kDropped);
}

}  // namespace consilium::coordinator
