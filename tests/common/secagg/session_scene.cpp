#include "tests/common/secagg/session_scene.h"

#include <algorithm>

#include "common/base/overloaded.h"
#include "common/crypto/sha256.h"

namespace consilium::secagg {

using Step = CoordinatorSession::Step;

// ---- Vector

Vector Vector::Zeros(const SessionConfig& config) {
  return {std::vector<std::uint32_t>(config.values), std::vector<std::uint64_t>(config.sums)};
}

Vector Vector::Random(const SessionConfig& config, RandomSource& random) {
  Bytes bytes(4 * config.values + 8 * config.sums);
  random.Fill(bytes);
  return FromBytes(bytes, config);
}

Vector& Vector::operator+=(const Vector& other) {
  Add(std::span(values), std::span(other.values));
  Add(std::span(sums), std::span(other.sums));
  return *this;
}

absl::Status Vector::AddMasks(const std::vector<Mask>& masks) {
  ASSIGN_OR_RETURN(Masker masker, Masker::Create(masks, values.size()));
  RETURN_IF_ERROR(masker.AddToValues(0, values));
  return masker.AddToSums(0, sums);
}

Bytes Vector::ToBytes() const {
  Bytes bytes(4 * values.size() + 8 * sums.size());
  std::uint8_t* out = bytes.data();
  for (const std::uint32_t value : values) StoreLe32(std::exchange(out, out + 4), value);
  for (const std::uint64_t sum : sums) StoreLe64(std::exchange(out, out + 8), sum);
  return bytes;
}

Vector Vector::FromBytes(ByteView bytes, const SessionConfig& config) {
  Vector vector = Zeros(config);
  const std::uint8_t* in = bytes.data();
  for (std::uint32_t& value : vector.values) value = LoadLe32(std::exchange(in, in + 4));
  for (std::uint64_t& sum : vector.sums) sum = LoadLe64(std::exchange(in, in + 8));
  return vector;
}

// ---- Federation

Federation::Federation(std::size_t sites) {
  SeededRandom random(1, "signing keys");
  for (std::size_t i = 0; i < sites; ++i) {
    Bytes seed(32);
    random.Fill(seed);
    auto key = crypto::Ed25519KeyPair::FromPrivate(seed);
    CONSILIUM_CHECK(key.ok());
    public_keys_[Name(i)] = key->public_key;
    keys_.emplace(Name(i), *std::move(key));
  }
  roster_ = crypto::Sha256(StrCat("a roster of ", sites, " sites"));
}

SiteId Federation::Name(std::size_t index) {
  std::string digits = std::to_string(1000 + index);
  return SiteId(StrCat("site-", digits.substr(1)));
}

std::set<SiteId> Federation::First(std::size_t count) {
  std::set<SiteId> sites;
  for (std::size_t i = 0; i < count; ++i) sites.insert(Name(i));
  return sites;
}

std::map<SiteId, crypto::Ed25519PublicKey> Federation::KeysOf(const std::set<SiteId>& sites) const {
  std::map<SiteId, crypto::Ed25519PublicKey> keys;
  for (const SiteId& site : sites) keys[site] = public_keys_.at(site);
  return keys;
}

SiteView Federation::ViewOf(const SiteId& site) const { return {site, public_keys_, roster_}; }

SessionConfig Federation::Config(std::size_t cohort, std::uint32_t attempt) const {
  SessionConfig config;
  config.federation = "seven-hospitals";
  config.key = {{RunId("chest-0001"), 3, attempt}, Purpose::kTraining};
  config.model = crypto::Sha256("the base model");
  config.roster = roster_;
  config.cohort_size = static_cast<std::uint32_t>(cohort);
  config.threshold = Threshold(config.cohort_size);
  config.values = 7;
  config.sums = 2;
  config.layout = crypto::Sha256("the layout");
  config.clip_norm = 4;
  config.total_weight = 100.0 * static_cast<double>(cohort);
  config.weight_rule = "examples";
  return config;
}

// ---- Witness

void Witness::SawMasked(const SiteId& site, const std::vector<Mask>& masks, const Digest& vector) {
  for (const Mask& mask : masks) {
    auto& uses = uses_[crypto::Sha256(mask.key.Reveal())];
    bool known = false;
    for (const Use& use : uses) {
      if (use.site == site) {
        known = true;
        if (use.vector != vector || use.negative != mask.negative)
          violations_.push_back(StrCat(site.value, " hid two different vectors under one mask"));
      } else if (use.negative == mask.negative) {
        violations_.push_back(
            StrCat(site.value, " and ", use.site.value, " use a mask with the same sign"));
      }
    }
    if (!known) uses.push_back({site, mask.negative, vector});
    if (uses.size() > 2) violations_.push_back("three sites use the same mask");
  }
}

void Witness::SawUnmasked(const SiteId& site, const Digest& transcript,
                          const UnmaskAnswer& answer) {
  if (!answered_.emplace(transcript, site).second)
    violations_.push_back(StrCat(site.value, " answered twice for one transcript"));
  for (const auto& [whose, share] : answer.seed_shares)
    shares_out_[{transcript, whose}].seed = true;
  for (const auto& [whose, share] : answer.mask_key_shares)
    shares_out_[{transcript, whose}].mask_key = true;
  for (const auto& [key, out] : shares_out_) {
    if (out.seed && out.mask_key)
      violations_.push_back(StrCat("both kinds of share of ", key.second.value, " were given"));
  }
}

// ---- Site

Site::Site(const Federation& federation, SiteId id, Vector vector, RandomSource& random,
           Witness& witness)
    : federation_(&federation),
      id_(std::move(id)),
      vector_(std::move(vector)),
      random_(&random),
      witness_(&witness) {}

absl::StatusOr<Answer> Site::Die() {
  session_.reset();
  down_ = true;
  return absl::UnavailableError(StrCat(id_.value, " crashed"));
}

absl::Status Site::Restart() {
  down_ = false;
  session_.reset();
  if (!disk_.session) return absl::OkStatus();
  ASSIGN_OR_RETURN(session_, SiteSession::Restore(*disk_.session, federation_->ViewOf(id_),
                                                  federation_->KeyOf(id_)));
  return absl::OkStatus();
}

absl::StatusOr<Answer> Site::On(const Request& request, Crash crash) {
  if (down_) return absl::UnavailableError(StrCat(id_.value, " is down"));
  auto answer = Step(request, crash);
  if (down_) return Die();
  if (crash == Crash::kBeforeSaving || (!session_ && crash != Crash::kNot)) return Die();
  if (session_) {
    const crypto::Secret saved = session_->Save();
    disk_.session = Bytes(saved.Reveal().begin(), saved.Reveal().end());
  }
  if (crash == Crash::kAfterSaving) return Die();
  return answer;
}

absl::StatusOr<Answer> Site::Step(const Request& request, Crash crash) {
  if (request.step == Step::kAdvertising) return Advertise(request.config);
  if (!session_ || session_->config().key != request.config.key)
    return absl::FailedPreconditionError(StrCat(id_.value, " has no such session"));
  switch (request.step) {
    case Step::kSharing:
      return session_->ShareWith(request.members);
    case Step::kUploading:
      return MaskAndSign(request.shares);
    case Step::kAgreeing:
      return session_->SignSurvivors(request.survivors, Released(request.config));
    case Step::kUnmasking:
      return Unmask(request, crash);
    default:
      return absl::InvalidArgumentError("nothing is asked in this step");
  }
}

absl::StatusOr<Answer> Site::Advertise(const SessionConfig& config) {
  if (session_ && session_->config().key > config.key)
    return absl::FailedPreconditionError("an attempt that is over");
  if (!session_ || session_->config().key != config.key) {
    ASSIGN_OR_RETURN(session_, SiteSession::Open(config, federation_->ViewOf(id_),
                                                 federation_->KeyOf(id_), *random_));
  }
  return session_->advertisement();
}

absl::StatusOr<Answer> Site::MaskAndSign(const std::vector<SealedShare>& shares) {
  RETURN_IF_ERROR(session_->TakeShares(shares));
  ASSIGN_OR_RETURN(const std::vector<Mask> masks, session_->Masks());
  witness_->SawMasked(id_, masks, crypto::Sha256(vector_.ToBytes()));
  Vector masked = vector_;
  RETURN_IF_ERROR(masked.AddMasks(masks));
  Upload upload{masked.ToBytes(), {}};
  ASSIGN_OR_RETURN(upload.proof, session_->SignUpload(crypto::Sha256(upload.masked)));
  return upload;
}

absl::StatusOr<Answer> Site::Unmask(const Request& request, Crash crash) {
  auto answer = session_->Unmask(request.signatures,
                                 [&](const UnmaskRecord& record) { return Commit(record, crash); });
  if (!answer.ok()) return answer.status();
  // What left the session counts as given, also when the site dies before it is sent.
  witness_->SawUnmasked(id_, disk_.records.back().transcript, *answer);
  return *std::move(answer);
}

absl::Status Site::Commit(const UnmaskRecord& record, Crash crash) {
  if (crash == Crash::kWhileCommitting) {
    down_ = true;
    return absl::UnavailableError("the disk is gone");
  }
  for (const UnmaskRecord& earlier : disk_.records) {
    if (earlier.transcript == record.transcript)
      return absl::PermissionDeniedError("this site has answered for this transcript");
  }
  disk_.records.push_back(record);
  return absl::OkStatus();
}

std::optional<std::set<SiteId>> Site::Released(const SessionConfig& config) const {
  const auto same_quantity = [&](const UnmaskRecord& record) {
    return record.key.purpose == config.key.purpose && record.model == config.model &&
           record.key.attempt.run == config.key.attempt.run &&
           record.key.attempt.round == config.key.attempt.round;
  };
  const auto found = std::find_if(disk_.records.begin(), disk_.records.end(), same_quantity);
  if (found == disk_.records.end()) return std::nullopt;
  return found->survivors;
}

// ---- Host

Host::Host(const Federation& federation, SessionConfig config, const std::set<SiteId>& cohort)
    : session_(config, federation.KeysOf(cohort)),
      upload_bytes_(4 * config.values + 8 * config.sums) {}

Request Host::RequestFor(const SiteId& site) const {
  Request request{.step = session_.step(), .config = session_.config()};
  switch (session_.step()) {
    case Step::kSharing:
      request.members = session_.members();
      break;
    case Step::kUploading:
      request.shares = session_.SharesFor(site);
      break;
    case Step::kAgreeing:
      request.survivors = session_.survivors();
      break;
    case Step::kUnmasking:
      request.signatures = session_.survivor_signatures();
      break;
    default:
      break;
  }
  return request;
}

absl::Status Host::Take(const SiteId& site, const Answer& answer) {
  return std::visit(
      Overloaded{
          [&](const Advertisement& advertisement) { return session_.Take(advertisement); },
          [&](const Upload& upload) {
            RETURN_IF_ERROR(TakePiece(site, 0, upload.masked));
            return TakeProof(site, upload.proof);
          },
          [&](const auto& message) { return session_.Take(site, message); },
      },
      answer);
}

absl::Status Host::TakePiece(const SiteId& site, std::size_t offset, ByteView piece) {
  if (session_.step() != Step::kUploading || session_.Answered(site)) return absl::OkStatus();
  Incoming& incoming = incoming_[site];
  incoming.bytes.resize(upload_bytes_);
  incoming.have.resize(upload_bytes_);
  if (offset + piece.size() > upload_bytes_)
    return absl::InvalidArgumentError("a piece beyond the vector's end");
  std::copy(piece.begin(), piece.end(), incoming.bytes.begin() + static_cast<long>(offset));
  std::fill_n(incoming.have.begin() + static_cast<long>(offset), piece.size(), true);
  return Complete(site);
}

absl::Status Host::TakeProof(const SiteId& site, const UploadProof& proof) {
  Incoming& incoming = incoming_[site];
  incoming.have.resize(upload_bytes_);
  incoming.proof = proof;
  return Complete(site);
}

absl::Status Host::Complete(const SiteId& site) {
  const Incoming& incoming = incoming_.at(site);
  const bool whole =
      std::find(incoming.have.begin(), incoming.have.end(), false) == incoming.have.end();
  if (!whole || !incoming.proof) return absl::OkStatus();
  if (crypto::Sha256(incoming.bytes) != incoming.proof->sha256)
    return absl::InvalidArgumentError("the upload is not what its proof says");
  return session_.Take(site, *incoming.proof);
}

absl::StatusOr<Vector> Host::Open() {
  ASSIGN_OR_RETURN(const std::vector<Mask> masks, session_.Open());
  Vector sum = Vector::Zeros(session_.config());
  for (const SiteId& site : session_.survivors())
    sum += Vector::FromBytes(incoming_.at(site).bytes, session_.config());
  RETURN_IF_ERROR(sum.AddMasks(masks));
  return sum;
}

Vector PlainSum(const SessionConfig& config, const std::map<SiteId, Site>& all,
                const std::set<SiteId>& sites) {
  Vector sum = Vector::Zeros(config);
  for (const SiteId& site : sites) sum += all.at(site).vector();
  return sum;
}

}  // namespace consilium::secagg
