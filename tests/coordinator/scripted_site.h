#pragma once

// A site without images, over loopback with real TLS.

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cmath>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "common/base/fixed_point.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "common/crypto/sha256.h"
#include "common/identity/identity.h"
#include "common/metrics/description.h"
#include "common/metrics/evaluation_sums.h"
#include "common/model/quantizer.h"
#include "common/model/safetensors.h"
#include "common/secagg/site_session.h"
#include "common/wire/consilium.grpc.pb.h"
#include "common/wire/convert.h"
#include "tests/coordinator/sites_contribution.h"

namespace consilium::coordinator {

// Its update is a constant, its scores are drawn. It says what a site agent says, takes part in
// secure sessions for real, countersigns the log, and comes back when the connection breaks.
class ScriptedSite {
 public:
  struct Script {
    std::uint64_t parameters = 1000, examples = 100;
    float delta = 0.5f;
    double auroc_shift = 2;  // how far apart the scores of the two classes lie
    std::function<void(std::vector<float>&)> spoil;
    double train_s = 0;
    metrics::Description images;
  };

  ScriptedSite(identity::Identity identity, Script script)
      : name_(identity.name), script_(std::move(script)), identity_(std::move(identity)) {
    thread_ = std::thread([this] { Live(); });
  }
  ~ScriptedSite() {
    stopping_ = true;
    {
      std::lock_guard lock(mutex_);
      if (context_) context_->TryCancel();
    }
    thread_.join();
  }
  // The coordinator counts it among those that are connected. A run that has enough sites does not
  // wait for one that is not.
  bool AwaitWelcome() {
    std::unique_lock lock(mutex_);
    return welcome_.wait_for(lock, std::chrono::seconds(60), [this] { return welcomed_; });
  }
  int rounds_counted() const { return rounds_counted_; }
  // How often it trained, by attempt. It keeps what it trained, as a site agent does.
  std::map<AttemptKey, int> trainings() {
    std::lock_guard lock(mutex_);
    return trainings_;
  }
  // The heads of the audit log that it has signed, by number.
  std::map<std::uint64_t, Digest> signed_heads() {
    std::lock_guard lock(mutex_);
    return signed_heads_;
  }
  // Whether all extensions of the log fitted each other.
  bool log_is_one_chain() const { return log_is_one_chain_; }

