#pragma once

// A coordinator with its keys, ledger, conductor and service in this process, and members that call
// it over loopback with real TLS.

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "common/base/log.h"
#include "common/base/random.h"
#include "common/crypto/sha256.h"
#include "common/identity/identity.h"
#include "common/wire/consilium.grpc.pb.h"
#include "common/wire/convert.h"
#include "coordinator/authority.h"
#include "coordinator/conductor.h"
#include "coordinator/model_store.h"
#include "coordinator/service.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/coordinator/sites_contribution.h"

namespace consilium::coordinator {

class InProcessCoordinator {
 public:
  InProcessCoordinator() {
    REQUIRE(Authority::Create(state(), "test-federation", {"127.0.0.1", "localhost"}, clock_.Now())
                .ok());
    Ledger ledger = Ledger::Open(state() / "ledger.db").value();
    REQUIRE(ledger.SetFederation("test-federation", clock_.Now()).ok());
    Start();
  }
  ~InProcessCoordinator() { Stop(); }

  void Start() {
    authority_ = std::make_unique<Authority>(Authority::Load(state()).value());
    ledger_ = std::make_unique<SharedLedger>(Ledger::Open(state() / "ledger.db").value());
    models_ = std::make_unique<ModelStore>(ModelStore::Open(state() / "models").value());
    auto conductor = Conductor::Start({*ledger_, *models_, *authority_, clock_, state() / "spool"});
    REQUIRE(conductor.ok());
    conductor_ = *std::move(conductor);
    auto service = Service::Start({*conductor_, *ledger_, *models_, *authority_, clock_},
                                  StrCat("127.0.0.1:", port_));
    INFO(service.status().message());
    REQUIRE(service.ok());
    service_ = *std::move(service);
    port_ = service_->port();
  }
  // As a stop or a kill between two commits: nothing is said to anybody.
  void Stop() {
    service_.reset();
    conductor_.reset();
    models_.reset();
    ledger_.reset();
    authority_.reset();
  }

  fs::path state() const { return folder_ / "coordinator"; }
  std::string address() const { return StrCat("127.0.0.1:", port_); }
  SharedLedger& ledger() { return *ledger_; }
  const Authority& authority() const { return *authority_; }
  Conductor& conductor() { return *conductor_; }

  std::string Token(const std::string& name, Role role, double hours = 1) {
    SystemRandom random;
    return authority_->Invite(*ledger_, name, role, FromSeconds(hours * 3600), clock_.Now(), random)
        .value();
  }
  identity::Identity Enrol(const std::string& name, Role role) {
    return identity::Enrol(address(), Token(name, role), Name(role), folder_ / name).value();
  }
  const TemporaryFolder& folder() const { return folder_; }

 private:
  TemporaryFolder folder_;
  SystemClock clock_;
  std::unique_ptr<Authority> authority_;
  std::unique_ptr<SharedLedger> ledger_;
  std::unique_ptr<ModelStore> models_;
  std::unique_ptr<Conductor> conductor_;
  std::unique_ptr<Service> service_;
  int port_ = 0;
};

// A site without images: its update is a constant, its scores are drawn. It says what a site agent
// says, and comes back when the connection breaks.
class ScriptedSite {
 public:
  struct Script {
    std::uint64_t parameters = 1000, examples = 100;
    float delta = 0.5f;
    double auroc_shift = 2;  // how far apart the scores of the two classes lie
    std::function<void(std::vector<float>&)> spoil;
    double train_s = 0;
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
  int rounds_counted() const { return rounds_counted_; }

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
    Say(*stream, wire::Hello{"test", 1});
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

