// What sites call: Attend, Upload, DownloadModel.

#include <algorithm>

#include "common/base/log.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "common/wire/consilium.grpc.pb.h"
#include "common/wire/convert.h"
#include "common/wire/versions.h"
#include "coordinator/service_calls.h"

namespace consilium::coordinator {
namespace {

const std::set<Role> kSites = {Role::kSite};
constexpr Duration kLastWords = std::chrono::seconds(2);

// A site's standing connection. What belongs to it is touched by its strand only.
class AttendCall final : public grpc::ServerBidiReactor<v1::FromSite, v1::ToSite>,
                         public std::enable_shared_from_this<AttendCall> {
 public:
  AttendCall(const ServiceDesk& desk, grpc::CallbackServerContext& context)
      : desk_(desk), context_(context), budget_(desk.calls.limits()), strand_(desk.workers) {}

  void Start() {
    self_ = shared_from_this();
    Do([this] {
      const absl::Status begun = Begin();
      begun.ok() ? StartRead(&in_) : End(begun);
    });
  }

  void OnReadDone(bool ok) override {
    Do([this, ok] {
      if (ended_) return;
      if (!ok) return End(queue_ ? absl::OkStatus() : absl::CancelledError("the site went away"));
      const absl::Status taken = Take();
      taken.ok() ? StartRead(&in_) : End(taken);
    });
  }
  void OnWriteDone(bool ok) override {
    Do([this, ok] {
      writing_ = false;
      if (ended_) return (void)Finish(wire::ToGrpc(status_));
      call_->AwaitNothing();
      ok ? SendNext() : End(absl::CancelledError("the site went away"));
    });
  }
  void OnCancel() override {
    Do([this] { End(absl::CancelledError("the site went away")); });
  }
  void OnDone() override { self_.reset(); }

 private:
  void Do(std::function<void()> work) {
    strand_.Do([self = shared_from_this(), work = std::move(work)] { work(); });
  }

  absl::Status Begin() {
    ASSIGN_OR_RETURN(member_, desk_.callers.Identify(context_, kSites));
    ASSIGN_OR_RETURN(call_, desk_.calls.Open(member_.name, member_.tls_key, CallKind::kAttend,
                                             [weak = weak_from_this()](const absl::Status& why) {
                                               if (auto self = weak.lock()) self->HangUp(why);
                                             }));
    call_->Await("it did not say Hello", desk_.calls.limits().opening);
    return absl::OkStatus();
  }

  absl::Status Take() {
    if (!budget_.Spend()) {
      return absl::ResourceExhaustedError(
          StrCat("the site sends more than ", desk_.calls.limits().messages_a_second,
                 " messages a second: connect again in some seconds, and upgrade the site agent "
                 "should it happen again"));
    }
    ASSIGN_OR_RETURN(const wire::FromSite message, wire::FromProto(in_));
    if (!queue_) return Welcome(message);
    RETURN_IF_ERROR(desk_.callers.StillMember(member_));
    desk_.parts.conductor.Receive(SiteId(member_.name), message);
    return absl::OkStatus();
  }

  absl::Status Welcome(const wire::FromSite& first) {
    const auto* hello = std::get_if<wire::Hello>(&first);
    if (hello == nullptr) return absl::InvalidArgumentError("the first message must be Hello");
    RETURN_IF_ERROR(wire::CheckVersions({hello->program_version, hello->protocol_version},
                                        "the site agent", desk_.parts.version, "the coordinator"));
    ASSIGN_OR_RETURN(const std::string federation,
                     desk_.parts.ledger.With([](Ledger& l) { return l.FederationName(); }));
    const SiteId site(member_.name);
    queue_ = desk_.parts.conductor.Connect(site, member_.tls_key);
    Log(LogLevel::kInfo, "site_attends", {{"site", site.value}});
    call_->AwaitNothing();
    Send(wire::Welcome{desk_.parts.version.program, desk_.parts.version.protocol, federation, site,
                       desk_.parts.authority.sealing_key().public_key});
    desk_.parts.conductor.Receive(site, *hello);
    queue_->OnChange([weak = weak_from_this()] {
      if (auto self = weak.lock()) self->Do([s = self.get()] { s->SendNext(); });
    });
    return absl::OkStatus();
  }

  void SendNext() {
    if (ended_ || writing_) return;
    if (const std::optional<wire::ToSite> message = queue_->TryNext()) return Send(*message);
    if (!queue_->closed()) return;
    const absl::Status member = desk_.callers.StillMember(member_);
    End(member.ok() ? absl::CancelledError("the coordinator hung up: connect again") : member);
  }

  void Send(const wire::ToSite& message) {
    wire::ToProto(message, &out_);
    call_->Await("it took nothing of what was sent to it", desk_.calls.limits().stall);
    writing_ = true;
    StartWrite(&out_);
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
    if (queue_) {
      desk_.parts.conductor.Disconnect(SiteId(member_.name), queue_);
      Log(LogLevel::kInfo, "site_left", {{"site", member_.name}, {"why", ToStd(status.message())}});
    }
    if (!writing_) return (void)Finish(wire::ToGrpc(status_));
    call_->Await("it took nothing of what was sent to it", kLastWords);
  }

  const ServiceDesk desk_;
  grpc::CallbackServerContext& context_;
  v1::FromSite in_;
  v1::ToSite out_;
  Member member_;
  std::unique_ptr<OpenCalls::Call> call_;
  MessageBudget budget_;
  std::shared_ptr<SiteQueue> queue_;  // shared with the conductor; none before the welcome
  bool writing_ = false, ended_ = false;
  absl::Status status_;
  Strand strand_;
  std::shared_ptr<AttendCall> self_;  // until gRPC is done with it
};

// One contribution of a site, segment by segment.
class UploadCall final : public grpc::ServerReadReactor<v1::UploadChunk>,
                         public std::enable_shared_from_this<UploadCall> {
 public:
  UploadCall(const ServiceDesk& desk, grpc::CallbackServerContext& context,
             v1::UploadReceipt& receipt)
      : desk_(desk), context_(context), receipt_(receipt), strand_(desk.workers) {}

  void Start() {
    self_ = shared_from_this();
    Do([this] {
      const absl::Status begun = Begin();
      begun.ok() ? StartRead(&chunk_) : End(begun);
    });
  }

  void OnReadDone(bool ok) override {
    Do([this, ok] {
      if (ended_) return;
      if (!ok) return End(BrokeOff());
      const absl::StatusOr<bool> whole = Take();
      if (!whole.ok() || *whole) return End(whole.status());
      StartRead(&chunk_);
    });
  }
  void OnCancel() override {
    Do([this] { End(absl::CancelledError("the site went away")); });
  }
  void OnDone() override { self_.reset(); }

 private:
  void Do(std::function<void()> work) {
    strand_.Do([self = shared_from_this(), work = std::move(work)] { work(); });
  }

  absl::Status Begin() {
    ASSIGN_OR_RETURN(member_, desk_.callers.Identify(context_, kSites));
    ASSIGN_OR_RETURN(call_, desk_.calls.Open(member_.name, member_.tls_key, CallKind::kUpload,
                                             [weak = weak_from_this()](const absl::Status& why) {
                                               if (auto self = weak.lock()) self->HangUp(why);
                                             }));
    call_->Await("it sent no header of its upload", desk_.calls.limits().opening);
    return absl::OkStatus();
  }

  // True: the contribution is whole.
  absl::StatusOr<bool> Take() {
    if (!upload_) {
      if (!chunk_.has_header()) return BrokeOff();
      ASSIGN_OR_RETURN(const wire::UploadHeader header, wire::FromProto(chunk_.header()));
      ASSIGN_OR_RETURN(SiteUpload upload,
                       desk_.parts.conductor.BeginUpload(SiteId(member_.name), header));
      upload_ = std::make_unique<SiteUpload>(std::move(upload));
      AwaitSegment();
      receipt_.set_segments(upload_->segments());
      if (upload_->next_segment() == upload_->segments()) return true;
    }
    if (chunk_.segment().empty()) return false;  // and that is no progress
    if (++chunks_ % kChunksBetweenChecks == 0) {
      RETURN_IF_ERROR(desk_.callers.StillMember(member_));
    }
    ASSIGN_OR_RETURN(const bool whole, upload_->Add(AsBytes(chunk_.segment())));
    AwaitSegment();
    return whole;
  }

  void AwaitSegment() {
    call_->Await("it sent no whole segment of its upload", desk_.calls.limits().stall);
  }

  absl::Status BrokeOff() const {
    if (!upload_) {
      return absl::InvalidArgumentError("the first message of an upload must carry its header");
    }
    return absl::AbortedError(
        StrCat("the upload broke off; it goes on from segment ", upload_->next_segment()));
  }

  void HangUp(const absl::Status& why) {
    Do([this, why] { End(why); });
  }

  void End(const absl::Status& status) {
    if (ended_) return;
    ended_ = true;
    upload_.reset();
    Finish(wire::ToGrpc(status));
  }

  const ServiceDesk desk_;
  grpc::CallbackServerContext& context_;
  v1::UploadReceipt& receipt_;
  v1::UploadChunk chunk_;
  Member member_;
  std::unique_ptr<OpenCalls::Call> call_;
  std::unique_ptr<SiteUpload> upload_;
  int chunks_ = 0;
  bool ended_ = false;
  Strand strand_;
  std::shared_ptr<UploadCall> self_;  // until gRPC is done with it
};

using SiteService =
    v1::SiteService::WithCallbackMethod_Attend<v1::SiteService::WithCallbackMethod_Upload<
        v1::SiteService::WithRawCallbackMethod_DownloadModel<v1::SiteService::Service>>>;

class SiteCalls final : public SiteService {
 public:
  explicit SiteCalls(const ServiceDesk& desk) : desk_(desk) {}

  grpc::ServerBidiReactor<v1::FromSite, v1::ToSite>* Attend(
      grpc::CallbackServerContext* context) override {
    const auto call = std::make_shared<AttendCall>(desk_, *context);
    call->Start();
    return call.get();
  }
  grpc::ServerReadReactor<v1::UploadChunk>* Upload(grpc::CallbackServerContext* context,
                                                   v1::UploadReceipt* receipt) override {
    const auto call = std::make_shared<UploadCall>(desk_, *context, *receipt);
    call->Start();
    return call.get();
  }
  grpc::ServerWriteReactor<grpc::ByteBuffer>* DownloadModel(
      grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) override {
    return SendModel(desk_, *context, kSites, *request);
  }

 private:
  const ServiceDesk desk_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeSiteService(const ServiceDesk& desk) {
  return std::make_unique<SiteCalls>(desk);
}

}  // namespace consilium::coordinator
