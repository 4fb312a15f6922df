#include "coordinator/aggregator.h"

#include <algorithm>
#include <cmath>
#include <thread>
#include <utility>

#include "common/base/on_threads.h"
#include "common/base/status.h"
#include "common/crypto/piece_hasher.h"
#include "common/crypto/sha256.h"
#include "coordinator/exact_sum.h"

namespace consilium::coordinator {
namespace {

constexpr std::size_t kSegmentValues = crypto::kSegmentBytes / sizeof(float);

// More help little, and each holds a few pieces of memory.
constexpr int kMostThreads = 16;

std::span<std::uint8_t> AsWritableBytes(std::span<float> values) {
  return {reinterpret_cast<std::uint8_t*>(values.data()), values.size_bytes()};
}
ByteView AsBytes(std::span<const float> values) {
  return {reinterpret_cast<const std::uint8_t*>(values.data()), values.size_bytes()};
}
std::span<const float> AsFloats(ByteView bytes) {
  return {reinterpret_cast<const float*>(bytes.data()), bytes.size() / sizeof(float)};
}

int ThreadsOf(const AttemptSpec& spec) {
  const int wanted =
      spec.threads > 0 ? spec.threads : static_cast<int>(std::thread::hardware_concurrency());
  return std::clamp(wanted, 1, kMostThreads);
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

// Whether an upload with header `b` goes on with the one of `a`.
bool IsSame(const SiteId& site, const wire::UploadHeader& a, const wire::UploadHeader& b) {
  return wire::EnvelopeContext(site, a) == wire::EnvelopeContext(site, b) &&
         a.envelope_header == b.envelope_header && a.masked_sums == b.masked_sums &&
         a.proof == b.proof;
}

// What stands behind a masked segment in the spool: the hash of all values up to there and of the
// vector that they belong to, so that a segment of an earlier attempt, under a header that was
// written over its own, is not taken for one of this. A sealed segment has its own.
using Tag = std::array<std::uint8_t, crypto::kTagBytes>;
Tag TagOf(const crypto::Sha256Stream& values, const secagg::UploadProof& proof) {
  crypto::Sha256Stream bound = values.Copy();
  bound.Update(proof.sha256.bytes);
  const Digest so_far = std::move(bound).Finish();
  Tag tag;
  std::copy_n(so_far.bytes.begin(), tag.size(), tag.begin());
  return tag;
}

}  // namespace

struct Aggregator::Contribution {
  enum class Progress { kOpen, kWhole, kDropped };

  std::mutex mutex;  // all below
  Progress progress = Progress::kOpen;
  const wire::UploadHeader header;
  std::uint32_t number = 0;                      // of the site's contributions to this attempt
  std::optional<crypto::EnvelopeOpener> opener;  // absent: masked, the segments are the values
  crypto::Sha256Stream sha256;                   // of a masked one's values
  double scaled_weight = 0;
  std::uint32_t next = 0, segments = 0;
  std::uint32_t taken_out = 0;  // segments subtracted again
  File file;                    // segments as they came; of an initial model, the model itself
  fs::path path;
  SafetensorsHeader layout;  // of an initial model
  Bytes values;              // one segment, while the contribution is open

