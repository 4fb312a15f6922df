#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/simulation/disk/simulated_disk.h"

namespace consilium::simulation {

struct PowerLossReport {
  std::uint64_t crashes = 0;
  std::uint64_t in_recovery = 0;   // of these, while the database was being opened again
  std::uint64_t transactions = 0;  // acknowledged
  std::uint64_t files = 0;         // acknowledged
  std::uint64_t errors = 0;        // steps that failed without a crash
  std::uint64_t kept_unacknowledged =
      0;                // whole, though a crash or an error came before the answer
  std::string failure;  // what was lost or half there; empty: nothing
};

struct PowerLossTrial {
  std::uint64_t seed = 1;
  std::uint64_t crashes = 1000;  // fewer when something is lost: the trial ends there
  IgnoredSyncs ignored = IgnoredSyncs::kNone;
  DiskFaults faults;  // while it writes, not while it recovers
};

// Runs a storage::Database and durable files on a simulated disk of one machine, which crashes (two
// power losses to one kill) in operations chosen at random, also while it recovers. After each
// crash it compares all rows and files with what was acknowledged: each must be as acknowledged, or
// as the one step that the crash cut short would have left it. A step that fails without a crash
// ends the process, as a kill does, and counts the same. Registers the simulated VFS.
PowerLossReport Run(const PowerLossTrial& trial);

}  // namespace consilium::simulation
