// DownloadModel: the file is read piece by piece, one piece at a time on its way.

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>
#include <grpcpp/support/slice.h>

#include <algorithm>

#include "common/base/status.h"
#include "common/wire/consilium.pb.h"
#include "common/wire/convert.h"
#include "common/wire/raw_chunk.h"
#include "common/wire/wanted_bytes.h"
#include "coordinator/service_calls.h"

namespace consilium::coordinator {
namespace {

constexpr std::uint64_t kChunkBytes = 256 * 1024;

class ModelCall final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                        public std::enable_shared_from_this<ModelCall> {
 public:
  ModelCall(const ServiceDesk& desk, grpc::CallbackServerContext& context,
            const std::set<Role>& roles, const grpc::ByteBuffer& request)
      : desk_(desk), context_(context), roles_(roles), request_(request), strand_(desk.workers) {}

  void Start() {
    self_ = shared_from_this();
    Do([this] {
      const absl::Status begun = Begin();
      begun.ok() ? Next() : End(begun);
    });
  }

  void OnWriteDone(bool ok) override {
    Do([this, ok] {
      writing_ = false;
      if (ended_) return (void)Finish(wire::ToGrpc(status_));
      ok ? Next() : End(absl::CancelledError("the receiver went away"));
    });
  }
  void OnCancel() override {
    Do([this] { End(absl::CancelledError("the receiver went away")); });
  }
  void OnDone() override { self_.reset(); }

 private:
  void Do(std::function<void()> work) {
    strand_.Do([self = shared_from_this(), work = std::move(work)] { work(); });
  }

  absl::Status Begin() {
    ASSIGN_OR_RETURN(member_, desk_.callers.Identify(context_, roles_));
    ASSIGN_OR_RETURN(call_, desk_.calls.Open(member_.name, member_.tls_key, CallKind::kDownload,
                                             [weak = weak_from_this()](const absl::Status& why) {
                                               if (auto self = weak.lock()) self->HangUp(why);
                                             }));
    v1::DownloadRequest request;
    if (!grpc::SerializationTraits<v1::DownloadRequest>::Deserialize(&request_, &request).ok()) {
      return absl::InvalidArgumentError("malformed message: not a DownloadRequest");
    }
    ASSIGN_OR_RETURN(model_, wire::DigestFromProto(request.model(), "model"));
    ASSIGN_OR_RETURN(File file, desk_.parts.models.OpenForReading(model_));
    file_ = std::make_unique<File>(std::move(file));
    std::vector<wire::ByteRange> ranges;
    for (const v1::ByteRange& range : request.ranges()) {
      ranges.push_back({range.begin(), range.size()});
    }
    ASSIGN_OR_RETURN(const std::uint64_t size, file_->Size());
    ASSIGN_OR_RETURN(wanted_, wire::WantedBytes::Of(ranges, size, request.offset()));
    return absl::OkStatus();
  }

  void Next() {
    if (ended_) return;
    if (wanted_->AtEnd()) return End(absl::OkStatus());
    if (const absl::Status read = ReadPiece(); !read.ok()) return End(read);
    call_->Await("it took nothing of the model that it asked for", desk_.calls.limits().stall);
    writing_ = true;
    StartWrite(&out_);
  }

  absl::Status ReadPiece() {
    if (++chunks_ % kChunksBetweenChecks == 0) {
      RETURN_IF_ERROR(desk_.callers.StillMember(member_));
    }
    // To the next multiple, so that pieces are shared also with calls that go on from anywhere.
    const wire::ByteRange next = wanted_->Next();
    const std::size_t bytes = std::min(kChunkBytes - next.begin % kChunkBytes, next.size);
    ASSIGN_OR_RETURN(const grpc::Slice piece, desk_.pieces.Read(model_, *file_, next.begin, bytes));
    v1::ModelChunk fields;
    if (chunks_ == 1) fields.set_total_size(wanted_->total());
    out_ = wire::RawChunk(fields, piece);
    wanted_->Advance(bytes);
    return absl::OkStatus();
  }

  // It reads nothing, so that words would not reach it either.
  void HangUp(const absl::Status& why) {
    Do([this, why] {
      if (writing_) context_.TryCancel();
      End(why);
    });
  }

  void End(const absl::Status& status) {
    if (ended_) return;
    ended_ = true;
    status_ = status;
    if (!writing_) Finish(wire::ToGrpc(status_));
  }

  const ServiceDesk desk_;
  grpc::CallbackServerContext& context_;
  const std::set<Role>& roles_;
  // All below belongs to the strand.
  grpc::ByteBuffer request_, out_;
  Member member_;
  std::unique_ptr<OpenCalls::Call> call_;
  ModelId model_;
  std::unique_ptr<File> file_;
  std::optional<wire::WantedBytes> wanted_;
  int chunks_ = 0;
  bool writing_ = false, ended_ = false;
  absl::Status status_;
  Strand strand_;
  std::shared_ptr<ModelCall> self_;  // until gRPC is done with it
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* SendModel(const ServiceDesk& desk,
                                                      grpc::CallbackServerContext& context,
                                                      const std::set<Role>& roles,
                                                      const grpc::ByteBuffer& request) {
  const auto call = std::make_shared<ModelCall>(desk, context, roles, request);
  call->Start();
  return call.get();
}

}  // namespace consilium::coordinator
