#include "datasets/pacs/association.h"

#include <algorithm>

#include "common/base/status.h"

namespace consilium::datasets::pacs {
namespace {

constexpr std::size_t kMaxCommandBytes = 64 << 10;
constexpr std::size_t kPdvHeadBytes = 6;  // length, context, message control header
constexpr Duration kGoodbye = std::chrono::seconds(5);

struct Pdu {
  PduType type = PduType::kAbort;
  Bytes body;
};

std::uint32_t Be32(const std::uint8_t* p) {
  return (std::uint32_t{p[0]} << 24) | (std::uint32_t{p[1]} << 16) | (std::uint32_t{p[2]} << 8) |
         p[3];
}

void StoreBe32(std::uint8_t* p, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) p[i] = static_cast<std::uint8_t>(value >> (24 - 8 * i));
}

absl::Status NotDicom() {
  return absl::InvalidArgumentError(
      "the other side does not speak DICOM on this port: check the port, and TLS on both sides");
}

// A PDU of a kind and size that can stand here; its body replaces what `body` held.
absl::StatusOr<PduType> ReadPdu(Connection& connection, Deadline deadline, bool associating,
                                Bytes* body) {
  std::uint8_t bytes[kPduHeadBytes];
  RETURN_IF_ERROR(connection.Read(bytes, deadline));
  const std::optional<PduHead> head = ParsePduHead(bytes);
  if (!head) return NotDicom();
  const bool associate =
      head->type == PduType::kAssociateRequest || head->type == PduType::kAssociateAccept;
  const std::uint32_t limit = associate                      ? kMaxAssociatePduBytes
                              : head->type == PduType::kData ? kOurMaxPduBytes
                                                             : 4;
  if (associate != associating && (associate || head->type == PduType::kData)) {
    return absl::InvalidArgumentError("a PDU came out of its order");
  }
  if (head->length > limit) {
    return absl::InvalidArgumentError(
        StrCat("a PDU claims ", head->length, " bytes, over the limit of ", limit));
  }
  body->resize(head->length);
  RETURN_IF_ERROR(connection.Read(*body, deadline));
  return head->type;
}

absl::Status PeerAborted() { return absl::AbortedError("the other side aborted the association"); }

}  // namespace

ElementSet ResponseTo(const Message& request, CommandField field, std::uint16_t status) {
  ElementSet response;
  response.SetUid(command::kAffectedSopClass, request.command.Text(command::kAffectedSopClass))
      .SetUnsigned16(command::kField, static_cast<std::uint16_t>(field))
      .SetUnsigned16(command::kMessageIdRespondedTo,
                     request.command.Unsigned16(command::kMessageId).value_or(0))
      .SetUnsigned16(command::kDataSetType, command::kNoDataSet)
      .SetUnsigned16(command::kStatus, status);
  const std::string instance = request.command.Text(command::kAffectedSopInstance);
  if (!instance.empty()) response.SetUid(command::kAffectedSopInstance, instance);
  return response;
}

absl::StatusOr<std::unique_ptr<Association>> Association::Request(
    std::unique_ptr<Connection> connection, const AssociateRequest& request,
    const MessageLimits& limits) {
  std::unique_ptr<Association> association(new Association(std::move(connection), limits));
  Connection& stream = *association->connection_;
  const Deadline deadline = After(limits.message);
  const absl::Status written = stream.Write(Encode(request), deadline);
  Bytes body;
  const absl::StatusOr<PduType> type =
      written.ok() ? ReadPdu(stream, deadline, true, &body) : written;
  if (absl::IsUnavailable(type.status())) {
    return absl::UnavailableError(
        "the archive closed the connection instead of answering the association request: it may "
        "expect TLS (--tls), or not accept our certificate or address");
  }
  RETURN_IF_ERROR(type.status());
  if (*type == PduType::kAssociateReject) {
    ASSIGN_OR_RETURN(const AssociateReject reject, ParseAssociateReject(body));
    std::string why = Explain(reject, request.called, request.calling);
    return reject.result == 2 ? absl::UnavailableError(why) : absl::PermissionDeniedError(why);
  }
  if (*type == PduType::kAbort) return PeerAborted();
  if (*type != PduType::kAssociateAccept) return NotDicom();
  ASSIGN_OR_RETURN(const AssociateAccept accept, ParseAssociateAccept(body));
  for (const AcceptedContext& accepted : accept.contexts) {
    if (accepted.result != 0) continue;
    for (const PresentationContext& asked : request.contexts) {
      if (asked.id != accepted.id) continue;
      association->contexts_[asked.id] = {asked.abstract_syntax, accepted.transfer_syntax};
    }
  }
  association->SetPeerLimit(accept.max_pdu_bytes);
  association->open_ = true;
  return association;
}