  void On(Stream&, const wire::Welcome& m) { sealing_key_ = m.sealing_key; }
  void On(Stream& stream, const wire::Invite& m) {
    Say(stream, wire::InviteAnswer{m.run, true, "", script_.examples, script_.examples, 0});
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
  void On(Stream&, const wire::TrainRequest& m) {
    std::this_thread::sleep_for(std::chrono::duration<double>(script_.train_s));
    if (stopping_) return;
    if (!Download(m.base_model)) return;
    wire::UploadHeader header;
    header.key = m.key;
    header.base_model = m.base_model;
    header.weight = static_cast<double>(script_.examples);
    header.loss = 0.5;
    std::vector<float> delta(script_.parameters, script_.delta);
    if (script_.spoil) script_.spoil(delta);
    Upload(header, delta);
  }
  void On(Stream& stream, const wire::EvaluateRequest& m) {
    if (!Download(m.model)) return;
    wire::EvaluationReport report{m.run, m.round, m.model, m.split, {}, 0.1};
    SeededRandom random(m.round, name_);
    for (int i = 0; i < 200; ++i) {
      const bool target = i % 2 == 0;
      const double logit = random.Normal() + (target ? 0.5 : -0.5) * script_.auroc_shift;
      report.sums.Add(1 / (1 + std::exp(-logit)), target);
    }
    report.sums.patients = 200;
    Say(stream, report);
  }
  void On(Stream&, const wire::AttemptClosed& m) { rounds_counted_ += m.counted; }
  void On(Stream&, const wire::RunEnded&) {}

  bool Download(const ModelId& model) {
    grpc::ClientContext context;
    v1::DownloadRequest request;
    request.set_model(wire::ToProtoBytes(model));
    const auto reader = stub_->DownloadModel(&context, request);
    crypto::Sha256Stream hash;
    for (v1::ModelChunk chunk; reader->Read(&chunk);) hash.Update(AsBytes(chunk.data()));
    const grpc::Status status = reader->Finish();
    Complain(status);
    return status.ok() && std::move(hash).Finish() == model;
  }

  // What a site's operator would read in its log.
  void Complain(const grpc::Status& status) const {
    if (status.ok() || stopping_) return;
    Log(LogLevel::kWarning, "scripted_site", {{"site", name_}, {"why", status.error_message()}});
  }

  void Upload(const wire::UploadHeader& header, const std::vector<float>& values) {
    const SealedContribution sealed = Seal(SiteId(name_), header, values, sealing_key_);
    grpc::ClientContext context;
    v1::UploadReceipt receipt;
    const auto writer = stub_->Upload(&context, &receipt);
    v1::UploadChunk chunk;
    wire::ToProto(sealed.header, chunk.mutable_header());
    bool open = writer->Write(chunk);
    chunk.clear_header();
    for (std::size_t i = 0; open && i < sealed.segments.size(); ++i) {
      chunk.set_segment(sealed.segments[i].data(), sealed.segments[i].size());
      open = writer->Write(chunk);
    }
    writer->WritesDone();
    Complain(writer->Finish());
  }

  const std::string name_;
  const Script script_;
  const identity::Identity identity_;
  std::unique_ptr<v1::SiteService::Stub> stub_;
  crypto::X25519PublicKey sealing_key_{};
  std::mutex mutex_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> rounds_counted_ = 0;
  std::thread thread_;
};

// A plan for `sites` scripted sites and a few rounds.
inline std::string TinyPlan(int sites, int rounds, const std::string& more = {}) {
  return StrCat(
      "[plan]\nname = \"tiny\"\n\n[target]\nname = \"opacity\"\n\n[data]\nmodalities = "
      "[\"DX\"]\n\n[cohort]\nminimum_sites = ",
      sites, "\n\n[stop]\nrounds = ", rounds, "\n\n[gate]\nminimum_auroc = 0.6\n", more);
}

// The events of a run from the ledger and then as they come, until it has ended.
inline std::vector<wire::RunEvent> WatchToTheEnd(const identity::Identity& researcher,
                                                 const RunId& run, double timeout_s = 60) {
  const auto stub = v1::ResearchService::NewStub(identity::OpenChannel(researcher));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + FromSeconds(timeout_s));
  v1::WatchRunRequest request;
  request.set_run(run.value);
  const auto reader = stub->WatchRun(&context, request);
  std::vector<wire::RunEvent> events;
  for (v1::RunEvent proto; reader->Read(&proto);) events.push_back(*wire::FromProto(proto));
  const grpc::Status status = reader->Finish();
  INFO(status.error_message());
  REQUIRE(status.ok());
  return events;
}

}  // namespace consilium::coordinator
