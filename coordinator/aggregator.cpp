#include "coordinator/aggregator.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <future>
#include <utility>

#include "common/base/status.h"
#include "common/crypto/sha256.h"

namespace consilium::coordinator {
namespace {

constexpr std::size_t kSegmentValues = crypto::kSegmentBytes / sizeof(float);

std::span<std::uint8_t> AsWritableBytes(std::span<float> values) {
  return {reinterpret_cast<std::uint8_t*>(values.data()), values.size_bytes()};
}
ByteView AsBytes(std::span<const float> values) {
  return {reinterpret_cast<const std::uint8_t*>(values.data()), values.size_bytes()};
}

// The tensor that holds value `index` of the flat vector.
std::string TensorAt(const Layout& layout, std::uint64_t index) {
  for (const TensorSpec& tensor : layout) {
    if (index < tensor.Elements()) return tensor.name;
    index -= tensor.Elements();
  }
  return "(beyond the layout)";
}

absl::StatusOr<SafetensorsHeader> ReadLayoutHeader(const wire::UploadHeader& header) {
  const std::string& text = header.layout_header;
  ASSIGN_OR_RETURN(
      SafetensorsHeader read,
      ReadSafetensorsHeader(consilium::AsBytes(text), text.size() + header.plaintext_size));
  if (WriteSafetensorsHeader(read.layout, read.metadata) != text) {
    return absl::InvalidArgumentError("the initial model's header is not in its canonical form");
  }
  return read;
}

}  // namespace

struct Aggregator::Contribution {
  enum class Progress { kOpen, kWhole, kDropped };

  std::mutex mutex;  // all below
  Progress progress = Progress::kOpen;
  crypto::EnvelopeOpener opener;
  Bytes context;  // what the envelope is bound to
  std::array<std::uint8_t, 32> envelope_header{};
  std::uint64_t plaintext_size = 0;
  double scaled_weight = 0;
  std::uint32_t next = 0, segments = 0;
  std::uint32_t taken_out = 0;  // segments subtracted again
  File file;                    // sealed segments; of an initial model, the model itself
  fs::path path;
  SafetensorsHeader layout;   // of an initial model
  std::vector<float> values;  // one segment, while the contribution is open

