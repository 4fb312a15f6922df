#pragma once

// A storage SCP (PS3.4 annex B): takes C-STORE, and C-ECHO, of archives and scanners that it knows.
// For any other service, transfer syntax or SOP class its presentation contexts say no.

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "datasets/pacs/association.h"
#include "datasets/pacs/instance_store.h"

namespace consilium::datasets::pacs {

struct ListenerOptions {
  std::string ae_title;
  std::string bind = "0.0.0.0";                // an address of this machine
  std::uint16_t port = 0;                      // 0: any that is free
  std::vector<std::string> calling_ae_titles;  // who may; never empty
  std::vector<std::string> peers;              // addresses that may connect; empty: not looked at
  std::optional<TlsFiles> tls;    // then peers must show a certificate of its authority
  unsigned max_associations = 8;  // beyond: refused for now
  unsigned max_connections = 32;  // with those that have not asked for an association yet
  Duration handshake = std::chrono::seconds(15);  // until the association stands
  MessageLimits limits;  // an association that says nothing for limits.message is aborted
};

// Since the start.
struct ListenerCounts {
  std::uint64_t associations = 0, refused = 0;  // associations
  std::uint64_t broken = 0;  // connections that ended in an error: garbage, silence, a lost peer
  std::uint64_t failed = 0;  // C-STORE requests that were answered with a failure
};

// One thread for each connection. `store` must outlive it.
class StorageListener {
 public:
  // kInvalidArgument; kUnavailable when the port is taken.
  static absl::StatusOr<std::unique_ptr<StorageListener>> Start(const ListenerOptions& options,
                                                                InstanceStore& store);
  ~StorageListener();

  std::uint16_t port() const { return port_; }
  ListenerCounts counts() const;
  // Takes no more connections, lets instances that are coming in be finished for up to five
  // seconds, and ends all associations. The destructor does the same.
  void Stop();

 private:
  struct Session;
  StorageListener(ListenerOptions options, InstanceStore& store);
  absl::Status Bind();
  void AcceptLoop();
  void Admit(int socket, std::string peer);
  void EndOverdue();
  bool PeerMay(const std::string& address) const;
  void Serve(Session& session);
  absl::Status ServeAssociation(Session& session);
  absl::StatusOr<std::unique_ptr<Association>> Negotiate(Session& session);
  std::optional<AssociateReject> WhyRefused(const AssociateRequest& request) const;
  absl::Status Answer(Session& session, Association& association, const Message& message);
  bool ShouldEnd(const Session& session) const;

  const ListenerOptions options_;
  InstanceStore& store_;
  std::shared_ptr<Transport> transport_;
  int socket_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<std::int64_t> grace_until_{0};  // steady clock ticks
  std::atomic<unsigned> open_associations_{0};
  std::atomic<std::uint64_t> associations_{0}, refused_{0}, broken_{0}, failed_{0};
  std::vector<std::unique_ptr<Session>> sessions_;  // the accepting thread's
  std::thread accepting_;
};

}  // namespace consilium::datasets::pacs
