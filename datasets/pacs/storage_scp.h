#pragma once

// The provider's side of C-STORE (PS3.4 annex B), on any association that brings instances: those
// that our listener accepts, and that of a C-GET.

#include "absl/status/statusor.h"
#include "datasets/pacs/association.h"
#include "datasets/pacs/instance_store.h"

namespace consilium::datasets::pacs {

// What a C-STORE request was answered with (PS3.4 table B.2-1).
inline constexpr std::uint16_t kStored = 0x0000, kOutOfResources = 0xA700,
                               kDoesNotMatchSopClass = 0xA900, kCannotUnderstand = 0xC000,
                               kProcessingFailure = 0x0110;

struct StoreOutcome {
  std::uint16_t status = kStored;
  absl::Status reason;  // why it was not stored
};

// Receives the data set of `request` (a C-STORE request) into the store and answers. What is there
// already is acknowledged without being written again. Success is answered once the file is
// durable. An error is the association's end.
absl::StatusOr<StoreOutcome> ReceiveStore(Association& association, const Message& request,
                                          std::string_view source_ae_title, InstanceStore& store);

}  // namespace consilium::datasets::pacs
