#include "site_agent/masked_update.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <vector>

#include "common/base/field_writer.h"
#include "common/base/fixed_point.h"
#include "common/base/log.h"
#include "common/base/on_threads.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/crypto/envelope.h"
#include "common/crypto/keystream.h"
#include "common/crypto/piece_hasher.h"
#include "common/crypto/sha256.h"
#include "common/model/quantizer.h"

namespace consilium::site_agent {
namespace {

constexpr std::size_t kPieceValues = crypto::kSegmentBytes / sizeof(std::uint32_t);
static_assert(kPieceValues == Quantizer::kNormPiece);

// A part of a piece that stays in the first-level cache from the difference to the rounding.
constexpr std::size_t kPartValues = 2048;

template <class Number>
ByteView BytesOf(std::span<const Number> numbers) {
  return {reinterpret_cast<const std::uint8_t*>(numbers.data()), numbers.size_bytes()};
}

absl::Status CheckSession(const Contribution& contribution, const secagg::SessionConfig& session) {
  const auto refused = [&](const std::string& why) {
    return absl::InvalidArgumentError(
        StrCat("the update of ", contribution.key.ToString(), " does not fit its session: ", why));
  };
  if (session.key != secagg::SessionKey{contribution.key, secagg::Purpose::kTraining}) {
    return refused(StrCat("that is ", session.key.ToString()));
  }
  if (contribution.base_id != session.model) {
    return refused("it was trained from another model");
  }
  if (session.values != contribution.model.values().size() || session.sums != wire::kUpdateSums) {
    return refused(StrCat("that adds ", session.values, " values and ", session.sums,
                          " sums, the model has ", contribution.model.values().size(),
                          " parameters"));
  }
  if (!(contribution.weight <= session.total_weight)) {
    return refused(StrCat("its weight is ", contribution.weight, " of ", session.total_weight));
  }
  return absl::OkStatus();
}

// loss and train_seconds for the mean over the survivors.
absl::StatusOr<std::array<std::uint64_t, wire::kUpdateSums>> Sums(const Contribution& contribution,
                                                                  double share) {
  constexpr double kLargest = 274877906944.0;  // 2^38 (base/fixed_point.h)
  std::array<std::uint64_t, wire::kUpdateSums> sums{};
  const double numbers[] = {contribution.loss, contribution.train_seconds};
  for (std::size_t i = 0; i < sums.size(); ++i) {
    if (!(std::abs(numbers[i]) < kLargest)) {
      return absl::InvalidArgumentError(
          StrCat("the update's ", i == 0 ? "loss" : "training time", " is ", numbers[i],
                 ": training diverged; a lower learning rate in the plan may help"));
    }
    sums[i] = ToFixedPoint(numbers[i] * share);
  }
  return sums;
}

// Everything that the threads share.
struct Work {
  const Contribution& contribution;
  const Quantizer quantizer;
  std::span<const secagg::Mask> masks;
  const crypto::Secret rounding_key;  // of the training's seed: what it draws decides up or down
  const int threads;
  Progress* const progress;  // may be none