absl::StatusOr<AssociateRequest> Association::ReceiveRequest(Connection& connection,
                                                             Deadline deadline) {
  Bytes body;
  ASSIGN_OR_RETURN(const PduType type, ReadPdu(connection, deadline, true, &body));
  if (type != PduType::kAssociateRequest) return NotDicom();
  return ParseAssociateRequest(body);
}

absl::StatusOr<std::unique_ptr<Association>> Association::Accept(
    std::unique_ptr<Connection> connection, const AssociateRequest& request,
    const AssociateAccept& accept, const MessageLimits& limits) {
  std::unique_ptr<Association> association(new Association(std::move(connection), limits));
  RETURN_IF_ERROR(association->connection_->Write(Encode(accept), After(limits.message)));
  for (std::size_t i = 0; i < accept.contexts.size(); ++i) {
    const AcceptedContext& accepted = accept.contexts[i];
    if (accepted.result != 0) continue;
    association->contexts_[accepted.id] = {request.contexts[i].abstract_syntax,
                                           accepted.transfer_syntax};
  }
  association->SetPeerLimit(request.max_pdu_bytes);
  association->open_ = true;
  return association;
}

Association::~Association() { Abort(); }

void Association::SetPeerLimit(std::uint32_t max_pdu_bytes) {
  const std::uint32_t limit = max_pdu_bytes == 0
                                  ? kOurMaxPduBytes
                                  : std::clamp<std::uint32_t>(max_pdu_bytes, 128, kOurMaxPduBytes);
  send_bytes_ = limit - kPdvHeadBytes;
}

std::optional<std::uint8_t> Association::Find(std::string_view abstract_syntax,
                                              std::string_view transfer_syntax) const {
  for (const auto& [id, context] : contexts_) {
    if (context.abstract_syntax == abstract_syntax && context.transfer_syntax == transfer_syntax) {
      return id;
    }
  }
  return std::nullopt;
}

std::optional<std::uint8_t> Association::Find(std::string_view abstract_syntax) const {
  for (const auto& [id, context] : contexts_) {
    if (context.abstract_syntax == abstract_syntax) return id;
  }
  return std::nullopt;
}

absl::Status Association::SendPieces(std::uint8_t context, bool command, std::uint64_t size,
                                     const Source& read) {
  Bytes pdu;
  std::uint64_t sent = 0;
  do {
    const std::size_t count = std::min<std::uint64_t>(send_bytes_, size - sent);
    pdu.resize(kPduHeadBytes + kPdvHeadBytes + count);
    pdu[0] = static_cast<std::uint8_t>(PduType::kData);
    pdu[1] = 0;
    StoreBe32(&pdu[2], static_cast<std::uint32_t>(kPdvHeadBytes + count));
    StoreBe32(&pdu[6], static_cast<std::uint32_t>(2 + count));
    pdu[10] = context;
    pdu[11] = static_cast<std::uint8_t>((command ? 1 : 0) | (sent + count == size ? 2 : 0));
    RETURN_IF_ERROR(read(std::span(pdu).subspan(kPduHeadBytes + kPdvHeadBytes)));
    RETURN_IF_ERROR(connection_->Write(pdu, After(limits_.message)));
    sent += count;
  } while (sent < size);
  return absl::OkStatus();
}

absl::Status Association::Send(std::uint8_t context, const ElementSet& command) {
  const Bytes bytes = command.EncodeCommand();
  std::size_t at = 0;
  return SendPieces(context, true, bytes.size(), [&](std::span<std::uint8_t> out) {
    std::copy_n(bytes.begin() + at, out.size(), out.begin());
    at += out.size();
    return absl::OkStatus();
  });
}

