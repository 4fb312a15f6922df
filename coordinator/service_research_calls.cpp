// What researchers and auditors call.

#include <algorithm>
#include <mutex>

#include "common/base/status.h"
#include "common/wire/consilium.grpc.pb.h"
#include "common/wire/convert.h"
#include "coordinator/log_pieces.h"
#include "coordinator/model_import.h"
#include "coordinator/service_calls.h"

namespace consilium::coordinator {
namespace {

using Roles = std::set<Role>;
const Roles kResearchers = {Role::kResearcher}, kReaders = {Role::kResearcher, Role::kAuditor};

// A long answer to one caller, which is hung up on when it takes nothing of it.
class OpenStream {
 public:
  OpenStream(grpc::ServerContext& context, OpenCalls& calls)
      : calls_(calls), line_(std::make_shared<Line>()) {
    line_->context = &context;
  }
  ~OpenStream() {
    const std::lock_guard lock(line_->mutex);
    line_->context = nullptr;
  }
  absl::Status Begin(const Member& member, CallKind kind = CallKind::kWatch) {
    ASSIGN_OR_RETURN(
        call_, calls_.Open(member.name, member.tls_key, kind, [line = line_](const absl::Status&) {
          const std::lock_guard lock(line->mutex);
          if (line->context) line->context->TryCancel();
        }));
    return absl::OkStatus();
  }
  // False: there is nothing more, or the caller was hung up on.
  template <class Message>
  bool Read(grpc::ServerReader<Message>& reader, Message* message) {
    call_->Await("it sent nothing of its model", calls_.limits().stall);
    const bool read = reader.Read(message);
    call_->AwaitNothing();
    return read;
  }
  // False: the caller is gone, or was hung up on.
  template <class Message>
  bool Write(grpc::ServerWriter<Message>& writer, const Message& message) {
    call_->Await("it took nothing of the answer", calls_.limits().stall);
    const bool written = writer.Write(message);
    call_->AwaitNothing();
    return written;
  }

 private:
  struct Line {
    std::mutex mutex;
    grpc::ServerContext* context = nullptr;
  };
  OpenCalls& calls_;
  const std::shared_ptr<Line> line_;  // shared with who may hang up
  std::unique_ptr<OpenCalls::Call> call_;
};

using ResearchService =
    v1::ResearchService::WithRawCallbackMethod_DownloadModel<v1::ResearchService::Service>;

class ResearchCalls final : public ResearchService {
 public:
  explicit ResearchCalls(const ServiceDesk& desk)
      : desk_(desk), parts_(desk.parts), callers_(desk.callers) {}

  grpc::ServerWriteReactor<grpc::ByteBuffer>* DownloadModel(
      grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) override {
    return SendModel(desk_, *context, kReaders, *request);
  }

  grpc::Status SubmitPlan(grpc::ServerContext* context, const v1::SubmitPlanRequest* request,
                          v1::SubmitPlanReply* reply) override {
    return As(kResearchers, *context, [&](const Member& member) -> absl::Status {
      PlanSubmission submission{.toml = request->plan_toml()};
      RETURN_IF_ERROR(Take(request->nonce(), "nonce", submission.nonce));
      RETURN_IF_ERROR(Take(request->signature(), "signature", submission.signature));
      ASSIGN_OR_RETURN(const RunId run, parts_.conductor.Submit(submission, member.name));
      reply->set_run(run.value);
      return absl::OkStatus();
    });
  }

  grpc::Status StopRun(grpc::ServerContext* context, const v1::StopRunRequest* request,
                       v1::StopRunReply*) override {
    return As(kResearchers, *context, [&](const Member& member) {
      return parts_.conductor.StopRun(RunId(request->run()), member.name);
    });
  }

  grpc::Status WatchRun(grpc::ServerContext* context, const v1::WatchRunRequest* request,
                        grpc::ServerWriter<v1::RunEvent>* writer) override {
    return As(kReaders, *context, [&](const Member& member) -> absl::Status {
      OpenStream open(*context, desk_.calls);
      RETURN_IF_ERROR(open.Begin(member));
      ASSIGN_OR_RETURN(const std::shared_ptr<RunWatch> watch,
                       parts_.conductor.Watch(RunId(request->run()), request->after()));
      std::vector<wire::RunEvent> events;
      v1::RunEvent proto;
      // The pause bounds how long a call outlives its caller or a revocation; events come at once.
      while (watch->Next(std::chrono::milliseconds(500), &events)) {
        RETURN_IF_ERROR(callers_.StillMember(member));
        if (context->IsCancelled()) return absl::CancelledError("the watcher went away");
        for (const wire::RunEvent& event : events) {
          wire::ToProto(event, &proto);
          if (!open.Write(*writer, proto)) return absl::CancelledError("the watcher went away");
        }
      }
      return absl::OkStatus();
    });
  }

  grpc::Status ListRuns(grpc::ServerContext* context, const v1::ListRunsRequest*,
                        v1::JsonReply* reply) override {
    return AnswerJson(*context, reply, [](Ledger& ledger) { return ledger.RunsJson(); });
  }

