#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/wire/versions.h"
#include "coordinator/conductor.h"
#include "coordinator/service_limits.h"

namespace consilium::coordinator {

// The coordinator on the network: gRPC over mutual TLS, one port for all members.
//
// Claims: only Enrol and Ping answer without a client certificate of this federation's authority.
// On every other call, and again every few megabytes of a stream, the key of the certificate is
// looked up in the ledger and in the roster in force: who is unknown, revoked, not (or not yet) in
// the roster, or in another role is refused within a second. Sites attend, fetch models and upload;
// researchers submit and stop runs; researchers and auditors read runs, models, records and the
// log. Messages above 1 MiB, headers above 16 KiB and more than a bounded memory for buffers are
// refused. A renewed server certificate is shown to new connections within two seconds.
//
// FetchLog sends the log from an entry on in pieces of whole entries, each a JSON object:
//   {"federation": name,
//    "entries": [{"number", "time" (microseconds since 1970), "actor", "action", "subject",
//                 "details" (text), "head" (of the log after this entry, hexadecimal)}...],
//    "countersignatures": [{"site", "number", "head", "signature"}...]}
// The countersignatures, of each site the latest up to the last entry sent, are in the last piece.
class Service {
 public:
  // They must outlive the service. Stop the service before the conductor's destructor runs.
  struct Parts {
    Conductor& conductor;
    SharedLedger& ledger;
    ModelStore& models;
    const Authority& authority;
    const Clock& clock;
    wire::ProgramVersion version = {};  // that it says and asks for; another in tests
  };
  // `address`: "host:port", port 0 for any. kUnavailable, naming the address, when the port is
  // taken.
  static absl::StatusOr<std::unique_ptr<Service>> Start(const Parts& parts,
                                                        const std::string& address,
                                                        const ServiceLimits& limits = {});
  ~Service();
  int port() const;
  struct Load {
    std::size_t calls = 0;  // long calls that are open: attends, uploads, downloads, watches
  };
  Load load() const;
  // Cancels what is open and waits for it.
  void Stop();

 private:
  struct Impl;
  explicit Service(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace consilium::coordinator