  std::size_t ValuesIn(std::uint32_t index) const {
    const std::uint64_t offset = std::uint64_t{index} * crypto::kSegmentBytes;
    return std::min<std::uint64_t>(crypto::kSegmentBytes, plaintext_size - offset) / sizeof(float);
  }
  bool IsLast(std::uint32_t index) const { return index + 1 == segments; }
  void EndWith(Progress end) {
    progress = end;
    values = {};
  }
};

absl::StatusOr<std::unique_ptr<Aggregator>> Aggregator::Open(AttemptSpec spec,
                                                             const crypto::X25519KeyPair& recipient,
                                                             fs::path spool, fs::path models) {
  CONSILIUM_CHECK(spec.weight_unit > 0);
  if (spec.sites.empty()) return absl::InvalidArgumentError("an attempt needs a site");
  if (!spec.base && spec.sites.size() != 1) {
    return absl::InvalidArgumentError("the first model comes from one site");
  }
  return std::unique_ptr<Aggregator>(
      new Aggregator(std::move(spec), recipient, std::move(spool), std::move(models)));
}

Aggregator::Aggregator(AttemptSpec spec, const crypto::X25519KeyPair& recipient, fs::path spool,
                       fs::path models)
    : spec_(std::move(spec)),
      recipient_(recipient),
      spool_(std::move(spool)),
      models_(std::move(models)),
      sum_(spec_.base ? TotalElements(spec_.base->header.layout) : 0) {}

Aggregator::~Aggregator() {
  for (const auto& contribution : replaced_) unlink(contribution->path.c_str());
  if (spec_.base) return;
  for (const auto& [site, contribution] : contributions_) unlink(contribution->path.c_str());
}

absl::Status Aggregator::CheckHeader(const SiteId& site, const wire::UploadHeader& header) const {
  if (header.key != spec_.key) {
    return absl::FailedPreconditionError(StrCat(
        "attempt ", header.key.ToString(), " is closed; the open one is ", spec_.key.ToString()));
  }
  if (!spec_.sites.contains(site)) {
    return absl::PermissionDeniedError(
        StrCat("site ", site.value, " was not asked to contribute to ", spec_.key.ToString()));
  }
  if (header.plaintext_size == 0 || header.plaintext_size % sizeof(float) != 0 ||
      header.plaintext_size > crypto::kMaxPlaintextBytes) {
    return absl::InvalidArgumentError(
        StrCat("a contribution of ", header.plaintext_size, " bytes is not a vector of float32"));
  }
  if (!spec_.base) {
    if (header.kind != wire::ContributionKind::kInitialModel) {
      return absl::InvalidArgumentError("this attempt takes an initial model, not an update");
    }
    return ReadLayoutHeader(header).status();
  }
  if (header.kind != wire::ContributionKind::kUpdate) {
    return absl::InvalidArgumentError("this attempt takes updates, not an initial model");
  }
  if (header.base_model != spec_.base->id) {
    return absl::InvalidArgumentError(StrCat("the update was trained from model ",
                                             header.base_model.Short(), ", this attempt's base is ",
                                             spec_.base->id.Short()));
  }
  const std::uint64_t expected = sum_.size() * sizeof(float);
  if (header.plaintext_size != expected) {
    return absl::InvalidArgumentError(StrCat("the update has ", header.plaintext_size,
                                             " bytes, the model's layout needs ", expected));
  }
  const double scaled = header.weight / spec_.weight_unit;
  if (!(header.weight > 0) || !(scaled > 0 && scaled <= 1e30)) {
    return absl::InvalidArgumentError(
        StrCat("the weight ", header.weight, " is refused; it must be a positive number"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Aggregator::Contribution>> Aggregator::NewContribution(
    const SiteId& site, const wire::UploadHeader& header) {
  Bytes context = wire::EnvelopeContext(site, header);
  ASSIGN_OR_RETURN(crypto::EnvelopeOpener opener,
                   crypto::EnvelopeOpener::Create(recipient_, header.envelope_header, context));
  fs::path path;
  SafetensorsHeader layout;
  if (spec_.base) {
    // The first name is used again in the next round, so that the disk sees few new blocks.
    path = spool_ / StrCat(site.value, counter_ == 0 ? "" : StrCat("-", counter_), ".sealed");
  } else {
    ASSIGN_OR_RETURN(layout, ReadLayoutHeader(header));
    path = models_ /
           StrCat("initial-", spec_.key.run.value, "-", spec_.key.attempt, "-", counter_, ".tmp");
  }
  ASSIGN_OR_RETURN(File file, File::OpenForWriting(path, /*truncate=*/!spec_.base));
  if (!spec_.base) RETURN_IF_ERROR(file.WriteAt(0, consilium::AsBytes(header.layout_header)));
  return std::unique_ptr<Contribution>(
      new Contribution{.opener = std::move(opener),
                       .context = std::move(context),
                       .envelope_header = header.envelope_header,
                       .plaintext_size = header.plaintext_size,
                       .scaled_weight = header.weight / spec_.weight_unit,
                       .segments = crypto::SegmentCount(header.plaintext_size),
                       .file = std::move(file),
                       .path = std::move(path),
                       .layout = std::move(layout),
                       .values = std::vector<float>(kSegmentValues)});
}

absl::StatusOr<std::uint32_t> Aggregator::Begin(const SiteId& site,
                                                const wire::UploadHeader& header) {
  RETURN_IF_ERROR(CheckHeader(site, header));
  std::lock_guard lock(mutex_);
  if (closed_) {
    return absl::FailedPreconditionError(StrCat("attempt ", spec_.key.ToString(), " is closed"));
  }
  std::shared_ptr<Contribution>& slot = contributions_[site];
  if (slot) {
    std::lock_guard contribution_lock(slot->mutex);
    if (slot->progress == Contribution::Progress::kDropped) {
      return absl::FailedPreconditionError(
          StrCat("the contribution of ", site.value, " to ", spec_.key.ToString(), " was dropped"));
    }
    const bool same = slot->context == wire::EnvelopeContext(site, header) &&
                      slot->envelope_header == header.envelope_header;
    if (same || slot->progress == Contribution::Progress::kWhole) return slot->next;
    slot->EndWith(Contribution::Progress::kDropped);
    replaced_.push_back(std::move(slot));
    ++counter_;
  }
  auto contribution = NewContribution(site, header);
  if (!contribution.ok()) {
    contributions_.erase(site);
    return contribution.status();
  }
  slot = std::move(*contribution);
  return 0;
}

std::shared_ptr<Aggregator::Contribution> Aggregator::Find(const SiteId& site) {
  std::lock_guard lock(mutex_);
  const auto found = contributions_.find(site);
  return found == contributions_.end() ? nullptr : found->second;
}

absl::StatusOr<bool> Aggregator::AddSegment(const SiteId& site, std::uint32_t index,
                                            ByteView sealed) {
  const std::shared_ptr<Contribution> contribution = Find(site);
  if (!contribution) return absl::FailedPreconditionError("a segment before its header");
  Contribution& c = *contribution;
  std::lock_guard lock(c.mutex);
  if (c.progress != Contribution::Progress::kOpen) {
    return absl::FailedPreconditionError(
        StrCat("the contribution to ", spec_.key.ToString(), " takes no more segments"));
  }
  if (index != c.next) {
    return absl::OutOfRangeError(StrCat("segment ", index, " came, segment ", c.next, " is next"));
  }
  const std::span<float> values(c.values.data(), c.ValuesIn(index));
  if (sealed.size() != values.size_bytes() + crypto::kTagBytes) {
    c.EndWith(Contribution::Progress::kDropped);
    return absl::InvalidArgumentError(StrCat("segment ", index, " has ", sealed.size(), " bytes, ",
                                             values.size_bytes() + crypto::kTagBytes,
                                             " were expected"));
  }
  absl::Status status = c.opener.Open(index, c.IsLast(index), sealed, AsWritableBytes(values));
  if (status.ok() && spec_.base) {
    RETURN_IF_ERROR(c.file.WriteAt(crypto::SegmentOffset(index), sealed));
    status = AddToSum(c, index, values);
  } else if (status.ok()) {
    status = WriteValues(c, index, values);
  }
  if (absl::IsInvalidArgument(status) || absl::IsUnauthenticated(status)) {
    c.EndWith(Contribution::Progress::kDropped);
  }
  RETURN_IF_ERROR(status);
  if (++c.next < c.segments) return false;
  c.EndWith(Contribution::Progress::kWhole);
  return true;
}

absl::Status Aggregator::AddToSum(Contribution& c, std::uint32_t index,
                                  std::span<const float> values) {
  const std::uint64_t offset = std::uint64_t{index} * kSegmentValues;
  {
    std::lock_guard lock(stripes_[index % stripes_.size()]);
    if (const absl::Status added = sum_.Add(offset, values, c.scaled_weight);
        !absl::IsInvalidArgument(added)) {
      return added;
    }
  }
  const std::size_t i = ExactSum::FirstRefused(values, c.scaled_weight);
  return absl::InvalidArgumentError(StrCat(
      "the update of tensor \"", TensorAt(spec_.base->header.layout, offset + i), "\" holds ",
      std::isfinite(values[i]) ? StrCat("the value ", values[i], ", which is too large")
                               : std::string("a value that is not a finite number"),
      "; training has diverged, a lower learning rate may help"));
}

absl::Status Aggregator::WriteValues(Contribution& c, std::uint32_t index,
                                     std::span<const float> values) {
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
  if (bad != values.end()) {
    const std::uint64_t at = std::uint64_t{index} * kSegmentValues + (bad - values.begin());
    return absl::InvalidArgumentError(StrCat("tensor \"", TensorAt(c.layout.layout, at),
                                             "\" of the initial model holds a value that is not "
                                             "a finite number"));
  }
  return c.file.WriteAt(c.layout.data_offset + std::uint64_t{index} * crypto::kSegmentBytes,
                        AsBytes(values));
}

void Aggregator::Drop(const SiteId& site) {
  if (const auto contribution = Find(site)) {
    std::lock_guard lock(contribution->mutex);
    contribution->EndWith(Contribution::Progress::kDropped);
  }
}

void Aggregator::Close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  for (const auto& [site, contribution] : contributions_) {
    std::lock_guard contribution_lock(contribution->mutex);
    if (contribution->progress == Contribution::Progress::kOpen)
      contribution->EndWith(Contribution::Progress::kDropped);
  }
}

absl::Status Aggregator::TakeOut(Contribution& c) {
  Bytes sealed(crypto::kSegmentBytes + crypto::kTagBytes);
  std::vector<float> buffer(kSegmentValues);
  for (std::uint32_t& index = c.taken_out; index < c.next; ++index) {
    const std::span<float> values(buffer.data(), c.ValuesIn(index));
    const std::span<std::uint8_t> segment(sealed.data(), values.size_bytes() + crypto::kTagBytes);
    RETURN_IF_ERROR(c.file.ReadAt(crypto::SegmentOffset(index), segment));
    RETURN_IF_ERROR(c.opener.Open(index, c.IsLast(index), segment, AsWritableBytes(values)));
    sum_.Subtract(std::uint64_t{index} * kSegmentValues, values, c.scaled_weight);
  }
  return absl::OkStatus();
}

absl::StatusOr<double> Aggregator::SettleSum(const std::set<SiteId>& counted) {
  double total_weight = 0;
  for (const SiteId& site : counted) {
    const auto contribution = Find(site);
    if (!contribution || contribution->progress != Contribution::Progress::kWhole) {
      return absl::FailedPreconditionError(
          StrCat("the contribution of ", site.value, " is not whole and cannot be counted"));
    }
    total_weight += contribution->scaled_weight;
  }
  for (const auto& [site, contribution] : contributions_) {
    if (!counted.contains(site)) RETURN_IF_ERROR(TakeOut(*contribution));
  }
  for (const auto& contribution : replaced_) RETURN_IF_ERROR(TakeOut(*contribution));
  return total_weight;
}

absl::StatusOr<Digest> Aggregator::WriteCandidate(File& out, double total_weight, double rate) {
  ASSIGN_OR_RETURN(File base, File::OpenForReading(spec_.base->file));
  crypto::Sha256Stream hash;
  Bytes header(spec_.base->header.data_offset);
  RETURN_IF_ERROR(base.ReadAt(0, header));
  hash.Update(header);
  RETURN_IF_ERROR(out.WriteAt(0, header));
  // All sites wait for this: one piece is hashed while the next is made.
  constexpr std::size_t kPieceValues = 4 * kSegmentValues;
  std::array<std::vector<float>, 2> buffers = {std::vector<float>(kPieceValues),
                                               std::vector<float>(kPieceValues)};
  std::vector<double> mean(kPieceValues);
  std::future<void> hashing;  // after the buffers: it ends before they go
  for (std::uint64_t done = 0; done < sum_.size(); done += kPieceValues) {
    const std::size_t n = std::min<std::uint64_t>(kPieceValues, sum_.size() - done);
    const std::uint64_t offset = header.size() + done * sizeof(float);
    const std::span<float> piece(buffers[done / kPieceValues % 2].data(), n);
    RETURN_IF_ERROR(base.ReadAt(offset, AsWritableBytes(piece)));
    sum_.Mean(done, total_weight, std::span(mean.data(), n));
    bool finite = true;
    for (std::size_t i = 0; i < n; ++i) {
      piece[i] = static_cast<float>(static_cast<double>(piece[i]) + rate * mean[i]);
      finite &= std::isfinite(piece[i]);
    }
    if (!finite) {
      const auto bad = std::find_if(piece.begin(), piece.end(),
                                    [](float value) { return !std::isfinite(value); });
      return absl::FailedPreconditionError(
          StrCat("tensor \"", TensorAt(spec_.base->header.layout, done + (bad - piece.begin())),
                 "\" of the new model would hold a value that is not a finite number; a lower "
                 "aggregation.server_learning_rate may help"));
    }
    if (hashing.valid()) hashing.get();
    hashing = std::async(std::launch::async, [&hash, piece] { hash.Update(AsBytes(piece)); });
    RETURN_IF_ERROR(out.WriteAt(offset, AsBytes(piece)));
  }
  if (hashing.valid()) hashing.get();
  return std::move(hash).Finish();
}

absl::StatusOr<MadeModel> Aggregator::Report(const std::set<SiteId>& counted,
                                             double server_learning_rate) {
  Close();
  CONSILIUM_CHECK(!counted.empty());
  ASSIGN_OR_RETURN(const double total_weight, SettleSum(counted));
  const auto finish = [this](File& file, const fs::path& path,
                             const Digest& id) -> absl::StatusOr<MadeModel> {
    RETURN_IF_ERROR(file.Sync());
    const fs::path model = models_ / StrCat(id.Hex(), ".safetensors");
    RETURN_IF_ERROR(RenameDurably(path, model));
    return MadeModel{id, model};
  };
  if (!spec_.base) {
    Contribution& c = *Find(*counted.begin());
    ASSIGN_OR_RETURN(const Digest id, crypto::Sha256OfFile(c.path));
    ASSIGN_OR_RETURN(MadeModel made, finish(c.file, c.path, id));
    made.parameters = c.plaintext_size / sizeof(float);
    return made;
  }
  const fs::path temporary = models_ / StrCat("candidate-", spec_.key.run.value, "-",
                                              spec_.key.round, "-", spec_.key.attempt, ".tmp");
  const auto make = [&]() -> absl::StatusOr<MadeModel> {
    ASSIGN_OR_RETURN(File file, File::OpenForWriting(temporary, /*truncate=*/true));
    ASSIGN_OR_RETURN(const Digest id, WriteCandidate(file, total_weight, server_learning_rate));
    ASSIGN_OR_RETURN(MadeModel made, finish(file, temporary, id));
    made.parameters = sum_.size();
    return made;
  };
  absl::StatusOr<MadeModel> made = make();
  if (!made.ok()) unlink(temporary.c_str());
  return made;
}

}  // namespace consilium::coordinator