  std::size_t ValueBytesIn(std::uint32_t index) const {
    const std::uint64_t offset = std::uint64_t{index} * crypto::kSegmentBytes;
    return std::min<std::uint64_t>(crypto::kSegmentBytes, header.plaintext_size - offset);
  }
  std::size_t SegmentBytesIn(std::uint32_t index) const {
    return ValueBytesIn(index) + (opener ? crypto::kTagBytes : 0);
  }
  // `values`: ValueBytesIn(index).
  absl::Status Open(std::uint32_t index, ByteView segment, std::span<std::uint8_t> out) {
    if (opener) return opener->Open(index, index + 1 == segments, segment, out);
    std::copy(segment.begin(), segment.end(), out.begin());
    return absl::OkStatus();
  }
  void EndWith(Progress end) {
    progress = end;
    values = {};
  }
  absl::Status CheckProof() {
    for (const std::uint64_t sum : header.masked_sums) {
      std::array<std::uint8_t, sizeof sum> bytes;
      StoreLe64(bytes.data(), sum);
      sha256.Update(bytes);
    }
    if (std::move(sha256).Finish() == header.proof.sha256) return absl::OkStatus();
    return absl::UnauthenticatedError(
        "the masked update that came is not the one whose hash its site signed");
  }
};

absl::StatusOr<std::unique_ptr<Aggregator>> Aggregator::Open(AttemptSpec spec,
                                                             const crypto::X25519KeyPair& recipient,
                                                             fs::path spool, fs::path models) {
  CONSILIUM_CHECK(spec.weight_unit > 0);
  if (spec.sites.empty()) return absl::InvalidArgumentError("an attempt needs a site");
  if (!spec.base && (spec.sites.size() != 1 || spec.masked)) {
    return absl::InvalidArgumentError("the first model comes from one site, in the clear");
  }
  absl::StatusOr<Travelling> travelling = Travelling(Layout());
  if (spec.base) travelling = Travelling::Of(spec.base->header.layout, spec.frozen);
  RETURN_IF_ERROR(travelling.status());
  std::unique_ptr<Aggregator> aggregator(new Aggregator(
      std::move(spec), *std::move(travelling), recipient, std::move(spool), std::move(models)));
  if (aggregator->spec_.again && aggregator->spec_.base) {
    RETURN_IF_ERROR(aggregator->TakeUp());
  }
  return aggregator;
}

Aggregator::Aggregator(AttemptSpec spec, Travelling travelling,
                       const crypto::X25519KeyPair& recipient, fs::path spool, fs::path models)
    : spec_(std::move(spec)),
      recipient_(recipient),
      spool_(std::move(spool)),
      models_(std::move(models)),
      travelling_(std::move(travelling)),
      parameters_(travelling_.size()),
      sum_(spec_.masked ? SumMasked(parameters_) : SumInTheClear(parameters_)) {}

Aggregator::~Aggregator() {
  for (const auto& contribution : replaced_) Remove(contribution->path).IgnoreError();
  if (spec_.base) return;
  for (const auto& [site, contribution] : contributions_) Remove(contribution->path).IgnoreError();
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
  if (spec_.masked && (header.kind != wire::ContributionKind::kMaskedUpdate ||
                       header.masked_sums.size() != wire::kUpdateSums)) {
    return absl::InvalidArgumentError(
        StrCat("this attempt takes masked updates with ", wire::kUpdateSums, " masked sums"));
  }
  if (!spec_.masked && header.kind != wire::ContributionKind::kUpdate) {
    return absl::InvalidArgumentError(
        "this attempt takes sealed updates, not masked ones or an initial model");
  }
  if (header.base_model != spec_.base->id) {
    return absl::InvalidArgumentError(StrCat("the update was trained from model ",
                                             header.base_model.Short(), ", this attempt's base is ",
                                             spec_.base->id.Short()));
  }
  const std::uint64_t expected = parameters_ * sizeof(float);
  if (header.plaintext_size != expected) {
    return absl::InvalidArgumentError(StrCat("the update has ", header.plaintext_size,
                                             " bytes, what is trained of the model has ",
                                             expected));
  }
  const double scaled = header.weight / spec_.weight_unit;
  if (!(header.weight > 0) || !(scaled > 0 && scaled <= 1e30)) {
    return absl::InvalidArgumentError(
        StrCat("the weight ", header.weight, " is refused; it must be a positive number"));
  }
  return absl::OkStatus();
}

// All but its file.
absl::StatusOr<std::unique_ptr<Aggregator::Contribution>> Aggregator::Describe(
    const SiteId& site, const wire::UploadHeader& header) {
  std::optional<crypto::EnvelopeOpener> opener;
  if (!spec_.masked) {
    ASSIGN_OR_RETURN(opener, crypto::EnvelopeOpener::Create(recipient_, header.envelope_header,
                                                            wire::EnvelopeContext(site, header)));
  }
  return std::unique_ptr<Contribution>(
      new Contribution{.header = header,
                       .opener = std::move(opener),
                       .scaled_weight = header.weight / spec_.weight_unit,
                       .segments = crypto::SegmentCount(header.plaintext_size),
                       .values = Bytes(crypto::kSegmentBytes)});
}

absl::StatusOr<std::unique_ptr<Aggregator::Contribution>> Aggregator::NewContribution(
    const SiteId& site, const wire::UploadHeader& header) {
  ASSIGN_OR_RETURN(std::unique_ptr<Contribution> made, Describe(site, header));
  made->number = counter_;
  if (!spec_.base) {
    ASSIGN_OR_RETURN(made->layout, ReadLayoutHeader(header));
    made->path = models_ / StrCat("initial-", spec_.key.run.value, "-", spec_.key.attempt, "-",
                                  counter_, ".tmp");
    ASSIGN_OR_RETURN(made->file, File::OpenForWriting(made->path, /*truncate=*/true));
    RETURN_IF_ERROR(made->file.WriteAt(0, consilium::AsBytes(header.layout_header)));
    return made;
  }
  // The first name is used again in the next round, so that the disk sees few new blocks.
  made->path = spool_ / StrCat(site.value, counter_ == 0 ? "" : StrCat("-", counter_),
                               spec_.masked ? ".masked" : ".sealed");
  const bool is_new = !Exists(made->path);
  ASSIGN_OR_RETURN(made->file, File::OpenForWriting(made->path, /*truncate=*/false));
  RETURN_IF_ERROR(WriteSpoolHeader(made->file, {site, made->number, header}));
  if (is_new) RETURN_IF_ERROR(SyncFolder(spool_));
  return made;
}

// ---- after a restart

absl::Status Aggregator::TakeUp() {
  ASSIGN_OR_RETURN(const std::vector<FolderEntry> files, ListFolder(spool_));
  for (const FolderEntry& entry : files) {
    if (entry.folder) continue;
    ASSIGN_OR_RETURN(File file, File::OpenForWriting(entry.path, /*truncate=*/false));
    const absl::StatusOr<SpoolEntry> spooled = ReadSpoolHeader(file);
    if (!spooled.ok() || !CheckHeader(spooled->site, spooled->header).ok()) continue;
    RETURN_IF_ERROR(TakeUp(*spooled, entry.path, std::move(file)));
  }
  return absl::OkStatus();
}

absl::Status Aggregator::TakeUp(const SpoolEntry& entry, const fs::path& path, File file) {
  absl::StatusOr<std::unique_ptr<Contribution>> described = Describe(entry.site, entry.header);
  if (!described.ok()) return absl::OkStatus();  // as if it had never come
  std::shared_ptr<Contribution> contribution = *std::move(described);
  contribution->number = entry.number;
  contribution->path = path;
  contribution->file = std::move(file);
  counter_ = std::max(counter_, static_cast<int>(entry.number));
  std::shared_ptr<Contribution>& slot = contributions_[entry.site];
  if (slot && slot->number > entry.number) return Remove(path);  // replaced before the restart
  RETURN_IF_ERROR(TakeUpSegments(*contribution));
  if (slot) {
    slot->EndWith(Contribution::Progress::kDropped);
    replaced_.push_back(std::move(slot));
  }
  slot = std::move(contribution);
  if (slot->next < slot->segments) return absl::OkStatus();
  if (spec_.masked && !slot->CheckProof().ok()) {
    // Now: its file is written over when the site sends the update again.
    const absl::Status taken_out = TakeOut(*slot);
    contributions_.erase(entry.site);
    return taken_out;
  }
  slot->EndWith(Contribution::Progress::kWhole);
  return absl::OkStatus();
}

// As far as they are the ones that came.
absl::Status Aggregator::TakeUpSegments(Contribution& c) {
  Bytes spooled(crypto::kSegmentBytes + crypto::kTagBytes);
  for (; c.next < c.segments; ++c.next) {
    const std::span<std::uint8_t> all =
        std::span(spooled).first(c.ValueBytesIn(c.next) + crypto::kTagBytes);
    if (!c.file.ReadAt(SpoolOffset(c.next), all).ok()) break;
    const std::span<std::uint8_t> segment = all.first(c.SegmentBytesIn(c.next));
    const std::span<std::uint8_t> values = std::span(c.values).first(c.ValueBytesIn(c.next));
    if (!c.Open(c.next, segment, values).ok()) break;
    crypto::Sha256Stream sha256 = c.sha256.Copy();
    if (spec_.masked) {
      sha256.Update(values);
      if (!std::ranges::equal(TagOf(sha256, c.header.proof), all.last(crypto::kTagBytes))) break;
    }
    if (!AddToSum(c, c.next, values).ok()) break;  // refused when it comes again
    c.sha256 = std::move(sha256);
  }
  return absl::OkStatus();
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
    const bool same = IsSame(site, slot->header, header);
    if (!same && spec_.masked) {
      return absl::InvalidArgumentError(StrCat("site ", site.value,
                                               " has begun another masked update of ",
                                               spec_.key.ToString(), "; a second one is refused"));
    }
    if (same || slot->progress == Contribution::Progress::kWhole) {
      // What it need not send again must not be lost by a power cut.
      if (slot->next > 0 && spec_.base) RETURN_IF_ERROR(slot->file.Sync());
      if (slot->next == slot->segments) slot->EndWith(Contribution::Progress::kWhole);
      return slot->next;
    }
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
                                            ByteView segment) {
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
  if (segment.size() != c.SegmentBytesIn(index)) {
    c.EndWith(Contribution::Progress::kDropped);
    return absl::InvalidArgumentError(StrCat("segment ", index, " has ", segment.size(), " bytes, ",
                                             c.SegmentBytesIn(index), " were expected"));
  }
  const std::span<std::uint8_t> values = std::span(c.values).first(c.ValueBytesIn(index));
  absl::Status status = c.Open(index, segment, values);
  crypto::Sha256Stream sha256 = c.sha256.Copy();
  if (status.ok() && spec_.base) {
    RETURN_IF_ERROR(c.file.WriteAt(SpoolOffset(index), segment));
    if (spec_.masked) {
      sha256.Update(values);
      RETURN_IF_ERROR(
          c.file.WriteAt(SpoolOffset(index) + segment.size(), TagOf(sha256, c.header.proof)));
    }
    status = AddToSum(c, index, values);
  } else if (status.ok()) {
    status = WriteValues(c, index, values);
  }
  if (status.ok()) {  // it is in the sum
    ++c.next;
    c.sha256 = std::move(sha256);
    if (spec_.masked && c.next == c.segments) status = c.CheckProof();
  }
  if (absl::IsInvalidArgument(status) || absl::IsUnauthenticated(status)) {
    c.EndWith(Contribution::Progress::kDropped);
  }
  RETURN_IF_ERROR(status);
  if (c.next < c.segments) return false;
  if (spec_.base) RETURN_IF_ERROR(c.file.Sync());
  c.EndWith(Contribution::Progress::kWhole);
  return true;
}

std::set<SiteId> Aggregator::Whole() {
  std::lock_guard lock(mutex_);
  std::set<SiteId> sites;
  for (const auto& [site, contribution] : contributions_) {
    std::lock_guard contribution_lock(contribution->mutex);
    if (contribution->progress == Contribution::Progress::kWhole) sites.insert(site);
  }
  return sites;
}

absl::Status Aggregator::AddToSum(Contribution& c, std::uint32_t index, ByteView bytes) {
  const std::uint64_t offset = std::uint64_t{index} * kSegmentValues;
  {
    std::lock_guard lock(stripes_[index % stripes_.size()]);
    if (const absl::Status added = sum_->Add(offset, bytes, c.scaled_weight);
        !absl::IsInvalidArgument(added)) {
      return added;
    }
  }
  const std::span<const float> values = AsFloats(bytes);
  const std::size_t i = ExactSum::FirstRefused(values, c.scaled_weight);
  return absl::InvalidArgumentError(
      StrCat("the update of tensor \"", TensorAt(travelling_.layout(), offset + i), "\" holds ",
             std::isfinite(values[i]) ? StrCat("the value ", values[i], ", which is too large")
                                      : std::string("a value that is not a finite number"),
             "; training has diverged, a lower learning rate may help"));
}

absl::Status Aggregator::WriteValues(Contribution& c, std::uint32_t index, ByteView bytes) {
  const std::span<const float> values = AsFloats(bytes);
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
  if (bad != values.end()) {
    const std::uint64_t at = std::uint64_t{index} * kSegmentValues + (bad - values.begin());
    return absl::InvalidArgumentError(StrCat("tensor \"", TensorAt(c.layout.layout, at),
                                             "\" of the initial model holds a value that is not "
                                             "a finite number"));
  }
  return c.file.WriteAt(c.layout.data_offset + std::uint64_t{index} * crypto::kSegmentBytes, bytes);
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
  Bytes spooled(crypto::kSegmentBytes + crypto::kTagBytes), buffer(crypto::kSegmentBytes);
  for (std::uint32_t& index = c.taken_out; index < c.next; ++index) {
    const std::span<std::uint8_t> segment = std::span(spooled).first(c.SegmentBytesIn(index));
    const std::span<std::uint8_t> values = std::span(buffer).first(c.ValueBytesIn(index));
    RETURN_IF_ERROR(c.file.ReadAt(SpoolOffset(index), segment));
    RETURN_IF_ERROR(c.Open(index, segment, values));
    sum_->Subtract(std::uint64_t{index} * kSegmentValues, values, c.scaled_weight);
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

// The model in the making: everything that the threads share.
struct Aggregator::Candidate {
  const File& base;
  File& out;
  const double total_weight, rate;
  const Unmasking* unmasking;
  crypto::PieceHasher<float> hasher;
};

// Parameters `first` on of the new model: base + rate * mean where they were trained, else base.
absl::Status Aggregator::MakePiece(Candidate& candidate, const Summation::Mean& write_mean,
                                   std::uint64_t first, std::span<double> mean,
                                   std::span<float> piece) const {
  const std::uint64_t offset = spec_.base->header.data_offset + first * sizeof(float);
  RETURN_IF_ERROR(candidate.base.ReadAt(offset, AsWritableBytes(piece)));
  for (const Travelling::Range& range : travelling_.Within(first, piece.size())) {
    const std::span<double> means = mean.first(range.count);
    RETURN_IF_ERROR(write_mean(range.update, means));
    const std::span<float> values = piece.subspan(range.model - first, range.count);
    bool finite = true;
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(static_cast<double>(values[i]) + candidate.rate * means[i]);
      finite &= std::isfinite(values[i]);
    }
    if (finite) continue;
    const auto bad = std::find_if(values.begin(), values.end(),
                                  [](float value) { return !std::isfinite(value); });
    return absl::FailedPreconditionError(StrCat(
        "tensor \"", TensorAt(spec_.base->header.layout, range.model + (bad - values.begin())),
        "\" of the new model would hold a value that is not a finite number; a lower "
        "aggregation.server_learning_rate may help"));
  }
  return candidate.out.WriteAt(offset, AsBytes(piece));
}

// Makes pieces and writes them until there are no more.
absl::Status Aggregator::MakePieces(Candidate& candidate) {
  ASSIGN_OR_RETURN(const Summation::Mean write_mean,
                   sum_->OpenMean(candidate.total_weight, candidate.unmasking));
  const std::uint64_t parameters = TotalElements(spec_.base->header.layout);
  std::vector<double> mean(kSegmentValues);
  while (auto* slot = candidate.hasher.Take()) {
    const std::uint64_t first = std::uint64_t{slot->index} * kSegmentValues;
    slot->count = std::min<std::uint64_t>(kSegmentValues, parameters - first);
    RETURN_IF_ERROR(
        MakePiece(candidate, write_mean, first, mean, std::span(slot->values).first(slot->count)));
    candidate.hasher.Give(slot);
  }
  return absl::OkStatus();
}

absl::StatusOr<Digest> Aggregator::WriteCandidate(File& out, double total_weight, double rate,
                                                  const Unmasking* unmasking) {
  ASSIGN_OR_RETURN(const File base, File::OpenForReading(spec_.base->file));
  Bytes header(spec_.base->header.data_offset);
  RETURN_IF_ERROR(base.ReadAt(0, header));
  RETURN_IF_ERROR(out.WriteAt(0, header));
  // All sites wait for this: one piece is hashed while others are made.
  const int threads = ThreadsOf(spec_);
  const std::uint64_t parameters = TotalElements(spec_.base->header.layout);
  const std::size_t pieces = (parameters + kSegmentValues - 1) / kSegmentValues;
  Candidate candidate{base, out, total_weight, rate, unmasking, {pieces, kSegmentValues, threads}};
  candidate.hasher.Begin(header);
  RETURN_IF_ERROR(OnThreads(threads, [&] {
    const absl::Status made = MakePieces(candidate);
    if (!made.ok()) candidate.hasher.Stop();
    return made;
  }));
  return std::move(candidate.hasher).Finish();
}

absl::StatusOr<MadeModel> Aggregator::Report(const std::set<SiteId>& counted,
                                             double server_learning_rate,
                                             const Unmasking* unmasking) {
  Close();
  CONSILIUM_CHECK(!counted.empty());
  CONSILIUM_CHECK(spec_.masked == (unmasking != nullptr));
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
    made.parameters = c.header.plaintext_size / sizeof(float);
    return made;
  }
  const fs::path temporary = models_ / StrCat("candidate-", spec_.key.run.value, "-",
                                              spec_.key.round, "-", spec_.key.attempt, ".tmp");
  const auto make = [&]() -> absl::StatusOr<MadeModel> {
    ASSIGN_OR_RETURN(File file, File::OpenForWriting(temporary, /*truncate=*/true));
    ASSIGN_OR_RETURN(const Digest id,
                     WriteCandidate(file, total_weight, server_learning_rate, unmasking));
    ASSIGN_OR_RETURN(MadeModel made, finish(file, temporary, id));
    made.parameters = TotalElements(spec_.base->header.layout);
    return made;
  };
  absl::StatusOr<MadeModel> made = make();
  if (!made.ok()) Remove(temporary).IgnoreError();
  return made;
}

}  // namespace consilium::coordinator
