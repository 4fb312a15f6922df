#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "coordinator/authority.h"

namespace grpc {
class ServerCredentials;
}

namespace consilium::coordinator {

// The server's side of TLS. A renewed certificate (Authority::ServerCertificate) is shown to new
// connections within two seconds, without a restart; those that are open go on.
//
// Claims: clients are asked for a certificate, and one that is not of this federation's authority
// is refused in the handshake; a client without one gets through (Enrol and Ping need none, every
// other call is refused by CallerTable). The private key is given to gRPC in memory only.
class ServerTls {
 public:
  // `authority` must outlive it. kInternal when the system gives no memory files.
  static absl::StatusOr<std::unique_ptr<ServerTls>> Create(const Authority& authority);
  ~ServerTls();
  std::shared_ptr<grpc::ServerCredentials> Credentials() const;

 private:
  explicit ServerTls(const Authority& authority) : authority_(authority) {}
  void Follow();

  const Authority& authority_;
  int key_ = -1, certificate_ = -1, roots_ = -1;  // memory files
  std::string shown_;
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  std::thread following_;
};

}  // namespace consilium::coordinator
