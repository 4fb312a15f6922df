#pragma once

// The coordinator over gRPC and mutual TLS, as common/identity opens it. Connects out only.

#include <memory>
#include <string>

#include "common/identity/identity.h"
#include "site_agent/coordinator_channel.h"

namespace consilium::site_agent {

// Thread-safe.
class GrpcChannel final : public CoordinatorChannel {
 public:
  // Does not connect yet.
  explicit GrpcChannel(const identity::Identity& identity);
  ~GrpcChannel() override;

  std::string Address() const override { return address_; }
  absl::StatusOr<std::unique_ptr<Session>> Attend(std::stop_token stop) override;
  absl::Status DownloadModel(const ModelId& model, std::uint64_t offset, const ModelSink& sink,
                             std::stop_token stop) override;
  absl::StatusOr<UploadOutcome> Upload(const OutboxFile& update, std::uint32_t first_segment,
                                       std::stop_token stop) override;

 private:
  struct Link;
  // Has a connection that failed before tried again at once: how long to wait before that is the
  // caller's choice, not gRPC's.
  void Reconnect(const std::stop_token& stop);

  const std::string address_;
  std::shared_ptr<Link> link_;  // shared with the sessions
};

}  // namespace consilium::site_agent
