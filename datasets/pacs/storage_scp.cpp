#include "datasets/pacs/storage_scp.h"

#include "common/base/status.h"

namespace consilium::datasets::pacs {
namespace {

std::uint16_t StatusFor(const absl::Status& reason) {
  switch (reason.code()) {
    case absl::StatusCode::kOk:
      return kStored;
    case absl::StatusCode::kResourceExhausted:
      return kOutOfResources;
    case absl::StatusCode::kInvalidArgument:
      return kCannotUnderstand;
    default:
      return kProcessingFailure;
  }
}

}  // namespace

absl::StatusOr<StoreOutcome> ReceiveStore(Association& association, const Message& request,
                                          std::string_view source_ae_title, InstanceStore& store) {
  const Association::Context& context = association.contexts().at(request.context);
  InstanceHead head{request.command.Text(command::kAffectedSopClass),
                    request.command.Text(command::kAffectedSopInstance), context.transfer_syntax,
                    std::string(source_ae_title)};
  if (!request.has_data_set()) {
    return absl::InvalidArgumentError("a C-STORE request without a data set");
  }
  StoreOutcome outcome;
  const bool duplicate = store.Has(head.sop_instance_uid);
  std::optional<IncomingInstance> incoming;
  if (head.sop_class_uid != context.abstract_syntax) {
    outcome.reason = absl::InvalidArgumentError("the SOP class is not that of the context");
    outcome.status = kDoesNotMatchSopClass;
  } else if (!duplicate) {
    absl::StatusOr<IncomingInstance> begun = store.Begin(std::move(head));
    outcome.reason = begun.status();
    if (begun.ok()) incoming.emplace(*std::move(begun));
  }
  RETURN_IF_ERROR(
      association.ReceiveDataSet(request.context, store.max_instance_bytes(), [&](ByteView bytes) {
        if (incoming && outcome.reason.ok()) outcome.reason = incoming->Append(bytes);
        return absl::OkStatus();
      }));
  if (incoming && outcome.reason.ok()) outcome.reason = incoming->Commit();
  if (outcome.status == kStored) outcome.status = StatusFor(outcome.reason);
  ElementSet response = ResponseTo(request, CommandField::kStoreResponse, outcome.status);
  if (!outcome.reason.ok()) {
    response.SetText(command::kErrorComment, ToStd(outcome.reason.message()).substr(0, 64));
  }
  RETURN_IF_ERROR(association.Send(request.context, response));
  return outcome;
}

}  // namespace consilium::datasets::pacs
