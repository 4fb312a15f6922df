#include "datasets/pacs/pdu.h"

#include <algorithm>

#include "common/base/status.h"
#include "common/base/version.h"
#include "datasets/dicom/writer.h"

namespace consilium::datasets::pacs {
namespace {

constexpr std::string_view kApplicationContext = "1.2.840.10008.3.1.1.1";  // PS3.7 annex A

// PS3.8 tables 9-11 to 9-26, PS3.7 annex D.3.3.
enum Item : std::uint8_t {
  kApplicationContextItem = 0x10,
  kRequestedContextItem = 0x20,
  kAcceptedContextItem = 0x21,
  kAbstractSyntaxItem = 0x30,
  kTransferSyntaxItem = 0x40,
  kUserInformationItem = 0x50,
  kMaximumLengthItem = 0x51,
  kImplementationClassItem = 0x52,
  kRoleSelectionItem = 0x54,
  kImplementationVersionItem = 0x55,
};

void PutBe16(Bytes* out, std::size_t value) {
  out->push_back(static_cast<std::uint8_t>(value >> 8));
  out->push_back(static_cast<std::uint8_t>(value));
}

void PutBe32(Bytes* out, std::uint32_t value) {
  PutBe16(out, value >> 16);
  PutBe16(out, value & 0xFFFF);
}

std::uint32_t Be16(const std::uint8_t* p) { return (std::uint32_t{p[0]} << 8) | p[1]; }
std::uint32_t Be32(const std::uint8_t* p) { return (Be16(p) << 16) | Be16(p + 2); }

void Append(Bytes* out, ByteView bytes) { out->insert(out->end(), bytes.begin(), bytes.end()); }

void PutItem(Bytes* out, Item item, ByteView value) {
  out->push_back(item);
  out->push_back(0);
  PutBe16(out, value.size());
  Append(out, value);
}

void PutAeTitle(Bytes* out, std::string_view title) {
  std::string padded(title.substr(0, 16));
  padded.resize(16, ' ');
  Append(out, AsBytes(padded));
}

Bytes Finish(PduType type, const Bytes& body) {
  Bytes pdu{static_cast<std::uint8_t>(type), 0};
  PutBe32(&pdu, static_cast<std::uint32_t>(body.size()));
  Append(&pdu, body);
  return pdu;
}

// Protocol version, AE titles, application context: the beginning of both request and acceptance.
Bytes AssociateBody(std::string_view called, std::string_view calling) {
  Bytes body;
  PutBe16(&body, 1);
  PutBe16(&body, 0);
  PutAeTitle(&body, called);
  PutAeTitle(&body, calling);
  body.resize(body.size() + 32, 0);
  PutItem(&body, kApplicationContextItem, AsBytes(kApplicationContext));
  return body;
}

void PutUserInformation(Bytes* out, std::uint32_t max_pdu_bytes,
                        const std::vector<std::string>& scp_roles, bool also_scu) {
  Bytes user, length;
  PutBe32(&length, max_pdu_bytes);
  PutItem(&user, kMaximumLengthItem, length);
  PutItem(&user, kImplementationClassItem, AsBytes(dicom::MakeUid("consilium implementation")));
  for (const std::string& sop_class : scp_roles) {
    Bytes role;
    PutBe16(&role, sop_class.size());
    Append(&role, AsBytes(sop_class));
    role.push_back(also_scu);
    role.push_back(1);
    PutItem(&user, kRoleSelectionItem, role);
  }
  PutItem(&user, kImplementationVersionItem, AsBytes(std::string_view("CONSILIUM")));
  PutItem(out, kUserInformationItem, user);
}

// A UID or AE title without its padding.
std::string Trimmed(ByteView bytes) {
  std::string_view text = AsText(bytes);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) text.remove_suffix(1);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  return std::string(text);
}

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError(StrCat("malformed association PDU: ", what));
}

