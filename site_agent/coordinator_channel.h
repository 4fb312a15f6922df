#pragma once

// How a site reaches its coordinator. gRPC in production (grpc_channel.h), memory in tests and
// simulation.
//
// Every blocking call takes a stop token: when it is asked to stop, the call ends soon with
// kCancelled. Errors that trying again may cure are kUnavailable (nobody answers, the connection
// broke) and kResourceExhausted; kUnauthenticated and kPermissionDenied mean that the coordinator
// does not take this site, or that it is not the coordinator the site enrolled with.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/wire/protocol.h"
#include "common/wire/wanted_bytes.h"
#include "site_agent/outbox_file.h"

namespace consilium::site_agent {

// A standing connection: tasks come in, answers go out. Next() belongs to one thread; Send() and
// Close() may be called from any.
class Session {
 public:
  virtual ~Session() = default;
  // Blocks for the coordinator's next message. An error once the session is over.
  virtual absl::StatusOr<wire::ToSite> Next() = 0;
  virtual absl::Status Send(const wire::FromSite& message) = 0;
  // Ends the session; Next() returns kCancelled.
  virtual void Close() = 0;
};

struct UploadOutcome {
  // Empty: the coordinator holds the whole contribution. Else it wants the upload to be called
  // again from this segment on.
  std::optional<std::uint32_t> go_on_from;
};

// Takes a model's bytes in order, with the size of all that is wanted. An error ends the download.
using ModelSink = std::function<absl::Status(ByteView bytes, std::uint64_t total_size)>;

class CoordinatorChannel {
 public:
  virtual ~CoordinatorChannel() = default;
  // For messages to people: "coordinator.example.org:443".
  virtual std::string Address() const = 0;
  // Opens the standing connection. It may still turn out to be broken at the first Next().
  virtual absl::StatusOr<std::unique_ptr<Session>> Attend(std::stop_token stop) = 0;
  // The model's safetensors bytes, of these ranges (of all of it without any), from the `offset`th
  // on to the end of them. Nothing in them has been checked. Errors about ranges and offset are
  // those of wire/wanted_bytes.h.
  virtual absl::Status DownloadModel(const ModelId& model, std::span<const wire::ByteRange> ranges,
                                     std::uint64_t offset, const ModelSink& sink,
                                     std::stop_token stop) = 0;
  // Sends the update's segments from `first_segment` on, after its header.
  // kAlreadyExists: the coordinator holds this contribution. kFailedPrecondition, kNotFound: the
  // attempt takes none (any more).
  virtual absl::StatusOr<UploadOutcome> Upload(const OutboxFile& update,
                                               std::uint32_t first_segment,
                                               std::stop_token stop) = 0;
};

}  // namespace consilium::site_agent
