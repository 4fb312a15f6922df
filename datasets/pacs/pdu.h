#pragma once

// The protocol data units of the DICOM upper layer (PS3.8 section 9.3) as plain structs: encoding
// and parsing, no I/O. Parsing allocates nothing on the word of a length field.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"

namespace consilium::datasets::pacs {

enum class PduType : std::uint8_t {
  kAssociateRequest = 1,
  kAssociateAccept = 2,
  kAssociateReject = 3,
  kData = 4,
  kReleaseRequest = 5,
  kReleaseResponse = 6,
  kAbort = 7,
};

// Type, a reserved byte, the length of what follows (big endian).
inline constexpr std::size_t kPduHeadBytes = 6;
// 128 presentation contexts of 20 transfer syntaxes of 64 characters each fit.
inline constexpr std::uint32_t kMaxAssociatePduBytes = 256 << 10;
// One P-DATA-TF PDU: the maximum length that we offer, and the longest that we send.
inline constexpr std::uint32_t kOurMaxPduBytes = 128 << 10;

struct PduHead {
  PduType type = PduType::kAbort;
  std::uint32_t length = 0;
};
// Nothing: no PDU begins like this.
std::optional<PduHead> ParsePduHead(ByteView six_bytes);

struct PresentationContext {
  std::uint8_t id = 1;  // odd
  std::string abstract_syntax;
  std::vector<std::string> transfer_syntaxes;
};

struct AssociateRequest {
  std::string called, calling;  // AE titles
  std::vector<PresentationContext> contexts;
  std::uint32_t max_pdu_bytes = kOurMaxPduBytes;  // 0: no limit
  // SOP classes for which the requestor offers to be SCP too (PS3.7 D.3.3.4), as C-GET needs.
  std::vector<std::string> scp_roles;
};

struct AcceptedContext {
  std::uint8_t id = 1;
  // 0 accepted, 1 user rejection, 3 abstract syntax, 4 transfer syntaxes not supported
  std::uint8_t result = 0;
  std::string transfer_syntax;
};

struct AssociateAccept {
  std::string called, calling;  // as in the request
  std::vector<AcceptedContext> contexts;
  std::uint32_t max_pdu_bytes = kOurMaxPduBytes;
  std::vector<std::string> scp_roles;
};

struct AssociateReject {
  std::uint8_t result = 1;  // 1 permanent, 2 transient
  std::uint8_t source = 1;  // 1 service user, 2 provider (ACSE), 3 provider (presentation)
  std::uint8_t reason = 1;
};

// Whole PDUs.
Bytes Encode(const AssociateRequest& request);
Bytes Encode(const AssociateAccept& accept);
Bytes Encode(const AssociateReject& reject);
Bytes EncodeBare(PduType type);  // A-RELEASE-RQ, A-RELEASE-RP, A-ABORT by the service user

// Bodies, without the six bytes of the head. kInvalidArgument says what contradicts itself.
absl::StatusOr<AssociateRequest> ParseAssociateRequest(ByteView body);
absl::StatusOr<AssociateAccept> ParseAssociateAccept(ByteView body);
absl::StatusOr<AssociateReject> ParseAssociateReject(ByteView body);

// Why an association was refused, and what to ask of whoever keeps the archive.
std::string Explain(const AssociateReject& reject, std::string_view called,
                    std::string_view calling);

// 1 to 16 characters, no backslash or control character, not only blanks (PS3.5 section 6.2, AE).
absl::Status CheckAeTitle(std::string_view title);

// 1 to 64 digits and dots (PS3.5 section 9).
bool IsUid(std::string_view text);

}  // namespace consilium::datasets::pacs
