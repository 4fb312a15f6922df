#include "datasets/pacs/destination.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "common/base/random.h"
#include "common/base/status.h"

namespace consilium::datasets::pacs {
namespace {

absl::Status Interrupt(const Cancelled& cancelled) {
  return cancelled && cancelled() ? absl::CancelledError("interrupted") : absl::OkStatus();
}

// PS3.4 table B.2-1; B000, B006 and B007 are warnings: it was stored.
absl::Status StoreResult(std::uint16_t status) {
  if (status == 0 || (status & 0xF000) == 0xB000) return absl::OkStatus();
  const std::string text = StrCat("C-STORE failed with status ", absl::StrFormat("%04X", status));
  if ((status & 0xFF00) == 0xA700) {
    return absl::UnavailableError(StrCat(text, ": the archive is out of resources"));
  }
  if (status == 0x0124) {
    return absl::PermissionDeniedError(StrCat(text, ": our AE title may not store there"));
  }
  return absl::FailedPreconditionError(StrCat(text, ": the archive does not take this instance"));
}

}  // namespace

std::string StoreScu::Name() const {
  return StrCat("dicom://", peer_.called, "@", peer_.address.host, ":", peer_.address.port);
}

void StoreScu::Expect(std::span<const OutgoingFile> files) {
  expected_.clear();
  for (const OutgoingFile& file : files) {
    const std::pair pair(file.meta.head.sop_class_uid, file.meta.head.transfer_syntax_uid);
    if (std::find(expected_.begin(), expected_.end(), pair) == expected_.end()) {
      expected_.push_back(pair);
    }
  }
}

absl::StatusOr<std::uint8_t> StoreScu::ContextFor(const InstanceHead& head) {
  if (association_) {
    const auto context = association_->Find(head.sop_class_uid, head.transfer_syntax_uid);
    if (context) return *context;
    association_->Release().IgnoreError();
    association_.reset();
  }
  // The instance's own first, then what comes next, up to the 128 of an association.
  const std::pair own(head.sop_class_uid, head.transfer_syntax_uid);
  std::vector<std::pair<std::string, std::string>> pairs = {own};
  for (const auto& pair : expected_) {
    if (pair != own && pairs.size() < 128) pairs.push_back(pair);
  }
  std::vector<PresentationContext> contexts;
  for (const auto& [sop_class, syntax] : pairs) {
    contexts.push_back({static_cast<std::uint8_t>(2 * contexts.size() + 1), sop_class, {syntax}});
  }
  ASSIGN_OR_RETURN(association_, Associate(peer_, std::move(contexts), {}, cancelled_));
  const auto context = association_->Find(head.sop_class_uid, head.transfer_syntax_uid);
  if (context) return *context;
  return absl::FailedPreconditionError(
      StrCat("the archive does not take SOP class ", head.sop_class_uid, " in transfer syntax ",
             head.transfer_syntax_uid, ". Ask its administrator to allow storing it"));
}

absl::Status StoreScu::Send(const OutgoingFile& file) {
  RETURN_IF_ERROR(Interrupt(cancelled_));
  ASSIGN_OR_RETURN(const std::uint8_t context, ContextFor(file.meta.head));
  const absl::Status sent = SendOn(context, file);
  // After a refusal of the instance the association stands; after anything else it may not.
  if (!sent.ok() && sent.code() != absl::StatusCode::kFailedPrecondition) association_.reset();
  return sent;
}

absl::Status StoreScu::SendOn(std::uint8_t context, const OutgoingFile& outgoing) {
  ASSIGN_OR_RETURN(const File file, File::OpenForReading(outgoing.path));
  ASSIGN_OR_RETURN(const std::uint64_t size, file.Size());
  std::uint64_t at = outgoing.meta.data_set_offset;
  if (at >= size) return absl::FailedPreconditionError("a file without a data set");
  ElementSet request;
  request.SetUid(command::kAffectedSopClass, outgoing.meta.head.sop_class_uid)
      .SetUid(command::kAffectedSopInstance, outgoing.meta.head.sop_instance_uid)
      .SetUnsigned16(command::kField, static_cast<std::uint16_t>(CommandField::kStoreRequest))
      .SetUnsigned16(command::kMessageId, ++message_id_)
      .SetUnsigned16(command::kPriority, 0)
      .SetUnsigned16(command::kDataSetType, command::kWithDataSet);
  RETURN_IF_ERROR(association_->Send(context, request));
  RETURN_IF_ERROR(association_->SendDataSet(context, size - at, [&](std::span<std::uint8_t> out) {
    const absl::Status read = file.ReadAt(at, out);
    at += out.size();
    return read;
  }));
  ASSIGN_OR_RETURN(const std::optional<Message> response, association_->Receive());
  if (!response) return absl::UnavailableError("the archive ended the association");
  if (!response->Is(CommandField::kStoreResponse) ||
      response->command.Unsigned16(command::kMessageIdRespondedTo) != message_id_) {
    return absl::UnavailableError("the archive answered C-STORE with another message");
  }
  return StoreResult(response->status());
}

void StoreScu::Finish() {
  if (association_) association_->Release().IgnoreError();
  association_.reset();
}

absl::Status StowDestination::Send(const OutgoingFile& outgoing) {
  ASSIGN_OR_RETURN(const File file, File::OpenForReading(outgoing.path));
  ASSIGN_OR_RETURN(const std::uint64_t size, file.Size());
  SystemRandom random;
  std::uint8_t unique[16];
  random.Fill(unique);
  const std::string boundary = StrCat("consilium-", ToHex(unique));
  const std::string before = StrCat("--", boundary, "\r\nContent-Type: application/dicom\r\n\r\n");
  const std::string after = StrCat("\r\n--", boundary, "--\r\n");
  std::uint64_t at = 0;
  const auto read = [&](std::span<std::uint8_t> out) -> absl::Status {
    while (!out.empty()) {
      std::size_t count;
      if (at >= before.size() && at < before.size() + size) {
        const std::uint64_t offset = at - before.size();
        count = std::min<std::uint64_t>(out.size(), size - offset);
        RETURN_IF_ERROR(file.ReadAt(offset, out.first(count)));
      } else {
        const std::string_view text =
            at < before.size() ? std::string_view(before).substr(at)
                               : std::string_view(after).substr(at - before.size() - size);
        count = std::min(out.size(), text.size());
        std::copy_n(text.begin(), count, out.begin());
      }
      at += count;
      out = out.subspan(count);
    }
    return absl::OkStatus();
  };
  ASSIGN_OR_RETURN(
      const HttpClient::Reply reply,
      client_->Post("/studies",
                    StrCat("multipart/related; type=\"application/dicom\"; boundary=", boundary),
                    "application/dicom+json", before.size() + size + after.size(), read));
  if (reply.status == 200) return absl::OkStatus();
  if (reply.status == 202 || reply.status == 400 || reply.status == 409 || reply.status == 415) {
    return absl::FailedPreconditionError(StrCat(
        "STOW-RS: the archive does not take this instance (HTTP status ", reply.status, ")"));
  }
  return HttpError(reply.status);
}

}  // namespace consilium::datasets::pacs