// Calls each(type, value) for the items that fill `bytes` exactly.
template <class Each>
absl::Status ForEachItem(ByteView bytes, const Each& each) {
  while (!bytes.empty()) {
    if (bytes.size() < 4) return Malformed("an item is cut short");
    const std::size_t length = Be16(bytes.data() + 2);
    if (length > bytes.size() - 4) return Malformed("an item runs over the end");
    RETURN_IF_ERROR(each(bytes[0], bytes.subspan(4, length)));
    bytes = bytes.subspan(4 + length);
  }
  return absl::OkStatus();
}

absl::Status ParseUserInformation(ByteView value, std::uint32_t* max_pdu_bytes,
                                  std::vector<std::string>* scp_roles) {
  return ForEachItem(value, [&](std::uint8_t type, ByteView item) -> absl::Status {
    if (type == kMaximumLengthItem) {
      if (item.size() != 4) return Malformed("the maximum length is not of four bytes");
      *max_pdu_bytes = Be32(item.data());
    } else if (type == kRoleSelectionItem) {
      if (item.size() < 4 || Be16(item.data()) + 4u != item.size()) {
        return Malformed("a role selection contradicts its length");
      }
      if (item[item.size() - 1] == 1) {
        scp_roles->push_back(Trimmed(item.subspan(2, item.size() - 4)));
      }
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<PresentationContext> ParseRequestedContext(ByteView value) {
  if (value.size() < 4) return Malformed("a presentation context is cut short");
  PresentationContext context;
  context.id = value[0];
  if (context.id % 2 == 0) return Malformed("a presentation context has an even number");
  RETURN_IF_ERROR(
      ForEachItem(value.subspan(4), [&](std::uint8_t type, ByteView item) -> absl::Status {
        if (type == kAbstractSyntaxItem) context.abstract_syntax = Trimmed(item);
        if (type == kTransferSyntaxItem) context.transfer_syntaxes.push_back(Trimmed(item));
        return absl::OkStatus();
      }));
  return context;
}

absl::StatusOr<AcceptedContext> ParseAcceptedContext(ByteView value) {
  if (value.size() < 4) return Malformed("a presentation context is cut short");
  AcceptedContext context{value[0], value[2], {}};
  RETURN_IF_ERROR(
      ForEachItem(value.subspan(4), [&](std::uint8_t type, ByteView item) -> absl::Status {
        if (type == kTransferSyntaxItem) context.transfer_syntax = Trimmed(item);
        return absl::OkStatus();
      }));
  return context;
}

constexpr std::size_t kFixedBytes = 68;  // before the items of a request or an acceptance

}  // namespace

std::optional<PduHead> ParsePduHead(ByteView head) {
  if (head.size() < kPduHeadBytes || head[0] < 1 || head[0] > 7) return std::nullopt;
  return PduHead{static_cast<PduType>(head[0]), Be32(head.data() + 2)};
}

Bytes Encode(const AssociateRequest& request) {
  Bytes body = AssociateBody(request.called, request.calling);
  for (const PresentationContext& context : request.contexts) {
    Bytes value{context.id, 0, 0, 0};
    PutItem(&value, kAbstractSyntaxItem, AsBytes(context.abstract_syntax));
    for (const std::string& syntax : context.transfer_syntaxes) {
      PutItem(&value, kTransferSyntaxItem, AsBytes(syntax));
    }
    PutItem(&body, kRequestedContextItem, value);
  }
  PutUserInformation(&body, request.max_pdu_bytes, request.scp_roles, false);
  return Finish(PduType::kAssociateRequest, body);
}

Bytes Encode(const AssociateAccept& accept) {
  Bytes body = AssociateBody(accept.called, accept.calling);
  for (const AcceptedContext& context : accept.contexts) {
    Bytes value{context.id, 0, context.result, 0};
    PutItem(&value, kTransferSyntaxItem, AsBytes(context.transfer_syntax));
    PutItem(&body, kAcceptedContextItem, value);
  }
  PutUserInformation(&body, accept.max_pdu_bytes, accept.scp_roles, false);
  return Finish(PduType::kAssociateAccept, body);
}

Bytes Encode(const AssociateReject& reject) {
  return Finish(PduType::kAssociateReject, {0, reject.result, reject.source, reject.reason});
}

Bytes EncodeBare(PduType type) { return Finish(type, {0, 0, 0, 0}); }

absl::StatusOr<AssociateRequest> ParseAssociateRequest(ByteView body) {
  if (body.size() < kFixedBytes) return Malformed("cut short");
  AssociateRequest request;
  request.called = Trimmed(body.subspan(4, 16));
  request.calling = Trimmed(body.subspan(20, 16));
  request.max_pdu_bytes = 0;
  RETURN_IF_ERROR(
      ForEachItem(body.subspan(kFixedBytes), [&](std::uint8_t type, ByteView item) -> absl::Status {
        if (type == kRequestedContextItem) {
          ASSIGN_OR_RETURN(PresentationContext context, ParseRequestedContext(item));
          if (request.contexts.size() == 128) return Malformed("over 128 presentation contexts");
          request.contexts.push_back(std::move(context));
        } else if (type == kUserInformationItem) {
          return ParseUserInformation(item, &request.max_pdu_bytes, &request.scp_roles);
        }
        return absl::OkStatus();
      }));
  return request;
}

absl::StatusOr<AssociateAccept> ParseAssociateAccept(ByteView body) {
  if (body.size() < kFixedBytes) return Malformed("cut short");
  AssociateAccept accept;
  accept.max_pdu_bytes = 0;
  RETURN_IF_ERROR(
      ForEachItem(body.subspan(kFixedBytes), [&](std::uint8_t type, ByteView item) -> absl::Status {
        if (type == kAcceptedContextItem) {
          ASSIGN_OR_RETURN(AcceptedContext context, ParseAcceptedContext(item));
          accept.contexts.push_back(std::move(context));
        } else if (type == kUserInformationItem) {
          return ParseUserInformation(item, &accept.max_pdu_bytes, &accept.scp_roles);
        }
        return absl::OkStatus();
      }));
  return accept;
}

absl::StatusOr<AssociateReject> ParseAssociateReject(ByteView body) {
  if (body.size() < 4) return Malformed("cut short");
  return AssociateReject{body[1], body[2], body[3]};
}

std::string Explain(const AssociateReject& reject, std::string_view called,
                    std::string_view calling) {
  const std::string intro = "the archive refused the association: ";
  if (reject.source == 1) {
    switch (reject.reason) {
      case 3:
        return StrCat(intro, "it does not know the calling AE title ", calling,
                      ". Ask the archive's administrator to add it, with this machine's address "
                      "and the port that we listen on, or give another one (--calling)");
      case 7:
        return StrCat(intro, "it is not called ", called,
                      ". Ask the archive's administrator for its AE title (--called)");
      case 2:
        return StrCat(intro, "it does not support the DICOM application context");
      default:
        return StrCat(intro,
                      "no reason given. Ask the archive's administrator whether the AE title ",
                      calling, " and this machine's address may query and retrieve from ", called);
    }
  }
  if (reject.source == 3 && (reject.reason == 1 || reject.reason == 2)) {
    return StrCat(intro,
                  reject.reason == 1 ? "it is busy" : "it has reached its limit of associations",
                  ". Try again later");
  }
  return StrCat(intro, "its protocol machine gave reason ", int{reject.reason}, " (source ",
                int{reject.source}, ")");
}

absl::Status CheckAeTitle(std::string_view title) {
  const bool sound = !title.empty() && title.size() <= 16 &&
                     title != std::string(title.size(), ' ') &&
                     std::all_of(title.begin(), title.end(),
                                 [](unsigned char c) { return c >= ' ' && c < 127 && c != '\\'; });
  if (sound) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("\"", title, "\" is no AE title: 1 to 16 plain characters without backslash"));
}

bool IsUid(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return c == '.' || (c >= '0' && c <= '9');
  });
}

}  // namespace consilium::datasets::pacs
