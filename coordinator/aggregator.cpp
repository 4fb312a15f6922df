#include "coordinator/aggregator.h"

#include <algorithm>
#include <cmath>
#include <thread>
#include <utility>

#include "common/base/on_threads.h"
#include "common/base/status.h"
#include "common/crypto/piece_hasher.h"
#include "common/crypto/sha256.h"
#include "common/model/tensor_at.h"
#include "coordinator/exact_sum.h"

namespace consilium::coordinator {
namespace {

// More help little, and each holds a few pieces of memory.
constexpr int kMostThreads = 16;

std::span<std::uint8_t> AsWritableBytes(std::span<float> values) {
  return {reinterpret_cast<std::uint8_t*>(values.data()), values.size_bytes()};
}
ByteView AsBytes(std::span<const float> values) {
  return {reinterpret_cast<const std::uint8_t*>(values.data()), values.size_bytes()};
}

int ThreadsOf(const AttemptSpec& spec) {
  const int wanted =
      spec.threads > 0 ? spec.threads : static_cast<int>(std::thread::hardware_concurrency());
  return std::clamp(wanted, 1, kMostThreads);
}

}  // namespace

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
  for (const auto& contribution : replaced_) Remove(contribution->path()).IgnoreError();
  if (spec_.base) return;
  for (const auto& [site, contribution] : contributions_) {
    Remove(contribution->path()).IgnoreError();
  }
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
    return Contribution::LayoutOf(header).status();
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

absl::StatusOr<std::unique_ptr<Contribution>> Aggregator::NewContribution(
    const SiteId& site, const wire::UploadHeader& header) {
  if (spec_.base) return Contribution::Spooled({site, counter_, header}, recipient_, spool_);
  return Contribution::InitialModel(site, header, recipient_,
                                    models_ / StrCat("initial-", spec_.key.run.value, "-",
                                                     spec_.key.attempt, "-", counter_, ".tmp"));
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
  auto found = Contribution::Found(entry, recipient_, path, std::move(file));
  if (!found.ok()) return absl::OkStatus();  // as if it had never come
  const std::shared_ptr<Contribution> contribution = *std::move(found);
  counter_ = std::max(counter_, entry.number);
  std::shared_ptr<Contribution>& slot = contributions_[entry.site];
  if (slot && slot->number() > entry.number) return Remove(path);  // replaced before the restart
  const absl::Status taken_up = contribution->TakeUp(Adding(*contribution));
  if (slot) {
    slot->Drop();
    replaced_.push_back(std::move(slot));
  }
  slot = contribution;
  if (taken_up.ok()) return absl::OkStatus();
  // Now: its file is written over when the site sends the update again.
  contributions_.erase(entry.site);
  return TakeOut(*contribution);
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
    ASSIGN_OR_RETURN(const std::optional<std::uint32_t> next, slot->Resume(header));
    if (next) return *next;
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

std::shared_ptr<Contribution> Aggregator::Find(const SiteId& site) {
  std::lock_guard lock(mutex_);
  const auto found = contributions_.find(site);
  return found == contributions_.end() ? nullptr : found->second;
}

absl::StatusOr<bool> Aggregator::AddSegment(const SiteId& site, std::uint32_t index,
                                            ByteView segment) {
  const std::shared_ptr<Contribution> contribution = Find(site);
  if (!contribution) return absl::FailedPreconditionError("a segment before its header");
  return contribution->Take(index, segment, Adding(*contribution));
}

std::set<SiteId> Aggregator::Whole() {
  std::lock_guard lock(mutex_);
  std::set<SiteId> sites;
  for (const auto& [site, contribution] : contributions_) {
    if (contribution->IsWhole()) sites.insert(site);
  }
  return sites;
}

double Aggregator::ScaledWeight(const Contribution& contribution) const {
  return contribution.header().weight / spec_.weight_unit;
}

absl::Status Aggregator::AddToSum(const Contribution& contribution, std::uint64_t first,
                                  ByteView bytes) {
  const double scaled_weight = ScaledWeight(contribution);
  {
    std::lock_guard lock(stripes_[first / kSegmentValues % stripes_.size()]);
    if (const absl::Status added = sum_->Add(first, bytes, scaled_weight);
        !absl::IsInvalidArgument(added)) {
      return added;
    }
  }
  const std::span<const float> values = NumbersOf<float>(bytes);
  const std::size_t i = ExactSum::FirstRefused(values, scaled_weight);
  return absl::InvalidArgumentError(
      StrCat("the update of tensor \"", TensorAt(travelling_.layout(), first + i), "\" holds ",
             std::isfinite(values[i]) ? StrCat("the value ", values[i], ", which is too large")
                                      : std::string("a value that is not a finite number"),
             "; training has diverged, a lower learning rate may help"));
}

Contribution::Sink Aggregator::Adding(const Contribution& contribution) {
  return [this, &contribution](std::uint64_t first, ByteView values) {
    return AddToSum(contribution, first, values);
  };
}

absl::Status Aggregator::TakeOut(Contribution& contribution) {
  return contribution.TakeBack([&](std::uint64_t first, ByteView values) {
    sum_->Subtract(first, values, ScaledWeight(contribution));
    return absl::OkStatus();
  });
}

void Aggregator::Drop(const SiteId& site) {
  if (const auto contribution = Find(site)) contribution->Drop();
}

void Aggregator::Close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  for (const auto& [site, contribution] : contributions_) contribution->DropUnlessWhole();
}

absl::StatusOr<double> Aggregator::SettleSum(const std::set<SiteId>& counted) {
  double total_weight = 0;
  for (const SiteId& site : counted) {
    const auto contribution = Find(site);
    if (!contribution || !contribution->IsWhole()) {
      return absl::FailedPreconditionError(
          StrCat("the contribution of ", site.value, " is not whole and cannot be counted"));
    }
    total_weight += ScaledWeight(*contribution);
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

// A model that is whole on the disk gets its name.
absl::StatusOr<MadeModel> Aggregator::Register(const fs::path& written, const ModelId& id,
                                               std::uint64_t parameters) const {
  const fs::path model = models_ / StrCat(id.Hex(), ".safetensors");
  RETURN_IF_ERROR(RenameDurably(written, model));
  return MadeModel{id, model, parameters};
}

absl::StatusOr<MadeModel> Aggregator::Report(const std::set<SiteId>& counted,
                                             double server_learning_rate,
                                             const Unmasking* unmasking) {
  Close();
  CONSILIUM_CHECK(!counted.empty());
  CONSILIUM_CHECK(spec_.masked == (unmasking != nullptr));
  ASSIGN_OR_RETURN(const double total_weight, SettleSum(counted));
  if (!spec_.base) {
    Contribution& first = *Find(*counted.begin());
    RETURN_IF_ERROR(first.Sync());
    ASSIGN_OR_RETURN(const Digest id, crypto::Sha256OfFile(first.path()));
    return Register(first.path(), id, first.header().plaintext_size / sizeof(float));
  }
  const fs::path temporary = models_ / StrCat("candidate-", spec_.key.run.value, "-",
                                              spec_.key.round, "-", spec_.key.attempt, ".tmp");
  const auto make = [&]() -> absl::StatusOr<MadeModel> {
    ASSIGN_OR_RETURN(File file, File::OpenForWriting(temporary, /*truncate=*/true));
    ASSIGN_OR_RETURN(const Digest id,
                     WriteCandidate(file, total_weight, server_learning_rate, unmasking));
    RETURN_IF_ERROR(file.Sync());
    return Register(temporary, id, TotalElements(spec_.base->header.layout));
  };
  absl::StatusOr<MadeModel> made = make();
  if (!made.ok()) Remove(temporary).IgnoreError();
  return made;
}

}  // namespace consilium::coordinator
