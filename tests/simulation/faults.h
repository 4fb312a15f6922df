#pragma once

// What goes wrong, how often, and how often it did.

#include <array>
#include <cstdint>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/random.h"

namespace consilium::simulation {

enum class Fault {
  kConnectionCut,     // both ends notice
  kHalfOpen,          // one end notices; the other only when keepalive gives up
  kBlackHole,         // the link is silent for a while
  kPartition,         // several links are
  kLateMessage,       // of an old connection, after the new one was made
  kFrameCorrupted,    // TLS notices: the connection breaks
  kSegmentCorrupted,  // of an upload, below the end-to-end check
  kPieceCorrupted,    // of a model
  kUploadCut,         // in its middle
  kReceiptLost,       // the coordinator has the upload, the site does not know
  kDownloadCut,
  kSiteKilled,
  kSiteLostPower,
  kSiteCrashedAtOperation,  // of its disk: killed or without power
  kCoordinatorKilled,
  kCoordinatorLostPower,
  kCoordinatorCrashedAtOperation,
  kAllLostPower,
  kDiskFull,
  kDiskErrors,
  kPause,     // by a site's operator
  kLateSite,  // connects for the first time when the run is under way
  kClockJumped,
  kStopRequested,
  kRevoked,
  kRunRefused,  // by a site's operator, after the site had accepted it
};
inline constexpr std::size_t kFaults = static_cast<std::size_t>(Fault::kRunRefused) + 1;
std::string_view Name(Fault fault);

class FaultCounts {
 public:
  void Count(Fault fault, std::uint64_t times = 1) {
    counts_[static_cast<std::size_t>(fault)] += times;
  }
  std::uint64_t of(Fault fault) const { return counts_[static_cast<std::size_t>(fault)]; }
  std::uint64_t total() const;
  FaultCounts& operator+=(const FaultCounts& other);

 private:
  std::array<std::uint64_t, kFaults> counts_{};
};

// How bad the weather is. A seed draws some kinds of faults and leaves others out, so that each is
// also met alone.
struct Weather {
  // Chances for each message, call or piece of one.
  double cut = 0, half_open = 0, late_message = 0, frame_corrupted = 0, segment_corrupted = 0,
         piece_corrupted = 0, upload_cut = 0, receipt_lost = 0, download_cut = 0;
  // Mean seconds between two of the kind in the whole federation; 0: never.
  double black_hole_every = 0, partition_every = 0, site_crash_every = 0,
         coordinator_crash_every = 0, all_crash_every = 0, disk_full_every = 0,
         disk_errors_every = 0, pause_every = 0, clock_jump_every = 0;
  double late_site = 0, stop_request = 0, revocation = 0;  // chances, each once in a run
  double power_loss = 0.5;    // of crashes: how many are of power, the others of the process
  double at_operation = 0.5;  // of crashes: how many come inside an operation of the disk
  double longest_delay_s = 0.05;
  double clear_after_s = 0;  // from the start; then nothing more goes wrong

  static Weather Fair() { return {}; }
  static Weather Drawn(SeededRandom& random);
};

}  // namespace consilium::simulation