 private:
  void Live() {
    while (!stopping_) {
      Attend();
      if (!stopping_) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }

  void Attend() {
    const auto channel = identity::OpenChannel(identity_);
    stub_ = v1::SiteService::NewStub(channel);
    {
      std::lock_guard lock(mutex_);
      context_ = std::make_unique<grpc::ClientContext>();
    }
    const auto stream = stub_->Attend(context_.get());
    Say(*stream, wire::Hello{"test", kProtocolVersion});
    v1::ToSite proto;
    while (stream->Read(&proto)) {
      const auto message = wire::FromProto(proto);
      if (!message.ok()) break;
      std::visit([&](const auto& m) { On(*stream, m); }, *message);
    }
    (void)stream->Finish();
  }

  using Stream = grpc::ClientReaderWriter<v1::FromSite, v1::ToSite>;

  static void Say(Stream& stream, const wire::FromSite& message) {
    v1::FromSite proto;
    wire::ToProto(message, &proto);
    stream.Write(proto);
  }

  void On(Stream&, const wire::Welcome& m) {
    sealing_key_ = m.sealing_key;
    const std::lock_guard lock(mutex_);
    welcomed_ = true;
    welcome_.notify_all();
  }
  void On(Stream& stream, const wire::Invite& m) {
    Say(stream, wire::InviteAnswer{m.run, true, "", script_.examples, script_.examples, 0});
  }
  void On(Stream&, const wire::RosterFile& m) {
    const auto roster = identity::VerifyRoster(identity_.root, m.file);
    if (!roster.ok()) return Complain(roster.status());
    view_ = {SiteId(name_), roster->roster.SiteKeys(), roster->hash};
    federation_ = roster->roster.federation;
  }
  void On(Stream& stream, const wire::LogExtension& m) {
    Digest head = m.previous;
    {
      std::lock_guard lock(mutex_);
      for (const wire::LogEntry& entry : m.entries) {
        const auto before = signed_heads_.find(entry.number - 1);
        if (before != signed_heads_.end() && before->second != head) log_is_one_chain_ = false;
        head = wire::ExtendedBy(head, entry);
      }
      signed_heads_[m.entries.back().number] = head;
    }
    const std::uint64_t number = m.entries.back().number;
    const auto signature =
        crypto::Sign(identity_.signing, wire::LogHeadText(federation_, number, head));
    if (signature.ok()) Say(stream, wire::LogSignature{number, head, *signature});
  }
  void On(Stream&, const wire::MakeInitialModel& m) {
    wire::UploadHeader header;
    header.key = m.key;
    header.kind = wire::ContributionKind::kInitialModel;
    header.weight = 1;
    header.layout_header =
        WriteSafetensorsHeader({{"weight", {static_cast<std::int64_t>(script_.parameters)}}});
    Upload(header, std::vector<float>(script_.parameters, 1.0f));
  }
  void On(Stream& stream, const wire::TrainRequest& m) {
    if (m.secure) return Advertise(stream, *m.secure, m.key);
    if (const auto kept = trained_.find(m.key); kept != trained_.end()) return Send(kept->second);
    if (!Download(m.base_model) || !Trains(m.key)) return;
    wire::UploadHeader header;
    header.key = m.key;
    header.base_model = m.base_model;
    header.weight = static_cast<double>(script_.examples);
    header.loss = 0.5;
    Send(trained_[m.key] = Seal(SiteId(name_), header, Delta(), sealing_key_));
  }
  void On(Stream& stream, const wire::EvaluateRequest& m) {
    if (m.secure) return Advertise(stream, *m.secure, {m.run, m.round, 0});
    if (!Download(m.model)) return;
    Say(stream, wire::EvaluationReport{m.run, m.round, m.model, m.split, Scores(m.round), 0.1});
  }
  void On(Stream& stream, const wire::DescribeRequest& m) {
    Advertise(stream, m.secure, {m.run, m.round, 0});
  }
  void On(Stream&, const wire::AttemptClosed& m) { rounds_counted_ += m.counted; }
  void On(Stream&, const wire::RunEnded&) {}

  // ---- secure sessions

  struct Session {
    secagg::SiteSession session;
    AttemptKey task;                            // as TaskFailed names it
    std::map<int, wire::SecureAnswer> answers;  // by step: sent again when it is asked again
    std::optional<MaskedContribution> upload;
  };

  // What the site answers, or says that it cannot.
  template <class Answer>
  void Reply(Stream& stream, Session& s, int step, absl::StatusOr<Answer> answer) {
    if (!answer.ok()) {
      Complain(answer.status());
      return Say(stream, wire::TaskFailed{s.task, std::string(answer.status().message())});
    }
    const auto kept = s.answers.insert_or_assign(
        step, wire::SecureAnswer{s.session.config().key, *std::move(answer)});
    Say(stream, kept.first->second);
  }
  bool AnswerAgain(Stream& stream, const Session& s, int step) {
    const auto kept = s.answers.find(step);
    if (kept == s.answers.end()) return false;
    Say(stream, kept->second);
    return true;
  }

  void Advertise(Stream& stream, const secagg::SessionConfig& config, const AttemptKey& task) {
    const auto found = sessions_.find(config.key);
    if (found != sessions_.end()) {
      AnswerAgain(stream, found->second, 0);
      return;
    }
    SystemRandom random;
    auto session = secagg::SiteSession::Open(config, view_, identity_.signing, random);
    if (!session.ok()) {
      Complain(session.status());
      return Say(stream, wire::TaskFailed{task, std::string(session.status().message())});
    }
    Session& s =
        sessions_.emplace(config.key, Session{*std::move(session), task, {}, {}}).first->second;
    Reply(stream, s, 0, absl::StatusOr<secagg::Advertisement>(s.session.advertisement()));
  }

  void On(Stream& stream, const wire::SecureNotice& m) {
    const auto found = sessions_.find(m.session);
    if (found == sessions_.end()) return;
    std::visit([&](const auto& notice) { Follow(stream, found->second, notice); }, m.notice);
  }
  void Follow(Stream& stream, Session& s, const wire::SecureNotice::Members& m) {
    Reply(stream, s, 1, s.session.ShareWith(m.members));
  }
  void Follow(Stream& stream, Session& s, const wire::SecureNotice::Shares& m) {
    if (AnswerAgain(stream, s, 2)) return;
    if (s.upload) return Send(*s.upload);
    const absl::Status taken = s.session.TakeShares(m.shares);
    const secagg::SessionConfig& config = s.session.config();
    const bool describes = config.key.purpose == secagg::Purpose::kDescription;
    if (!taken.ok() || (!describes && !Download(config.model))) return Complain(taken);
    if (describes) return Reply(stream, s, 2, MaskedSums(s.session, ToRing(script_.images)));
    if (config.key.purpose != secagg::Purpose::kTraining) {
      return Reply(stream, s, 2, MaskedScores(s.session));
    }
    if (!Trains(s.task)) return;
    auto upload = MaskedDelta(s.session);
    if (!upload.ok()) {
      return Say(stream, wire::TaskFailed{s.task, std::string(upload.status().message())});
    }
    s.upload = *std::move(upload);
    Send(*s.upload);
  }
  void Follow(Stream& stream, Session& s, const wire::SecureNotice::Survivors& m) {
    Reply(stream, s, 3, s.session.SignSurvivors(m.sites, std::nullopt));
  }
  void Follow(Stream& stream, Session& s, const wire::SecureNotice::Signatures& m) {
    if (AnswerAgain(stream, s, 4)) return;
    Reply(stream, s, 4, s.session.Unmask(m.signatures, [](const secagg::UnmaskRecord&) {
      return absl::OkStatus();
    }));
  }

  absl::StatusOr<MaskedContribution> MaskedDelta(secagg::SiteSession& session) const {
    const secagg::SessionConfig& config = session.config();
    const double weight = static_cast<double>(script_.examples);
    wire::UploadHeader header;
    header.key = config.key.attempt;
    header.base_model = config.model;
    header.weight = weight;
    return MaskUpdate(session, std::move(header), Delta(), weight, /*loss=*/0.5, /*seconds=*/0.01);
  }
  absl::StatusOr<wire::MaskedSums> MaskedScores(secagg::SiteSession& session) const {
    metrics::EvaluationSums scores;
    scores.sums = Scores(session.config().key.attempt.round);
    return MaskedSums(session, metrics::ToRing(scores));
  }
  static absl::StatusOr<wire::MaskedSums> MaskedSums(secagg::SiteSession& session,
                                                     std::vector<std::uint64_t> sums) {
    wire::MaskedSums masked{std::move(sums), {}};
    ASSIGN_OR_RETURN(const std::vector<secagg::Mask> masks, session.Masks());
    ASSIGN_OR_RETURN(auto masker, secagg::Masker::Create(masks, 0));
    RETURN_IF_ERROR(masker.AddToSums(0, masked.sums));
    ASSIGN_OR_RETURN(const secagg::UploadProof proof,
                     session.SignUpload(HashOfMasked({}, masked.sums)));
    masked.signature = proof.signature;
    return masked;
  }

  // ---- its work

  // False: it was stopped meanwhile.
  bool Trains(const AttemptKey& attempt) {
    {
      std::lock_guard lock(mutex_);
      ++trainings_[attempt];
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(script_.train_s));
    return !stopping_;
  }
  std::vector<float> Delta() const {
    std::vector<float> delta(script_.parameters, script_.delta);
    if (script_.spoil) script_.spoil(delta);
    return delta;
  }
  metrics::BinarySums Scores(std::uint32_t round) const {
    metrics::BinarySums sums;
    SeededRandom random(round, name_);
    for (int i = 0; i < 200; ++i) {
      const bool target = i % 2 == 0;
      const double logit = random.Normal() + (target ? 0.5 : -0.5) * script_.auroc_shift;
      sums.Add(1 / (1 + std::exp(-logit)), target);
    }
    sums.patients = 200;
    return sums;
  }

  bool Download(const ModelId& model) {
    grpc::ClientContext context;
    v1::DownloadRequest request;
    request.set_model(wire::ToProtoBytes(model));
    const auto reader = stub_->DownloadModel(&context, request);
    crypto::Sha256Stream hash;
    for (v1::ModelChunk chunk; reader->Read(&chunk);) hash.Update(AsBytes(chunk.data()));
    const grpc::Status status = reader->Finish();
    Complain(wire::FromGrpc(status));
    return status.ok() && std::move(hash).Finish() == model;
  }

  // What a site's operator would read in its log.
  void Complain(const absl::Status& status) const {
    if (status.ok() || stopping_) return;
    Log(LogLevel::kWarning, "scripted_site", {{"site", name_}, {"why", ToStd(status.message())}});
  }

  void Upload(const wire::UploadHeader& header, const std::vector<float>& values) {
    Send(Seal(SiteId(name_), header, values, sealing_key_));
  }
  void Send(const SealedContribution& sealed) { Send(sealed.header, sealed.segments); }
  void Send(const MaskedContribution& masked) { Send(masked.header, masked.segments); }
  void Send(wire::UploadHeader header, const std::vector<Bytes>& segments) {
    absl::Status sent = TrySend(header, segments);
    if (absl::IsOutOfRange(sent)) {  // its last word is the segment to go on from
      const std::string text(sent.message());
      header.first_segment = static_cast<std::uint32_t>(
          std::stoul(text.substr(text.find_last_not_of("0123456789") + 1)));
      sent = TrySend(header, segments);
    }
    Complain(sent);
  }
  absl::Status TrySend(const wire::UploadHeader& header, const std::vector<Bytes>& segments) {
    grpc::ClientContext context;
    v1::UploadReceipt receipt;
    const auto writer = stub_->Upload(&context, &receipt);
    v1::UploadChunk chunk;
    wire::ToProto(header, chunk.mutable_header());
    bool open = writer->Write(chunk);
    chunk.clear_header();
    for (std::size_t i = header.first_segment; open && i < segments.size(); ++i) {
      chunk.set_segment(segments[i].data(), segments[i].size());
      open = writer->Write(chunk);
    }
    writer->WritesDone();
    return wire::FromGrpc(writer->Finish());
  }

  const std::string name_;
  const Script script_;
  const identity::Identity identity_;
  std::unique_ptr<v1::SiteService::Stub> stub_;
  crypto::X25519PublicKey sealing_key_{};
  secagg::SiteView view_;
  std::string federation_;
  std::map<secagg::SessionKey, Session> sessions_;
  std::map<AttemptKey, SealedContribution> trained_;
  std::condition_variable welcome_;
  bool welcomed_ = false;  // under mutex_
  std::mutex mutex_;       // and the next three
  std::map<AttemptKey, int> trainings_;
  std::map<std::uint64_t, Digest> signed_heads_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> rounds_counted_ = 0;
  std::atomic<bool> log_is_one_chain_ = true;
  std::thread thread_;
};

}  // namespace consilium::coordinator
