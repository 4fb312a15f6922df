#pragma once

// One attempt's contributions, added as their segments arrive, and the model made of them.
//
// Memory: 8 bytes a parameter (twice the model) and a few segments, whatever the number of sites.
// A contribution's sealed segments are also spooled to disk: that is what takes an uncounted one
// out of the sum again, exactly (exact_sum.h). Nothing readable lies in the spool.

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
#include "common/wire/protocol.h"
#include "coordinator/exact_sum.h"

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
  // written into `models`; both folders must be there.
  static absl::StatusOr<std::unique_ptr<Aggregator>> Open(AttemptSpec spec,
                                                          const crypto::X25519KeyPair& recipient,
                                                          fs::path spool, fs::path models);
  ~Aggregator();
  Aggregator(const Aggregator&) = delete;
  Aggregator& operator=(const Aggregator&) = delete;

  const AttemptKey& key() const { return spec_.key; }

  // The segment with which `site` begins or goes on; all of them when everything is here. Another
  // envelope than before replaces an unfinished one (the site sealed its update again).
  // kPermissionDenied: the site is not in this attempt; kFailedPrecondition: another attempt, or
  // the contribution was dropped; kInvalidArgument: size, weight, base or layout does not fit.
  absl::StatusOr<std::uint32_t> Begin(const SiteId& site, const wire::UploadHeader& header);

  // Opens, checks, spools and adds segment `index`, which must be the next. True: it was the last,
  // the contribution is whole. kInvalidArgument names the tensor whose value is not finite or too
  // large; kUnauthenticated: the seal is broken; kOutOfRange: not the next segment. After
  // kInvalidArgument and kUnauthenticated the contribution is dropped.
  absl::StatusOr<bool> AddSegment(const SiteId& site, std::uint32_t index, ByteView sealed);

  // Takes no more of this site and will not count it.
  void Drop(const SiteId& site);

  // Takes no more of anybody. When it returns, no segment is being added.
  void Close();

  // Closes, takes out what is not of `counted`, and writes base + server_learning_rate * mean as a
  // safetensors file: piece by piece, hashed on the way, synced, then renamed to its hash. The
  // layout header is the base's own. kFailedPrecondition when a counted contribution is not whole
  // or the result is not finite (naming the tensor); kResourceExhausted when the disk is full.
  absl::StatusOr<MadeModel> Report(const std::set<SiteId>& counted, double server_learning_rate);

 private:
  struct Contribution;

  Aggregator(AttemptSpec spec, const crypto::X25519KeyPair& recipient, fs::path spool,
             fs::path models);
  absl::Status CheckHeader(const SiteId& site, const wire::UploadHeader& header) const;
  absl::StatusOr<std::unique_ptr<Contribution>> NewContribution(const SiteId& site,
                                                                const wire::UploadHeader& header);
  std::shared_ptr<Contribution> Find(const SiteId& site);
  absl::Status AddToSum(Contribution& contribution, std::uint32_t index,
                        std::span<const float> values);
  absl::Status WriteValues(Contribution& contribution, std::uint32_t index,
                           std::span<const float> values);
  absl::Status TakeOut(Contribution& contribution);
  absl::StatusOr<double> SettleSum(const std::set<SiteId>& counted);
  absl::StatusOr<Digest> WriteCandidate(File& out, double total_weight, double rate);

  const AttemptSpec spec_;
  const crypto::X25519KeyPair& recipient_;
  const fs::path spool_, models_;
  ExactSum sum_;
  std::array<std::mutex, 61> stripes_;  // sum_, by segment index

  std::mutex mutex_;  // contributions_, replaced_, closed_, counter_
  // Shared: an upload may hold a contribution that Begin replaces at that moment.
  std::map<SiteId, std::shared_ptr<Contribution>> contributions_;
  std::vector<std::shared_ptr<Contribution>> replaced_;
  bool closed_ = false;
  int counter_ = 0;
};

}  // namespace consilium::coordinator
