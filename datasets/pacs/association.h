#pragma once

// A DICOM association (PS3.8) and the DIMSE messages that travel on it (PS3.7), for both sides.
// Written by us and not DCMTK's dcmnet: every length a peer sends is checked before memory is
// taken, every wait has an absolute end, and what is received goes to the disk piece by piece.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "datasets/pacs/element_set.h"
#include "datasets/pacs/pdu.h"
#include "datasets/pacs/transport.h"

namespace consilium::datasets::pacs {

// Elements of command sets (PS3.7 annex E).
namespace command {
inline constexpr std::uint32_t kAffectedSopClass = 0x0002, kField = 0x0100, kMessageId = 0x0110,
                               kMessageIdRespondedTo = 0x0120, kMoveDestination = 0x0600,
                               kPriority = 0x0700, kDataSetType = 0x0800, kStatus = 0x0900,
                               kErrorComment = 0x0902, kAffectedSopInstance = 0x1000,
                               kRemaining = 0x1020, kCompleted = 0x1021, kFailed = 0x1022;
inline constexpr std::uint16_t kNoDataSet = 0x0101, kWithDataSet = 0x0001;
}  // namespace command

enum class CommandField : std::uint16_t {
  kStoreRequest = 0x0001,
  kStoreResponse = 0x8001,
  kGetRequest = 0x0010,
  kGetResponse = 0x8010,
  kFindRequest = 0x0020,
  kFindResponse = 0x8020,
  kMoveRequest = 0x0021,
  kMoveResponse = 0x8021,
  kEchoRequest = 0x0030,
  kEchoResponse = 0x8030,
  kCancelRequest = 0x0FFF,
};

struct Message {
  std::uint8_t context = 1;  // the presentation context that it came by
  ElementSet command;

  std::uint16_t field() const { return command.Unsigned16(command::kField).value_or(0); }
  bool Is(CommandField field) const { return this->field() == static_cast<std::uint16_t>(field); }
  std::uint16_t status() const { return command.Unsigned16(command::kStatus).value_or(0xFFFF); }
  bool has_data_set() const {
    return command.Unsigned16(command::kDataSetType).value_or(command::kNoDataSet) !=
           command::kNoDataSet;
  }
};

// How long to wait for one message, and for one whole data set.
struct MessageLimits {
  Duration message = std::chrono::seconds(60);
  Duration data_set = std::chrono::seconds(600);
};

// Used by one thread; Shutdown from any. An association that goes while it is open is aborted.
class Association {
 public:
  struct Context {
    std::string abstract_syntax, transfer_syntax;
  };

  // kPermissionDenied: refused, with the reason and what to ask for. Otherwise as Connection.
  static absl::StatusOr<std::unique_ptr<Association>> Request(
      std::unique_ptr<Connection> connection, const AssociateRequest& request,
      const MessageLimits& limits);

  // The acceptor's side: reads the request, then either Reject or Accept.
  static absl::StatusOr<AssociateRequest> ReceiveRequest(Connection& connection, Deadline deadline);
  static absl::StatusOr<std::unique_ptr<Association>> Accept(std::unique_ptr<Connection> connection,
                                                             const AssociateRequest& request,
                                                             const AssociateAccept& accept,
                                                             const MessageLimits& limits);
  ~Association();

  // The accepted contexts, by number.
  const std::map<std::uint8_t, Context>& contexts() const { return contexts_; }
  std::optional<std::uint8_t> Find(std::string_view abstract_syntax,
                                   std::string_view transfer_syntax) const;
  std::optional<std::uint8_t> Find(std::string_view abstract_syntax) const;

  absl::Status Send(std::uint8_t context, const ElementSet& command);
  absl::Status SendDataSet(std::uint8_t context, ByteView bytes);
  // `read` fills its argument with what comes next; `size` bytes in all.
  using Source = std::function<absl::Status(std::span<std::uint8_t>)>;
  absl::Status SendDataSet(std::uint8_t context, std::uint64_t size, const Source& read);

  // The next command; nothing: the peer asked for release, which was granted. A context that was
  // not accepted, and a command set over 64 KiB, are kInvalidArgument; kAborted: the peer aborted.
  absl::StatusOr<std::optional<Message>> Receive();
  // The data set that follows a command with one, in pieces that are valid for the call only.
  // The first error of `take` is returned once the data set has passed; a data set over
  // `limit_bytes` ends at once with kOutOfRange.
  using Sink = std::function<absl::Status(ByteView)>;
  absl::Status ReceiveDataSet(std::uint8_t context, std::uint64_t limit_bytes, const Sink& take);

  absl::Status Release();
  void Abort();
  void Shutdown() { connection_->Shutdown(); }

 private:
  struct Pdv {
    std::uint8_t context = 0;
    bool command = false, last = false;
    ByteView bytes;
  };
  Association(std::unique_ptr<Connection> connection, const MessageLimits& limits)
      : connection_(std::move(connection)), limits_(limits) {}
  void SetPeerLimit(std::uint32_t max_pdu_bytes);
  absl::StatusOr<std::optional<Pdv>> NextPdv(Deadline deadline);
  absl::Status SendPieces(std::uint8_t context, bool command, std::uint64_t size,
                          const Source& read);

  std::unique_ptr<Connection> connection_;
  MessageLimits limits_;
  std::map<std::uint8_t, Context> contexts_;
  std::uint32_t send_bytes_ = 16 << 10;  // of one PDV's value
  Bytes pdu_;                            // the P-DATA-TF that is being read
  ByteView unread_;                      // of it
  bool open_ = false;
};

// A response to `request` with the status.
ElementSet ResponseTo(const Message& request, CommandField field, std::uint16_t status);

}  // namespace consilium::datasets::pacs