absl::Status Association::SendDataSet(std::uint8_t context, ByteView bytes) {
  std::size_t at = 0;
  return SendDataSet(context, bytes.size(), [&](std::span<std::uint8_t> out) {
    std::copy_n(bytes.begin() + at, out.size(), out.begin());
    at += out.size();
    return absl::OkStatus();
  });
}

absl::Status Association::SendDataSet(std::uint8_t context, std::uint64_t size,
                                      const Source& read) {
  return SendPieces(context, false, size, read);
}

absl::StatusOr<std::optional<Association::Pdv>> Association::NextPdv(Deadline deadline) {
  while (unread_.empty()) {
    ASSIGN_OR_RETURN(const PduType type, ReadPdu(*connection_, deadline, false, &pdu_));
    if (type == PduType::kReleaseRequest) {
      open_ = false;
      RETURN_IF_ERROR(connection_->Write(EncodeBare(PduType::kReleaseResponse), After(kGoodbye)));
      return std::optional<Pdv>();
    }
    if (type == PduType::kAbort) {
      open_ = false;
      return PeerAborted();
    }
    if (type != PduType::kData) return NotDicom();
    unread_ = pdu_;
  }
  if (unread_.size() < kPdvHeadBytes) return NotDicom();
  const std::uint32_t length = Be32(unread_.data());
  if (length < 2 || length > unread_.size() - 4) return NotDicom();
  const Pdv pdv{unread_[4], (unread_[5] & 1) != 0, (unread_[5] & 2) != 0,
                unread_.subspan(kPdvHeadBytes, length - 2)};
  unread_ = unread_.subspan(4 + length);
  if (!contexts_.contains(pdv.context)) {
    return absl::InvalidArgumentError("a message came by a presentation context nobody accepted");
  }
  return std::optional<Pdv>(pdv);
}

absl::StatusOr<std::optional<Message>> Association::Receive() {
  const Deadline deadline = After(limits_.message);
  Bytes bytes;
  for (;;) {
    ASSIGN_OR_RETURN(const std::optional<Pdv> pdv, NextPdv(deadline));
    if (!pdv) return std::optional<Message>();
    if (!pdv->command) return NotDicom();
    if (bytes.size() + pdv->bytes.size() > kMaxCommandBytes) {
      return absl::InvalidArgumentError("a command set over 64 KiB");
    }
    bytes.insert(bytes.end(), pdv->bytes.begin(), pdv->bytes.end());
    if (!pdv->last) continue;
    ASSIGN_OR_RETURN(ElementSet command, ElementSet::Parse(bytes));
    return std::optional<Message>(Message{pdv->context, std::move(command)});
  }
}

absl::Status Association::ReceiveDataSet(std::uint8_t context, std::uint64_t limit_bytes,
                                         const Sink& take) {
  const Deadline whole = After(limits_.data_set);
  absl::Status taken;
  std::uint64_t received = 0;
  for (;;) {
    ASSIGN_OR_RETURN(const std::optional<Pdv> pdv,
                     NextPdv(std::min(whole, After(limits_.message))));
    if (!pdv) return absl::UnavailableError("the other side ended the association in a data set");
    if (pdv->command || pdv->context != context) return NotDicom();
    received += pdv->bytes.size();
    if (received > limit_bytes) {
      return absl::OutOfRangeError(StrCat("a data set over the limit of ", limit_bytes, " bytes"));
    }
    if (taken.ok()) taken = take(pdv->bytes);
    if (pdv->last) return taken;
  }
}

absl::Status Association::Release() {
  if (!open_) return absl::OkStatus();
  open_ = false;
  RETURN_IF_ERROR(connection_->Write(EncodeBare(PduType::kReleaseRequest), After(kGoodbye)));
  Bytes body;
  return ReadPdu(*connection_, After(kGoodbye), false, &body).status();
}

void Association::Abort() {
  if (!open_) return;
  open_ = false;
  connection_->Write(EncodeBare(PduType::kAbort), After(std::chrono::seconds(1))).IgnoreError();
}

}  // namespace consilium::datasets::pacs
