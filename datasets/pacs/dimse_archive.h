#pragma once

// An archive by DIMSE: C-FIND, and C-GET or C-MOVE, of the Study Root model (PS3.4 annex C).

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "datasets/pacs/archive.h"
#include "datasets/pacs/association.h"
#include "datasets/pacs/storage_listener.h"

namespace consilium::datasets::pacs {

enum class RetrieveMethod {
  kGet,   // over our own association
  kMove,  // the archive connects to a listener of ours, whose AE title and address it must know
};

// How to reach an application entity of somebody else's.
struct DimsePeer {
  HostPort address;
  std::string called, calling;  // AE titles: theirs, ours
  std::optional<TlsFiles> tls;
  Duration connect = std::chrono::seconds(20);
  MessageLimits limits;  // of one message: an archive may need long before the first
};

// An association with the peer for these contexts.
absl::StatusOr<std::unique_ptr<Association>> Associate(const DimsePeer& peer,
                                                       std::vector<PresentationContext> contexts,
                                                       std::vector<std::string> scp_roles,
                                                       const Cancelled& cancelled);

struct DimseArchiveOptions {
  DimsePeer peer;
  RetrieveMethod method = RetrieveMethod::kGet;
  // For kMove. Its ae_title is the destination that the archive is asked to send to.
  ListenerOptions listener;
};

class DimseArchive final : public Archive {
 public:
  DimseArchive(DimseArchiveOptions options, Cancelled cancelled)
      : options_(std::move(options)), cancelled_(std::move(cancelled)) {}

  absl::Status FindStudies(const StudyKeys& keys, const std::function<bool(Study)>& take) override;
  absl::StatusOr<std::vector<Series>> FindSeries(const std::string& study_uid) override;
  absl::StatusOr<std::vector<Instance>> FindInstances(const Series& series) override;
  absl::Status Fetch(const Series& series, const std::vector<Instance>& wanted, bool whole,
                     InstanceStore& store) override;
  void Finish() override { listener_.reset(); }

 private:
  absl::Status Find(const ElementSet& identifier,
                    const std::function<bool(const ElementSet&)>& take);
  absl::Status FindOn(Association& association, const ElementSet& identifier,
                      const std::function<bool(const ElementSet&)>& take);
  absl::Status Get(const ElementSet& identifier, const std::vector<Instance>& wanted,
                   InstanceStore& store);
  absl::Status GetOn(Association& association, const ElementSet& identifier, InstanceStore& store);
  absl::Status Move(const ElementSet& identifier, InstanceStore& store);

  const DimseArchiveOptions options_;
  const Cancelled cancelled_;
  std::unique_ptr<Association> finding_, moving_;  // kept open between requests
  std::unique_ptr<StorageListener> listener_;
  std::uint16_t message_id_ = 0;
};

}  // namespace consilium::datasets::pacs
