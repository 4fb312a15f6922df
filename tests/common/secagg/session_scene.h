#pragma once

// A little federation in memory: sites with a disk that survives a crash, a coordinator, real
// keys and real sessions. Nothing is random but what comes from the seeds; messages go straight
// from one to the other, and it is the test's to drop, delay, repeat or change them.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "common/base/random.h"
#include "common/secagg/coordinator_session.h"
#include "common/secagg/site_session.h"

namespace consilium::secagg {

// What a site hides: values and the sums beside them.
struct Vector {
  std::vector<std::uint32_t> values;
  std::vector<std::uint64_t> sums;
  bool operator==(const Vector&) const = default;

  static Vector Zeros(const SessionConfig& config);
  static Vector Random(const SessionConfig& config, RandomSource& random);
  Vector& operator+=(const Vector& other);  // in both rings
  absl::Status AddMasks(const std::vector<Mask>& masks);
  Bytes ToBytes() const;  // as UploadProof::sha256 counts them
  static Vector FromBytes(ByteView bytes, const SessionConfig& config);
};

// Sites "site-000", "site-001" ... and their signing keys, the same in every test.
class Federation {
 public:
  explicit Federation(std::size_t sites);
  static SiteId Name(std::size_t index);
  const crypto::Ed25519KeyPair& KeyOf(const SiteId& site) const { return keys_.at(site); }
  const Digest& roster() const { return roster_; }
  static std::set<SiteId> First(std::size_t count);
  std::map<SiteId, crypto::Ed25519PublicKey> KeysOf(const std::set<SiteId>& sites) const;
  SiteView ViewOf(const SiteId& site) const;
  // A session of a cohort of so many sites; training of 7 values and 2 sums.
  SessionConfig Config(std::size_t cohort, std::uint32_t attempt = 1) const;

 private:
  std::map<SiteId, crypto::Ed25519KeyPair> keys_;
  std::map<SiteId, crypto::Ed25519PublicKey> public_keys_;
  Digest roster_;
};

// Sees what nobody in the protocol does: which masks hide which vector, and which shares left which
// site. Writes down what must never happen.
class Witness {
 public:
  void SawMasked(const SiteId& site, const std::vector<Mask>& masks, const Digest& vector);
  void SawUnmasked(const SiteId& site, const Digest& transcript, const UnmaskAnswer& answer);
  const std::vector<std::string>& violations() const { return violations_; }
  std::size_t masks() const { return uses_.size(); }

 private:
  struct Use {
    SiteId site;
    bool negative;
    Digest vector;
  };
  struct SharesOut {
    bool seed = false, mask_key = false;
  };
  std::map<Digest, std::vector<Use>> uses_;  // by the mask's key
  std::set<std::pair<Digest, SiteId>> answered_;
  std::map<std::pair<Digest, SiteId>, SharesOut> shares_out_;  // by transcript and whose
  std::vector<std::string> violations_;
};

// What the coordinator asks of one site in one step.
struct Request {
  CoordinatorSession::Step step = CoordinatorSession::Step::kAdvertising;
  SessionConfig config;
  std::vector<Advertisement> members;              // kSharing
  std::vector<SealedShare> shares;                 // kUploading
  std::set<SiteId> survivors;                      // kAgreeing
  std::map<SiteId, crypto::Signature> signatures;  // kUnmasking
};
struct Upload {
  Bytes masked;
  UploadProof proof;
};
using Answer =
    std::variant<Advertisement, std::vector<SealedShare>, Upload, crypto::Signature, UnmaskAnswer>;

// What a crash leaves. `session` is what SiteSession::Save() gave before the last message left.
struct Disk {
  std::optional<Bytes> session;
  std::vector<UnmaskRecord> records;
};

// Where a site dies while it answers.
enum class Crash {
  kNot,
  kBeforeSaving,    // the step is done in memory only (a committed unmask record stays)
  kAfterSaving,     // the step is on disk, the answer never leaves
  kWhileCommitting  // while the unmask record is written: it is not there
};

// A site as its agent runs it: asks its session, saves, answers.
class Site {
 public:
  Site(const Federation& federation, SiteId id, Vector vector, RandomSource& random,
       Witness& witness);

  const SiteId& id() const { return id_; }
  const Vector& vector() const { return vector_; }
  Disk& disk() { return disk_; }
  SiteSession* session() { return session_ ? &*session_ : nullptr; }

  // The same request again gives the same bytes, also after a restart, until the session is over.
  // kUnavailable: it crashed, or is down.
  absl::StatusOr<Answer> On(const Request& request, Crash crash = Crash::kNot);
  // Begins another attempt only when its key is a later one.
  bool down() const { return down_; }
  absl::Status Restart();  // from its disk

 private:
  absl::StatusOr<Answer> Step(const Request& request, Crash crash);
  absl::StatusOr<Answer> Advertise(const SessionConfig& config);
  absl::StatusOr<Answer> MaskAndSign(const std::vector<SealedShare>& shares);
  absl::StatusOr<Answer> Unmask(const Request& request, Crash crash);
  absl::Status Commit(const UnmaskRecord& record, Crash crash);
  // The survivors of the attempt in which this site helped to open the same quantity.
  std::optional<std::set<SiteId>> Released(const SessionConfig& config) const;
  absl::StatusOr<Answer> Die();

  const Federation* federation_;
  SiteId id_;
  Vector vector_;
  RandomSource* random_;
  Witness* witness_;
  Disk disk_;
  std::optional<SiteSession> session_;
  bool down_ = false;
};

// The coordinator as its engine runs it: the session, and the uploads as they come in.
class Host {
 public:
  Host(const Federation& federation, SessionConfig config, const std::set<SiteId>& cohort);

  CoordinatorSession& session() { return session_; }
  const CoordinatorSession& session() const { return session_; }
  Request RequestFor(const SiteId& site) const;  // of the present step

  absl::Status Take(const SiteId& site, const Answer& answer);
  // A piece of an upload, in any order and as often as may be. The upload counts when all of it
  // and its proof are there.
  absl::Status TakePiece(const SiteId& site, std::size_t offset, ByteView piece);
  absl::Status TakeProof(const SiteId& site, const UploadProof& proof);

  // The sum of the survivors' vectors, or why there is none.
  absl::StatusOr<Vector> Open();

 private:
  struct Incoming {
    Bytes bytes;
    std::vector<bool> have;
    std::optional<UploadProof> proof;
  };
  absl::Status Complete(const SiteId& site);

  CoordinatorSession session_;
  std::size_t upload_bytes_;
  std::map<SiteId, Incoming> incoming_;
};

// The plain sum of the vectors of `sites`.
Vector PlainSum(const SessionConfig& config, const std::map<SiteId, Site>& all,
                const std::set<SiteId>& sites);

}  // namespace consilium::secagg
