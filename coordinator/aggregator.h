#pragma once

// One attempt's contributions, added as their segments arrive, and the model made of them.
//
// An attempt takes sealed updates, which are added as floats, or masked ones (secure aggregation),
// which are added as they come and say nothing before the sum is unmasked.
//
// Memory: 8 bytes a parameter (twice the model), 4 with masked updates, and a few segments,
// whatever the number of sites. A contribution's segments are also kept on disk (contribution.h):
// that is what takes an uncounted one out of the sum again, exactly (summation.h), and what a
// restart makes the sum of again. A contribution that was said to be whole, and the segments before
// the one with which a site was told to go on, survive a power loss.

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/crypto/envelope.h"
#include "common/crypto/keys.h"
#include "common/model/safetensors.h"
#include "common/model/travelling.h"
#include "common/wire/protocol.h"
#include "coordinator/contribution.h"
#include "coordinator/spool.h"
#include "coordinator/summation.h"

namespace consilium::coordinator {

// The model that an attempt trains from: its file in the registry.
struct BaseModel {
  ModelId id;
  SafetensorsHeader header;
  fs::path file;
};

struct AttemptSpec {
  AttemptKey key;
  std::set<SiteId> sites;         // each may contribute once
  double weight_unit = 1;         // weights are divided by it before they scale a value
  std::optional<BaseModel> base;  // absent: the attempt makes the first model, from one site
  bool masked = false;            // with a base: takes kMaskedUpdate instead of kUpdate
  int threads = 0;                // that Report works on; 0: as many as the machine has
  // The same attempt was open before a restart: what the spool holds of it counts. (Of the first
  // model's attempt it holds nothing: that begins anew.)
  bool again = false;
  // Beginnings of the names of the base's tensors that are not trained (the plan's [model] frozen).
  // An update holds what travels (common/model/travelling.h); the rest of the model made is the
  // base's, to the bit.
  std::vector<std::string> frozen = {};
};

struct MadeModel {
  ModelId id;
  fs::path file;  // models/<id>.safetensors, durable
  std::uint64_t parameters = 0;
};

// Thread-safe: segments of different sites are added at once.
class Aggregator {
 public:
  // `recipient` must outlive the aggregator. Contributions are spooled under `spool`, the model is
  // written into `models`; both folders must be there. kInvalidArgument: nothing of the base would
  // be trained.
  static absl::StatusOr<std::unique_ptr<Aggregator>> Open(AttemptSpec spec,
                                                          const crypto::X25519KeyPair& recipient,
                                                          fs::path spool, fs::path models);
  ~Aggregator();
  Aggregator(const Aggregator&) = delete;
  Aggregator& operator=(const Aggregator&) = delete;

  const AttemptKey& key() const { return spec_.key; }

  // The segment with which `site` begins or goes on; all of them when everything is here. Another
  // envelope than before replaces an unfinished one (the site sealed its update again). A masked
  // update has no second form: another one is kInvalidArgument, and the first goes on.
  // kPermissionDenied: the site is not in this attempt; kFailedPrecondition: another attempt, or
  // the contribution was dropped; kInvalidArgument: kind, size, weight, sums, base or layout does
  // not fit.
  absl::StatusOr<std::uint32_t> Begin(const SiteId& site, const wire::UploadHeader& header);

  // Opens, checks, spools and adds segment `index`, which must be the next. True: it was the last,
  // the contribution is whole; a masked one has the SHA-256 of its proof. kInvalidArgument names
  // the tensor whose value is not finite or too large; kUnauthenticated: the seal is broken, or the
  // hash is another; kOutOfRange: not the next segment. After kInvalidArgument and kUnauthenticated
  // the contribution is dropped.
  absl::StatusOr<bool> AddSegment(const SiteId& site, std::uint32_t index, ByteView segment);

  // Whose contributions are whole.
  std::set<SiteId> Whole();

  // Takes no more of this site and will not count it.
  void Drop(const SiteId& site);

  // Takes no more of anybody. When it returns, no segment is being added.
  void Close();

  // Closes, takes out what is not of `counted`, and writes base + server_learning_rate * mean as a
  // safetensors file: piece by piece, hashed on the way, synced, then renamed to its hash. The
  // layout header is the base's own. A masked sum needs `unmasking`, for the masks of `counted`; it
  // must outlive the call. kFailedPrecondition when a counted contribution is not whole
  // or the result is not finite (naming the tensor); kResourceExhausted when the disk is full.
  absl::StatusOr<MadeModel> Report(const std::set<SiteId>& counted, double server_learning_rate,
                                   const Unmasking* unmasking = nullptr);

 private:
  Aggregator(AttemptSpec spec, Travelling travelling, const crypto::X25519KeyPair& recipient,
             fs::path spool, fs::path models);
  absl::Status CheckHeader(const SiteId& site, const wire::UploadHeader& header) const;
  absl::StatusOr<std::unique_ptr<Contribution>> NewContribution(const SiteId& site,
                                                                const wire::UploadHeader& header);
  absl::Status TakeUp();
  absl::Status TakeUp(const SpoolEntry& entry, const fs::path& path, File file);
  std::shared_ptr<Contribution> Find(const SiteId& site);
  double ScaledWeight(const Contribution& contribution) const;
  absl::Status AddToSum(const Contribution& contribution, std::uint64_t first, ByteView values);
  Contribution::Sink Adding(const Contribution& contribution);
  absl::Status TakeOut(Contribution& contribution);
  absl::StatusOr<double> SettleSum(const std::set<SiteId>& counted);
  absl::StatusOr<MadeModel> Register(const fs::path& written, const ModelId& id,
                                     std::uint64_t parameters) const;
  struct Candidate;
  absl::Status MakePieces(Candidate& candidate);
  absl::Status MakePiece(Candidate& candidate, const Summation::Mean& write_mean,
                         std::uint64_t first, std::span<double> mean, std::span<float> piece) const;
  absl::StatusOr<Digest> WriteCandidate(File& out, double total_weight, double rate,
                                        const Unmasking* unmasking);

  const AttemptSpec spec_;
  const crypto::X25519KeyPair& recipient_;
  const fs::path spool_, models_;
  const Travelling travelling_;     // of the base
  const std::uint64_t parameters_;  // of an update
  const std::unique_ptr<Summation> sum_;
  std::array<std::mutex, 61> stripes_;  // sum_, by segment

  std::mutex mutex_;  // contributions_, replaced_, closed_, counter_
  // Shared: an upload may hold a contribution that Begin replaces at that moment.
  std::map<SiteId, std::shared_ptr<Contribution>> contributions_;
  std::vector<std::shared_ptr<Contribution>> replaced_;
  bool closed_ = false;
  std::uint32_t counter_ = 0;  // of the next contribution that replaces one
};

}  // namespace consilium::coordinator
