#pragma once

// What members ask a coordinator, as tests ask it.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/base/version.h"
#include "common/crypto/sha256.h"
#include "tests/coordinator/in_process_coordinator.h"
#include "tests/coordinator/scripted_site.h"

namespace consilium::coordinator {

inline std::unique_ptr<v1::SiteService::Stub> Sites(const identity::Identity& identity) {
  return v1::SiteService::NewStub(identity::OpenChannel(identity));
}
inline std::unique_ptr<v1::ResearchService::Stub> Research(const identity::Identity& identity) {
  return v1::ResearchService::NewStub(identity::OpenChannel(identity));
}

inline grpc::Status ListRuns(const identity::Identity& identity) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  v1::JsonReply reply;
  return Research(identity)->ListRuns(&context, {}, &reply);
}

// Says Hello and returns what the coordinator answers, or why it hung up.
inline absl::StatusOr<wire::ToSite> Hello(const identity::Identity& identity,
                                          int protocol_version) {
  const auto stub = Sites(identity);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  const auto stream = stub->Attend(&context);
  v1::FromSite hello;
  wire::ToProto(wire::Hello{"test", protocol_version}, &hello);
  stream->Write(hello);
  v1::ToSite answer;
  if (stream->Read(&answer)) {
    context.TryCancel();
    (void)stream->Finish();
    return wire::FromProto(answer);
  }
  return wire::FromGrpc(stream->Finish());
}

inline v1::SubmitPlanRequest Signed(const identity::Identity& researcher, const std::string& plan) {
  wire::PlanNonce nonce;
  SystemRandom().Fill(nonce);
  const auto signature =
      crypto::Sign(researcher.signing,
                   wire::PlanText("test-federation", researcher.name, nonce, crypto::Sha256(plan)));
  v1::SubmitPlanRequest request;
  request.set_plan_toml(plan);
  request.set_nonce(nonce.data(), nonce.size());
  request.set_signature(signature->data(), signature->size());
  return request;
}

inline absl::StatusOr<RunId> Submit(const identity::Identity& caller,
                                    const v1::SubmitPlanRequest& request) {
  grpc::ClientContext context;
  v1::SubmitPlanReply reply;
  RETURN_IF_ERROR(wire::FromGrpc(Research(caller)->SubmitPlan(&context, request, &reply)));
  return RunId(reply.run());
}
inline absl::StatusOr<RunId> Submit(const identity::Identity& researcher, const std::string& plan) {
  return Submit(researcher, Signed(researcher, plan));
}

inline grpc::Status StopRun(const identity::Identity& caller, const RunId& run) {
  grpc::ClientContext context;
  v1::StopRunRequest request;
  request.set_run(run.value);
  v1::StopRunReply reply;
  return Research(caller)->StopRun(&context, request, &reply);
}

// The log in the form that verify_model.h reads.
inline absl::StatusOr<std::string> FetchLog(const identity::Identity& identity) {
  grpc::ClientContext context;
  const auto stub = Research(identity);
  const auto reader = stub->FetchLog(&context, {});
  nlohmann::json log = {{"entries", nlohmann::json::array()},
                        {"countersignatures", nlohmann::json::array()}};
  for (v1::JsonReply piece; reader->Read(&piece);) {
    const auto part = nlohmann::json::parse(piece.json());
    log["federation"] = part["federation"];
    for (const char* list : {"entries", "countersignatures"}) {
      log[list].insert(log[list].end(), part[list].begin(), part[list].end());
    }
  }
  RETURN_IF_ERROR(wire::FromGrpc(reader->Finish()));
  return log.dump(2) + "\n";
}

// A site's open connection, for tests that say no more than Hello.
class Attendance {
 public:
  explicit Attendance(const identity::Identity& site) : stub_(Sites(site)) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    stream_ = stub_->Attend(&context_);
    v1::FromSite hello;
    wire::ToProto(wire::Hello{"test", kProtocolVersion}, &hello);
    stream_->Write(hello);
  }
  ~Attendance() {
    context_.TryCancel();
    if (!finished_) (void)stream_->Finish();
  }
  absl::StatusOr<wire::ToSite> Next() {
    v1::ToSite message;
    if (stream_->Read(&message)) return wire::FromProto(message);
    finished_ = true;
    return wire::FromGrpc(stream_->Finish());
  }
  // The next message of a kind; others are passed over.
  template <class Message>
  absl::StatusOr<Message> Next() {
    for (;;) {
      ASSIGN_OR_RETURN(const wire::ToSite message, Next());
      if (const auto* found = std::get_if<Message>(&message)) return *found;
    }
  }
  void Say(const wire::FromSite& message) {
    v1::FromSite proto;
    wire::ToProto(message, &proto);
    stream_->Write(proto);
  }

 private:
  std::unique_ptr<v1::SiteService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::FromSite, v1::ToSite>> stream_;
  bool finished_ = false;
};

inline ScriptedSite::Script Parameters(std::uint64_t parameters) {
  ScriptedSite::Script script;
  script.parameters = parameters;
  return script;
}
inline ScriptedSite::Script Slow(double train_s) {
  ScriptedSite::Script script;
  script.train_s = train_s;
  return script;
}

inline std::vector<std::unique_ptr<ScriptedSite>> ScriptedSites(
    InProcessCoordinator& coordinator, const std::vector<std::string>& names,
    const ScriptedSite::Script& script = {}) {
  std::vector<std::unique_ptr<ScriptedSite>> sites;
  for (const std::string& name : names) {
    sites.push_back(std::make_unique<ScriptedSite>(coordinator.Enrol(name, Role::kSite), script));
  }
  return sites;
}

inline std::size_t CountOf(const std::vector<wire::RunEvent>& events, wire::RunEventKind kind) {
  return std::count_if(events.begin(), events.end(),
                       [kind](const wire::RunEvent& event) { return event.kind == kind; });
}

// Of a model that a run has published.
inline std::string FetchRecord(const identity::Identity& who, const std::string& model) {
  grpc::ClientContext context;
  v1::FetchRecordRequest request;
  request.set_model(model);
  v1::FetchRecordReply reply;
  const absl::Status fetched =
      wire::FromGrpc(Research(who)->FetchRecord(&context, request, &reply));
  INFO(fetched.ToString());
  REQUIRE(fetched.ok());
  return reply.record_json();
}

inline std::string PublishedBy(const std::vector<wire::RunEvent>& events) {
  for (const wire::RunEvent& event : events) {
    if (event.kind == wire::RunEventKind::kPublished) return event.text;
    if (event.kind == wire::RunEventKind::kEnded) UNSCOPED_INFO(event.text);
  }
  FAIL("nothing was published");
  return {};
}

}  // namespace consilium::coordinator
