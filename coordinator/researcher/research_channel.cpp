#include "coordinator/researcher/research_channel.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/wire/consilium.grpc.pb.h"
#include "common/wire/convert.h"
#include "common/wire/refusal.h"

namespace consilium::researcher {

struct ResearchChannel::Impl {
  identity::Identity identity;
  std::unique_ptr<v1::ResearchService::Stub> stub;

  absl::Status Said(const grpc::Status& status) const {
    const absl::Status said = wire::FromGrpc(status);
    // A coordinator that answers that we wait to be admitted can be reached.
    if (!absl::IsUnavailable(said) || wire::RefusalOf(said) != wire::Refusal::kNone) return said;
    return absl::UnavailableError(StrCat(
        "the coordinator at ", identity.coordinator, " cannot be reached (", ToStd(said.message()),
        "); check that it runs and that this machine may connect to it"));
  }
};

namespace {

void AnswerSoon(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
}

}  // namespace

ResearchChannel::ResearchChannel(identity::Identity identity)
    : impl_(new Impl{std::move(identity), nullptr}) {
  impl_->stub = v1::ResearchService::NewStub(identity::OpenChannel(impl_->identity));
}
ResearchChannel::~ResearchChannel() = default;

absl::StatusOr<RunId> ResearchChannel::Submit(const std::string& plan_toml) {
  grpc::ClientContext context;
  AnswerSoon(context);
  v1::SubmitPlanRequest request;
  const identity::Identity& identity = impl_->identity;
  wire::PlanNonce nonce;
  SystemRandom().Fill(nonce);
  ASSIGN_OR_RETURN(
      const crypto::Signature signature,
      crypto::Sign(identity.signing, wire::PlanText(identity.federation, identity.name, nonce,
                                                    crypto::Sha256(plan_toml))));
  request.set_plan_toml(plan_toml);
  request.set_nonce(nonce.data(), nonce.size());
  request.set_signature(signature.data(), signature.size());
  v1::SubmitPlanReply reply;
  RETURN_IF_ERROR(impl_->Said(impl_->stub->SubmitPlan(&context, request, &reply)));
  return RunId(reply.run());
}

absl::Status ResearchChannel::Stop(const RunId& run) {
  grpc::ClientContext context;
  AnswerSoon(context);
  v1::StopRunRequest request;
  request.set_run(run.value);
  v1::StopRunReply reply;
  return impl_->Said(impl_->stub->StopRun(&context, request, &reply));
}

absl::Status ResearchChannel::Watch(const RunId& run, std::uint64_t after,
                                    const std::function<bool(const wire::RunEvent&)>& on_event) {
  grpc::ClientContext context;
  v1::WatchRunRequest request;
  request.set_run(run.value);
  request.set_after(after);
  const auto reader = impl_->stub->WatchRun(&context, request);
  v1::RunEvent proto;
  bool stopped = false;
  absl::Status malformed;
  while (malformed.ok() && reader->Read(&proto)) {
    const auto event = wire::FromProto(proto);
    malformed = event.status();
    if (!event.ok() || !on_event(*event)) {
      stopped = event.ok();
      context.TryCancel();
      break;
    }
  }
  const grpc::Status status = reader->Finish();
  RETURN_IF_ERROR(malformed);
  if (stopped) return absl::CancelledError("watching was stopped; the run goes on");
  return impl_->Said(status);
}

absl::StatusOr<std::string> ResearchChannel::ListRuns() {
  grpc::ClientContext context;
  AnswerSoon(context);
  v1::JsonReply reply;
  RETURN_IF_ERROR(impl_->Said(impl_->stub->ListRuns(&context, {}, &reply)));
  return reply.json();
}

absl::StatusOr<std::string> ResearchChannel::ShowRun(const RunId& run) {
  grpc::ClientContext context;
  AnswerSoon(context);
  v1::ShowRunRequest request;
  request.set_run(run.value);
  v1::JsonReply reply;
  RETURN_IF_ERROR(impl_->Said(impl_->stub->ShowRun(&context, request, &reply)));
  return reply.json();
}

absl::StatusOr<std::string> ResearchChannel::ListModels() {
  grpc::ClientContext context;
  AnswerSoon(context);
  v1::JsonReply reply;
  RETURN_IF_ERROR(impl_->Said(impl_->stub->ListModels(&context, {}, &reply)));
  return reply.json();
}

absl::StatusOr<FetchedRecord> ResearchChannel::Record(const std::string& model) {
  grpc::ClientContext context;
  AnswerSoon(context);
  v1::FetchRecordRequest request;
  request.set_model(model);
  v1::FetchRecordReply reply;
  RETURN_IF_ERROR(impl_->Said(impl_->stub->FetchRecord(&context, request, &reply)));
  FetchedRecord record;
  ASSIGN_OR_RETURN(record.model, wire::DigestFromProto(reply.model(), "model"));
  record.record_json = reply.record_json();
  return record;
}

absl::StatusOr<std::string> ResearchChannel::Log(std::uint64_t up_to) {
  grpc::ClientContext context;
  v1::FetchLogRequest request;
  request.set_from(1);
  const auto reader = impl_->stub->FetchLog(&context, request);
  nlohmann::json log = {{"entries", nlohmann::json::array()},
                        {"countersignatures", nlohmann::json::array()}};
  bool whole = true;
  for (v1::JsonReply piece; reader->Read(&piece);) {
    const auto part = nlohmann::json::parse(piece.json(), nullptr, /*allow_exceptions=*/false);
    whole &= part.is_object();
    if (!whole) break;
    if (part.contains("federation")) log["federation"] = part["federation"];
    for (const char* list : {"entries", "countersignatures"}) {
      if (!part.contains(list)) continue;
      for (const auto& item : part[list]) {
        if (up_to == 0 || item.value("number", std::uint64_t{0}) <= up_to)
          log[list].push_back(item);
      }
    }
  }
  if (!whole) context.TryCancel();
  const grpc::Status finished = reader->Finish();
  if (!whole) return absl::DataLossError("the coordinator's log is not JSON");
  RETURN_IF_ERROR(impl_->Said(finished));
  return log.dump(2) + "\n";
}

absl::Status ResearchChannel::Download(const ModelId& model, const fs::path& path,
                                       Progress& progress) {
  fs::path part = path;
  part += ".part";
  ASSIGN_OR_RETURN(File file, File::OpenForWriting(part, /*truncate=*/true));
  grpc::ClientContext context;
  v1::DownloadRequest request;
  request.set_model(wire::ToProtoBytes(model));
  const auto reader = impl_->stub->DownloadModel(&context, request);
  v1::ModelChunk chunk;
  crypto::Sha256Stream hash;
  std::uint64_t offset = 0, total = 0;
  while (reader->Read(&chunk)) {
    if (offset == 0) total = chunk.total_size();
    const ByteView data = AsBytes(chunk.data());
    if (const absl::Status written = file.WriteAt(offset, data); !written.ok()) {
      context.TryCancel();
      (void)reader->Finish();
      return written;
    }
    hash.Update(data);
    offset += data.size();
    progress.Report("fetching the model", offset, total);
  }
  RETURN_IF_ERROR(impl_->Said(reader->Finish()));
  if (const Digest got = std::move(hash).Finish(); got != model) {
    std::error_code ignored;
    fs::remove(part, ignored);
    return absl::DataLossError(StrCat("the bytes received are model ", got.Short(), ", not ",
                                      model.Short(), "; nothing was kept, fetch it again"));
  }
  RETURN_IF_ERROR(file.Sync());
  return RenameDurably(part, path);
}

absl::StatusOr<ModelId> ResearchChannel::ImportModel(const fs::path& path, Progress& progress) {
  constexpr std::uint64_t kPieceBytes = 256 * 1024;
  ASSIGN_OR_RETURN(const File file, File::OpenForReading(path));
  ASSIGN_OR_RETURN(const std::uint64_t size, file.Size());
  grpc::ClientContext context;
  v1::ImportModelReply reply;
  const auto writer = impl_->stub->ImportModel(&context, &reply);
  v1::ImportModelRequest piece;
  piece.set_size(size);
  for (std::uint64_t at = 0; at < size; at += kPieceBytes) {
    Bytes bytes(std::min(kPieceBytes, size - at));
    if (const absl::Status read = file.ReadAt(at, bytes); !read.ok()) {
      context.TryCancel();
      (void)writer->Finish();
      return read;
    }
    piece.set_data(bytes.data(), bytes.size());
    if (!writer->Write(piece)) break;  // the coordinator says why when it is asked
    piece.clear_size();
    progress.Report("sending the model", at + bytes.size(), size);
  }
  writer->WritesDone();
  RETURN_IF_ERROR(impl_->Said(writer->Finish()));
  return wire::DigestFromProto(reply.model(), "model");
}

}  // namespace consilium::researcher
