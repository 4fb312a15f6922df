#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/ledger.h"

namespace consilium::coordinator {

// The log for those who read it, piece by piece (the form is in service.h). What is added while it
// is read comes too.
class LogPieces {
 public:
  explicit LogPieces(std::uint64_t from) : next_(from == 0 ? 1 : from) {}
  bool done() const { return done_; }
  // The next piece; the last one has no entry that another could follow, and the countersignatures.
  absl::StatusOr<std::string> Next(Ledger& ledger);

 private:
  std::uint64_t next_;
  bool done_ = false;
};

}  // namespace consilium::coordinator
