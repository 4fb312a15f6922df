#pragma once

// Where instances are sent: an archive by C-STORE (PS3.4 annex B) or STOW-RS (PS3.18 chapter 10.5).

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "datasets/pacs/dimse_archive.h"
#include "datasets/pacs/http_client.h"
#include "datasets/pacs/part10.h"

namespace consilium::datasets::pacs {

struct OutgoingFile {
  fs::path path;
  FileMeta meta;
};

// Used by one thread.
class Destination {
 public:
  virtual ~Destination() = default;
  // Tells destinations apart in the journal of what was sent.
  virtual std::string Name() const = 0;
  // What Send will be called with next: so that one association serves all.
  virtual void Expect(std::span<const OutgoingFile> files) = 0;
  // OK: the archive has acknowledged the instance. kFailedPrecondition: it does not want this one;
  // otherwise as Archive.
  virtual absl::Status Send(const OutgoingFile& file) = 0;
  virtual void Finish() {}
};

// The user's side of C-STORE. Sends each file in the transfer syntax that it has.
class StoreScu final : public Destination {
 public:
  StoreScu(DimsePeer peer, Cancelled cancelled)
      : peer_(std::move(peer)), cancelled_(std::move(cancelled)) {}

  std::string Name() const override;
  void Expect(std::span<const OutgoingFile> files) override;
  absl::Status Send(const OutgoingFile& file) override;
  void Finish() override;

 private:
  absl::StatusOr<std::uint8_t> ContextFor(const InstanceHead& head);
  absl::Status SendOn(std::uint8_t context, const OutgoingFile& file);

  const DimsePeer peer_;
  const Cancelled cancelled_;
  std::vector<std::pair<std::string, std::string>> expected_;  // SOP class, transfer syntax
  std::unique_ptr<Association> association_;
  std::uint16_t message_id_ = 0;
};

// STOW-RS, one instance a request: so that each acknowledgement is of one.
class StowDestination final : public Destination {
 public:
  StowDestination(std::string url, std::unique_ptr<HttpClient> client)
      : url_(std::move(url)), client_(std::move(client)) {}

  std::string Name() const override { return url_; }
  void Expect(std::span<const OutgoingFile>) override {}
  absl::Status Send(const OutgoingFile& file) override;

 private:
  const std::string url_;
  std::unique_ptr<HttpClient> client_;
};

}  // namespace consilium::datasets::pacs