  std::size_t values() const { return contribution.model.values().size(); }
  std::size_t pieces() const { return (values() + kPieceValues - 1) / kPieceValues; }
  std::size_t ValuesIn(std::size_t piece) const {
    return std::min(kPieceValues, values() - piece * kPieceValues);
  }
};

absl::StatusOr<double> ClipFactor(const Work& work) {
  std::vector<double> squares(work.pieces());
  std::atomic<std::size_t> next = 0;
  RETURN_IF_ERROR(OnThreads(work.threads, [&]() -> absl::Status {
    std::vector<float> delta(kPieceValues);
    for (std::size_t piece = next++; piece < squares.size(); piece = next++) {
      const std::span<float> values = std::span(delta).first(work.ValuesIn(piece));
      CopyValues(work.contribution, piece * kPieceValues, values);
      const absl::StatusOr<double> squared = Quantizer::SquaredNorm(values);
      if (!squared.ok()) {
        return NotFinite(work.contribution.model.layout(), piece * kPieceValues, values);
      }
      squares[piece] = *squared;
    }
    return absl::OkStatus();
  }));
  double sum = 0;
  for (const double squared : squares) sum += squared;
  return work.quantizer.FactorFor(sum);
}

absl::Status QuantizePiece(const Work& work, double factor, std::size_t first,
                           crypto::Keystream& rounding, std::span<std::uint32_t> piece) {
  std::array<float, kPartValues> delta;
  std::array<std::uint8_t, 2 * kPartValues> random;
  for (std::size_t at = 0; at < piece.size(); at += kPartValues) {
    const std::size_t n = std::min(kPartValues, piece.size() - at);
    const std::span<float> values = std::span(delta).first(n);
    const std::span<std::uint8_t> bits = std::span(random).first(2 * n);
    CopyValues(work.contribution, first + at, values);
    RETURN_IF_ERROR(rounding.Generate(2 * (first + at), bits));
    work.quantizer.Quantize(values, factor, bits, piece.subspan(at, n));
  }
  return absl::OkStatus();
}

// Makes, masks and writes pieces until there are no more.
absl::Status MakePieces(const Work& work, double factor, crypto::PieceHasher<std::uint32_t>& hasher,
                        File& file) {
  ASSIGN_OR_RETURN(crypto::Keystream rounding, crypto::Keystream::Create(work.rounding_key));
  ASSIGN_OR_RETURN(secagg::Masker masker, secagg::Masker::Create(work.masks, work.values()));
  while (auto* slot = hasher.Take()) {
    const std::size_t first = slot->index * kPieceValues;
    slot->count = work.ValuesIn(slot->index);
    const std::span<std::uint32_t> piece = std::span(slot->values).first(slot->count);
    RETURN_IF_ERROR(QuantizePiece(work, factor, first, rounding, piece));
    RETURN_IF_ERROR(masker.AddToValues(first, piece));
    RETURN_IF_ERROR(file.WriteAt(std::uint64_t{first} * sizeof(std::uint32_t),
                                 BytesOf(std::span<const std::uint32_t>(piece))));
    const std::size_t index = slot->index;
    hasher.Give(slot);
    if (work.progress == nullptr) continue;
    if (work.progress->Cancelled()) return absl::CancelledError("stopped while masking");
    work.progress->Report("masking", index + 1, work.pieces());
  }
  return absl::OkStatus();
}

// Writes the masked vector; returns its SHA-256. `sums` become the masked ones.
absl::StatusOr<Digest> WriteMasked(const Work& work, double factor, std::span<std::uint64_t> sums,
                                   File& file) {
  crypto::PieceHasher<std::uint32_t> hasher(work.pieces(), kPieceValues, work.threads);
  RETURN_IF_ERROR(OnThreads(work.threads, [&] {
    const absl::Status made = MakePieces(work, factor, hasher, file);
    if (!made.ok()) hasher.Stop();
    return made;
  }));
  ASSIGN_OR_RETURN(secagg::Masker masker, secagg::Masker::Create(work.masks, work.values()));
  RETURN_IF_ERROR(masker.AddToSums(0, sums));
  const ByteView tail = BytesOf(std::span<const std::uint64_t>(sums));
  RETURN_IF_ERROR(file.WriteAt(work.values() * sizeof(std::uint32_t), tail));
  return std::move(hasher).Finish(tail);
}

wire::UploadHeader HeaderOf(const Contribution& contribution) {
  wire::UploadHeader header;
  header.key = contribution.key;
  header.kind = wire::ContributionKind::kMaskedUpdate;
  header.base_model = contribution.base_id;
  header.plaintext_size = contribution.model.values().size() * sizeof(std::uint32_t);
  header.weight = contribution.weight;
  return header;
}

}  // namespace

absl::StatusOr<MaskedUpdate> MaskedUpdate::Restore(wire::UploadHeader header, const fs::path& path,
                                                   const Digest& sha256) {
  ASSIGN_OR_RETURN(OutboxFile restored, OutboxFile::Restore(std::move(header), path, sha256));
  return MaskedUpdate(std::move(restored));
}

absl::StatusOr<MaskedUpdate> Mask(
    Contribution&& contribution, const secagg::SessionConfig& session,
    std::span<const secagg::Mask> masks,
    const std::function<absl::StatusOr<secagg::UploadProof>(const Digest&)>& sign,
    const fs::path& outbox, int threads, Progress* progress) {
  const Contribution taken = std::move(contribution);
  RETURN_IF_ERROR(CheckContribution(taken));
  RETURN_IF_ERROR(CheckSession(taken, session));
  const double share = taken.weight / session.total_weight;
  ASSIGN_OR_RETURN(auto sums, Sums(taken, share));
  ASSIGN_OR_RETURN(const Quantizer quantizer,
                   Quantizer::Create(session.clip_norm, session.cohort_size, share));
  const Digest rounding =
      crypto::Sha256(FieldWriter("consilium rounding v1").Number(taken.seed).bytes());
  const Work work{
      taken,   quantizer, masks, crypto::Secret::CopyOf(rounding.bytes), std::max(threads, 1),
      progress};
  ASSIGN_OR_RETURN(const double factor, ClipFactor(work));
  if (factor < 1) {
    Log(LogLevel::kWarning, "update_clipped",
        {{"attempt", taken.key.ToString()},
         {"norm", session.clip_norm / factor},
         {"clip_norm", session.clip_norm}});
  }

  ASSIGN_OR_RETURN(OutboxFile file,
                   OutboxFile::Create(HeaderOf(taken), outbox, ".masked",
                                      work.values() * sizeof(std::uint32_t) + sizeof sums));
  MaskedUpdate masked(std::move(file));
  const auto make = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(masked.sha256_, WriteMasked(work, factor, sums, masked.file_));
    masked.header_.masked_sums.assign(sums.begin(), sums.end());
    ASSIGN_OR_RETURN(masked.header_.proof, sign(masked.sha256_));
    return masked.Finish();
  };
  if (const absl::Status made = make(); !made.ok()) {
    masked.Abandon();
    return made;
  }
  return masked;
}

}  // namespace consilium::site_agent
