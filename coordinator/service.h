#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/conductor.h"

namespace consilium::coordinator {

// The coordinator on the network: gRPC over mutual TLS, one port for sites and researchers.
//
// Claims: only Enrol answers without a client certificate of this federation's authority. On every
// other call, and again every few megabytes of a stream, the certificate's fingerprint is looked up
// in the ledger: an unknown or revoked one, or one of another role, is refused (kPermissionDenied)
// within a second of the revocation. Messages above 1 MiB, headers above 16 KiB and more than a
// bounded memory for buffers are refused.
class Service {
 public:
  // They must outlive the service. Stop the service before the conductor's destructor runs.
  struct Parts {
    Conductor& conductor;
    SharedLedger& ledger;
    ModelStore& models;
    const Authority& authority;
    const Clock& clock;
  };
  // `address`: "host:port", port 0 for any. kUnavailable, naming the address, when the port is
  // taken.
  static absl::StatusOr<std::unique_ptr<Service>> Start(const Parts& parts,
                                                        const std::string& address);
  ~Service();
  int port() const;
  // Cancels what is open and waits for it.
  void Stop();

 private:
  struct Impl;
  explicit Service(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace consilium::coordinator