  grpc::Status ShowRun(grpc::ServerContext* context, const v1::ShowRunRequest* request,
                       v1::JsonReply* reply) override {
    return AnswerJson(*context, reply,
                      [&](Ledger& ledger) { return ledger.RunJson(RunId(request->run())); });
  }

  grpc::Status ListModels(grpc::ServerContext* context, const v1::ListModelsRequest*,
                          v1::JsonReply* reply) override {
    return AnswerJson(*context, reply, [](Ledger& ledger) { return ledger.ModelsJson(); });
  }

  grpc::Status FetchRecord(grpc::ServerContext* context, const v1::FetchRecordRequest* request,
                           v1::FetchRecordReply* reply) override {
    return As(kReaders, *context, [&](const Member& member) -> absl::Status {
      ASSIGN_OR_RETURN(const ModelEntry model, parts_.ledger.With([&](Ledger& ledger) {
        return ledger.FindModel(request->model());
      }));
      if (model.record_json.empty()) {
        return absl::FailedPreconditionError(StrCat("model ", model.id.Short(), " is ",
                                                    Name(model.stage),
                                                    "; only published models have a record"));
      }
      reply->set_model(wire::ToProtoBytes(model.id));
      reply->set_record_json(model.record_json);
      return parts_.ledger.With([&](Ledger& ledger) {
        return ledger.AddLogEntry(parts_.clock.Now(), member.name, "fetch", model.id.Hex());
      });
    });
  }

  grpc::Status ImportModel(grpc::ServerContext* context,
                           grpc::ServerReader<v1::ImportModelRequest>* reader,
                           v1::ImportModelReply* reply) override {
    return As(kResearchers, *context, [&](const Member& member) -> absl::Status {
      OpenStream open(*context, desk_.calls);
      RETURN_IF_ERROR(open.Begin(member, CallKind::kUpload));
      v1::ImportModelRequest piece;
      if (!open.Read(*reader, &piece)) return absl::InvalidArgumentError("no model came");
      // Each holds a file, and at its end a model in memory.
      const std::unique_lock one(importing_, std::try_to_lock);
      if (!one) return absl::ResourceExhaustedError("another model is being imported: try later");
      ASSIGN_OR_RETURN(ModelImport import, ModelImport::Begin(parts_.models, piece.size()));
      int pieces = 0;
      do {
        if (pieces++ % kChunksBetweenChecks == 0) RETURN_IF_ERROR(callers_.StillMember(member));
        RETURN_IF_ERROR(import.Add(AsBytes(piece.data())));
      } while (open.Read(*reader, &piece));
      if (context->IsCancelled()) return absl::CancelledError("the sender went away");
      ASSIGN_OR_RETURN(const ModelId model,
                       import.Finish(parts_.ledger, member.name, parts_.clock.Now()));
      reply->set_model(wire::ToProtoBytes(model));
      return absl::OkStatus();
    });
  }

  grpc::Status FetchLog(grpc::ServerContext* context, const v1::FetchLogRequest* request,
                        grpc::ServerWriter<v1::JsonReply>* writer) override {
    return As(kReaders, *context, [&](const Member& member) -> absl::Status {
      OpenStream open(*context, desk_.calls);
      RETURN_IF_ERROR(open.Begin(member));
      v1::JsonReply reply;
      LogPieces pieces(request->from());
      while (!pieces.done()) {
        RETURN_IF_ERROR(callers_.StillMember(member));
        ASSIGN_OR_RETURN(std::string piece,
                         parts_.ledger.With([&](Ledger& ledger) { return pieces.Next(ledger); }));
        reply.set_json(std::move(piece));
        if (!open.Write(*writer, reply)) return absl::CancelledError("the reader went away");
      }
      return absl::OkStatus();
    });
  }

 private:
  template <class Call>
  grpc::Status As(const Roles& roles, grpc::ServerContext& context, const Call& call) {
    const auto member = callers_.Identify(context, roles);
    return wire::ToGrpc(member.ok() ? call(*member) : member.status());
  }

  // The bytes of a field that has one length.
  template <std::size_t N>
  static absl::Status Take(const std::string& bytes, std::string_view field,
                           std::array<std::uint8_t, N>& out) {
    if (bytes.size() != N) {
      return absl::InvalidArgumentError(StrCat("the plan's ", field, " has ", bytes.size(),
                                               " bytes, not ", N, ": upgrade the program"));
    }
    std::copy(bytes.begin(), bytes.end(), out.begin());
    return absl::OkStatus();
  }

  template <class Query>
  grpc::Status AnswerJson(grpc::ServerContext& context, v1::JsonReply* reply, const Query& query) {
    return As(kReaders, context, [&](const Member&) -> absl::Status {
      ASSIGN_OR_RETURN(std::string json, parts_.ledger.With(query));
      reply->set_json(std::move(json));
      return absl::OkStatus();
    });
  }

  const ServiceDesk desk_;
  const coordinator::Service::Parts& parts_;
  CallerTable& callers_;
  std::mutex importing_;  // held by the one import under way
};

}  // namespace

std::unique_ptr<grpc::Service> MakeResearchService(const ServiceDesk& desk) {
  return std::make_unique<ResearchCalls>(desk);
}

}  // namespace consilium::coordinator
