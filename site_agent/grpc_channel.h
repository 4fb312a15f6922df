#pragma once

// The coordinator over gRPC and mutual TLS, as common/identity opens it. Connects out only.

#include <memory>
#include <mutex>
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
  // New calls go out with this identity (a renewed certificate). What is under way goes on with the
  // old one.
  void Use(const identity::Identity& identity);

  std::string Address() const override { return address_; }
  absl::StatusOr<std::unique_ptr<Session>> Attend(std::stop_token stop) override;
  absl::Status DownloadModel(const ModelId& model, std::span<const wire::ByteRange> ranges,
                             std::uint64_t offset, const ModelSink& sink,
                             std::stop_token stop) override;
  absl::StatusOr<UploadOutcome> Upload(const OutboxFile& update, std::uint32_t first_segment,
                                       std::stop_token stop) override;

 private:
  struct Link;
  // Has a connection that failed before tried again at once: how long to wait before that is the
  // caller's choice, not gRPC's.
  static void Reconnect(const Link& link, const std::stop_token& stop);
  std::shared_ptr<Link> Present() const;

  const std::string address_;
  mutable std::mutex mutex_;
  std::shared_ptr<Link> link_;  // shared with the sessions and calls that began with it
};

}  // namespace consilium::site_agent
