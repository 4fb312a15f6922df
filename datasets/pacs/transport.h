#pragma once

// TCP and TLS byte streams with absolute deadlines. TLS is DCMTK's (dcmtls): the BCP 195
// non-downgrading profile (PS3.15 B.10), certificates of both sides checked against one authority
// file. As with DICOM in general, the host's name is not looked for in the certificate: whom the
// authority signed is trusted.

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/host_port.h"

class DcmTransportConnection;
class DcmTransportLayer;

namespace consilium::datasets::pacs {

using Deadline = std::chrono::steady_clock::time_point;
inline Deadline After(Duration duration) { return std::chrono::steady_clock::now() + duration; }

// True when the work should stop; asked several times a second, from the thread that works.
using Cancelled = std::function<bool()>;

// PEM files. A listener needs all three; who connects needs the authority, and the other two where
// the archive asks for a certificate.
struct TlsFiles {
  fs::path certificate, private_key, authority;
};

enum class TlsSide { kConnects, kListens };

// Makes connections of accepted or connected sockets. Thread-safe.
class Transport {
 public:
  static std::shared_ptr<Transport> Plain();
  // kInvalidArgument names the file that is not what it should be.
  static absl::StatusOr<std::shared_ptr<Transport>> Tls(const TlsFiles& files, TlsSide side);
  ~Transport();

  bool secure() const { return secure_; }

 private:
  friend class Connection;
  Transport();
  std::unique_ptr<DcmTransportLayer> layer_;
  bool secure_ = false;
};

// One peer. Read and Write belong to one thread; Shutdown may be called from any.
class Connection {
 public:
  // kUnavailable: nobody answers there; kUnauthenticated: no TLS that both sides accept;
  // kDeadlineExceeded; kCancelled. Messages say what to look at.
  static absl::StatusOr<std::unique_ptr<Connection>> Connect(
      const HostPort& address, const std::shared_ptr<Transport>& transport, Duration timeout,
      Cancelled cancelled);
  // Takes over a socket that accept(2) gave. The TLS handshake is made by Handshake().
  static absl::StatusOr<std::unique_ptr<Connection>> Accepted(
      int socket, const std::shared_ptr<Transport>& transport, Cancelled cancelled);

  ~Connection();
  absl::Status Handshake(Deadline deadline);
  // All of `out`, or an error: kUnavailable when the peer closed, kDeadlineExceeded, kCancelled.
  absl::Status Read(std::span<std::uint8_t> out, Deadline deadline);
  absl::Status Write(ByteView bytes, Deadline deadline);
  // Ends a Read or Write that is going on; nothing more is sent or received.
  void Shutdown();

 private:
  Connection() = default;
  absl::Status CheckGoingOn(Deadline deadline) const;

  std::shared_ptr<Transport> transport_;  // its TLS settings outlive the connection
  std::unique_ptr<DcmTransportConnection> stream_;
  TlsSide side_ = TlsSide::kConnects;
  Cancelled cancelled_;
  std::mutex socket_mutex_;  // Shutdown against the destructor
  int socket_ = -1;
};

}  // namespace consilium::datasets::pacs
